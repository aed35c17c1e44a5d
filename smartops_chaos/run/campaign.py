"""Carry out a plan: open its lanes, resume by what is recorded, stop without leaving a fault.

Undo has three layers: the child's rollbacks; `lanes`, when the child died; the next start, when both did. The target's
own expiry stands behind all of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from smartops_chaos.errors import HarnessFailed, PreflightFailed, RevertFailed, UsageError
from smartops_chaos.model import Outcome, Plan, Trial
from smartops_chaos.plan.looks import judged_by
from smartops_chaos.run import events
from smartops_chaos.run.attempts import Attempts, Say
from smartops_chaos.run.lanes import AnyAttempts, Emit, Options, Result, Running
from smartops_chaos.run.looks import Decide, Looks
from smartops_chaos.store.campaign_folder import Store
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import Target
from smartops_chaos.trial.process import preload, undo

__all__ = ["Emit", "Options", "Result", "judge", "restore", "revert", "run"]
_MOST_INVALID = 0.10
_MAKE_SPACE = "make space or the folder writable; the same command resumes"


def revert(store: Store) -> int:
    """Undo everything of a campaign that may still be in force; how many trials that were. Raises RevertFailed."""
    pending = store.open_ledgers()
    failed = [trial for trial in pending if not undo(trial)]
    if failed:
        raise RevertFailed(
            f"could not be reverted: {', '.join(trial.path.name for trial in failed)}; see {failed[0].log}",
            f"mend what the log tells; then `smartops-chaos revert {store.name}` again",
        )
    return len(pending)


def restore(store: Store) -> list[str]:
    """Put back what the campaign has set on its target, after `revert`; what that was. Raises RevertFailed."""
    return kinds.target(store.read().plan.target).restore(store.lanes)


def run(plan: Plan, store: Store, options: Options, likely_s: float, emit: Emit, decide: Decide) -> Result:
    """Run what is not recorded yet, and what no look has spared. The caller holds the store's lock.

    Raises PreflightFailed before anything is injected, RevertFailed if an earlier trial cannot be undone, OSError if
    the campaign's folder cannot be written.
    """
    target, attempts = _lanes(plan, store, options)
    in_force = bool(store.open_ledgers())
    if not in_force:
        _check(plan, target)
    preload(kinds.modules(plan.target))
    target.clear(store.lanes)
    if undone := revert(store):
        emit(events.Warned(f"undid {undone} trial(s) of a run that was cut off"))
    if in_force:  # only now, since a fault may be why the system does not pass
        _check(plan, target)
    looks = Looks(plan, store, decide)
    todo = _todo(plan, store, options, looks.spared, emit)
    running = Running(store, options, attempts, deque(todo), looks, emit)
    with running.signals():
        try:
            lanes = target.open(store.lanes, lambda text: emit(events.Preparing(text)))
            emit(
                events.CampaignStarted(
                    store.name,
                    str(store.path),
                    looks.trials,
                    looks.trials - len(todo),
                    tuple(lane.name for lane in lanes),
                    likely_s,
                )
            )
            result = running.run(lanes)
        finally:
            target.close()
        return _without_lanes(result, store)


def _check(plan: Plan, target: Target) -> None:
    if problems := kinds.check(plan, target):
        raise PreflightFailed("\n".join(what for what, _ in problems), "\n".join(hint for _, hint in problems))


def _lanes(plan: Plan, store: Store, options: Options) -> tuple[Target, Callable[[Say], AnyAttempts]]:
    """Lanes here, or on the workers of a Dask scheduler. Raises PreflightFailed, UsageError."""
    if not options.scheduler:
        target = kinds.target(plan.target, options.lanes)
        return target, partial(Attempts, plan, store, target)
    try:
        from smartops_chaos.dask.workers import Workers
    except ModuleNotFoundError as error:
        hint = 'pip install "smartops-chaos[dask]"'
        raise UsageError(f"--scheduler needs the package {error.name}", hint) from None
    workers = Workers(options.scheduler, plan, store, options.lanes)
    return workers, workers.attempts


def _without_lanes(result: Result, store: Store) -> Result:
    """What was in force on a blocked lane may be over with the lane, or can be undone by now."""
    if result.blocked:
        with suppress(RevertFailed, OSError):
            revert(store)
            failed = (*result.failed, *(f"{lane}: it was blocked, see the trial's log.txt" for lane in result.blocked))
            return replace(result, blocked=(), failed=failed)
    return result


def _todo(plan: Plan, store: Store, options: Options, spared: frozenset[str], emit: Emit) -> list[Trial]:
    """What is not recorded, and what shall run again; a trial by which an arm was decided stays as it was then."""
    outcomes = {trial.id: store.outcome(trial.id) for trial in plan.trials if trial.id not in spared}
    again = {name for name, outcome in outcomes.items() if outcome in options.retry}
    if kept := again & judged_by(plan, store.stops()):
        emit(events.Warned(f"{len(kept)} trials are not run again: an arm was decided by them at a look"))
        again -= kept
    return [trial for trial in plan.trials if trial.id in again or outcomes.get(trial.id, "") is None]


def judge(result: Result, store: Store, plan: Plan) -> None:
    """Raise what the exit code must say: RevertFailed first, then HarnessFailed."""
    if result.blocked:
        raise RevertFailed(
            f"something is still in force on {', '.join(result.blocked)}", f"smartops-chaos revert {store.name}"
        )
    if result.unwritable:
        raise HarnessFailed(f"could not be written: {result.unwritable}", _MAKE_SPACE)
    if result.stopped_by == "interrupted":
        return
    if result.failed:
        raise HarnessFailed(
            "a lane could not go on: " + "; ".join(result.failed), "mend the cause; the same command resumes"
        )
    if cut_off := result.outcomes.get(Outcome.ABORTED, 0):
        raise HarnessFailed(
            f"{cut_off} trials were cut off by a signal to them alone", "the same command runs them again"
        )
    count = Counter(outcome for trial in plan.trials if (outcome := store.outcome(trial.id)) is not None)
    recorded = count.total()
    errors, invalid = count[Outcome.ERROR], count[Outcome.INVALID]
    if errors:
        raise HarnessFailed(
            f"{errors} of {recorded} trials ended in error",
            "each trial's log.txt says why; `--retry error` runs them again",
        )
    if invalid > _MOST_INVALID * recorded:
        raise HarnessFailed(
            f"{invalid} of {recorded} trials are invalid, more than {_MOST_INVALID:.0%}",
            "the reason of each is in its record; `--retry invalid` runs them again",
        )
