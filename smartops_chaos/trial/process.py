"""A process for each trial, from a fork server that has everything loaded: milliseconds instead of a second.

What is waited for is the child's own end, by its pidfd: the fork server, which would tell, can be killed or stopped.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from smartops_chaos.errors import UNWRITTEN, ChaosError, RevertFailed
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.trial import experiment

UNKNOWN = 255  # exit code of a child whose fork server was gone by then
_UNKNOWN_S = 60.0  # where the experiment cannot be read: then there is little to do
_GRACE_S = 20.0  # for what was told to stop, beside its rollbacks
_TICK_S = 0.5
_loaded = ["__main__", "smartops_chaos.cli.commands", "smartops_chaos.trial.child"]


def in_child(
    folder: TrialFolder,
    *,
    undo: bool = False,
    phase: Callable[[str], None] = lambda _: None,
    started: Callable[[int], None] = lambda _: None,
) -> int:
    """Run or undo a trial in a fresh process; its exit code.

    What outlives the limits of its own experiment is told to stop, and has the time for its rollbacks then; at last it
    is killed, and with it the programs that it has started.
    """
    limit_s, undo_s = _limits(folder, undo=undo)
    process, said = _start(folder, undo)
    assert process.pid is not None
    started(process.pid)
    try:
        _wait(process.pid, said, time.monotonic() + limit_s, undo_s + _GRACE_S, phase)
    finally:
        said.close()
    with _keep_forkserver_running():
        process.join(4 * _TICK_S)
    code = process.exitcode
    if code is None:
        return UNKNOWN
    process.close()
    return code


def _limits(folder: TrialFolder, *, undo: bool) -> tuple[float, float]:
    """Seconds for all that a process has to do, and for what follows when it is told to stop."""
    try:
        found = experiment.limits(folder.read_experiment())
    except (ChaosError, KeyError, TypeError, ValueError):  # the process itself says what is wrong with it
        return _UNKNOWN_S, 0.0
    # Another process may still be at the same rollbacks, and is waited for. An undo ignores that it shall stop.
    return (2 * found.undo_s, 0.0) if undo else (found.trial_s, found.undo_s)


def undo(trial: TrialFolder) -> bool:
    """Play a trial's rollbacks; whether nothing of it is in force. Raises OSError when that cannot be written down."""
    for _ in range(2):  # if the first process was killed, nobody knows whether it undid everything
        code = in_child(trial, undo=True)
        if code == UNWRITTEN:
            raise OSError(errno.EIO, "reverted, but that could not be written down: is the disk full?", str(trial.path))
        if not trial.is_open():
            return True
        if code == RevertFailed.exit_code:
            break
    return False


def ensure_undone(trial: TrialFolder) -> None:
    """Undo a trial of which something may be in force. Raises RevertFailed, and OSError as `undo`."""
    if trial.is_open() and not undo(trial):
        raise RevertFailed(f"{trial.path.name} could not be reverted; see {trial.log}")


def preload(modules: Sequence[str]) -> None:
    """What the fork server shall have loaded beside the trial itself; before the first trial."""
    _loaded.extend(module for module in modules if module not in _loaded)


def _start(folder: TrialFolder, undo: bool) -> tuple[ForkServerProcess, Connection]:
    context = get_context("forkserver")
    context.set_forkserver_preload(_loaded)
    for last in (False, True):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_enter, args=(str(folder.path), theirs, undo), name=folder.path.name)
        try:
            with _keep_forkserver_running():
                process.start()
            return process, ours
        except (EOFError, ConnectionError):  # the fork server was killed just now; the next start finds another
            ours.close()
            if last:
                raise
        finally:
            theirs.close()
    raise AssertionError("unreachable")


def _wait(pid: int, said: Connection, deadline: float, grace_s: float, phase: Callable[[str], None]) -> None:
    """Returns when the process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    told = False
    sources: list[int | Connection] = [pidfd, said]
    try:
        while True:
            ready = wait(sources, timeout=_TICK_S)
            if said in ready:
                try:
                    phase(said.recv())
                    continue
                except EOFError:
                    sources.remove(said)
            if pidfd in ready:
                return
            if time.monotonic() > deadline:
                if told:
                    _kill_group(pid)
                else:
                    send_signal(pid, signal.SIGINT)
                told, deadline = True, time.monotonic() + grace_s
            send_signal(pid, signal.SIGCONT)  # a suspended trial would keep its fault in force
    finally:
        os.close(pidfd)


@contextmanager
def _keep_forkserver_running() -> Iterator[None]:
    """If somebody has suspended the fork server (SIGSTOP, Ctrl-Z), wake it up meanwhile.

    Process.start() and join() ask it and would block for ever. Whether it is suspended cannot be asked without a race,
    and SIGCONT does nothing to a process that runs: so it gets one every half second. Its process number is private to
    the standard library, and nothing else tells it.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_TICK_S):
            if pid := forkserver._forkserver._forkserver_pid:  # type: ignore[attr-defined]
                send_signal(pid, signal.SIGCONT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _enter(directory: str, said: Connection, undo: bool) -> None:
    from smartops_chaos.trial.child import child

    child(directory, said, undo)


def _kill_group(pid: int) -> None:
    """A trial's process leads a group, in which are the programs that its activities have started."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    send_signal(pid, signal.SIGKILL)


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a process; one that has just ended needs none."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
