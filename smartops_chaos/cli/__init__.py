"""Wing: the command line."""
