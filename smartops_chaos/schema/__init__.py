"""All that people write: the matrix, fault files, healer files; and how YAML is read with file, line and column."""
