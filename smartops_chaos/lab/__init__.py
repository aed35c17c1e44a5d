"""The embedded lab: a small SmartOps of real processes on loopback, to attack and to heal."""

from smartops_chaos.lab.platform.lane import LaneFile, LaneProcess, read, start, stop
from smartops_chaos.lab.platform.procs import prometheus_program

__all__ = ["LaneFile", "LaneProcess", "prometheus_program", "read", "start", "stop"]
