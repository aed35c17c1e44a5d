"""A process for each trial, from a fork server that has everything loaded: milliseconds instead of a second."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from smartops_chaos.run.store import TrialDir

_UNDO_S = 60.0
_GRACE_S = 20.0  # for a child's rollbacks after it was told to stop


def in_child(
    folder: TrialDir,
    *,
    undo: bool = False,
    limit_s: float = _UNDO_S,
    phase: Callable[[str], None] = lambda _: None,
    started: Callable[[int], None] = lambda _: None,
) -> int:
    """Run or undo a trial in a fresh process; its exit code. What outlives `limit_s` is told to stop, then killed."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["smartops_chaos.cli", "smartops_chaos.run.trial"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_enter, args=(str(folder.path), theirs, undo), name=folder.path.name)
    process.start()
    theirs.close()
    assert process.pid is not None
    started(process.pid)
    deadline = time.monotonic() + limit_s
    told = False
    while process.is_alive():
        for ready in wait([process.sentinel, ours], timeout=0.5):
            if ready is ours:
                try:
                    phase(ours.recv())
                except EOFError:
                    process.join(0.2)
        if time.monotonic() > deadline:
            tell(process.pid, signal.SIGKILL if told else signal.SIGINT)
            told, deadline = True, time.monotonic() + _GRACE_S
    process.join()
    ours.close()
    code = process.exitcode
    process.close()
    return code if code is not None else -1


def _enter(directory: str, said: Connection, undo: bool) -> None:
    from smartops_chaos.run.trial import child

    child(directory, said, undo)


def tell(pid: int, number: int) -> None:
    """Send a signal; a process that has just ended needs none."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
