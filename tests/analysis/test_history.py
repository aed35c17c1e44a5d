"""Campaigns of one matrix: which former one the newest is compared with, and what changed between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.analysis import cells, history, table
from smartops_chaos.analysis.history import Against, CampaignInHistory
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.regression import Side
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.model import Arm, Plan
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped

Trials = Callable[..., list[dict[str, Any]]]
OFF, ON = Arm("off", "default"), Arm("on", "default")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(Path(shipped("matrix", "quick.yaml")))


def measured(name: str, rows: list[dict[str, Any]], plan: Plan, **made_by: str) -> CampaignInHistory:
    found = table.from_rows(rows)
    side = Side(name, OFF, cells.build(found, Question(OFF)))
    summary = summarise(found, Question(OFF), campaign=name)
    return CampaignInHistory(name, "2026-11-01T02:00:00Z", plan, made_by, len(rows), len(rows), summary, side)


def failed(name: str, plan: Plan | None) -> CampaignInHistory:
    return CampaignInHistory(name, "", plan, {}, 9, 0, Summary(name, None, {}, (), (), (), (), ()), None, "it broke")


def campaign(name: str, on: Sequence[float], trials: Trials, plan: Plan, **made_by: str) -> CampaignInHistory:
    return measured(name, trials("off", [60, 80, 100] * 10) + trials("on", on), plan, **made_by)


def rows(campaigns: Sequence[CampaignInHistory]) -> dict[str, Against]:
    return {row.night: row for row in history.history("m", campaigns).against}


def times(mean: float) -> list[float]:
    return [mean * share for share in (0.8, 1.0, 1.2)] * 10


def test_the_newest_is_compared_with_the_one_before(trials: Trials, plan: Plan) -> None:
    means = {"n-1": 10, "n-2": 6, "n-3": 12, "n-4": 9, "n-5": 20}
    found = rows([campaign(name, times(mean), trials, plan) for name, mean in means.items()])
    assert {name: row.direction for name, row in found.items()} == {"n-4": "slower"}
    assert found["n-4"].slowdown.estimate == pytest.approx(20 / 9 - 1)


def test_equal_campaigns_are_not_told_apart(trials: Trials, plan: Plan) -> None:
    found = rows([campaign(f"n-{i}", times(mean), trials, plan) for i, mean in enumerate((10, 10.5))])
    assert found["n-0"].direction == "no difference shown"


def test_the_last_whole_one_counts_and_without_any_the_last_with_a_result(trials: Trials, plan: Plan) -> None:
    partial = replace(campaign("n-2", times(2), trials, plan), why="20 of 60 trials are recorded")
    newest = campaign("n-4", times(10), trials, plan)
    assert set(rows([campaign("n-1", times(10), trials, plan), partial, failed("n-3", plan), newest])) == {"n-1"}
    assert set(rows([partial, failed("n-3", plan), newest])) == {"n-2"}
    assert rows([newest, failed("n-5", plan)]) == {}
    assert rows([newest]) == {}


def test_each_arm_is_a_row_and_holm_goes_over_them(trials: Trials, plan: Plan) -> None:
    def two(name: str, mean: float) -> CampaignInHistory:
        off = trials("off", [60, 80, 100] * 10)
        return measured(name, off + trials("on", times(mean)) + trials("too", times(mean)), plan)

    (alone,) = rows([campaign("n-1", times(9), trials, plan), campaign("n-2", times(20), trials, plan)]).values()
    both = history.history("m", [two("n-1", 9), two("n-2", 20)]).against
    assert [row.arm for row in both] == [ON, Arm("too", "default")]
    assert alone.p is not None
    assert both[0].p == pytest.approx(2 * alone.p)


def test_another_plan_is_compared_with_a_caution(trials: Trials, plan: Plan) -> None:
    stricter = replace(plan.analysis, slo=replace(plan.analysis.slo, latency_s=0.1))
    other = replace(plan, digest="other", analysis=stricter)
    found = [campaign("n-1", times(3), trials, other), campaign("n-2", times(9), trials, plan)]
    (row,) = history.history("m", found).against
    assert any("`slo` was" in line for line in row.cautions)


def test_an_arm_that_is_new_has_nothing_to_be_compared_with(trials: Trials, plan: Plan) -> None:
    old = campaign("n-1", times(9), trials, plan)
    new = measured("n-2", trials("off", [60, 80, 100] * 10) + trials("fresh", times(9)), plan)
    (row,) = history.history("m", [old, new]).against
    assert (row.direction, row.why) == ("undecidable", "n-1 has no such arm")


def test_what_changed_is_told_by_kind(trials: Trials, plan: Plan) -> None:
    images = "erp app:1 (sha256:0123456789ab); healer h:1"
    first = campaign("n-1", times(9), trials, plan, **{"git commit": "a", "Images": images, "Requests": "1 ms"})
    second = campaign(
        "n-2",
        times(9),
        trials,
        replace(plan, digest="other", seed=plan.seed + 1),
        **{"git commit": "b", "Images": images.replace("app:1", "app:2"), "Requests": "2 ms", "Python": "3.12"},
    )
    found = history.history("m", [first, failed("broken", None), second]).changes
    assert found[:2] == ((), ())
    assert [(change.kind, change.what) for change in found[2]] == [
        ("plan", f"seed: {plan.seed} → {plan.seed + 1}"),
        ("git", "git commit: a → b"),
        ("images", "Images: erp app:1 (sha256:0123456789ab) → erp app:2 (sha256:0123456789ab)"),
        ("versions", "Python: nothing → 3.12"),
    ]
