"""The lanes of a running campaign: a thread for each, one trial at a time, and the signals that stop them.

The threads only wait: for their next trial, for its child. A block is given to a lane as a whole (`run.block_queue`),
so at the end lanes may be idle while another works off its last block. The caller's thread consumes what they say and
takes signals (SIGINT, SIGTERM, SIGHUP): the first starts nothing more and has the children revert; the second kills the
children and reverts from here; further ones change nothing, as the reverts have limits of their own.
"""

from __future__ import annotations

import errno
import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from smartops_chaos.errors import RevertFailed
from smartops_chaos.model import Outcome, Record, Trial
from smartops_chaos.run import events
from smartops_chaos.run.attempts import Say
from smartops_chaos.run.block_queue import BlockQueue
from smartops_chaos.run.interim_looks import InterimLooks
from smartops_chaos.run.run_options import RunOptions
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.targets.base import LaneAddress

Emit = Callable[[events.Event], None]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Result:
    outcomes: dict[str, int]
    stopped_by: str  # "", "interrupted", "max-time", "unwritable", "invalid"
    blocked: tuple[str, ...]  # lanes with something still in force
    failed: tuple[str, ...]  # lanes that could not go on, each with the reason
    unwritable: str = ""  # what could not be written, and why


class AnyAttempts(Protocol):
    """What carries out the trials: `attempts.Attempts` here, `RemoteAttempts` of `dask.workers` on other machines."""

    def run(self, lane: LaneAddress, trial: Trial) -> tuple[Record, bool]: ...

    def stop(self, number: int) -> None: ...


class LaneThreads:
    """All lanes of a running campaign, each with a thread, and what they have done so far."""

    def __init__(
        self,
        store: CampaignFolder,
        options: RunOptions,
        attempts: Callable[[Say], AnyAttempts],
        todo: BlockQueue,
        looks: InterimLooks,
        emit: Emit,
    ) -> None:
        self._store, self._todo, self._looks, self._emit = store, todo, looks, emit
        self._deadline: float | None = None
        self._max_time_s = options.max_time_s
        self._done = looks.trials - len(todo)
        self._outcomes: Counter[str] = Counter()
        self._stopped_by = ""
        self._blocked: list[str] = []
        self._failed: list[str] = []
        self._unwritable = ""
        self._signalled = 0
        self._begun: set[int] = set()  # blocks
        first = next(iter(todo)).block if todo else 0  # 0: all calibration trials together count as the first block
        self._first_block = {trial.id for trial in todo if trial.block == first}
        self._under_way = 0
        self._lock = threading.Condition()
        self._said: queue.SimpleQueue[events.Event | None] = queue.SimpleQueue()
        self._attempts = attempts(self._said.put)

    def run(self, lanes: Sequence[LaneAddress], closing: Callable[[], Iterable[events.Event]] = tuple) -> Result:
        """Until nothing is left to start, or to wait for; `closing` is what is said of the campaign before its end."""
        if self._max_time_s:
            self._deadline = time.monotonic() + self._max_time_s
        threads = [threading.Thread(target=self._lane, args=(lane,), name=lane.name) for lane in lanes]
        for thread in threads:
            thread.start()
        running = len(threads)
        while running:
            said = self._said.get()
            if said is None:
                running -= 1
            else:
                self._show(said)
        for thread in threads:
            thread.join()
        with suppress(queue.Empty):  # without a lane nobody has read yet what a signal's handler said
            while (said := self._said.get_nowait()) is not None:
                self._show(said)
        for event in closing():
            self._show(event)
        finished = events.CampaignFinished(
            self._store.name, self._done, self._looks.trials, dict(self._outcomes), self._stopped_by
        )
        self._show(finished)
        return Result(
            dict(self._outcomes), self._stopped_by, tuple(self._blocked), tuple(self._failed), self._unwritable
        )

    def _show(self, event: events.Event) -> None:
        """Without a place for what it says, a campaign stops: the terminal is closed, or the disk is full."""
        try:
            self._emit(event)
        except OSError as error:
            self._cannot_write(error)

    def _cannot_write(self, error: OSError) -> str:
        why = f"{error.filename or 'the output'}: {error.strerror or error}"
        self._unwritable = self._unwritable or why
        self._stopped_by = self._stopped_by or "unwritable"
        return why

    @property
    def interrupted(self) -> bool:
        return self._signalled > 0

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Signals stop the campaign and not the program, until its lanes are closed."""
        before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, *_: object) -> None:
        # A signal handler runs between two instructions of the main thread. It may take no lock: if the main thread
        # held it at this moment, both would wait for each other for ever. Plain assignments are enough, and the queue
        # is a SimpleQueue because that one may be used in a handler.
        self._stopped_by = "interrupted"
        self._signalled += 1
        told = {
            1: "stopping: reverting what is in force; trials cut off will run again",
            2: "not waiting for the trials: reverting from here",
        }
        if text := told.get(self._signalled):
            self._said.put(events.Warned(text))
            self._attempts.stop(signal.SIGINT if self._signalled == 1 else signal.SIGKILL)

    def _lane(self, lane: LaneAddress) -> None:
        try:
            while (trial := self._next(lane.name)) is not None:
                try:
                    clean = self._trial(lane, trial)
                finally:
                    with self._lock:
                        self._under_way -= 1
                        self._lock.notify_all()
                if not clean:
                    self._blocked.append(lane.name)
                    return
        except RevertFailed as error:
            self._blocked.append(lane.name)
            self._said.put(events.LaneBlocked(lane.name, str(error)))
        except Exception as error:  # a lane that cannot go on must not take the others with it
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                why = self._cannot_write(error)
            self._failed.append(f"{lane.name}: {why}")
            self._said.put(events.LaneBlocked(lane.name, why))
        finally:
            with self._lock:
                self._todo.release(lane.name)
                self._lock.notify_all()
            self._said.put(None)

    def _next(self, lane: str) -> Trial | None:
        """The next trial of the lane, or None; after `--max-time` only trials of blocks that have begun."""
        with self._lock:
            while self._goes_on():
                trial = self._todo.next_for(lane)
                if trial is None:
                    self._lock.wait()  # the rest is in blocks of other lanes, of which one may still fail
                elif self._looks.due(trial):
                    if self._under_way or not all(map(self._looks.due, self._todo)):
                        self._lock.wait()
                    elif not self._look():
                        return None
                elif self._late() and trial.block not in self._begun:
                    self._stopped_by = "max-time"
                    return None
                else:
                    self._todo.take(trial, lane)
                    self._begun.add(trial.block)
                    self._under_way += 1
                    return trial
            return None

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _goes_on(self) -> bool:
        return bool(self._todo) and self._stopped_by not in ("interrupted", "unwritable", "invalid")

    def _nothing_valid(self) -> bool:
        """Whether the first block of this start is over, and all that has ended is invalid: the rest would be too.

        One trial alone may be chance, such as a false alarm.
        """
        ended = self._outcomes.total()
        return not self._first_block and ended > 1 and self._outcomes[Outcome.INVALID] == ended

    def _look(self) -> bool:
        """Whether the look that is due could be taken; if not, no lane goes on, and the next start tries again."""
        try:
            taken = self._looks.take()
        except BaseException:
            self._end()
            raise
        if taken is None:  # a trial was cut off, or its lane could not go on: that is told already
            self._end()
            return False
        self._todo.spare(self._looks.spared)
        self._said.put(taken)
        return True

    def _end(self) -> None:
        """Nothing more is started."""
        self._todo.spare({trial.id for trial in self._todo})
        self._lock.notify_all()

    def _trial(self, lane: LaneAddress, trial: Trial) -> bool:
        """Run one trial to its record; False if something of it is still in force."""
        begun = time.monotonic()
        record, clean = self._attempts.run(lane, trial)
        if not clean:
            log = self._store.trial(trial.id).log
            self._said.put(events.LaneBlocked(lane.name, f"a fault of {trial.id} could not be reverted; see {log}"))
        outcome = str(record.row["outcome"])
        with self._lock:
            self._done += outcome != Outcome.ABORTED
            self._outcomes[events.counted_as(outcome, trial.phase)] += 1
            self._first_block.discard(trial.id)
            if self._todo and self._nothing_valid():
                self._stopped_by = self._stopped_by or "invalid"
            done = self._done
        time_s = record.row["time_s"]
        self._said.put(
            events.TrialFinished(
                lane.name,
                trial.id,
                outcome,
                str(record.row["reason"] or ""),
                float(time_s) if isinstance(time_s, int | float) else None,
                round(time.monotonic() - begun, 3),
                done,
                self._looks.trials,
                str(record.row.get("detail") or ""),
                trial.phase,
            )
        )
        return clean
