"""A campaign's directory: the only room that knows its paths."""
