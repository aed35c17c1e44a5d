"""One busy worker: `stress.py LOAD PHASE CORE NICE`, LOAD and PHASE from 0 to 1. Started by path, nothing imported."""

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
    # Not before, or its start would queue up behind those that burn already.
    os.sched_setaffinity(0, {int(sys.argv[3])})
    os.nice(int(sys.argv[4]))
    burn(float(sys.argv[1]), float(sys.argv[2]))
