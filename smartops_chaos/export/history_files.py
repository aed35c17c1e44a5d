"""The history of a matrix as `history.csv` and `history.json`. History in, text out."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from smartops_chaos.analysis.history import CampaignInHistory, History
from smartops_chaos.analysis.summary import ArmSummary, Summary
from smartops_chaos.export.columns import Columns, CsvTable, filled

_Bounded = tuple[float | None, float | None, float | None]  # value, lower and upper bound


@dataclass(frozen=True)
class _Line:
    """One arm of a campaign; without an arm for a campaign that has no result."""

    night: CampaignInHistory
    arm: ArmSummary | None


def _bounded(name: str, read: Callable[[Summary, ArmSummary], _Bounded], unit: str = "") -> Columns[_Line]:
    """Three columns: a value and its bounds."""

    def part(i: int) -> Callable[[_Line], float | None]:
        return lambda line: read(line.night.summary, line.arm)[i] if line.arm else None

    return {f"{name}{end}{unit}": part(i) for i, end in enumerate(("", "_lo", "_hi"))}


def _reduction(summary: Summary, arm: ArmSummary) -> _Bounded:
    comparison = summary.deciding(arm.arm)
    found = comparison.mttr_reduction if comparison else None
    return (found.estimate, found.lo, found.hi) if found else (None, None, None)


def _verdict(target: str) -> Callable[[_Line], str | None]:
    """Empty for an arm that was not judged."""

    def read(line: _Line) -> str | None:
        if line.arm is None:
            return None
        said = (v.verdict for v in line.night.summary.verdicts if (v.arm, v.target) == (line.arm.arm, target))
        return next(said, "")

    return read


_NIGHT: Columns[_Line] = {
    "night": lambda line: line.night.name,
    "began": lambda line: line.night.began,
    "state": lambda line: line.night.state,
    "why": lambda line: line.night.why,
    "planned": lambda line: line.night.planned,
    "recorded": lambda line: line.night.recorded,
    "plan": lambda line: line.night.plan.digest if line.night.plan else "",
}
_MADE_BY: Columns[_Line] = {
    "git_commit": lambda line: line.night.provenance.get("git commit"),
    "images": lambda line: line.night.provenance.get("Images"),
}
_ARM: Columns[_Line] = {
    "model": lambda line: line.arm and line.arm.model,
    "policy": lambda line: line.arm and line.arm.policy,
    "baseline": lambda line: line.arm and line.arm.baseline,
    "counted": lambda line: line.arm and line.arm.counted,
    **_bounded("mttr", lambda _, a: (a.mttr.rmst_s, a.mttr.lo, a.mttr.hi), "_s"),
    **_bounded("mttr_reduction", _reduction),
    **_bounded("auto_heal", lambda _, a: (a.auto_heal.no_human, a.auto_heal.lo, a.auto_heal.hi)),
    **_bounded("availability", lambda _, a: (a.sla.availability, a.sla.lo, a.sla.hi)),
    "mttr_reduction_verdict": _verdict("mttr_reduction"),
    "auto_heal_verdict": _verdict("auto_heal"),
    "availability_verdict": _verdict("sla"),
}


def to_json(history: History) -> dict[str, Any]:
    """`history.json`: the nights with their arms and changes, and what the newest is compared with."""
    return {
        "schema_version": history.schema_version,
        "matrix": history.matrix,
        "nights": [
            {
                **filled(_NIGHT, _Line(night, None)),
                "provenance": dict(night.provenance),
                "changes": [asdict(change) for change in changes],
                "arms": [filled(_ARM, _Line(night, arm)) for arm in night.summary.arms],
            }
            for night, changes in zip(history.campaigns, history.changes, strict=True)
        ],
        "against": [asdict(row) for row in history.against],
    }


def to_csv(history: History) -> str:
    """`history.csv`: a line for each arm of each night, and one without an arm for a night that has no result."""
    out = io.StringIO()
    table = CsvTable(out, {**_NIGHT, **_MADE_BY, **_ARM})
    for night in history.campaigns:
        for arm in night.summary.arms or (None,):
            table.add(_Line(night, arm))
    return out.getvalue()
