import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from smartops_chaos.analysis.compare import Pair, at_share, these_scenarios
from smartops_chaos.analysis.estimate import Sample
from smartops_chaos.planning.power import failures_allowed, provable, slowest_provable, trials_needed


def test_thirty_six_of_thirty_six_prove_ninety_percent() -> None:
    assert trials_needed(0.9, 0.025) == 36
    assert failures_allowed(35, 0.9, 0.025) == -1
    assert failures_allowed(36, 0.9, 0.025) == 0


@given(st.floats(0.05, 0.995), st.floats(0.0005, 0.1))
def test_trials_needed_is_the_smallest(share: float, alpha: float) -> None:
    n = trials_needed(share, alpha)
    assert share**n <= alpha
    assert n == 1 or share ** (n - 1) > alpha


@given(st.integers(1, 300), st.floats(0.05, 0.99), st.floats(0.0005, 0.1))
def test_failures_allowed_by_the_exact_binomial_test(n: int, share: float, alpha: float) -> None:
    failures = failures_allowed(n, share, alpha)

    def p_value(failed: int) -> float:
        return float(stats.binom.sf(n - failed - 1, n, share))

    assert failures == -1 or p_value(failures) <= alpha * (1 + 1e-9)
    assert p_value(failures + 1) > alpha * (1 - 1e-9)


def _proven_by_the_analysis(share: float, trials: int, weights: list[float], target: float, alpha: float) -> bool:
    pairs = [
        Pair("pod", Sample(np.full(trials, share * 30), w, 30.0), Sample(np.full(trials, 30.0), w, 0.0))
        for w in weights
    ]
    found = [these_scenarios(at_share(pairs, tau), target, alpha).p for tau in (0.5, 1.0)]
    return all(p is not None and p <= alpha for p in found)


@given(
    st.integers(0, 100).map(lambda i: i / 100),
    st.integers(3, 40),
    st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=1, max_size=5),
    st.sampled_from([0.2, 0.4, 0.6]),
    st.sampled_from([0.025, 0.025 / 3, 0.025 / 9]),
)
def test_the_best_case_is_decided_as_the_analysis_decides_it(
    share: float, trials: int, weights: list[float], target: float, alpha: float
) -> None:
    assert provable(share, trials, weights, target, alpha) == _proven_by_the_analysis(
        share, trials, weights, target, alpha
    )


@pytest.mark.parametrize("trials", [0, 1, 2])
def test_under_three_trials_nothing_is_proven(trials: int) -> None:
    assert slowest_provable(trials, [1.0], 0.4, 0.025) is None


def test_without_a_scenario_nothing_is_proven() -> None:
    assert slowest_provable(50, [], 0.4, 0.025) is None


def test_more_trials_allow_slower_recoveries() -> None:
    found = [slowest_provable(n, [1.0, 1.0], 0.4, 0.025) or 0.0 for n in (3, 5, 10, 30, 100, 1000)]
    assert found == sorted(found)
    assert 0 < found[1] < found[-1] <= 0.3  # a recovery at 30 % of the horizon is 60 % of its half
