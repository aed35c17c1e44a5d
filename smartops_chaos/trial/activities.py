"""The activities of a trial's experiment by their names: what each one does, when it ran and whether it succeeded.

`trial.experiment` gives the names, Chaos Toolkit calls the activities one by one, and `trial.protocol` notes the
beginning and the end of each in the trial's folder. Here the names and the notes are read.
"""

from __future__ import annotations

import re
from typing import Any

from smartops_chaos.model import Call, Interval
from smartops_chaos.store.trial_folder import TrialFolder

_ACTIVITY = re.compile(r"(gate|prepare|inject|confirm|repair|wait|end|observe|revert)(?:-(\d+))?(?:\.\d+)?")


def is_ours(name: str) -> bool:
    """Whether a trial's activities have such a name."""
    return _ACTIVITY.fullmatch(name) is not None


def what_and_part(name: str) -> tuple[str, int]:
    """What an activity of that name does, and for which part of the fault: `Call.what` and `Call.part`."""
    match = _ACTIVITY.fullmatch(name)
    if match is None:
        return name, -1
    what = "revert" if match[1] == "end" else match[1]
    return what, int(match[2] or 0) if what in ("prepare", "inject", "confirm", "revert") else -1


def calls(trial: TrialFolder) -> tuple[Call, ...]:
    """Every activity of the experiment, in order of its end; one that never ended is not ok and ends where it began."""
    begun: dict[str, int] = {}
    ended: list[Call] = []
    for note in trial.notes():
        name = note["name"]
        if "begin_ns" in note:
            begun[name] = note["begin_ns"]
        else:
            at = Interval(begun.pop(name, note["end_ns"]), note["end_ns"])
            ended.append(Call(*what_and_part(name), at, note["ok"], note["output"], note["error"]))
    cut = [Call(*what_and_part(name), Interval(at, at), False, None, "cut off") for name, at in begun.items()]
    return tuple(ended + cut)


def failure(run: dict[str, Any]) -> str:
    """Why an activity of the journal has failed; empty if it has not.

    For Chaos Toolkit a process has succeeded whatever its exit code, and a request whatever its answer.
    """
    if run.get("status") != "succeeded":
        return str((run.get("exception") or ["cut off"])[-1]).strip()
    provider: str = run["activity"]["provider"]["type"]
    output: Any = run.get("output")
    if provider == "process" and output["status"] != 0:
        return f"exit code {output['status']}: {output['stderr'].strip()[-300:]}"
    if provider == "http" and output["status"] >= 400 and not _is_gone(run["activity"], output["status"]):
        return f"HTTP {output['status']}: {str(output['body'])[:300]}"
    return ""


def _is_gone(activity: dict[str, Any], status: int) -> bool:
    """Whether what a rollback shall delete is not there any more, which is what it wants."""
    deletes = str(activity["provider"].get("method", "")).upper() == "DELETE"
    return deletes and status in (404, 410) and what_and_part(activity["name"])[0] == "revert"


def undone(trial: TrialFolder) -> frozenset[str]:
    """Names of the rollbacks that have succeeded since the last injection began; they need not be played again.

    Empty when all of them have: then whatever still keeps the ledger open, they are worth another try.
    """
    try:
        notes = trial.notes()
    except (OSError, ValueError):
        return frozenset()
    done: dict[str, bool] = {}
    for note in notes:
        name = str(note.get("name", ""))
        if what_and_part(name)[0] == "inject":
            done.clear()
        elif name.startswith("revert") and "end_ns" in note:
            done[name] = bool(note["ok"])
    succeeded = frozenset(name for name, ok in done.items() if ok)
    return succeeded if any(not ok for ok in done.values()) else frozenset()


def reasons(trial: TrialFolder) -> dict[str, str]:
    """By an activity's name why it has failed the last time, or nothing, as its own tolerance says."""
    try:
        return {note["name"]: str(note["error"]) for note in trial.notes() if "end_ns" in note}
    except (OSError, ValueError, KeyError):
        return {}
