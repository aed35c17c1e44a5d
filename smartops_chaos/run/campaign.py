"""Carry out a plan: open its lanes, resume by what is recorded, stop without leaving a fault.

Undo has three layers: the child's rollbacks; `lanes`, when the child died; the next start, when both did. The target's
own expiry stands behind all of them.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial

from smartops_chaos.clock import utc_now
from smartops_chaos.errors import HarnessFailed, PreflightFailed, RevertFailed, UsageError
from smartops_chaos.model import MOST_LOST, Outcome, Plan, Trial
from smartops_chaos.plan.look_schedule import judged_by
from smartops_chaos.run import events, machine
from smartops_chaos.run.attempts import Attempts, Say
from smartops_chaos.run.block_queue import BlockQueue
from smartops_chaos.run.interim_looks import InterimLooks, decide
from smartops_chaos.run.lanes import AnyAttempts, Emit, LaneThreads, Result
from smartops_chaos.run.run_options import RunOptions
from smartops_chaos.schema.units import count
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import CampaignFolder, Start
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress, Target
from smartops_chaos.timeline.before import disturbed, drift_warning
from smartops_chaos.timeline.calibration import calibrations
from smartops_chaos.trial.process import preload, undo

# Lanes on other machines: loaded by name, since the core imports no wing, and only for `--scheduler`.
_DASK = "smartops_chaos.dask.workers"
_MAKE_SPACE = "make space or the folder writable; the same command resumes"


class _Interrupted(Exception):
    """A signal came while the lanes were prepared."""


def revert(store: CampaignFolder) -> int:
    """Undo everything of a campaign that may still be in force; how many trials that were. Raises RevertFailed."""
    pending = store.open_ledgers()
    failed = [trial for trial in pending if not undo(trial)]
    for trial in pending:  # its ledger and log have gone on
        hash_list.seal_trial(trial.path, registration.digest(store))
    if failed:
        raise RevertFailed(
            f"could not be reverted: {', '.join(trial.path.name for trial in failed)}; see {failed[0].log}",
            f"mend what the log tells; then `smartops-chaos revert {store.typed}` again",
        )
    return len(pending)


def restore(store: CampaignFolder) -> list[str]:
    """Put back what the campaign has set on its target, after `revert`; what that was. Raises RevertFailed."""
    campaign = store.read()
    return kinds.target(kinds.pinned(campaign.plan, campaign.provenance).target).restore(store.lanes)


def run(plan: Plan, store: CampaignFolder, options: RunOptions, likely_s: float, emit: Emit) -> Result:
    """Run what is not recorded yet, and what no look has spared. The caller holds the store's lock.

    Raises PreflightFailed before anything is injected, RevertFailed if an earlier trial cannot be undone, OSError if
    the campaign's folder cannot be written.
    """
    target, attempts = _lanes(plan, store, options)
    in_force = bool(store.open_ledgers())
    if not in_force:
        _check(plan, target)
    start = _machine_now(plan, options, emit)  # before anything of ours runs
    preload(kinds.modules(plan.target))
    target.clear(store.lanes)
    if undone := revert(store):
        emit(events.Warned(f"undid {count(undone, 'trial')} of a run that was cut off"))
    if in_force:  # only now, since a fault may be why the system does not pass
        _check(plan, target)
    looks = InterimLooks(plan, store, decide)
    todo = _todo(plan, store, options, looks.spared, emit)
    if start is not None:
        store.write_start(start, first=len(todo) == looks.trials)
    queue = BlockQueue(todo, _begun_on(plan, store, todo))
    threads = LaneThreads(store, options, attempts, queue, looks, emit)
    with threads.signals():
        try:
            lanes = _opened(target, store, threads, emit)
            if not lanes:
                return threads.run(lanes)
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
            queue.keep_lanes({lane.name for lane in lanes})
            result = threads.run(lanes, lambda: _closing(store, plan))
        finally:
            target.close()
        return _reverted_at_last(result, store)


def _opened(target: Target, store: CampaignFolder, threads: LaneThreads, emit: Emit) -> Sequence[LaneAddress]:
    """The target's lanes; none if a signal came while they were prepared, which takes some 15 s on the lab."""

    def say(text: str) -> None:
        if threads.interrupted:
            raise _Interrupted
        emit(events.Preparing(text))

    try:
        return target.open(store.lanes, say)
    except _Interrupted:
        return ()


def _machine_now(plan: Plan, options: RunOptions, emit: Emit) -> Start | None:
    """How quiet the machine is that the lanes are about to share; None where they are on others."""
    if plan.target["kind"] != "lab" or options.scheduler:
        return None
    emit(events.Preparing("looking for 3 s how quiet this machine is"))
    seen = machine.measure()
    found = machine.findings(seen)
    for finding in found:
        emit(events.Warned(f"this machine is not quiet: {finding.what}: {finding.hint}"))
    if any(finding.severe for finding in found):
        emit(events.Warned("too busy to measure: no verdict will be given by trials that begin like this"))
    return Start(utc_now(), asdict(seen), found)


def _closing(store: CampaignFolder, plan: Plan) -> Iterator[events.Event]:
    """What the end says of the instrument: its calibration, and trials before which the service was another."""
    rows = [row for trial in plan.trials if (row := store.row(trial.id)) is not None]
    calibrated = calibrations(row for row in rows if row["phase"] == "calibrate")
    for found in calibrated:
        if found.off:
            yield events.Warned(f"no verdict: {found.off}")
    good = [found for found in calibrated if found.worst_s is not None and not found.off]
    if good:
        faults, worst_s = sum(found.n for found in good), max(abs(found.worst_s or 0.0) for found in good)
        yield events.Noted(
            f"calibration: the harness itself ended {count(faults, 'fault')}; "
            f"their recoveries are dated to {worst_s:.2f} s at worst"
        )
    if why := disturbed(store.disturbances()):
        yield events.Warned(f"no verdict: {why}")
    if drift := drift_warning(rows):
        yield events.Warned(drift)


def _check(plan: Plan, target: Target) -> None:
    if problems := kinds.check(plan, target):
        raise PreflightFailed("\n".join(what for what, _ in problems), "\n".join(hint for _, hint in problems))


def _lanes(plan: Plan, store: CampaignFolder, options: RunOptions) -> tuple[Target, Callable[[Say], AnyAttempts]]:
    """Lanes here, or on the workers of a Dask scheduler. Raises PreflightFailed, UsageError."""
    if not options.scheduler:
        target = kinds.target(plan.target, options.lanes)
        return target, partial(Attempts, plan, store, target)
    try:
        module = importlib.import_module(_DASK)
    except ModuleNotFoundError as error:
        hint = 'pip install "smartops-chaos[dask]"'
        raise UsageError(f"--scheduler needs the package {error.name}", hint) from None
    workers = module.Workers(options.scheduler, plan, store, options.lanes)
    return workers, workers.attempts


def _reverted_at_last(result: Result, store: CampaignFolder) -> Result:
    """What was in force on a blocked lane may be over with the lane, or can be undone by now."""
    if result.blocked:
        with suppress(RevertFailed, OSError):
            revert(store)
            failed = (*result.failed, *(f"{lane}: it was blocked, see the trial's log.txt" for lane in result.blocked))
            return replace(result, blocked=(), failed=failed)
    return result


def _todo(plan: Plan, store: CampaignFolder, options: RunOptions, spared: frozenset[str], emit: Emit) -> list[Trial]:
    """What is not recorded, and what shall run again; a trial by which an arm was decided stays as it was then."""
    outcomes = {trial.id: store.outcome(trial.id) for trial in plan.trials if trial.id not in spared}
    again = {name for name, outcome in outcomes.items() if outcome in options.retry}
    recorded = {name for name, outcome in outcomes.items() if outcome is not None}
    if recorded and all(outcomes[name] == Outcome.INVALID for name in recorded):
        emit(events.Warned(f"none of the {len(recorded)} trials recorded so far is valid: they run again"))
        again |= recorded
    if kept := again & judged_by(plan, store.stops()):
        emit(events.Warned(f"{len(kept)} trials are not run again: an arm was decided by them at a look"))
        again -= kept
    return [trial for trial in plan.trials if trial.id in again or outcomes.get(trial.id, "") is None]


def _begun_on(plan: Plan, store: CampaignFolder, todo: Sequence[Trial]) -> dict[int, str]:
    """The lanes on which an earlier run has begun blocks of which trials are left."""
    open_blocks, left = {trial.block for trial in todo} - {0}, {trial.id for trial in todo}
    recorded = [t for t in plan.trials if t.block in open_blocks and t.id not in left]
    rows = ((trial.block, store.row(trial.id)) for trial in recorded)
    return {block: str(row["lane"]) for block, row in rows if row is not None}


def raise_for(result: Result, store: CampaignFolder, plan: Plan) -> None:
    """Raise what the exit code must say: RevertFailed first, then HarnessFailed."""
    if result.blocked:
        raise RevertFailed(
            f"something is still in force on {', '.join(result.blocked)}", f"smartops-chaos revert {store.typed}"
        )
    if result.unwritable:
        raise HarnessFailed(f"could not be written: {result.unwritable}", _MAKE_SPACE)
    if result.stopped_by == "interrupted":
        return
    if result.stopped_by == "invalid":
        raise HarnessFailed(
            f"stopped: all {result.outcomes[Outcome.INVALID]} trials are invalid, so the rest would be too\n"
            + _why(store, plan, Outcome.INVALID),
            "mend that, then give the same command again: it runs these trials again and goes on",
        )
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
    if invalid > MOST_LOST * recorded:
        raise HarnessFailed(
            f"{invalid} of {recorded} trials are invalid, more than {MOST_LOST:.0%}\n"
            + _why(store, plan, Outcome.INVALID),
            "mend that; `--retry invalid` runs them again",
        )
    found = calibrations(row for t in plan.trials if t.phase == "calibrate" and (row := store.row(t.id)))
    if off := [one.off for one in found if one.off]:
        raise HarnessFailed(
            f"no verdict is given: {'; '.join(off)}",
            "run it again on a quiet machine, or with fewer lanes; `smartops-chaos report` has the numbers",
        )


def _why(store: CampaignFolder, plan: Plan, outcome: Outcome) -> str:
    """The reasons of the trials that ended so, each with one of them as the example."""
    found: dict[str, list[str]] = {}
    details: dict[str, str] = {}
    for trial in plan.trials:
        row = store.row(trial.id)
        if row is not None and row["outcome"] == outcome:
            found.setdefault(str(row["reason"]), []).append(trial.id)
            details.setdefault(str(row["reason"]), str(row.get("detail") or "see its log.txt"))
    return "\n".join(f"  {len(ids)} {reason}, such as {ids[0]}: {details[reason]}" for reason, ids in found.items())
