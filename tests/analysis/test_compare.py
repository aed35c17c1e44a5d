"""The MTTR reduction in both scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from smartops_chaos.analysis import table
from smartops_chaos.analysis.cells import build, of_arm
from smartops_chaos.analysis.compare import Compared, Pair, Scope, at_share, compare, faults_like_these, these_scenarios
from smartops_chaos.analysis.estimate import Sample
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import Arm

OFF, ON = Arm("off", "default"), Arm("on", "default")
Trials = Callable[..., list[dict[str, Any]]]


def pair(arm: list[float], base: list[float], *, weight: float = 1, tau: float = 100, family: str = "kill") -> Pair:
    return Pair(family, Sample(np.array(arm), weight, tau), Sample(np.array(base), weight, 0.0))


def compared(
    rows: list[dict[str, Any]], scope: Scope = "these-scenarios", question: Question | None = None
) -> Compared:
    cells = build(table.from_rows(rows), question or Question(OFF))
    return compare(of_arm(cells, ON), of_arm(cells, OFF), 0.4, 0.025, scope)


def test_reduction_is_a_ratio_of_weighted_sums() -> None:
    found = these_scenarios([pair([10, 20], [40, 60], weight=3), pair([100, 100], [100, 100])], 0.4, 0.025)
    assert found.estimate == pytest.approx(1 - (3 * 15 + 100) / (3 * 50 + 100))


def test_upper_end_is_the_plain_log_delta_interval() -> None:
    arm, base = [8.0, 12, 9, 15], [31.0, 44, 25, 38]
    a, b = np.array(arm), np.array(base)
    va, vb = a.var(ddof=1) / 4 / a.mean() ** 2, b.var(ddof=1) / 4 / b.mean() ** 2
    df = (va + vb) ** 2 / (va**2 / 3 + vb**2 / 3)
    hi = 1 - a.mean() / b.mean() * np.exp(-stats.t.isf(0.025, df) * np.sqrt(va + vb))
    assert these_scenarios([pair(arm, base)], 0.4, 0.025).hi == pytest.approx(hi)


Scenarios: TypeAlias = list[tuple[list[float], list[float]]]
values = st.lists(st.floats(0, 100), min_size=2, max_size=8)


@given(values, values, st.floats(0, 0.9))
def test_lower_end_and_p_decide_alike(arm: list[float], base: list[float], target: float) -> None:
    assume(max(base) > 1e-3)
    found = these_scenarios([pair(arm, base)], target, 0.025)
    assert found.p is not None
    lo = -np.inf if found.lo is None else found.lo
    if abs(lo - target) > 1e-9:
        assert (found.p <= 0.025) == (lo > target)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4), st.floats(0.01, 100), st.floats(0, 0.9))
def test_the_unit_of_time_does_not_matter(scenarios: Scenarios, unit: float, r: float) -> None:
    assume(any(max(b) > 1e-3 for _, b in scenarios))
    plain = these_scenarios([pair(a, b) for a, b in scenarios], r, 0.025)
    scaled = [pair([unit * v for v in a], [unit * v for v in b], tau=100 * unit) for a, b in scenarios]
    found = these_scenarios(scaled, r, 0.025)
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-6, abs=1e-9)
    assert found.p == pytest.approx(plain.p, abs=1e-6)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_interval_holds_the_estimate(scenarios: Scenarios) -> None:
    assume(any(max(b) > 1e-3 for _, b in scenarios))
    found = these_scenarios([pair(a, b) for a, b in scenarios], 0.4, 0.025)
    assert found.hi is not None
    assert found.estimate is not None
    assert (-np.inf if found.lo is None else found.lo) <= found.estimate <= found.hi <= 1


@given(values, values, st.integers(0, 7))
def test_a_worse_trial_never_helps_the_estimate(arm: list[float], base: list[float], which: int) -> None:
    assume(max(base) > 1e-3)
    worse = list(arm)
    worse[which % len(arm)] = 100
    before, after = (these_scenarios([pair(a, base)], 0.4, 0.025).estimate for a in (arm, worse))
    assert before is not None
    assert after is not None
    assert after <= before


def test_horizon_is_moved_for_all_times() -> None:
    cut = at_share([pair([10, 80], [100, 100])], 0.5)[0]
    assert (cut.arm.values.tolist(), cut.base.values.tolist(), cut.arm.worst) == ([10, 50], [50, 50], 50)


def test_dropping_failures_would_make_the_worse_arm_look_47_percent_better(trials: Trials) -> None:
    # the arm gives up in 30 % of the trials: 60 s or never against 113 s and 5 % never; tau = 300 s
    rng = np.random.default_rng(1)
    sigma = np.sqrt(np.log1p(0.36))

    def times(mean: float, failed: int) -> list[float]:
        healed = np.minimum(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, 400 - failed), 299)
        return [*healed.tolist(), *[300.0] * failed]

    arm, base = times(60, 120), times(120, 20)
    healed_only = 1 - np.mean([t for t in arm if t < 300]) / np.mean([t for t in base if t < 300])
    assert healed_only > 0.44
    found = compared(trials("off", base, horizon_s=300) + trials("on", arm, horizon_s=300))
    assert found.mttr_reduction.estimate == pytest.approx(-0.04, abs=0.06)
    assert found.p == pytest.approx(1)


@pytest.mark.parametrize(
    ("off", "on", "says"),
    [
        ([100, 100, 100], [5, 5], "kill / steady has 2 counted trials in on"),
        ([0, 0, 0], [0, 0, 0], "never bad in the baseline"),
        ([0, 0, 0], [5, 5, 5], "never bad in the baseline"),
        ([100, 100, 100], [100, 100, 100], "no trial of either arm recovered"),
    ],
)
def test_undecidable(trials: Trials, off: list[float], on: list[float], says: str) -> None:
    found = compared(trials("off", off) + trials("on", on))
    assert says in found.undecidable
    assert found.p == 1


def test_no_common_scenario(trials: Trials) -> None:
    found = compared(trials("off", [1, 2, 3]) + trials("on", [1, 2, 3], chaos="cpu"))
    assert found.undecidable == "no fault scenario was run in both this arm and the baseline"
    assert found.mttr_reduction.estimate is None


def test_only_common_scenarios_are_compared(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30]) + trials("on", [5, 10, 15]) + trials("on", [99, 99, 99], chaos="cpu")
    assert compared(rows).mttr_reduction.estimate == pytest.approx(0.5)
    assert list(compared(rows).by_scenario) == ["kill / steady"]


def test_all_prevented_is_provable_and_all_failed_is_not(trials: Trials) -> None:
    prevented = compared(trials("off", [100] * 20) + trials("on", [0] * 20))
    assert prevented.mttr_reduction.estimate == 1
    assert prevented.p < 0.001
    failed = compared(trials("off", [50, 60, 70]) + trials("on", [100] * 3))
    assert failed.mttr_reduction.estimate is not None
    assert failed.mttr_reduction.estimate < 0
    assert failed.p > 0.9


def test_a_reduction_that_is_due_to_a_long_horizon_fails_at_half_of_it(trials: Trials) -> None:
    # the arm heals after 52 s of 100 s, the baseline never: half the horizon sees nothing of it
    found = compared(trials("off", [100] * 50) + trials("on", [51, 52, 53, 54, 55] * 10))
    assert found.mttr_reduction.p is not None
    assert found.mttr_reduction.p < 0.025
    assert found.at_horizons["tau/2"].estimate == 0
    assert found.p > 0.9


def test_lost_trials_count_against_the_arm(trials: Trials) -> None:
    good = trials("off", [80, 90, 100, 100] * 5) + trials("on", [5, 6, 7, 8] * 5)
    assert compared(good).p < 0.001
    lost = [
        {**row, "outcome": "invalid", "time_s": None} if n in (20, 25, 30, 35, 39) else row
        for n, row in enumerate(good)
    ]
    assert compared(lost).worst_p is not None
    assert compared(lost).p > compared(good).p * 10
    dropped = [row for row in lost if row["outcome"] != "invalid"]
    assert compared(dropped).p == pytest.approx(compared(lost).p)


def test_from_impact_needs_every_trial(trials: Trials) -> None:
    rows = trials("off", [60, 80, 100], ttr_impact_s=50) + trials("on", [20, 0, 40], ttr_impact_s=25)
    found = compared(rows)
    assert found.from_impact.estimate == pytest.approx(1 - (25 + 0 + 25) / 150)
    rows[0]["ttr_impact_s"] = None
    assert compared(rows).from_impact.estimate is None
    assert compared(trials("off", [60, 80, 100]) + trials("on", [20, 0, 40])).from_impact.estimate is None


def families(n: int, trials: Trials) -> list[dict[str, Any]]:
    rng = np.random.default_rng(2)
    return [
        row
        for f in range(n)
        for level in ("low", "high")
        for model, mean in (("off", 80), ("on", 10 + 2 * f))
        for row in trials(model, rng.uniform(0.8 * mean, 1.2 * mean, 3).tolist(), chaos=f"{level}-{f}", family=f"f{f}")
    ]


def test_faults_like_these_has_the_family_as_unit(trials: Trials) -> None:
    rows = families(6, trials)
    found = compared(rows, "faults-like-these")
    means = {
        m: np.array(
            [np.mean([r["time_s"] for r in rows if r["model"] == m and r["family"] == f"f{f}"]) for f in range(6)]
        )
        for m in ("off", "on")
    }
    difference = means["on"] - 0.6 * means["off"]
    ratio = means["on"].sum() / means["off"].sum()
    twice = np.append(difference, difference[(means["on"] - ratio * means["off"]).argmax()])
    expected = stats.t.cdf(stats.ttest_1samp(twice, 0).statistic, 5)  # the worst counts twice, but is no further unit
    assert found.mttr_reduction.p == pytest.approx(expected)
    assert found.mttr_reduction.p > stats.ttest_1samp(difference, 0, alternative="less").pvalue
    assert found.mttr_reduction.estimate == pytest.approx(1 - means["on"].sum() / means["off"].sum())
    assert found.undecidable == ""


def test_faults_like_these_needs_six_families(trials: Trials) -> None:
    found = compared(families(5, trials), "faults-like-these")
    assert found.undecidable == "5 fault families, 6 are needed to speak about others like them"
    assert found.mttr_reduction.lo is None
    assert found.p == 1


def test_fieller_inverts_the_t_test() -> None:
    rng = np.random.default_rng(3)
    pairs = [pair([a], [b], family=str(f)) for f, (a, b) in enumerate(rng.uniform([5, 50], [25, 90], (8, 2)))]
    found = faults_like_these(pairs, 0.4, 0.025)
    assert found.lo is not None
    assert found.hi is not None
    assert faults_like_these(pairs, found.lo, 0.025).p == pytest.approx(0.025)
    assert found.hi > found.lo
