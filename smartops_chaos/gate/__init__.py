"""Wing: whether an environment may be promoted, judged from stored telemetry; no data is not green."""
