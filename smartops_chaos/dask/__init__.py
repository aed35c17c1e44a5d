"""Wing: lanes on the workers of a Dask cluster."""
