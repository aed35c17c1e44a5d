"""The history of a matrix as `history.csv` and `history.json`. History in, text out."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

from smartops_chaos.analysis.headlines import HEADLINES
from smartops_chaos.analysis.history import CampaignInHistory, History
from smartops_chaos.analysis.summary import ArmSummary, Summary
from smartops_chaos.export.csvfile import CsvFile
from smartops_chaos.model import Goal


def to_json(history: History) -> dict[str, Any]:
    """`history.json`: the nights with their arms and changes, and what the newest is compared with."""
    return {
        "schema_version": history.schema_version,
        "matrix": history.matrix,
        "nights": [
            {
                **_night(night),
                "provenance": dict(night.provenance),
                "changes": [asdict(change) for change in changes],
                "arms": [_arm(night.summary, arm) for arm in night.summary.arms],
            }
            for night, changes in zip(history.campaigns, history.changes, strict=True)
        ],
        "against": [asdict(row) for row in history.against],
    }


def to_csv(history: History) -> str:
    """`history.csv`: a line for each arm of each night, and one without an arm for a night that has no result."""
    rows = []
    for night in history.campaigns:
        made_by = {
            "git_commit": night.provenance.get("git commit"),
            "images": night.provenance.get("Images"),
        }
        for arm in night.summary.arms or (None,):
            rows.append({**_night(night), **made_by, **(_arm(night.summary, arm) if arm else {})})
    out = io.StringIO()
    table = CsvFile(out, dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        table.add(row)
    return out.getvalue()


def _night(night: CampaignInHistory) -> dict[str, Any]:
    return {
        "night": night.name,
        "began": night.began,
        "state": night.state,
        "why": night.why,
        "planned": night.planned,
        "recorded": night.recorded,
        "plan": night.plan.digest if night.plan else "",
    }


def _arm(summary: Summary, arm: ArmSummary) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": arm.model,
        "policy": arm.policy,
        "baseline": arm.baseline,
        "counted": arm.counted,
    }
    for name, read in HEADLINES.items():
        unit = "_s" if name == "mttr" else ""
        for bound, value in zip(("", "_lo", "_hi"), read(summary, arm), strict=True):
            row[f"{name}{bound}{unit}"] = value
    return {
        **row,
        "mttr_reduction_verdict": _verdict(summary, arm, "mttr_reduction"),
        "auto_heal_verdict": _verdict(summary, arm, "auto_heal"),
        "availability_verdict": _verdict(summary, arm, "sla"),
    }


def _verdict(summary: Summary, arm: ArmSummary, target: Goal) -> str:
    """Empty for an arm that was not judged."""
    return next((v.verdict for v in summary.verdicts if (v.arm, v.target) == (arm.arm, target)), "")
