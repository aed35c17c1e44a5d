"""Means over scenarios, and intervals that stay honest in small and extreme samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.analysis.distributions import t_quantile
from smartops_chaos.analysis.estimate import interval
from smartops_chaos.analysis.likelihood_ratio import Trials, mean_over_scenarios


def test_the_quantile_of_student_s_t() -> None:
    assert t_quantile(0.025, 10) == pytest.approx(2.228, abs=5e-4)  # Student's table


def test_weights_are_shares() -> None:
    found = mean_over_scenarios([Trials(np.array([1.0, 3.0]), 9, 3), Trials(np.array([10.0, 10.0]), 9, 1)])
    assert found == pytest.approx(0.75 * 2 + 0.25 * 10)


def test_nothing_is_known_of_no_trial() -> None:
    assert np.isnan(mean_over_scenarios([]))
    assert np.isnan(mean_over_scenarios([Trials(np.zeros(0), 10, 1)]))
    assert interval([], 0.025) == (None, None)
    assert interval([Trials(np.zeros(0), 10, 1)], 0.025) == (None, None)


@pytest.mark.parametrize("value", [0.0, 2.0, 10.0])
def test_equal_times_still_leave_room_for_what_was_not_seen(value: float) -> None:
    lo, hi = interval([Trials(np.full(5, value), 10, 1)], 0.025)
    assert lo is not None
    assert hi is not None
    assert 0 <= lo <= value <= hi <= 10
    assert hi - lo > 2


samples = st.lists(st.lists(st.floats(0, 10), min_size=2, max_size=12), min_size=1, max_size=4)


@given(samples)
def test_interval_holds_the_mean_and_stays_in_the_horizon(values: list[list[float]]) -> None:
    drawn = [Trials(np.array(v), 10, 1) for v in values]
    lo, hi = interval(drawn, 0.025)
    mean = mean_over_scenarios(drawn)
    assert lo is not None
    assert hi is not None
    assert 0 <= lo <= mean <= hi <= 10 + 1e-12


@given(samples, st.floats(0.1, 50))
def test_the_unit_of_time_does_not_matter(values: list[list[float]], unit: float) -> None:
    plain = interval([Trials(np.array(v), 10, 1) for v in values], 0.025)
    scaled = interval([Trials(np.array(v) * unit, 10 * unit, 1) for v in values], 0.025)
    for a, b in zip(plain, scaled, strict=True):
        assert b == pytest.approx((a or 0) * unit, rel=1e-6, abs=1e-9)
