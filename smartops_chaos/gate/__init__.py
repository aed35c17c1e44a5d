"""Wing: the gate of a promotion: whether an environment may be promoted, judged from stored telemetry.

No data is not green. (The gate of a trial, which asks for health before the injection, is `trial.protocol.gate`.)
"""
