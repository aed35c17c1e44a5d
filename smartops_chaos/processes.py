"""A process told apart from a later one of the same number: by when it started."""

from __future__ import annotations

import os
from pathlib import Path


def started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def stopped(pid: int) -> bool:
    """Whether somebody has suspended it (SIGSTOP, Ctrl-Z)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[:1] in (["T"], ["t"])


def signature() -> str:
    """Of this process, as a lock file has it: its number and when it started."""
    return f"{os.getpid()} {started(os.getpid())}"


def running(text: str) -> int:
    """The process of a signature, 0 if it has ended."""
    pid, _, ticks = text.strip().partition(" ")
    if not pid.isdigit() or not ticks.isdigit():
        return 0
    return int(pid) if started(int(pid)) == int(ticks) != 0 else 0
