"""A campaign looked at again, from its directory alone: its state, and its records from the stored evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from smartops_chaos.errors import ChaosError, UsageError
from smartops_chaos.model import LogLine, Outcome, Stop
from smartops_chaos.plan.look_schedule import spared
from smartops_chaos.run.events import counted_as
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.yamlfile import did_you_mean
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.timeline import derive as timeline

_OFFERED = 5  # trials of which a wrong name is a part


def state(store: CampaignFolder) -> dict[str, Any]:
    """What `status` shows of a campaign. A file that cannot be read is one of its `problems`, and hides no other.

    What is left is `trials` - `spared` - `done`: looks have made some superfluous. `outcomes` counts calibration trials
    apart. `runner` is the process that runs it
    now, 0 if none does: then what `open` names is in nobody's hands. `last` is when it last said something (UTC).
    `command` goes on with it. `chosen` is how many trials the last run was about, if it did all of them (with --only
    fewer than `trials`), else 0.
    """
    last = store.last_event()
    runner = store.runner()  # first: one that ends meanwhile has closed its ledgers by then
    problems: list[str] = []
    trials, spared_trials, outcomes, command = 0, 0, Counter[str](), ""
    invalid: dict[str, str] = {}
    stops: tuple[Stop, ...] = ()
    try:
        file = store.read()
        plan = file.plan
        made_by = file.provenance.get("command", "")
        command = f"{made_by} --campaign {store.name}" if made_by else ""
        trials = len(plan.trials)
        stops = store.stops()
        spared_trials = len(spared(plan, stops))
        for trial in plan.trials:
            try:
                if (row := store.row(trial.id)) is not None:
                    outcomes[counted_as(row["outcome"], trial.phase)] += 1
                    if row["outcome"] == Outcome.INVALID:
                        invalid[trial.id] = ": ".join(filter(None, (row["reason"], row.get("detail"))))
            except ChaosError as error:
                problems.append(f"{error}: {error.hint}")
    except ChaosError as error:
        problems.append(f"{error}: {error.hint}")
    return {
        "campaign": store.name,
        "trials": trials,
        "spared": spared_trials,
        "done": outcomes.total(),
        "outcomes": dict(sorted(outcomes.items())),
        "stopped": [asdict(stop) for stop in stops],
        "command": command,
        "runner": runner,
        "last": str(last.get("at", "")),
        "chosen": all_chosen(last),
        "open": [trial.path.name for trial in store.open_ledgers()],
        "invalid": invalid,
        "problems": problems,
    }


def all_chosen(last: dict[str, Any]) -> int:
    """How many trials the last run was about, if it did all of them; 0 if it was cut off, or nobody knows."""
    done, chosen = last.get("done"), last.get("trials")
    if last.get("event") != "CampaignFinished" or not isinstance(done, int) or not isinstance(chosen, int):
        return 0
    return chosen if done >= chosen else 0


def derive_all(store: CampaignFolder) -> tuple[int, list[str], list[str]]:
    """Write every record anew: how many came out the same, which did not, and which evidence cannot be read."""
    plan = store.read().plan
    healer = healerfile.restore(plan.healer)
    same, changed, failed = 0, list[str](), list[str]()
    for trial in plan.trials:
        folder = store.trial(trial.id)
        if not folder.has_evidence():
            continue
        before = folder.record_bytes()
        if not before and folder.is_open():
            failed.append(f"{trial.id}: its fault may be in force, so it has no record yet: `smartops-chaos revert`")
            continue
        try:
            evidence = folder.read_evidence()
        except ChaosError as error:
            failed.append(f"{error}: {error.hint}")
            continue
        folder.write_record(timeline.derive(evidence, healer, store.name, plan.chaos[trial.chaos]))
        if folder.record_bytes() == before:
            same += 1
        else:
            changed.append(trial.id)
    return same, changed, failed


def log_lines(store: CampaignFolder, trial_id: str) -> tuple[LogLine, ...]:
    """The log lines that one trial has stored. Raises UsageError for an unknown trial."""
    known = [trial.id for trial in store.read().plan.trials]
    if trial_id not in known:
        raise _no_trial(store, trial_id, known)
    return store.trial(trial_id).read_evidence().logs


def _no_trial(store: CampaignFolder, trial_id: str, known: Collection[str]) -> UsageError:
    """With the trials of which the name is a part, or that are named nearly so."""
    some = [name for name in known if trial_id in name][:_OFFERED]
    hint = f"such as {', '.join(some)}" if some else did_you_mean(trial_id, known)
    return UsageError(f"{store.name} has no trial {trial_id}", hint)


def explain(store: CampaignFolder, trial_id: str) -> str:
    """What each rule matched in one trial. Raises UsageError for an unknown trial."""
    plan = store.read().plan
    trials = {trial.id: trial for trial in plan.trials}
    if trial_id not in trials:
        raise _no_trial(store, trial_id, trials)
    evidence = store.trial(trial_id).read_evidence()
    return timeline.explain(evidence, healerfile.restore(plan.healer), plan.chaos[trials[trial_id].chaos])
