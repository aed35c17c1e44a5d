"""Sources of what happened: each gives raw samples or lines with the stamps they carry, and the bounds of its clock."""
