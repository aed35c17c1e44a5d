"""Simulated campaigns whose truth is known: how often the verdicts and intervals are wrong.

The models and the full-size run are in benchmarks/estimators.py.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from smartops_chaos.analysis import table
from smartops_chaos.analysis.compare import Pair, these_scenarios
from smartops_chaos.analysis.estimate import Sample, interval
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Decision
from smartops_chaos.model import Arm, Targets

Trials = Callable[..., list[dict[str, Any]]]
ASKED = Question(Arm("off", "default"), because={"kill": "demonstration"})


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "benchmarks" / "estimators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


BENCHMARK = load("benchmarks_estimators")
MODELS = BENCHMARK.models()


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("name", MODELS)
def test_at_most_5_percent_false_proven(name: str, n: int) -> None:
    found = BENCHMARK.errors(MODELS[name], n, 300, np.random.default_rng(n))
    assert found.false_proven_at_tau <= 0.05


@pytest.mark.parametrize("name", MODELS)
def test_intervals_of_the_reduction_cover_in_93_percent(name: str) -> None:
    found = BENCHMARK.errors(MODELS[name], 20, 400, np.random.default_rng(20))
    assert found.coverage >= 0.93


@pytest.mark.parametrize("name", MODELS)
def test_intervals_of_the_mean_cover_in_93_percent(name: str) -> None:
    rng = np.random.default_rng(21)
    draws = [arm for arm, _ in MODELS[name].scenarios]
    truth = np.mean([draw(rng, 400_000).mean() for draw in draws])
    campaigns = [interval([Sample(d(rng, 20), 1.0, BENCHMARK.TAU_S) for d in draws], 0.025) for _ in range(400)]
    covered = [lo <= truth <= hi for lo, hi in campaigns if lo is not None and hi is not None]
    assert len(covered) == 400
    assert np.mean(covered) >= 0.93


def test_the_program_prints_a_line_for_each_model_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    BENCHMARK.main(["--campaigns", "5", "--trials", "3", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 2 * len(MODELS)


def verdicts(rows: list[dict[str, Any]], question: Question = ASKED) -> dict[str, Decision]:
    return {v.target: v.verdict for v in summarise(table.from_rows(rows), question, campaign="test").verdicts}


def times(rng: np.random.Generator, n: int, mean: float, fails: float) -> list[float]:
    drawn: list[float] = BENCHMARK.lognormal(mean, 0.5, fails=fails)(rng, n).tolist()
    return drawn


def test_equal_arms_are_not_told_apart(trials: Trials) -> None:
    # A/A: any reduction at all would be a false alarm, so the target is 0
    rng = np.random.default_rng(1)
    any_at_all = Question(ASKED.baseline, targets=Targets(mttr_reduction=0.0), because=ASKED.because)
    found = [
        verdicts(trials("off", times(rng, 10, 30, 0.3)) + trials("on", times(rng, 10, 30, 0.3)), any_at_all)
        for _ in range(100)
    ]
    assert sum(f["mttr_reduction"] == "proven" for f in found) <= 5
    assert sum(f["auto_heal"] == "proven" for f in found) == 0


def test_a_useless_healer_proves_nothing_even_if_the_platform_heals_nearly_all(trials: Trials) -> None:
    rng = np.random.default_rng(2)
    found = [
        verdicts(trials("off", times(rng, 60, 20, 0.02)) + trials("on", times(rng, 60, 20, 0.02))) for _ in range(60)
    ]
    assert sum(f["mttr_reduction"] == "proven" for f in found) == 0
    assert sum(f["auto_heal"] == "proven" for f in found) <= 3


@pytest.mark.parametrize("how", ["left out", "deleted"])
def test_losing_30_percent_of_the_bad_trials_buys_no_proven(trials: Trials, how: str) -> None:
    # 57 % of the arm's trials fail, in truth a reduction of 39 %; of what is left it looks like 47 %
    rng = np.random.default_rng(3)
    fooled = proven = 0
    for _ in range(30):
        on = sorted(trials("on", times(rng, 500, 10, 0.57)), key=lambda row: -row["time_s"])
        lost = round(0.3 * sum(row["time_s"] == 100 for row in on))
        kept, off = on[lost:], trials("off", [100.0] * 500)
        shown = [Pair("kill", *(Sample(np.array([r["time_s"] for r in rows]), 1.0, 100.0) for rows in (kept, off)))]
        fooled += (these_scenarios(shown, 0.4, 0.025).p or 1) <= 0.025
        if how == "left out":
            kept = [row | {"outcome": "error", "time_s": None} for row in on[:lost]] + kept
        proven += "proven" in verdicts(off + kept).values()
    assert fooled >= 25
    assert proven == 0


def test_a_good_healer_is_proven(trials: Trials) -> None:
    # the other side of caution: a true reduction of 85 % is found with 20 trials
    rng = np.random.default_rng(4)
    found = [verdicts(trials("off", [100.0] * 20) + trials("on", times(rng, 20, 12, 0.03))) for _ in range(40)]
    assert sum(f["mttr_reduction"] == "proven" for f in found) >= 36
