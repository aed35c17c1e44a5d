"""The embedded lab: a small SmartOps of real processes on loopback, to attack and to heal."""

from smartops_chaos.lab.lane import LaneFile, LaneProcess, read, start, stop

__all__ = ["LaneFile", "LaneProcess", "read", "start", "stop"]
