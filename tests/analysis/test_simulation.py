"""Simulated campaigns whose truth is known: how often the verdicts and intervals are wrong.

The models and the full-size runs are in benchmarks/statistics.py and benchmarks/looks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import looks, statistics
from smartops_chaos.analysis import likelihood_ratio, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Decision
from smartops_chaos.model import Arm, Targets

Trials = Callable[..., list[dict[str, Any]]]
ASKED = Question(Arm("off", "default"), because={"kill": "demonstration"})


MODELS = statistics.models()
TRAPS = statistics.traps()


@pytest.mark.parametrize("n", [3, 20])
@pytest.mark.parametrize("name", MODELS)
def test_on_the_border_at_most_2_5_percent_are_proven_or_missed_falsely(name: str, n: int) -> None:
    found = statistics.errors(MODELS[name], n, 400, np.random.default_rng(n))
    assert found.false_proven <= 0.025 + 0.02  # 2.5 standard errors
    assert found.false_missed <= 0.025 + 0.02
    assert found.coverage_of_mean >= 0.93 - 0.03


@pytest.mark.parametrize("name", TRAPS)
def test_a_wrong_claim_is_made_in_at_most_5_percent(name: str) -> None:
    # of 60 campaigns; 5 % of them, and what chance adds to that in one of 1000 such tests
    assert statistics.fooled(TRAPS[name], 8, 60, np.random.default_rng(8)) <= 0.15


@pytest.mark.parametrize("name", ["all or nothing", "saturated baseline", "failures in both"])
def test_a_look_after_every_repeat_proves_falsely_no_more_often(name: str) -> None:
    assert statistics.looked(MODELS[name], 12, 300, np.random.default_rng(2)) <= 0.025 + 0.02


def test_looks_spare_trials_and_still_prove_what_is_true() -> None:
    found = looks.campaigns(looks.unlike(), Targets(auto_heal=0.8), 30, 3, 6, np.random.default_rng(5))
    assert found.proven["good"] >= 0.9
    assert found.proven["useless"] == 0
    assert found.false_proven == 0
    assert found.trials < 0.85


def test_the_program_about_looks_prints_a_line_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    looks.main(["--campaigns", "1", "--trials", "6"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(MODELS) + 2 + 2 * 3


@pytest.mark.parametrize("name", ["failures in both", "saturated baseline"])
def test_two_equal_campaigns_are_called_different_in_at_most_5_percent(name: str) -> None:
    # of 100 pairs; 5 % of them, and what chance adds to that in one of 100 such tests
    assert statistics.told_apart(MODELS[name], 20, 100, np.random.default_rng(1)) <= 0.11


def test_the_program_prints_a_line_for_each_model_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    statistics.main(["--campaigns", "2", "--trials", "3", "5"])
    lines = capsys.readouterr().out.splitlines()
    printed = 2 * len(MODELS) + len(TRAPS) + 2 * len(statistics.families()) + 2 * len(MODELS)
    assert len(lines) == 1 + 2 * len(statistics.TABLES) + printed


def verdicts(rows: list[dict[str, Any]], question: Question = ASKED) -> dict[str, Decision]:
    return {v.target: v.verdict for v in summarise(table.from_rows(rows), question, campaign="test").verdicts}


def times(rng: np.random.Generator, n: int, mean: float, fails: float) -> list[float]:
    drawn: list[float] = statistics.lognormal(mean, 0.5, fails=fails)(rng, n).tolist()
    return drawn


def test_equal_arms_are_not_told_apart(trials: Trials) -> None:
    # A/A: any reduction at all would be a false alarm, so the target is 0
    rng = np.random.default_rng(1)
    any_at_all = Question(ASKED.baseline, targets=Targets(mttr_reduction=0.0), because=ASKED.because)
    found = [
        verdicts(trials("off", times(rng, 10, 30, 0.3)) + trials("on", times(rng, 10, 30, 0.3)), any_at_all)
        for _ in range(40)
    ]
    assert sum(f["mttr_reduction"] == "proven" for f in found) <= 3
    assert sum(f["auto_heal"] == "proven" for f in found) == 0


@pytest.mark.parametrize("how", ["left out", "deleted"])
def test_losing_30_percent_of_the_bad_trials_buys_no_proven(trials: Trials, how: str) -> None:
    # 57 % of the arm's trials fail, in truth a reduction of 39 %; of what is left it looks like 47 %
    rng = np.random.default_rng(3)
    fooled = proven = 0
    for _ in range(10):
        on = sorted(trials("on", times(rng, 500, 10, 0.57)), key=lambda row: -row["time_s"])
        lost = round(0.3 * sum(row["time_s"] == 100 for row in on))
        kept, off = on[lost:], trials("off", [100.0] * 500)
        shown = [[likelihood_ratio.Trials(np.array([r["time_s"] for r in rows]), 100.0)] for rows in (kept, off)]
        fooled += likelihood_ratio.reduction_p(*shown, 0.4)[0] <= 0.025
        if how == "left out":
            kept = [row | {"outcome": "error", "time_s": None} for row in on[:lost]] + kept
        proven += "proven" in verdicts(off + kept).values()
    assert fooled >= 5  # half of them, if nothing were made of the loss
    assert proven == 0


def test_a_good_healer_is_proven(trials: Trials) -> None:
    # the other side of caution: a true reduction of 85 % is found with 20 trials
    rng = np.random.default_rng(4)
    found = [verdicts(trials("off", [100.0] * 20) + trials("on", times(rng, 20, 12, 0.03))) for _ in range(20)]
    assert sum(f["mttr_reduction"] == "proven" for f in found) >= 18
