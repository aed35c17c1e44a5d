from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from smartops_chaos.analysis.permutation import CellPair, direction


def cell(old: list[float], new: list[float], weight: float = 1.0) -> CellPair:
    return CellPair(np.array(old), np.array(new), weight)


def test_five_clearly_slower_trials_are_the_rarest_exchange_of_all() -> None:
    found = direction([cell([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])], [], seed=1)
    assert found.exact
    assert found.p_slower == pytest.approx(1 / 252)
    assert found.p_faster == 1.0
    assert found.p == pytest.approx(2 / 252)


def test_it_is_scipy_s_permutation_test_where_there_is_one_cell() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.exponential(1.0, 6), rng.exponential(1.3, 5)
    theirs = stats.permutation_test(
        (new, old), lambda a, b: np.log(a.mean()) - np.log(b.mean()), alternative="greater", n_resamples=np.inf
    )
    assert direction([CellPair(old, new)], [], seed=1).p_slower == pytest.approx(theirs.pvalue)


def test_times_are_exchanged_within_their_scenario_only() -> None:
    """The slow scenario's times never come into the fast one: 2 of 6 x 6 exchanges are as slow, and not fewer."""
    arm = [cell([1, 1.1], [1.2, 1.3]), cell([50, 51], [52, 53])]
    assert direction(arm, [], seed=1).p_slower == pytest.approx(1 / 36)


def test_what_slows_the_baseline_as_well_is_no_change_of_the_arm() -> None:
    arm, base = [cell([1, 2, 1, 2], [2, 4, 2, 4])], [cell([10, 12, 10, 12], [20, 24, 20, 24])]
    assert direction(arm, [], seed=1).p_slower < 0.1
    assert direction(arm, base, seed=1).p > 0.5


def test_equal_times_never_differ() -> None:
    assert direction([cell([5.0] * 4, [5.0] * 4)], [cell([0.0] * 3, [0.0] * 3)], seed=1).p == 1.0


def test_many_trials_are_drawn_and_the_seed_gives_the_same_again() -> None:
    rng = np.random.default_rng(1)
    arm = [CellPair(rng.exponential(1, 20), rng.exponential(2, 20)) for _ in range(2)]
    one = direction(arm, [], seed=7)
    assert not one.exact
    assert one == direction(arm, [], seed=7)
    assert 0 < one.p_slower < 0.05
    swapped = direction([CellPair(c.new, c.old) for c in arm], [], seed=7)
    assert swapped.p_faster == pytest.approx(one.p_slower, abs=0.005)


@pytest.mark.parametrize(("factor", "least", "most"), [(1.0, 0.01, 0.09), (2.0, 0.9, 1.0)])
def test_equal_campaigns_hardly_ever_differ_and_a_two_fold_slowdown_is_found_with_five_repeats(
    factor: float, least: float, most: float
) -> None:
    rng = np.random.default_rng(5)
    sigma = np.sqrt(np.log1p(0.4**2))
    different = 0
    for number in range(150):
        arm = [CellPair(*(rng.lognormal(np.log(0.1 * f), sigma, 5) for f in (1.0, factor))) for _ in range(2)]
        base = [CellPair(np.ones(5), np.ones(5)) for _ in range(2)]
        different += direction(arm, base, seed=number).p <= 0.05
    assert least <= different / 150 <= most
