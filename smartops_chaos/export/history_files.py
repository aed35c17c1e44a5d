"""The history of a matrix as `history.csv` and `history.json`. History in, text out."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from typing import Any

from smartops_chaos.analysis.history import ArmNight, History, Night, arm_nights


def to_json(history: History) -> dict[str, Any]:
    """`history.json`: the nights with their arms and changes, and what the newest is compared with."""
    return {
        "schema_version": history.schema_version,
        "matrix": history.matrix,
        "nights": [
            {
                **_head(night),
                "provenance": dict(night.provenance),
                "changes": [asdict(change) for change in changes],
                "arms": [asdict(a) for a in arm_nights(night)],
            }
            for night, changes in zip(history.nights, history.changes, strict=True)
        ],
        "against": [asdict(row) for row in history.against],
    }


def to_csv(history: History) -> str:
    """`history.csv`: a line for each arm of each night, and one without an arm for a night that has no result."""
    out = io.StringIO()
    names = [field.name for field in fields(ArmNight)]
    writer = csv.DictWriter(out, [*_head(history.newest), "git_commit", "images", *names], lineterminator="\n")
    writer.writeheader()
    for night in history.nights:
        made_by = {"git_commit": night.provenance.get("git commit"), "images": night.provenance.get("Images")}
        for arm in [asdict(a) for a in arm_nights(night)] or [{}]:
            writer.writerow({**_head(night), **made_by, **arm})
    return out.getvalue()


def _head(night: Night) -> dict[str, Any]:
    return {
        "night": night.name,
        "began": night.began,
        "state": night.state,
        "why": night.why,
        "planned": night.planned,
        "recorded": night.recorded,
        "plan": night.plan.digest if night.plan else "",
    }
