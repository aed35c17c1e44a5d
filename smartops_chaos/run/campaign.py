"""Carry out a plan: lanes in parallel, one child a trial, resume by what is recorded, stop without leaving a fault.

Each lane has a thread that only waits: for its next trial, for its child. The thread of the caller consumes their
events and owns the signals. Undo has three layers: the child's rollbacks; this module, when the child died; the next
start, when both did. The target's own expiry stands behind all of them.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from smartops_chaos import experiment, healerfile
from smartops_chaos.errors import HarnessFailed, PreflightFailed, RevertFailed
from smartops_chaos.model import Evidence, Outcome, Plan, Trial
from smartops_chaos.run import events
from smartops_chaos.run.child import in_child, tell
from smartops_chaos.run.store import Store, TrialDir
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress, Target
from smartops_chaos.timeline.derive import derive

Emit = Callable[[events.Event], None]
_PATIENCE_S = 90.0  # beyond the longest observation: reset, warm-up, gate, three false alarms
_MOST_INVALID = 0.10


@dataclass(frozen=True, slots=True)
class Options:
    lanes: int | None = None
    max_time_s: float | None = None
    retry: tuple[str, ...] = ()  # outcomes to run again


@dataclass(frozen=True, slots=True)
class Result:
    outcomes: dict[str, int]
    stopped_by: str  # "", "interrupted", "max-time"
    blocked: tuple[str, ...]  # lanes with something still in force
    failed: tuple[str, ...]  # lanes that could not go on, each with the reason


def revert(store: Store) -> int:
    """Undo everything of a campaign that may still be in force; how many trials that were. Raises RevertFailed."""
    pending = store.open_ledgers()
    failed = [trial.path.name for trial in pending if in_child(trial, undo=True) != 0]
    if failed:
        raise RevertFailed(
            f"could not be reverted: {', '.join(failed)}",
            f"the trial's log.txt says why; then `smartops-chaos revert {store.name}` again",
        )
    return len(pending)


def run(plan: Plan, store: Store, options: Options, likely_s: float, emit: Emit) -> Result:
    """Run what is not recorded yet. The caller holds the store's lock.

    Raises PreflightFailed before anything is injected, RevertFailed if an earlier trial cannot be undone.
    """
    target = kinds.target(plan.target, options.lanes)
    if problems := target.check():
        raise PreflightFailed("\n".join(what for what, _ in problems), "\n".join(mend for _, mend in problems))
    if undone := revert(store):
        emit(events.Warned(f"undid {undone} trial(s) of a run that was cut off"))
    todo = _todo(plan, store, options)
    try:
        lanes = target.open(store.lanes)
        emit(
            events.CampaignStarted(
                store.name,
                str(store.path),
                len(plan.trials),
                len(plan.trials) - len(todo),
                tuple(lane.name for lane in lanes),
                likely_s,
            )
        )
        return _Run(plan, store, options, target, deque(todo), emit).run(lanes)
    finally:
        target.close()


def _todo(plan: Plan, store: Store, options: Options) -> list[Trial]:
    def wanted(trial: Trial) -> bool:
        record = store.record(trial.id)
        return record is None or record.row["outcome"] in options.retry

    return [trial for trial in plan.trials if wanted(trial)]


class _Run:
    def __init__(
        self, plan: Plan, store: Store, options: Options, target: Target, todo: deque[Trial], emit: Emit
    ) -> None:
        self._plan, self._store, self._target, self._todo, self._emit = plan, store, target, todo, emit
        self._deadline = time.monotonic() + options.max_time_s if options.max_time_s else None
        self._done = len(plan.trials) - len(todo)
        self._outcomes: Counter[str] = Counter()
        self._stopped_by = ""
        self._blocked: list[str] = []
        self._failed: list[str] = []
        self._children: dict[str, int] = {}
        self._last_block: int | None = None
        self._lock = threading.Lock()
        self._said: queue.SimpleQueue[events.Event | None] = queue.SimpleQueue()

    def run(self, lanes: Sequence[LaneAddress]) -> Result:
        threads = [threading.Thread(target=self._lane, args=(lane,), name=lane.name) for lane in lanes]
        with self._signals():
            for thread in threads:
                thread.start()
            running = len(threads)
            while running:
                said = self._said.get()
                if said is None:
                    running -= 1
                else:
                    self._emit(said)
            for thread in threads:
                thread.join()
        finished = events.CampaignFinished(
            self._store.name, self._done, len(self._plan.trials), dict(self._outcomes), self._stopped_by
        )
        self._emit(finished)
        return Result(dict(self._outcomes), self._stopped_by, tuple(self._blocked), tuple(self._failed))

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM stops gently: children revert and record. They ignore any further one."""
        before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, *_: object) -> None:
        # No lock here: the handler runs between two instructions of the main thread, which never takes it.
        first = self._stopped_by != "interrupted"
        self._stopped_by = "interrupted"
        if first:
            self._said.put(events.Warned("stopping: reverting what is in force; trials cut off will run again"))
            for pid in list(self._children.values()):
                tell(pid, signal.SIGINT)

    def _lane(self, lane: LaneAddress) -> None:
        try:
            while (trial := self._next()) is not None:
                lane = self._target.revive(lane)
                if not self._trial(lane, trial):
                    self._blocked.append(lane.name)
                    return
        except Exception as error:  # a lane that cannot go on must not take the others with it
            why = f"{type(error).__name__}: {error}"
            self._failed.append(f"{lane.name}: {why}")
            self._said.put(events.LaneBlocked(lane.name, why))
        finally:
            self._said.put(None)

    def _next(self) -> Trial | None:
        """The next trial in the plan's order; out of time, only what completes the block that has begun."""
        with self._lock:
            if not self._todo or self._stopped_by == "interrupted":
                return None
            late = self._deadline is not None and time.monotonic() > self._deadline
            if late and self._todo[0].block != self._last_block:
                self._stopped_by = "max-time"
                return None
            trial = self._todo.popleft()
            self._last_block = trial.block
            return trial

    def _trial(self, lane: LaneAddress, trial: Trial) -> bool:
        """Run one trial to its record; False if something of it is still in force."""
        begun = time.monotonic()
        attempt = self._store.set_aside(trial.id)
        folder = self._store.trial(trial.id)
        job = self._job(lane, trial, attempt)
        folder.begin(experiment.build(job, self._plan.chaos[trial.chaos].parts), job.fault_ids)
        self._said.put(events.TrialStarted(lane.name, trial.id, attempt))
        code = self._child(lane, trial, folder, job)
        clean = True
        if folder.is_open():  # the child died, hung, or could not finish its own revert
            clean = in_child(folder, undo=True) == 0
        record = folder.read_record()
        if record is None:
            why = f"the trial's process ended with code {code} before its record; see {folder.log}"
            evidence = _no_evidence(job, why, self._stopped_by == "interrupted")
            record = derive(evidence, healerfile.restore(job.healer), job.campaign, job.chaos)
            folder.write_record(record)
        if not clean:
            self._said.put(
                events.LaneBlocked(lane.name, f"a fault of {trial.id} could not be reverted; see {folder.log}")
            )
        outcome = str(record.row["outcome"])
        with self._lock:
            self._done += outcome != Outcome.ABORTED
            self._outcomes[outcome] += 1
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
                len(self._plan.trials),
            )
        )
        return clean

    def _job(self, lane: LaneAddress, trial: Trial, attempt: int) -> experiment.Job:
        plan, chaos = self._plan, self._plan.chaos[trial.chaos]
        bare = replace(chaos, parts=tuple(replace(part, definition={}) for part in chaos.parts))
        model = plan.models[trial.model]
        if trial.phase == "calibrate":  # nobody but the harness may end the fault
            model = replace(model, settings={**model.settings, "healer": "off"})
        prefix = f"{self._store.name}.{trial.id}.{attempt}"
        return experiment.Job(
            campaign=self._store.name,
            trial=trial,
            attempt=attempt,
            target=plan.target,
            lane=lane.name,
            environment=lane.environment,
            model=model,
            policy=plan.policies[trial.policy],
            chaos=bare,
            rate_per_s=plan.workloads[trial.workload].rate_per_s,
            slo=plan.analysis.slo,
            stop_after_good_s=plan.analysis.stop_after_good_s,
            healer=plan.healer,
            fault_ids=tuple(f"{prefix}.{part}" for part in range(len(chaos.parts))),
            digest=plan.digest,
        )

    def _child(self, lane: LaneAddress, trial: Trial, folder: TrialDir, job: experiment.Job) -> int:
        def phase(text: str) -> None:
            self._said.put(events.PhaseReached(lane.name, trial.id, text))

        def started(pid: int) -> None:
            self._children[lane.name] = pid
            if self._stopped_by == "interrupted":
                tell(pid, signal.SIGINT)

        limit_s = _PATIENCE_S + 4 * float(job.healer["warm_up_s"]) + job.chaos.horizon_s + job.slo.hold_s
        try:
            return in_child(folder, limit_s=limit_s, phase=phase, started=started)
        finally:
            self._children.pop(lane.name, None)


def _no_evidence(job: experiment.Job, why: str, aborted: bool) -> Evidence:
    return Evidence(
        trial=job.trial,
        attempt=job.attempt,
        lane=job.lane,
        started_at="",
        slo=job.slo,
        horizon_s=job.chaos.horizon_s,
        stop_after_good_s=job.stop_after_good_s,
        error=why,
        aborted=aborted,
    )


def judge(result: Result, store: Store, plan: Plan) -> None:
    """Raise what the exit code must say: RevertFailed first, then HarnessFailed."""
    if result.blocked:
        raise RevertFailed(
            f"something is still in force on {', '.join(result.blocked)}", f"smartops-chaos revert {store.name}"
        )
    if result.failed:
        raise HarnessFailed(
            "a lane could not go on: " + "; ".join(result.failed), "mend the cause; the same command resumes"
        )
    rows = [record.row for trial in plan.trials if (record := store.record(trial.id)) is not None]
    count = Counter(str(row["outcome"]) for row in rows)
    errors, invalid = count[Outcome.ERROR], count[Outcome.INVALID]
    if errors:
        raise HarnessFailed(
            f"{errors} of {len(rows)} trials ended in error",
            "each trial's log.txt says why; `--retry error` runs them again",
        )
    if invalid > _MOST_INVALID * len(rows):
        raise HarnessFailed(
            f"{invalid} of {len(rows)} trials are invalid, more than {_MOST_INVALID:.0%}",
            "the reason of each is in its record; `--retry invalid` runs them again",
        )
