from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from smartops_chaos.analysis.likelihood_ratio import Trials, reduction
from smartops_chaos.planning.power import (
    Design,
    Spread,
    availability_provable,
    failures_allowed,
    fewest_provable,
    power,
    slowest_provable,
    trials_for,
    trials_needed,
)


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


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(
    "design", [Design(3, (1.0, 1.0), 0.025), Design(5, (1.0, 2.0), 0.025 / 3), Design(20, (1.0,), 0.025)]
)
def test_the_best_case_is_decided_as_the_analysis_decides_it(design: Design, looks: bool) -> None:
    design = replace(design, looks=looks)
    slowest = slowest_provable(design, 0.4)
    for share in (0.0, 0.1, 0.2, 0.3, 0.5):
        ours, theirs = (
            [Trials(np.full(design.trials, 30 * value), 30.0, w) for w in design.weights] for value in (share, 1.0)
        )
        found = reduction(ours, theirs, 0.4, design.alpha, looks=looks)
        assert (found.p <= design.alpha) == (slowest is not None and share <= slowest)


def test_under_five_pairs_nothing_is_proven() -> None:
    assert slowest_provable(Design(4, (1.0,), 0.025), 0.4) is None
    assert slowest_provable(Design(5, (1.0,), 0.025), 0.4) is not None
    assert slowest_provable(Design(50, (), 0.025), 0.4) is None


def test_the_fewest_trials_that_prove() -> None:
    # at 2.5 % and a third of it: an arm that always takes a tenth, a quarter, 40 % of the horizon
    found = [
        [fewest_provable(Design(1, (1.0,), alpha), share, 0.4, 100) for share in (0.1, 0.25, 0.4)]
        for alpha in (0.025, 0.025 / 3)
    ]
    assert found == [[5, 7, 11], [7, 9, 14]]


def test_more_trials_and_larger_effects_are_likelier_to_prove() -> None:
    spreads = [Spread(1.0, (1.0,) * 9 + (0.75,), 1.0, 0.5)] * 2
    found = [power(spreads, 0.75, Design(n, (1.0, 1.0), 0.025 / 3), 0.4) for n in (3, 5, 8)]
    assert found == sorted(found)
    assert found[0] < 0.5
    assert found[1] >= 0.75  # benchmarks/power.py: 5 repeats have 80 %
    assert trials_for(spreads, 0.75, Design(1, (1.0, 1.0), 0.025 / 3), 0.4, 40) in (4, 5, 6)


def test_no_bad_second_at_all_may_still_prove_nothing() -> None:
    assert availability_provable([12.0, 12.0], [1.0, 1.0], 10, 6.0, 0.025, looks=False)
    assert not availability_provable([12.0, 12.0], [1.0, 1.0], 10, 0.5, 0.025, looks=False)
    assert not availability_provable([12.0], [1.0], 4, 11.0, 0.5, looks=False)
