"""Kaplan-Meier and the restricted mean against a published example and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from smartops_chaos.analysis.likelihood_ratio import Trials, mean_over_scenarios
from smartops_chaos.analysis.survival import kaplan_meier, log_log_band, quantile

# Freireich et al. 1963: weeks of remission of leukaemia under 6-MP and placebo, as in Klein and Moeschberger (2003)
MP6_EVENTS = [6, 6, 6, 7, 10, 13, 16, 22, 23]
MP6_CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


@pytest.fixture
def mp6() -> tuple[np.ndarray, np.ndarray]:
    time = np.array(MP6_EVENTS + MP6_CENSORED, dtype=float)
    return time, np.array([True] * len(MP6_EVENTS) + [False] * len(MP6_CENSORED))


def test_survival_and_greenwood_of_klein_and_moeschberger_table_4_1(mp6: tuple[np.ndarray, np.ndarray]) -> None:
    km = kaplan_meier(*mp6)
    assert km.time[1:].tolist() == [6, 7, 10, 13, 16, 22, 23]
    np.testing.assert_allclose(km.survival[1:], [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=5e-4)
    errors = km.survival[1:] * np.sqrt(km.greenwood[1:])
    np.testing.assert_allclose(errors, [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346], atol=6e-5)
    assert km.at_risk[1:].tolist() == [21, 17, 15, 12, 11, 7, 6]


def test_log_log_band_of_r_survfit(mp6: tuple[np.ndarray, np.ndarray]) -> None:
    # R: summary(survfit(Surv(time, status) ~ 1, conf.type = "log-log")) at 6 and 23 weeks
    lo, hi = log_log_band(kaplan_meier(*mp6), 0.025)
    assert (lo[1], hi[1]) == (pytest.approx(0.620, abs=5e-4), pytest.approx(0.952, abs=5e-4))
    assert (lo[-1], hi[-1]) == (pytest.approx(0.188, abs=5e-4), pytest.approx(0.680, abs=5e-4))


def test_medians_of_the_remission_data(mp6: tuple[np.ndarray, np.ndarray]) -> None:
    assert quantile(kaplan_meier(*mp6), 0.5) == 23
    assert quantile(kaplan_meier(*mp6), 0.9) is None  # not reached: 45 % are still in remission
    assert quantile(kaplan_meier(np.array(PLACEBO, dtype=float), np.ones(21, dtype=bool)), 0.5) == 8


def test_band_is_held_at_certainty() -> None:
    km = kaplan_meier(np.array([2.0, 3.0]), np.array([True, True]))
    lo, hi = log_log_band(km, 0.025)
    assert (lo[0], hi[0], lo[-1], hi[-1]) == (1, 1, 0, 0)


def test_events_at_zero_lower_the_first_step() -> None:
    km = kaplan_meier(np.array([0.0, 0.0, 5.0, 10.0]), np.array([True, True, True, False]))
    assert km.survival.tolist() == [0.5, 0.25]
    assert quantile(km, 0.5) == 0


times = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=30)


@given(times)
def test_agrees_with_statsmodels(trials: list[tuple[int, bool]]) -> None:
    time = np.array([t for t, _ in trials], dtype=float)
    event = np.array([e for _, e in trials])
    if not event.any():
        return
    theirs = SurvfuncRight(time, event.astype(int))
    ours = kaplan_meier(time, event)
    at = np.searchsorted(ours.time, theirs.surv_times)
    np.testing.assert_allclose(ours.survival[at], theirs.surv_prob, atol=1e-12)
    sure = theirs.surv_prob > 0
    errors = ours.survival[at][sure] * np.sqrt(ours.greenwood[at][sure])
    np.testing.assert_allclose(errors, theirs.surv_prob_se[sure], atol=1e-12)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.floats(1, 100))
def test_the_area_under_the_curve_is_the_mean_that_the_analysis_takes(values: list[float], tau: float) -> None:
    time = np.minimum(np.array(values), tau)
    km = kaplan_meier(time, time < tau)
    area = float((km.survival * np.diff(np.append(km.time, tau))).sum())
    assert area == pytest.approx(mean_over_scenarios([Trials(time, tau, 1.0)]), abs=1e-9)
