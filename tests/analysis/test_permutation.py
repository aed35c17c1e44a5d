from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from smartops_chaos.analysis import permutation
from smartops_chaos.analysis.permutation import CellPair, Direction, Exchanges

Values = np.ndarray


def cell(old: list[float], new: list[float], weight: float = 1.0) -> CellPair:
    return CellPair(np.array(old), np.array(new), weight)


def direction(arm: list[CellPair], base: list[CellPair], seed: int = 1) -> Direction:
    return Exchanges(arm, base, seed).direction()


def test_five_clearly_slower_trials_are_the_rarest_exchange_of_all() -> None:
    found = direction([cell([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])], [])
    assert found.exact
    assert found.p_slower == pytest.approx(1 / 252)
    assert found.p_faster == 1.0
    assert found.p == pytest.approx(2 / 252)


def mean_distance(new: Values, old: Values) -> float:
    variance = sum(v.var(ddof=1) / len(v) / v.mean() ** 2 for v in (new, old))
    return float(np.log(new.mean() / old.mean()) / np.sqrt(variance + 1e-6))


def usual_distance(new: Values, old: Values) -> float:
    logs = np.log(np.concatenate([new, old]))
    spread = stats.median_abs_deviation(logs, scale=1 / 1.4826)
    logs = logs.clip(np.median(logs) - 1.5 * spread, np.median(logs) + 1.5 * spread)
    ours, theirs = logs[: len(new)], logs[len(new) :]
    variance = ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs)
    return float((ours.mean() - theirs.mean()) / np.sqrt(variance + 1e-6))


def test_it_is_scipy_s_permutation_test_where_there_is_one_cell() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.exponential(1.0, 5), rng.exponential(1.3, 5)
    found = Exchanges([CellPair(old, new)], [], seed=1)
    of_mean = stats.permutation_test((new, old), mean_distance, alternative="greater", n_resamples=np.inf)
    assert found.slowdown_is(0.0).p_slower == pytest.approx(of_mean.pvalue)
    for alternative, farther, ours in (
        ("greater", max, found.direction().p_slower),
        ("less", min, found.direction().p_faster),
    ):
        theirs = stats.permutation_test(
            (new, old),
            lambda a, b, farther=farther: farther(mean_distance(a, b), usual_distance(a, b)),
            alternative=alternative,
            n_resamples=np.inf,
        )
        assert ours == pytest.approx(theirs.pvalue)


def test_times_are_exchanged_within_their_scenario_only() -> None:
    """The slow scenario's times never come into the fast one: 1 of 6 x 6 exchanges is as slow, and not fewer."""
    arm = [cell([1, 1.1], [1.2, 1.3]), cell([50, 51], [52, 53])]
    assert direction(arm, []).p_slower == pytest.approx(1 / 36)


def test_what_slows_the_baseline_as_well_is_no_change_of_the_arm() -> None:
    arm, base = [cell([1, 2, 1, 2], [2, 4, 2, 4])], [cell([10, 12, 10, 12], [20, 24, 20, 24])]
    assert direction(arm, []).p_slower < 0.1
    assert direction(arm, base).p > 0.5
    assert Exchanges(arm, base, seed=1).estimate == pytest.approx(0, abs=0.01)


def test_a_baseline_s_change_within_its_own_scatter_is_not_taken_out() -> None:
    arm = [cell([10, 11, 12, 13], [20, 22, 24, 26])]
    assert Exchanges(arm, [cell([20, 60, 100, 40], [60, 55, 90, 30])], seed=1).estimate == pytest.approx(np.log(2))


def test_one_trial_that_never_recovered_does_not_hide_what_the_others_took() -> None:
    arm = [cell([8, 9, 9.5, 10, 11, 12, 13, 150], [18, 19, 20, 21, 22, 24, 26, 27])]
    found = Exchanges(arm, [], seed=1)
    assert found.slowdown_is(0.0).p > 0.1
    assert found.direction().p < 0.03
    assert found.estimate < 0


def test_what_only_fails_more_often_is_found_by_the_mean() -> None:
    usual = [9.0, 10.0, 11.0, 10.5, 9.5] * 4
    found = direction([cell(usual, usual[:14] + [100.0] * 6)], [])
    assert found.p < 0.03


def test_equal_times_never_differ() -> None:
    assert direction([cell([5.0] * 4, [5.0] * 4)], [cell([0.0] * 3, [0.0] * 3)]).p == 1.0


def test_many_trials_are_drawn_and_the_seed_gives_the_same_again() -> None:
    rng = np.random.default_rng(1)
    arm = [CellPair(rng.exponential(1, 20), rng.exponential(2, 20)) for _ in range(2)]
    one = direction(arm, [], seed=7)
    assert not one.exact
    assert one == direction(arm, [], seed=7)
    assert 0 < one.p_slower < 0.05
    swapped = direction([CellPair(c.new, c.old) for c in arm], [], seed=7)
    assert swapped.p_faster == pytest.approx(one.p_slower, abs=0.005)


def test_the_interval_is_what_the_test_of_the_mean_does_not_reject() -> None:
    rng = np.random.default_rng(2)
    arm, base = [CellPair(rng.exponential(1, 8), rng.exponential(2, 8))], [CellPair(*rng.uniform(5, 9, (2, 8)))]
    found = Exchanges(arm, base, seed=1)
    lo, hi = found.interval(0.025)
    assert lo is not None
    assert hi is not None
    assert lo < found.estimate < hi
    assert found.slowdown_is(lo - 0.02).p_slower <= 0.025 < found.slowdown_is(lo + 0.02).p_slower
    assert found.slowdown_is(hi + 0.02).p_faster <= 0.025 < found.slowdown_is(hi - 0.02).p_faster


def shown(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, *, slower: float, machine: float, unsteady: float, n: int
) -> float:
    """How often of 150 pairs a change is shown: arm and machine slower by a factor, the baseline `unsteady`."""
    monkeypatch.setattr(permutation, "EXCHANGES", 500)
    sigma, different = np.sqrt(np.log1p(0.4**2)), 0
    for number in range(150):
        arm = [CellPair(*(rng.lognormal(np.log(f), sigma, n) for f in (1.0, slower * machine))) for _ in range(2)]
        base = [CellPair(*(rng.lognormal(np.log(f), unsteady, n) for f in (6.0, 6.0 * machine))) for _ in range(2)]
        different += direction(arm, base, seed=number).p <= 0.05
    return different / 150


@pytest.mark.parametrize(
    ("slower", "machine", "unsteady", "n", "least", "most"),
    [
        (1.0, 1.0, 0.0, 5, 0.01, 0.09),
        (1.0, 1.0, 0.4, 5, 0.01, 0.09),
        (2.0, 1.0, 0.0, 5, 0.9, 1.0),
        (2.0, 1.0, 0.4, 5, 0.83, 1.0),
        (1.0, 2.0, 0.4, 20, 0.01, 0.1),
    ],
)
def test_equal_campaigns_hardly_ever_differ_and_a_two_fold_slowdown_is_found_with_five_repeats(
    slower: float, machine: float, unsteady: float, n: int, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    found = shown(rng, monkeypatch, slower=slower, machine=machine, unsteady=unsteady, n=n)
    assert least <= found <= most


@pytest.mark.parametrize("unit", [1000.0, 0.001])
def test_the_unit_of_time_says_nothing_also_where_half_of_the_trials_took_none(unit: float) -> None:
    def in_unit(old: list[float], new: list[float]) -> CellPair:
        return CellPair(unit * np.array(old), unit * np.array(new))

    def found(make: Callable[[list[float], list[float]], CellPair]) -> Direction:
        return direction([make([0, 0, 3, 5], [0, 0, 9, 11]), make([4, 5, 6], [0, 8, 9])], [make([0, 7, 9], [7, 8, 9])])

    assert found(in_unit) == found(cell)
