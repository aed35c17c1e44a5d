"""One busy worker: `burner.py CORE NICE LOAD PHASE`, LOAD and PHASE from 0 to 1. Started by path, nothing imported."""

from __future__ import annotations

import os
import sys
import time

PERIOD_S = 0.1


def burn(load: float, phase: float) -> None:
    """Be busy for `load` of every period of wall time, like a loop that sleeps; `phase` keeps workers out of step."""
    begin = time.perf_counter() - phase * PERIOD_S
    while True:
        period = (time.perf_counter() - begin) // PERIOD_S
        busy_until = begin + (period + load) * PERIOD_S
        while time.perf_counter() < busy_until:
            pass
        rest = begin + (period + 1) * PERIOD_S - time.perf_counter()
        if rest > 0:
            time.sleep(rest)


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.nice(int(sys.argv[2]))
    burn(float(sys.argv[3]), float(sys.argv[4]))
