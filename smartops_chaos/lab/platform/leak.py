"""A leak: `leak.py CORE NICE BYTES SECONDS`. Started by path, with nothing imported that is not needed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

_STEP_S = 0.02


def leak(size: int, ramp_s: float) -> None:
    """Take `size` bytes, evenly over `ramp_s`, each written so that it is resident, and keep them."""
    kept, taken, begin = [], 0, time.monotonic()
    while taken < size:
        due = min(size, int(size * (time.monotonic() - begin) / ramp_s))
        kept.append(b"\1" * (due - taken))
        taken = due
        time.sleep(_STEP_S)
    signal.pause()


if __name__ == "__main__":
    Path("/proc/self/oom_score_adj").write_text("1000")  # if the machine itself runs short, this goes first
    os.sched_setaffinity(0, {int(sys.argv[1])})
    os.nice(int(sys.argv[2]))
    leak(int(sys.argv[3]), float(sys.argv[4]))
