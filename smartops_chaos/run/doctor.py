"""What a run needs, checked before it starts, each failure with its fix."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from smartops_chaos.errors import UsageError
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.run import machine
from smartops_chaos.schema.clustertarget import lane_count
from smartops_chaos.schema.units import count
from smartops_chaos.store.campaign_folder import campaigns
from smartops_chaos.targets import kinds


@dataclass(frozen=True, slots=True)
class Check:
    what: str
    ok: bool
    hint: str = ""
    note: bool = False  # only to know; with a hint it is a warning

    @property
    def told(self) -> Literal["FAIL", "warn", "note", "ok"]:
        if not self.ok:
            return "FAIL"
        if not self.note:
            return "ok"
        return "warn" if self.hint else "note"

    def as_dict(self) -> dict[str, object]:
        """As it is published, where a hint has always been called `mend`."""
        return {"mend" if name == "hint" else name: value for name, value in asdict(self).items()}


def checks(matrix: Path | None, results: Path) -> list[Check]:
    """Raises FileProblems for a matrix that cannot be read."""
    default: dict[str, Any] = {"kind": "lab", "lanes": 1, "replicas": 2}
    plan = load_plan(matrix) if matrix is not None else None
    options = plan.target if plan is not None else default
    target = kinds.target(options)
    problems = kinds.check(plan, target) if plan is not None else target.check()
    found = [Check(f"target {options['kind']}: {what}", False, hint) for what, hint in problems]
    if not problems:
        found.append(Check(f"target {options['kind']}: everything is there", True))
    found += [Check(what, True, note=True) for what in (kinds.notes(plan) if plan is not None and not problems else ())]
    if options["kind"] == "lab":
        cores, lanes = len(os.sched_getaffinity(0)), lane_count(options)
        hint = f"set `lanes: {cores}`: lanes that share a core disturb each other"
        found.append(Check(f"{count(lanes, 'lane')} on {count(cores, 'core')}", lanes <= cores, hint))
        found += _machine()
    found.append(_writable(results))
    dirty = [f"{store.name}/{trial.path.name}" for store in campaigns(results) for trial in store.open_ledgers()]
    found.append(
        Check(
            "nothing of an earlier campaign is in force"
            if not dirty
            else f"perhaps still in force: {', '.join(dirty)}",
            not dirty,
            "smartops-chaos revert CAMPAIGN",
        )
    )
    return found


def _machine() -> list[Check]:
    """The numbers also when all is well. A busy machine fails no check: it may be quiet when a campaign starts."""
    seen = machine.measure()
    disturbing = [
        Check(
            f"machine: {one.what}" + (": `run` would give no verdict" if one.severe else ""), True, one.hint, note=True
        )
        for one in machine.findings(seen)
    ]
    return [Check(f"machine: {seen}", True, note=bool(disturbing)), *disturbing]


def roles(matrix: Path | None) -> list[str]:
    """The least roles of a matrix on a cluster, as YAML. Raises UsageError where there is nothing to grant."""
    plan = load_plan(matrix) if matrix is not None else None
    if plan is None or plan.target["kind"] != "kubernetes":
        raise UsageError("--rbac is for a matrix on a cluster", "name one with `target: {kind: kubernetes, ...}`")
    return kinds.roles(plan)


def _writable(results: Path) -> Check:
    folder = results
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check(f"{results} can be written", True)
    except OSError as error:
        return Check(f"{results} cannot be written: {error.strerror}", False, "choose another folder with --results")
