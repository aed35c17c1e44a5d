"""A campaign looked at again, from its directory alone: its state, and its records from the stored evidence."""

from __future__ import annotations

from collections import Counter
from typing import Any

from smartops_chaos import healerfile
from smartops_chaos.errors import UsageError
from smartops_chaos.run.store import Store
from smartops_chaos.timeline import derive as timeline


def state(store: Store) -> dict[str, Any]:
    """What `status` shows of a campaign."""
    plan = store.read().plan
    records = [store.record(trial.id) for trial in plan.trials]
    outcomes = Counter(str(record.row["outcome"]) for record in records if record is not None)
    return {
        "campaign": store.name,
        "trials": len(plan.trials),
        "done": sum(record is not None for record in records),
        "outcomes": dict(sorted(outcomes.items())),
        "open": [trial.path.name for trial in store.open_ledgers()],
    }


def derive_all(store: Store) -> tuple[int, list[str]]:
    """Write every record anew; how many came out the same, and which did not."""
    plan = store.read().plan
    healer = healerfile.restore(plan.healer)
    same, changed = 0, []
    for trial in plan.trials:
        folder = store.trial(trial.id)
        if not (folder.path / "samples" / "evidence.json.gz").exists():
            continue
        before = folder.path / "record.json"
        old = before.read_bytes() if before.exists() else b""
        folder.write_record(timeline.derive(folder.read_evidence(), healer, store.name, plan.chaos[trial.chaos]))
        if before.read_bytes() == old:
            same += 1
        else:
            changed.append(trial.id)
    return same, changed


def explain(store: Store, trial_id: str) -> str:
    """What each rule matched in one trial. Raises UsageError for an unknown trial."""
    plan = store.read().plan
    found = [trial for trial in plan.trials if trial.id == trial_id]
    if not found:
        raise UsageError(f"{store.name} has no trial {trial_id}", "`smartops-chaos plan` lists their names")
    evidence = store.trial(trial_id).read_evidence()
    return timeline.explain(evidence, healerfile.restore(plan.healer), plan.chaos[found[0].chaos])
