"""A plan carried out: lanes, children, resume, stop. The directory is the state."""
