from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from benchmarks.borders import LEVELS, binomial, exact, spread, unlike
from smartops_chaos.analysis.likelihood_ratio import (
    FEWEST_PAIRS,
    Floats,
    Trials,
    interval,
    mean,
    mean_interval,
    mean_over_scenarios,
    mean_p_above,
    mean_p_below,
    proven_from,
    reduction,
    reduction_e,
    reduction_interval,
    reduction_p,
    ruled_out_p,
)
from smartops_chaos.analysis.rates import binomial_p


def trials(*values: float, horizon_s: float = 1.0, weight: float = 1.0, lost: int = 0) -> Trials:
    return Trials(np.array(values), horizon_s, weight, lost)


# ---- against what is known ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "limit"), [(5, 0.5), (36, 0.1), (200, 0.02)])
def test_without_a_failure_it_is_the_exact_test_of_clopper_and_pearson(n: int, limit: float) -> None:
    found = mean_p_below([Trials(np.zeros(n), 12.0)], 12 * limit)[0]
    assert found == pytest.approx(binomial_p(n, n, 1 - limit), rel=1e-9)
    assert mean_p_below([Trials(np.zeros(n // 2), 12.0), Trials(np.zeros(n - n // 2), 12.0)], 12 * limit)[0] <= 1
    lo, hi = mean_interval([Trials(np.zeros(n), 12.0)], 0.025)
    assert lo[0] == pytest.approx(0, abs=1e-9)
    assert hi[0] / 12 == pytest.approx(special.betaincinv(1, n, 0.975), rel=1e-6)


def test_an_arm_that_always_recovers_at_once_against_a_baseline_that_never_does() -> None:
    """The chance of it under the least favourable truth: arm fails in a share p, baseline is well in 1 - p / 0.6."""
    p = reduction_p([trials(*[0.0] * 3)] * 2, [trials(*[1.0] * 3)] * 2, 0.4)[0]
    fails = np.linspace(0, 0.6, 100_001)
    assert p == pytest.approx((((1 - fails) * fails / 0.6) ** 6).max(), rel=1e-6)
    assert p == pytest.approx(0.0052, abs=5e-5)


@pytest.mark.parametrize("failures", [1, 3, 8])
def test_with_failures_it_is_more_careful_than_the_exact_test(failures: int) -> None:
    n, limit = 30, 0.6
    found = mean_p_below([Trials(np.repeat([0.0, 1.0], [n - failures, failures]), 1.0)], limit)[0]
    ratio = special.xlogy(failures, limit * n / failures) + special.xlogy(n - failures, 0.4 * n / (n - failures))
    assert found == pytest.approx(np.exp(ratio), rel=1e-9)
    assert found > binomial_p(n - failures, n, 1 - limit)


def by_search_for_the_law(x: Floats, y: Floats, target: float) -> float:
    """The definition: shares of the trials, and of one at the worst value, that are likeliest where H0 holds."""
    n, m = len(x), len(y)

    def minus_log(shares: Floats) -> float:
        return -float(np.log(n * shares[:n]).sum() + np.log(m * shares[n + 1 : n + 1 + m]).sum())

    times, base = np.append(x, 1.0), np.append(y, 0.0)
    found = optimize.minimize(
        minus_log,
        np.concatenate([np.full(n + 1, 1 / (n + 1)), np.full(m + 1, 1 / (m + 1))]),
        method="SLSQP",
        bounds=[(1e-9, 1)] * n + [(0, 1)] + [(1e-9, 1)] * m + [(0, 1)],
        constraints=[
            {"type": "eq", "fun": lambda s: s[: n + 1].sum() - 1},
            {"type": "eq", "fun": lambda s: s[n + 1 :].sum() - 1},
            {"type": "ineq", "fun": lambda s: s[: n + 1] @ times - (1 - target) * s[n + 1 :] @ base},
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert found.success
    return float(np.exp(-found.fun))


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_likelihood_of_the_best_law_that_misses_the_target(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.minimum(rng.exponential(0.2, 7), 1), np.minimum(rng.exponential(1.0, 6), 1)
    if seed % 3 == 0:
        x[0], y[0] = 1.0, 0.0
    assert reduction_p([Trials(x, 1.0)], [Trials(y, 1.0)], 0.4)[0] == pytest.approx(
        by_search_for_the_law(x, y, 0.4), rel=1e-4
    )


# ---- how often it is wrong, exactly ------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenarios", "n"), [(1, 5), (1, 8), (2, 3), (2, 4), (6, 1), (6, 2)])
def test_on_the_border_of_two_point_laws_no_level_is_exceeded_by_1_4_or_12_arms(scenarios: int, n: int) -> None:
    errors = list(exact(scenarios, n))
    assert len(errors) == 18
    assert [one for one in errors if one[3] > one[1]] == []
    assert any(one[3] > 0.3 * one[1] for one in errors)  # and what is allowed is used


@pytest.mark.parametrize("trials", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("horizons", [(1.0, 1.0), (1.0, 10.0)])
def test_scenarios_that_are_unlike_exceed_no_level_either(
    horizons: tuple[float, float], trials: tuple[int, int]
) -> None:
    for level in LEVELS:
        assert unlike(trials, horizons, level) <= level


def test_the_e_value_is_at_most_1_on_average_on_the_border() -> None:
    n, share = 6, np.linspace(0, 1, 41)
    counts = [(k, j) for k in range(n + 1) for j in range(n + 1)]
    for x0 in (0.0, 0.2):
        arm = spread([k for k, _ in counts], 3, 2, x0, 1.0)
        base = spread([j for _, j in counts], 3, 2, 1.0, 0.0)
        e = reduction_e(arm, base, 0.4).reshape(n + 1, n + 1)
        fails = (0.6 * (1 - share) - x0) / (1 - x0)
        chance = binomial(n, fails[fails >= 0])[:, :, None] * binomial(n, share[fails >= 0])[:, None, :]
        expected = (chance * e).sum((1, 2))
        assert expected.max() <= 1 + 1e-9
        assert expected.max() > 0.3


def test_the_e_value_of_scenarios_that_fail_unlike_each_other_is_at_most_1_on_average() -> None:
    """One fails always, the other never: on the border together, with horizons of 1 and 3 s."""
    arm = [trials(0.0, 0.0, 0.0), trials(2.0, 2.0, 2.0, horizon_s=3.0)]
    assert mean_p_below(arm, 1.0, looks=True)[0] == 1  # p = 1 / e, at most 1


def test_looks_after_every_repeat_prove_no_more_than_the_level() -> None:
    rng = np.random.default_rng(5)
    campaigns, n = 2000, 12
    arm = np.where(rng.random((campaigns, n)) < 0.5, 1.0, 0.2)  # mean 0.6: just not 40 % better
    base = np.ones((campaigns, n))
    ever = np.zeros(campaigns, dtype=bool)
    for look in range(3, n + 1):
        e = reduction_e([Trials(arm[:, :look], 1.0)], [Trials(base[:, :look], 1.0)], 0.4)
        ever |= e >= 1 / 0.05
    assert ever.mean() <= 0.05
    assert ever.any()


@pytest.mark.parametrize(("scenarios", "n"), [(1, 5), (2, 3), (2, 10)])
def test_the_interval_covers_where_failures_are_rare(scenarios: int, n: int) -> None:
    rng = np.random.default_rng(3)
    shape = (scenarios, 500, n)
    arm = np.where(rng.random(shape) < 0.05, 1.0, rng.uniform(0.02, 0.08, shape))
    base = np.where(rng.random(shape) < 0.1, 0.5, 1.0)
    truth = 1 - (0.05 + 0.95 * 0.05) / 0.95
    lo, hi = reduction_interval([Trials(one, 1.0) for one in arm], [Trials(one, 1.0) for one in base], 0.025)
    assert (lo > truth).mean() <= 0.025 + 0.02
    assert (hi < truth).mean() <= 0.025 + 0.02
    assert (hi > lo).all()


# ---- what must not matter, and which way things go ---------------------------------------------------------------

shares = st.floats(0, 1).map(lambda share: round(share, 3))
some = st.lists(shares, min_size=5, max_size=9)
targets = st.sampled_from([-0.5, 0.0, 0.4, 0.8])


@settings(max_examples=60, deadline=None)
@given(some, some, some, some, targets)
def test_order_and_units_do_not_matter(
    x: list[float], y: list[float], u: list[float], v: list[float], target: float
) -> None:
    arm = [trials(*x), trials(*[2 * one for one in u], horizon_s=2.0)]
    base = [trials(*y), trials(*[2 * one for one in v], horizon_s=2.0)]
    other_arm = [trials(*sorted(4000 * one for one in u), horizon_s=4000.0, weight=7.0)]
    other_base = [trials(*sorted(4000 * one for one in v), horizon_s=4000.0, weight=7.0)]
    other_arm.append(trials(*[2000 * one for one in reversed(x)], horizon_s=2000.0, weight=7.0))
    other_base.append(trials(*[2000 * one for one in reversed(y)], horizon_s=2000.0, weight=7.0))
    for test in (reduction_p, ruled_out_p, reduction_e):
        here, there = test(arm, base, target)[0], test(other_arm, other_base, target)[0]
        assert here == pytest.approx(there, rel=1e-6, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(some, some, targets, st.data())
def test_a_worse_arm_or_a_better_baseline_never_proves_more(
    x: list[float], y: list[float], target: float, data: st.DataObject
) -> None:
    p = reduction_p([trials(*x)], [trials(*y)], target)[0]
    e = reduction_e([trials(*x)], [trials(*y)], target)[0]
    at = data.draw(st.integers(0, min(len(x), len(y)) - 1))
    worse = [*x[:at], data.draw(st.floats(x[at], 1)), *x[at + 1 :]]
    better = [*y[:at], data.draw(st.floats(0, y[at])), *y[at + 1 :]]
    for arm, base in ((worse, y), (x, better)):
        assert reduction_p([trials(*arm)], [trials(*base)], target)[0] >= p - 1e-9
        assert reduction_e([trials(*arm)], [trials(*base)], target)[0] <= e * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(some, some, targets, st.sampled_from([0.025, 0.1]))
def test_the_interval_is_what_the_test_does_not_reject(x: list[float], y: list[float], target: float, a: float) -> None:
    found = reduction([trials(*x)], [trials(*y)], target, a)
    assert found.lo <= found.hi
    if abs(found.lo - target) > 1e-6:
        assert (found.p <= a) == (found.lo > target)
    if abs(found.hi - target) > 1e-6:
        assert (found.p_ruled_out <= a) == (found.hi < target)
    if found.estimate is not None:
        assert found.lo - 1e-9 <= found.estimate <= found.hi + 1e-9


@settings(max_examples=40, deadline=None)
@given(some, st.floats(0.1, 0.9), st.sampled_from([0.025, 0.1]))
def test_the_interval_of_a_mean_is_what_its_tests_do_not_reject(x: list[float], limit: float, a: float) -> None:
    (lo,), (hi,) = mean_interval([trials(*x)], a)
    assert lo - 1e-9 <= np.mean(x) <= hi + 1e-9
    if abs(hi - limit) > 1e-6:
        assert (mean_p_below([trials(*x)], limit)[0] <= a) == (hi < limit)
    if abs(lo - limit) > 1e-6:
        assert (mean_p_above([trials(*x)], limit)[0] <= a) == (lo > limit)


def test_many_campaigns_at_once_are_decided_like_each_alone() -> None:
    rng = np.random.default_rng(2)
    arm, base = np.minimum(rng.exponential(0.2, (2, 30, 5)), 1), np.minimum(rng.exponential(1.0, (2, 30, 5)), 1)
    arm[0, :3] = 0.0
    base[:, 4] = 0.0
    many = [Trials(one, 1.0) for one in arm], [Trials(one, 1.0) for one in base]
    for test in (reduction_p, ruled_out_p, reduction_e):
        alone = [test([Trials(a[k], 1.0) for a in arm], [Trials(b[k], 1.0) for b in base], 0.4)[0] for k in range(30)]
        assert test(*many, 0.4) == pytest.approx(np.array(alone), rel=1e-8)
    lo, hi = reduction_interval(*many, 0.025)
    assert lo[4] == -np.inf  # this baseline never hurt
    assert hi[0] == 1.0 or arm[1, 0].any()


# ---- lost trials, too few, nothing to compare --------------------------------------------------------------------


def test_lost_trials_count_as_the_worst_in_p_and_not_in_the_interval() -> None:
    arm, base = [trials(*[0.1] * 10)], [trials(*[1.0] * 10)]
    whole = reduction(arm, base, 0.4, 0.025)
    lossy = reduction([replace(arm[0], lost=2)], [replace(base[0], lost=1)], 0.4, 0.025)
    assert (lossy.lo, lossy.hi, lossy.estimate) == (whole.lo, whole.hi, whole.estimate)
    as_failed = reduction_p([trials(*[0.1] * 10, 1.0, 1.0)], [trials(*[1.0] * 10, 0.0)], 0.4)[0]
    assert lossy.p == pytest.approx(as_failed)
    assert lossy.p > whole.p
    assert lossy.p_ruled_out >= whole.p_ruled_out


def test_the_mean_of_an_arm_alone() -> None:
    arm = [trials(1.0, 2.0, 3.0, horizon_s=10.0), trials(*[4.0] * 4, horizon_s=20.0, weight=3.0, lost=1)]
    found = mean(arm, 12.0, 0.025)
    assert found.estimate_s == pytest.approx((2 + 3 * 4) / 4)
    assert found.lo_s < found.estimate_s < found.hi_s < 17.5
    assert found.trials == 7
    lost = [arm[0], trials(*[4.0] * 4, 20.0, horizon_s=20.0, weight=3.0)]
    assert found.p == pytest.approx(mean_p_below(lost, 12.0)[0])
    assert found.p > mean_p_below([arm[0], replace(arm[1], lost=0)], 12.0)[0]
    assert mean([trials(0.0, 0.0, lost=9)], 0.5, 0.025).p == 1.0


def test_how_short_the_horizon_may_be_for_the_verdict() -> None:
    """The arm takes 2 of 12 s, the baseline never recovers: at h the reduction is 1 - 2 / h, so 40 % at 3.3 s."""
    arm, base = [trials(*[2.0] * 30, horizon_s=12.0)], [trials(*[12.0] * 30, horizon_s=12.0)]
    found = proven_from(arm, base, 0.4, 0.025)
    assert found is not None
    assert 2 / 0.6 / 12 < found < 0.5

    def p_at(horizon_s: float) -> float:
        cut = (
            [trials(*[min(2.0, horizon_s)] * 30, horizon_s=horizon_s)],
            [trials(*[horizon_s] * 30, horizon_s=horizon_s)],
        )
        return float(reduction_p(*cut, 0.4)[0])

    assert p_at(12 * found) <= 0.025 < p_at(12 * (found - 0.01))
    assert proven_from(arm, base, 0.9, 0.025) is None
    assert proven_from([replace(arm[0], lost=20)], base, 0.4, 0.025) is None
    assert proven_from([trials(*[0.0] * 30)], [trials(*[1.0] * 30)], 0.4, 0.025) == 0.01


def test_fewer_than_five_pairs_decide_nothing() -> None:
    four = reduction([trials(0.0, 0.0)] * 2, [trials(1.0, 1.0, 1.0)] * 2, 0.0, 0.025)
    assert (four.pairs, four.p, four.p_ruled_out) == (4, 1.0, 1.0)
    five = reduction([trials(0.0, 0.0), trials(0.0, 0.0, 0.0)], [trials(1.0, 1.0, 1.0)] * 2, 0.0, 0.025)
    assert (five.pairs, FEWEST_PAIRS) == (5, 5)
    assert five.p < 0.025


def test_a_baseline_that_never_hurt_cannot_be_improved_on() -> None:
    found = reduction([trials(*[0.0] * 9)], [trials(*[0.0] * 9)], 0.4, 0.025)
    assert (found.estimate, found.lo, found.hi) == (None, -np.inf, 1.0)
    assert found.p == pytest.approx(1)


def test_two_arms_that_never_recover_decide_nothing() -> None:
    found = reduction([trials(*[1.0] * 9)], [trials(*[1.0] * 9)], 0.4, 0.025)
    assert found.p == 1.0
    assert found.lo < 0 < found.hi
    assert found.p_ruled_out < 0.2


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


few_trials = st.lists(st.lists(st.floats(0, 10), min_size=2, max_size=12), min_size=1, max_size=4)


@given(few_trials)
def test_interval_holds_the_mean_and_stays_in_the_horizon(values: list[list[float]]) -> None:
    drawn = [Trials(np.array(v), 10, 1) for v in values]
    lo, hi = interval(drawn, 0.025)
    assert lo is not None
    assert hi is not None
    assert 0 <= lo <= mean_over_scenarios(drawn) <= hi <= 10 + 1e-12


@given(few_trials, st.floats(0.1, 50))
def test_the_unit_of_time_does_not_matter_to_the_interval_of_a_mean(values: list[list[float]], unit: float) -> None:
    plain = interval([Trials(np.array(v), 10, 1) for v in values], 0.025)
    scaled = interval([Trials(np.array(v) * unit, 10 * unit, 1) for v in values], 0.025)
    for a, b in zip(plain, scaled, strict=True):
        assert b == pytest.approx((a or 0) * unit, rel=1e-6, abs=1e-9)
