"""Records -> numbers: pure functions on a tidy table of trials."""
