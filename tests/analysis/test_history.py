"""Nights of one matrix: which former ones the newest is compared with, and that luck does not make a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.analysis import cells, history, table
from smartops_chaos.analysis.history import Against, Night
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


def measured(name: str, rows: list[dict[str, Any]], plan: Plan, **made_by: str) -> Night:
    found = table.from_rows(rows)
    side = Side(name, OFF, cells.build(found, Question(OFF)))
    summary = summarise(found, Question(OFF), campaign=name)
    return Night(name, "2026-11-01T02:00:00Z", plan, made_by, len(rows), len(rows), summary, side)


def failed(name: str, plan: Plan | None) -> Night:
    return Night(name, "", plan, {}, 9, 0, Summary(name, None, {}, (), (), (), (), ()), None, "it broke")


def night(name: str, on: Sequence[float], trials: Trials, plan: Plan, **made_by: str) -> Night:
    return measured(name, trials("off", [60, 80, 100] * 10) + trials("on", on), plan, **made_by)


def rows(nights: Sequence[Night]) -> dict[str, Against]:
    return {row.night: row for row in history.history("m", nights).against}


def times(mean: float) -> list[float]:
    return [mean * share for share in (0.8, 1.0, 1.2)] * 10


def test_the_newest_is_compared_with_the_one_before_the_median_and_the_best(trials: Trials, plan: Plan) -> None:
    means = {"n-1": 10, "n-2": 6, "n-3": 12, "n-4": 9, "n-5": 20}
    found = rows([night(name, times(mean), trials, plan) for name, mean in means.items()])
    assert {name: row.which for name, row in found.items()} == {
        "n-4": ("before",),
        "n-1": ("median",),
        "n-2": ("best",),
    }
    assert {row.direction for row in found.values()} == {"slower"}
    assert found["n-2"].slowdown.estimate == pytest.approx(20 / 6 - 1)


def test_a_night_may_be_several_of_them_and_is_one_row(trials: Trials, plan: Plan) -> None:
    found = rows([night(f"n-{i}", times(mean), trials, plan) for i, mean in enumerate((12, 10, 10.5))])
    assert {name: row.which for name, row in found.items()} == {"n-1": ("before", "best")}
    assert found["n-1"].direction == "no difference shown"


def test_nights_without_a_result_are_passed_over_and_incomplete_ones_are_no_best(trials: Trials, plan: Plan) -> None:
    nights = [
        night("n-1", times(10), trials, plan),
        night("n-2", times(11), trials, plan),
        replace(night("n-3", times(2), trials, plan), why="20 of 60 trials are recorded"),
        failed("n-4", plan),
        night("n-5", times(10), trials, plan),
    ]
    assert {name: row.which for name, row in rows(nights).items()} == {"n-3": ("before",), "n-1": ("best",)}
    assert rows([*nights, failed("n-6", plan)]) == {}
    assert rows(nights[:1]) == {}


def test_another_plan_is_no_best_but_is_compared_as_the_night_before(trials: Trials, plan: Plan) -> None:
    stricter = replace(plan.analysis, slo=replace(plan.analysis.slo, latency_s=0.1))
    other = replace(plan, digest="other", analysis=stricter)
    nights = [night("n-1", times(2), trials, other), night("n-2", times(3), trials, other)]
    (row,) = history.history("m", [*nights, night("n-3", times(9), trials, plan)]).against
    assert (row.night, row.which) == ("n-2", ("before",))
    assert any("`slo` was" in line for line in row.cautions)


def test_an_arm_that_is_new_has_nothing_to_be_compared_with(trials: Trials, plan: Plan) -> None:
    old = night("n-1", times(9), trials, plan)
    new = measured("n-2", trials("off", [60, 80, 100] * 10) + trials("fresh", times(9)), plan)
    (row,) = history.history("m", [old, new]).against
    assert (row.direction, row.why) == ("undecidable", "n-1 has no such arm")


def test_the_best_of_many_is_partly_luck_and_its_p_counts_as_often(trials: Trials, plan: Plan) -> None:
    spread = [0.3, 0.7, 1.0, 1.3, 1.7]

    def drawn(name: str, mean: float) -> Night:
        return night(name, [mean * share for share in spread] * 8, trials, plan)

    best, newest = drawn("n-1", 9), drawn("n-9", 16)
    (alone,) = history.history("m", [best, newest]).against
    assert alone.p is not None
    assert alone.direction == "slower"
    found = rows([best, *(drawn(f"n-{i}", 13 + i / 10) for i in range(2, 9)), newest])
    assert found["n-1"].which == ("best",)
    assert found["n-1"].slowdown == alone.slowdown
    assert found["n-1"].p == pytest.approx(min(1.0, alone.p * 8 * 3))  # 8 to choose from, 3 rows
    assert {row.direction for row in found.values()} == {"no difference shown"}


def test_what_changed_is_told_by_kind(trials: Trials, plan: Plan) -> None:
    images = "erp app:1 (sha256:0123456789ab); healer h:1"
    first = night("n-1", times(9), trials, plan, **{"git commit": "a", "Images": images, "Requests": "1 ms"})
    second = night(
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
