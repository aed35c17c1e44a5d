"""Campaigns whose truth was made by hand: what the report says of them is never better than they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks import statistics
from benchmarks.statistics import Draw, always, lognormal
from smartops_chaos.analysis import table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import ArmSummary, Comparison, Summary
from smartops_chaos.export import ci
from smartops_chaos.model import Arm, Sla, Targets

Trials = Callable[..., list[dict[str, Any]]]
TAU_S = statistics.TAU_S
FAULTS = ("kill", "cpu")
ASKED = Question(
    Arm("off", "default"),
    because=dict.fromkeys(FAULTS, "on-call answers by then"),
    targets=Targets(sla=0.99),
    sla=Sla(3600.0, 1.0),
)


def campaign(trials: Trials, seed: int, n: int, question: Question = ASKED, **arms: Draw) -> Summary:
    """`n` trials in each cell of two faults; `off` is the baseline."""
    rng = np.random.default_rng(seed)
    rows = [
        row | {"bad_seconds": row["time_s"], "ttr_impact_s": row["time_s"], "repeat": repeat}
        for chaos in FAULTS
        for model, draw in arms.items()
        for repeat, row in enumerate(trials(model, draw(rng, n).tolist(), chaos=chaos), 1)
    ]
    return summarise(table.from_rows(rows), question, campaign="made")


def of(found: Summary, model: str) -> tuple[ArmSummary, Comparison]:
    arm = next(a for a in found.arms if a.model == model)
    return arm, next(c for c in found.comparisons if c.arm == arm.arm and c.decides)


def verdicts(found: Summary, model: str) -> dict[str, str]:
    return {v.target: v.verdict for v in found.verdicts if v.arm.model == model}


@pytest.mark.parametrize("name", ["like the baseline", "on the border of the MTTR target", "on the border of all"])
def test_of_twelve_equal_arms_none_is_proven_more_often_than_alpha(name: str) -> None:
    family = statistics.families()[name]
    # of 60 campaigns; 2.5 % of them, and what chance adds to that in one of 200 such tests
    assert statistics.proven_falsely(family, 12, 8, 60, np.random.default_rng(12)) <= 5 / 60


def test_the_report_of_twelve_arms_like_the_baseline_says_that_nothing_was_gained(trials: Trials) -> None:
    same = lognormal(30, 0.5, fails=0.3)
    found = campaign(trials, 1, 10, off=same, **{f"m{n}": same for n in range(12)})
    assert {v.verdict for v in found.verdicts} <= {"observed above", "observed below", "missed"}
    assert not ci.check(found, "proven")[0]
    assert all(c.mttr_reduction.lo is None or c.mttr_reduction.lo < 0.4 for c in found.comparisons)


@pytest.mark.parametrize("n", [5, 20])
def test_a_useless_healer_beside_a_platform_that_restarts_everything_adds_nothing(trials: Trials, n: int) -> None:
    restarted = lognormal(8, 0.5)
    found = campaign(trials, 2, n, off=restarted, on=restarted)
    arm, against = of(found, "on")
    assert arm.auto_heal.no_human == 1.0
    assert "proven" not in verdicts(found, "on").values()
    assert against.mttr_reduction.lo is None or against.mttr_reduction.lo < 0 < (against.mttr_reduction.hi or 1)


@pytest.mark.parametrize("n", [5, 20])
def test_a_harmful_healer_is_told_to_be_worse_and_passes_no_check(trials: Trials, n: int) -> None:
    found = campaign(trials, 3, n, off=lognormal(20, 0.5), on=lognormal(60, 0.5, fails=0.3))
    _, against = of(found, "on")
    assert against.mttr_reduction.estimate is not None
    assert against.mttr_reduction.estimate < 0
    assert set(verdicts(found, "on").values()) <= {"missed", "observed below"}
    assert verdicts(found, "on")["mttr_reduction"] == "missed"
    assert not ci.check(found, "observed")[0]


@pytest.mark.parametrize("delay_s", [5.0, 30.0, 70.0])
@pytest.mark.parametrize("outage_s", [20.0, 50.0, 200.0])
def test_a_healer_that_only_delays_the_impact_never_looks_better(
    trials: Trials, delay_s: float, outage_s: float
) -> None:
    """The outage is as long as the baseline's, it only begins later; whoever is not back at the horizon is not back."""

    def rows(model: str, impacts: np.ndarray) -> list[dict[str, Any]]:
        made = trials(model, np.minimum(impacts + outage_s, TAU_S).tolist())
        return [
            row
            | {"ttr_impact_s": row["time_s"] - at, "bad_seconds": row["time_s"] - at}
            | {"impacted_lo_s": at, "impacted_hi_s": at}
            for row, at in zip(made, impacts.tolist(), strict=True)
        ]

    impacts = np.linspace(0.0, 4.0, 12)
    made = rows("off", impacts) + rows("on", impacts + delay_s)
    found = summarise(table.from_rows(made), replace(ASKED, sla=None), campaign="made")
    _, against = of(found, "on")
    told = (against.mttr_reduction, against.from_impact, *against.at_horizons.values())
    assert against.mttr_reduction.estimate is not None
    assert against.mttr_reduction.estimate <= 0
    assert against.from_impact.estimate is not None
    assert against.from_impact.estimate <= 1e-9
    assert all((one.lo or 0) <= 0 for one in told)
    assert "proven" not in verdicts(found, "on").values()


def test_never_recovering_later_is_no_gain(trials: Trials) -> None:
    found = campaign(trials, 4, 10, off=always(TAU_S), on=always(TAU_S))
    arm, against = of(found, "on")
    assert against.mttr_reduction.estimate == 0.0
    assert arm.auto_heal.no_human == 0.0
    assert verdicts(found, "on")["auto_heal"] == "missed"
