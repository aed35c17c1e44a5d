"""What a plan is likely to prove: held against simulated campaigns and the real analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from smartops_chaos import api
from smartops_chaos.analysis.likelihood_ratio import Trials, reduction_p
from smartops_chaos.analysis.rates import clopper_pearson_lower, uplift_p
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.planning import pilot
from smartops_chaos.planning.chances import chances
from smartops_chaos.planning.power import (
    Design,
    Spread,
    heals_needed,
    lognormal,
    power,
    smallest_reduction,
    smallest_uplift,
    trials_for,
)
from smartops_chaos.resources import shipped

Write = Callable[..., Path]
SURE = Spread(1.0, (1.0,), 1.0, 0.1)
LEVEL = Design(1, (1.0, 1.0), 0.025)
TWO = [Spread(1.0, lognormal(0.5, 0.6), 1.0, 0.6)] * 2


@pytest.mark.parametrize("n", [10, 20])
def test_the_smallest_reduction_is_proven_in_about_80_percent(n: int) -> None:
    reduction = smallest_reduction(TWO, replace(LEVEL, trials=n), 0.4)
    assert reduction is not None
    rng = np.random.default_rng(n)

    def drawn(mean: float) -> list[Trials]:
        sigma = np.sqrt(np.log1p(0.6**2))
        times = rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, (2, 300, n))
        return [Trials(np.minimum(one, 1.0), 1.0) for one in times]

    base = float(np.mean(TWO[0].base))
    proven = reduction_p(drawn((1 - reduction) * base), drawn(0.5), 0.4) <= LEVEL.alpha
    assert 0.72 <= proven.mean() <= 0.92


def test_more_trials_show_less() -> None:
    found = [smallest_reduction(TWO, replace(LEVEL, trials=n), 0.4) or 1.0 for n in (5, 10, 50)]
    assert found == sorted(found, reverse=True)
    assert 0.4 < found[-1] < found[0]


def test_the_fewest_trials_are_the_fewest() -> None:
    n = trials_for(TWO, 0.8, LEVEL, 0.4, 500)
    assert n is not None
    assert power(TWO, 0.8, replace(LEVEL, trials=n), 0.4) >= 0.8
    assert power(TWO, 0.8, replace(LEVEL, trials=n - 1), 0.4) < 0.8
    assert trials_for(TWO, 0.41, LEVEL, 0.4, 40) is None


def test_the_smallest_uplift_is_shown_in_about_80_percent() -> None:
    difference = smallest_uplift(0.3, 60, 60, 0.025)
    assert difference is not None
    rng = np.random.default_rng(1)
    pairs = zip(rng.binomial(60, 0.3 + difference, 200), rng.binomial(60, 0.3, 200), strict=True)
    shown = sum(uplift_p(int(a), 60, int(b), 60) <= 0.025 for a, b in pairs)
    assert 0.70 <= shown / 200 <= 0.92
    assert smallest_uplift(0.9, 5, 5, 0.025) is None


def test_the_incidents_needed_prove_the_heal_rate_in_80_percent() -> None:
    n = heals_needed(0.9, 0.97, 0.025, 1000)
    assert n is not None
    proves = [clopper_pearson_lower(k, n, 0.025) >= 0.9 for k in range(n + 1)]
    assert sum(stats.binom.pmf(k, n, 0.97) for k in range(n + 1) if proves[k]) >= 0.8
    assert heals_needed(0.9, 0.905, 0.025, 200) is None


def test_a_plan_says_what_is_supposed(matrix: Write) -> None:
    found = chances(load_plan(matrix(), repeats=20))
    assert found is not None
    assert found.per_cell == 20
    assert found.proves_target_from is not None
    assert 0.4 < found.proves_target_from < 1
    assert found.shows_reduction_from is not None
    assert found.shows_reduction_from < found.proves_target_from
    assert "`--pilot CAMPAIGN`" in found.lines()[0]
    assert chances(load_plan(matrix(), only=["model=off"])) is None


def test_a_pilot_says_how_much_times_spread() -> None:
    plan = load_plan(shipped("matrix", "quick.yaml"), repeats=20)
    sample = Path(__file__).parents[2] / "results" / "sample"
    pilot = api.pilot(sample, plan)
    assert set(pilot.spreads) == {("cpu-90", "steady"), ("pod-kill", "steady"), ("slow", "steady")}
    assert pilot.spreads["cpu-90", "steady"].base == (1.0,) * 20
    assert pilot.heals == pytest.approx(1 / 3)
    known, less = chances(plan, pilot), chances(plan, replace(pilot, spreads={("cpu-90", "steady"): SURE}))
    assert known is not None
    assert less is not None
    assert known.supposed == "the spread is the upper 80 % bound of sample's"
    assert "which it has not, supposed are" in less.supposed


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_widened_deviation_is_an_upper_80_percent_bound(n: int) -> None:
    values = np.random.default_rng(n).normal(0, 1, (4000, n))
    above = np.mean(values.std(axis=1, ddof=1) * pilot.widening(n) >= 1)
    assert above == pytest.approx(0.8, abs=0.03)
