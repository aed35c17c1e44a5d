"""Intervals for shares against published tables and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from benchmarks.borders import binomial
from smartops_chaos.analysis.likelihood_ratio import Trials, reduction_p
from smartops_chaos.analysis.rates import binomial_p, clopper_pearson_lower, newcombe, wilson


@pytest.mark.parametrize(
    ("successes", "n", "lo", "hi"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_of_newcombe_1998_table_1(successes: int, n: int, lo: float, hi: float) -> None:
    assert wilson(successes, n, 0.025) == (pytest.approx(lo, abs=5e-5), pytest.approx(hi, abs=5e-5))


@pytest.mark.parametrize(("successes", "n", "lo"), [(81, 263, 0.2527), (15, 148, 0.0578), (0, 20, 0), (1, 29, 0.0009)])
def test_clopper_pearson_of_newcombe_1998_table_1(successes: int, n: int, lo: float) -> None:
    assert clopper_pearson_lower(successes, n, 0.025) == pytest.approx(lo, abs=5e-5)


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "lo", "hi"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0000),
        (10, 10, 0, 10, 0.6075, 1.0000),
    ],
)
def test_newcombe_1998_table_2_method_10(a: int, m: int, b: int, n: int, lo: float, hi: float) -> None:
    assert newcombe(a, m, b, n, 0.025) == (pytest.approx(lo, abs=5e-5), pytest.approx(hi, abs=5e-5))


@pytest.mark.parametrize(("failures", "needed"), [(0, 36), (1, 54), (2, 70), (3, 85), (4, 100), (5, 114)])
def test_trials_that_prove_90_percent_at_one_sided_alpha_0025(failures: int, needed: int) -> None:
    assert clopper_pearson_lower(needed - failures, needed, 0.025) >= 0.9
    assert clopper_pearson_lower(needed - 1 - failures, needed - 1, 0.025) < 0.9


shares = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(shares)
def test_shares_agree_with_statsmodels(share: tuple[int, int]) -> None:
    successes, n = share
    lo, hi = proportion_confint(successes, n, 0.05, method="wilson")
    assert wilson(successes, n, 0.025) == (pytest.approx(lo, abs=1e-9), pytest.approx(hi, abs=1e-9))
    exact, _ = proportion_confint(successes, n, 0.05, method="beta")
    assert clopper_pearson_lower(successes, n, 0.025) == pytest.approx(0 if math.isnan(exact) else exact, abs=1e-9)


@given(shares, shares)
def test_newcombe_agrees_with_statsmodels(first: tuple[int, int], second: tuple[int, int]) -> None:
    lo, hi = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff", correction=False)
    assert newcombe(*first, *second, 0.025) == (pytest.approx(lo, abs=1e-9), pytest.approx(hi, abs=1e-9))


@given(shares, st.floats(0.05, 0.95))
def test_p_and_bound_decide_alike(share: tuple[int, int], target: float) -> None:
    p = binomial_p(*share, target)
    assert p == pytest.approx(stats.binomtest(*share, target, alternative="greater").pvalue, abs=1e-12)
    bound = clopper_pearson_lower(*share, 0.025)
    if abs(bound - target) > 1e-9:
        assert (p <= 0.025) == (bound > target)


@pytest.mark.parametrize(("arm", "base"), [(6, 6), (12, 12), (12, 5), (5, 12)])
def test_arms_that_add_nothing_are_shown_to_heal_more_no_more_often_than_stated(arm: int, base: int) -> None:
    """Exactly, over all shares that end by themselves: 1, 4 or 12 arms share the level by Holm."""
    counts = [(k, j) for k in range(arm + 1) for j in range(base + 1)]
    failed = np.array([np.arange(arm) < k for k, _ in counts], dtype=float)
    unaided = np.array([np.arange(base) < j for _, j in counts], dtype=float)
    p = reduction_p([Trials(failed, 1.0)], [Trials(unaided, 1.0)], 0.0).reshape(arm + 1, base + 1)
    share = np.linspace(0, 1, 201)
    ours, theirs = binomial(arm, share), binomial(base, share)
    used = 0.0
    for level in (0.025, 0.025 / 3, 0.0025):
        for arms in (1, 4, 12):
            one = ours @ (p <= level / arms)
            error = float((theirs * (1 - (1 - one) ** arms)).sum(1).max())
            assert error <= level
            used = max(used, error / level)
    assert used > 0.3
