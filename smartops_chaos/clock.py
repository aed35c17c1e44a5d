"""The runner's clock: monotonic time anchored once to the wall, so that a step of the wall clock moves no moment."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Shared by every process of a trial: CLOCK_MONOTONIC is one clock for the whole machine."""

    anchor_ns: int  # wall minus monotonic at the moment of anchoring

    @staticmethod
    def anchored() -> Clock:
        """Of a few readings the one with the least time between its two clocks: the machine may be busy."""
        readings = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(5)]
        before, wall, after = min(readings, key=lambda reading: reading[2] - reading[0])
        return Clock(wall - (before + after) // 2)

    def now_ns(self) -> int:
        return time.monotonic_ns() + self.anchor_ns

    def wall_bounds_ns(self) -> tuple[int, int]:
        """Bounds of wall clock minus this clock: they leave zero when somebody has stepped the wall clock."""
        before = self.now_ns()
        wall = time.time_ns()
        return wall - self.now_ns(), wall - before


def utc_now() -> str:
    """The wall clock for people and files, to the second: ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
