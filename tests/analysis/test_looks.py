"""Looks: what is decided early, what runs on, and that a stopped arm is judged by its own look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from smartops_chaos.analysis import table
from smartops_chaos.analysis.looks import look, upper_share
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.model import Arm, Targets
from smartops_chaos.plan.looks import Stop, ends

Trials = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]
OFF = Arm("off", "default")
ASKED = Question(OFF, because={"kill": "demonstration"}, looks=2)


def numbered(rows: Rows) -> Rows:
    return [row | {"repeat": n} for n, row in enumerate(rows, 1)]


def campaign(trials: Trials, repeats: int, **means: tuple[float, float]) -> Rows:
    """Arm -> (mean time, share that never recovers)."""
    rng = np.random.default_rng(repeats)
    rows = numbered(trials("off", [100.0] * repeats))
    for model, (mean, fails) in means.items():
        times = rng.uniform(0.8 * mean, 1.2 * mean, repeats)
        times[: round(fails * repeats)] = 100.0
        rows += numbered(trials(model, rng.permutation(times).tolist()))
    return rows


def test_an_arm_with_all_decided_is_stopped_and_another_runs_on(trials: Trials) -> None:
    rows = campaign(trials, 200, good=(5, 0.0), bad=(60, 0.8), between=(40, 0.1))
    found = look(table.from_rows(rows), ASKED, 1, 100)
    assert {s.arm.model for s in found.stop} == {"good", "bad"}
    assert found.stop[0] == Stop(Arm("bad", "default"), 1, 100)
    verdicts = {(v.arm.model, v.target): v.verdict for v in found.verdicts}
    assert verdicts["good", "mttr_reduction"] == verdicts["good", "auto_heal"] == "proven"
    assert verdicts["bad", "auto_heal"] == "missed"
    assert verdicts["between", "auto_heal"] == "observed"


def test_few_trials_decide_nothing(trials: Trials) -> None:
    assert look(table.from_rows(campaign(trials, 10, good=(5, 0.0))), ASKED, 1, 5).stop == ()


def test_the_last_look_is_the_end(trials: Trials) -> None:
    assert look(table.from_rows(campaign(trials, 200, good=(5, 0.0))), ASKED, 2, 200).stop == ()


def test_a_look_uses_its_share_of_alpha(trials: Trials) -> None:
    rows = campaign(trials, 36, good=(5, 0.0))  # 36 of 36 prove 90 % at 2.5 %, and no less
    heal = {v.target: v for v in summarise(table.from_rows(rows), replace(ASKED, looks=1), campaign="x").verdicts}
    assert heal["auto_heal"].bound == pytest.approx(stats.beta.ppf(0.025, 36, 1))
    split = {v.target: v for v in summarise(table.from_rows(rows), ASKED, campaign="x").verdicts}
    assert split["auto_heal"].bound == pytest.approx(stats.beta.ppf(0.8 * 0.025, 36, 1))
    first = {v.target: v for v in look(table.from_rows(rows), ASKED, 1, 36).verdicts}
    assert first["auto_heal"].bound == pytest.approx(stats.beta.ppf(0.2 * 0.025, 36, 1))


def test_a_stopped_arm_is_judged_by_the_trials_of_its_look(trials: Trials) -> None:
    rows = campaign(trials, 200, good=(5, 0.0), between=(40, 0.1))
    at_look = look(table.from_rows(rows), ASKED, 1, 100)
    (stop,) = at_look.stop
    # what was under way came to an end after the look, and badly
    after = [row | {"repeat": 101} for row in trials("good", [100.0] * 20)]
    run = [row for row in rows if row["model"] != "good" or row["repeat"] <= 100] + after
    found = summarise(table.from_rows(run), replace(ASKED, stopped={stop.arm: stop}), campaign="x")
    good = [v for v in found.verdicts if v.arm == stop.arm]
    assert [(v.target, v.value, v.bound) for v in good] == [
        (v.target, v.value, v.bound) for v in at_look.verdicts if v.arm == stop.arm
    ]
    assert [v.verdict for v in good[:2]] == ["proven", "proven"]
    assert "not recorded" not in found.arms[2].left_out
    assert found.plan["stopped"] == {"good": {"look": 1, "repeat": 100}}


def test_a_useless_arm_is_proven_in_at_most_as_many_campaigns(trials: Trials) -> None:
    rng = np.random.default_rng(9)
    any_at_all = replace(ASKED, targets=Targets(mttr_reduction=0.0))
    proven = 0
    for _ in range(60):
        rows = [numbered(trials(m, np.where(rng.random(10) < 0.3, 100, 30).tolist())) for m in ("off", "on")]
        made = table.from_rows(rows[0] + rows[1])
        found = [look(made, any_at_all, number, repeat).verdicts for number, repeat in enumerate(ends(10, 2), 1)]
        proven += any(v.verdict == "proven" for verdicts in found for v in verdicts)
    assert proven <= 3


@pytest.mark.parametrize("successes", [0, 3, 9, 10])
def test_the_upper_bound_is_exact(successes: int) -> None:
    expected = stats.binomtest(successes, 10, alternative="less").proportion_ci(0.975, "exact").high
    assert upper_share(successes, 10, 0.025) == pytest.approx(expected)
