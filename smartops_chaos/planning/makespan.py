"""How long trials take on several lanes, each lane taking the next trial when it is free."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


def makespan_s(durations_s: Iterable[float], lanes: int) -> float:
    """Seconds from the first start to the last end, in the order given."""
    free = [0.0] * lanes
    for duration_s in durations_s:
        heapq.heapreplace(free, free[0] + float(duration_s))
    return max(free)
