"""Means over scenarios against Welch's test, and intervals that stay honest in small and extreme samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.analysis.estimate import (
    Estimate,
    Sample,
    interval,
    mean_over_scenarios,
    t_quantile,
)

# Student 1908: additional hours of sleep by two soporific drugs
DRUG_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
DRUG_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_two_equal_scenarios_have_the_error_and_df_of_welch() -> None:
    # R: t.test(extra ~ group, data = sleep): df = 17.776, 95 % interval -3.3655 to 0.2055
    found = mean_over_scenarios([Sample(-DRUG_1, 1, 10), Sample(DRUG_2, 1, 10)])
    assert 2 * found.mean == pytest.approx(1.58)
    assert found.df == pytest.approx(17.776, abs=5e-4)
    half = t_quantile(0.025, found.df) * found.variance**0.5
    assert 2 * (found.mean + half) == pytest.approx(3.3655, abs=5e-5)


def test_weights_are_shares() -> None:
    found = mean_over_scenarios([Sample(np.array([1.0, 3.0]), 3, 9), Sample(np.array([10.0, 10.0]), 1, 9)])
    assert found.mean == pytest.approx(0.75 * 2 + 0.25 * 10)
    assert found.variance == pytest.approx(0.75**2 * 2 / 2)
    assert found.df == pytest.approx(1)


def test_a_pseudo_trial_is_a_trial_at_worst() -> None:
    found = mean_over_scenarios([Sample(np.array([1.0, 1.0, 1.0, 1.0]), 1, 10)], pseudo=1.0)
    with_it = np.array([1.0, 1.0, 1.0, 1.0, 10.0])
    assert found.mean == pytest.approx(with_it.mean())
    assert found.variance == pytest.approx(with_it.var(ddof=1) / 5)
    assert found.df == pytest.approx(3)  # it is no trial


def test_equal_times_have_no_variance_at_all() -> None:
    assert mean_over_scenarios([Sample(np.full(7, 0.1), 1, 1)]) == Estimate(0.1, 0.0, np.inf)


def test_nothing_is_known_of_one_trial_or_none() -> None:
    assert np.isnan(mean_over_scenarios([Sample(np.array([3.0]), 1, 10)]).variance)
    assert interval([], 0.025) == (None, None)
    assert interval([Sample(np.zeros(0), 1, 10)], 0.025) == (None, None)


@pytest.mark.parametrize("value", [0.0, 2.0, 10.0])
def test_equal_times_still_leave_room_for_what_was_not_seen(value: float) -> None:
    lo, hi = interval([Sample(np.full(5, value), 1, 10)], 0.025)
    assert lo is not None
    assert hi is not None
    assert 0 <= lo <= value <= hi <= 10
    assert hi - lo > 2


samples = st.lists(st.lists(st.floats(0, 10), min_size=2, max_size=12), min_size=1, max_size=4)


@given(samples)
def test_interval_holds_the_mean_and_stays_in_the_horizon(values: list[list[float]]) -> None:
    drawn = [Sample(np.array(v), 1, 10) for v in values]
    lo, hi = interval(drawn, 0.025)
    mean = mean_over_scenarios(drawn).mean
    assert lo is not None
    assert hi is not None
    assert 0 <= lo <= mean <= hi <= 10 + 1e-12


@given(samples, st.floats(0.1, 50))
def test_the_unit_of_time_does_not_matter(values: list[list[float]], unit: float) -> None:
    plain = interval([Sample(np.array(v), 1, 10) for v in values], 0.025)
    scaled = interval([Sample(np.array(v) * unit, 1, 10 * unit) for v in values], 0.025)
    for a, b in zip(plain, scaled, strict=True):
        assert b == pytest.approx((a or 0) * unit, rel=1e-6, abs=1e-9)
