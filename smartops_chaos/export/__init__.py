"""Wing: results for other programs: CI, Prometheus, training windows."""
