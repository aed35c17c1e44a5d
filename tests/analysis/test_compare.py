"""The MTTR reduction in both scopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from smartops_chaos.analysis import table
from smartops_chaos.analysis.cells import build, of_arm
from smartops_chaos.analysis.compare import Compared, Scope, compare
from smartops_chaos.analysis.likelihood_ratio import paired_interval, paired_p
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import Arm

OFF, ON = Arm("off", "default"), Arm("on", "default")
Trials = Callable[..., list[dict[str, Any]]]


def compared(
    rows: list[dict[str, Any]], scope: Scope = "these-scenarios", question: Question | None = None
) -> Compared:
    cells = build(table.from_rows(rows), question or Question(OFF))
    return compare(of_arm(cells, ON), of_arm(cells, OFF), 0.4, 0.025, scope)


def test_reduction_is_a_ratio_of_weighted_sums(trials: Trials) -> None:
    rows = trials("off", [40, 60] * 3) + trials("on", [10, 20] * 3)
    rows += trials("off", [100] * 4, chaos="cpu") + trials("on", [100] * 4, chaos="cpu")
    found = compared(rows, question=Question(OFF, weights={"kill": 3.0}))
    assert found.mttr_reduction.estimate == pytest.approx(1 - (3 * 15 + 100) / (3 * 50 + 100))
    assert found.shares == pytest.approx({"kill / steady": 0.6, "cpu / steady": 0.4})


def test_the_likelihood_ratio_pooled_over_the_scenarios_decides(trials: Trials) -> None:
    rows = trials("off", [100] * 3) + trials("on", [0] * 3)
    rows += trials("off", [100] * 3, chaos="cpu") + trials("on", [0] * 3, chaos="cpu")
    found = compared(rows)
    assert found.p == found.mttr_reduction.p == pytest.approx(0.0052, abs=5e-5)  # (max p (1 - p / 0.6))^6
    assert found.mttr_reduction.lo is not None
    assert found.mttr_reduction.lo > 0.4


@pytest.mark.parametrize("looks", [False, True])
def test_lower_end_and_p_decide_alike(trials: Trials, looks: bool) -> None:
    rng = np.random.default_rng(4)
    for _ in range(6):
        off, on = rng.uniform(50, 100, 8).tolist(), rng.uniform(5, 45, 8).tolist()
        cells = build(table.from_rows(trials("off", off) + trials("on", on)), Question(OFF))
        found = compare(of_arm(cells, ON), of_arm(cells, OFF), 0.4, 0.025, "these-scenarios", looks=looks)
        assert found.mttr_reduction.lo is not None
        if abs(found.mttr_reduction.lo - 0.4) > 1e-3:
            assert (found.p <= 0.025) == (found.mttr_reduction.lo > 0.4)


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
        ([100] * 6, [5] * 4, "4 counted trials here and 6 in the baseline: 5 of each are needed"),
        ([0] * 5, [0] * 5, "never bad in the baseline"),
        ([0] * 5, [5] * 5, "never bad in the baseline"),
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


def test_all_prevented_is_provable_and_all_failed_is_ruled_out(trials: Trials) -> None:
    prevented = compared(trials("off", [100] * 20) + trials("on", [0] * 20))
    assert prevented.mttr_reduction.estimate == 1
    assert prevented.p < 0.001
    failed = compared(trials("off", [100] * 20) + trials("on", [100] * 20))
    assert failed.mttr_reduction.estimate == 0
    assert failed.p == 1
    assert failed.p_ruled_out < 0.001


def test_at_shorter_horizons(trials: Trials) -> None:
    found = compared(trials("off", [100] * 6) + trials("on", [60] * 6))
    assert found.at_horizons["tau"].estimate == pytest.approx(0.4)
    assert found.at_horizons["tau/2"].estimate == 0


def test_a_later_impact_gains_nothing(trials: Trials) -> None:
    # neither recovers; the arm only delays the impact by 90 s
    off = [row | {"ttr_impact_s": 99.0} for row in trials("off", [100] * 6)]
    on = [row | {"ttr_impact_s": 10.0} for row in trials("on", [100] * 6)]
    found = compared(off + on)
    assert found.from_impact.estimate == 0
    assert found.from_impact.p is None


def test_from_impact_needs_every_trial(trials: Trials) -> None:
    rows = trials("off", [60, 80, 100] * 2) + trials("on", [20, 0, 40] * 2)
    for row, since in zip(rows, [50, 60, 70] * 2 + [10, None, 30] * 2, strict=True):
        row["ttr_impact_s"] = since
    assert compared(rows).from_impact.estimate == pytest.approx(1 - (10 + 0 + 30) / (50 + 60 + 100))
    rows[0]["ttr_impact_s"] = None
    assert compared(rows).from_impact.estimate is None
    without = trials("off", [60, 80, 100]) + trials("on", [20, 0, 40])
    assert compared(without).from_impact.estimate is None


def test_lost_trials_are_a_range(trials: Trials) -> None:
    lost = [row | {"outcome": "error", "time_s": None} for row in trials("on", [1] * 2) + trials("off", [1])]
    found = compared(trials("off", [80] * 8) + trials("on", [20] * 7) + lost).mttr_reduction
    assert found.estimate == pytest.approx(0.75)
    assert found.at_worst == pytest.approx(1 - (7 * 20 + 200) / 9 / (640 / 9))
    assert found.at_best == pytest.approx(1 - 7 * 20 / 9 / ((640 + 100) / 9))


def test_faults_like_these_has_the_family_as_unit_and_one_worst_family(trials: Trials) -> None:
    rows = [row for f in range(12) for row in family(trials, f, 100, 1)]
    found = compared(rows, "faults-like-these")
    # how likely 12 such families are if just so many are of the worst kind that 40 % are missed
    worst = 0.59 / 1.59
    assert found.p == pytest.approx((1 - worst) ** 12)
    assert found.p <= 0.025
    seven = compared([row for f in range(7) for row in family(trials, f, 100, 1)], "faults-like-these")
    assert seven.p > 0.025
    assert seven.undecidable == ""
    bad = rows + family(trials, 12, 50, 100) + family(trials, 13, 50, 100) + family(trials, 14, 50, 100)
    assert compared(bad, "faults-like-these").p > 0.025


def family(trials: Trials, number: int, off: float, on: float) -> list[dict[str, Any]]:
    named = {"chaos": f"fault-{number}", "family": f"f{number}"}
    return trials("off", [off] * 2, **named) + trials("on", [on] * 2, **named)


def test_faults_like_these_needs_six_families(trials: Trials) -> None:
    found = compared([row for f in range(5) for row in family(trials, f, 100, 1)], "faults-like-these")
    assert found.undecidable == "5 fault families, 6 are needed to speak about others like them"
    assert found.mttr_reduction.lo is None
    assert found.mttr_reduction.estimate == pytest.approx(0.99)
    assert found.p == 1


def test_one_family_in_fifteen_three_times_slower_proves_nothing_falsely() -> None:
    """On the border: over all families the mean falls by 40 % exactly, but few campaigns see a slow one."""
    rng = np.random.default_rng(3)
    slow, fast = 3.0, (0.6 - 3 / 15) * 15 / 14
    false = 0
    for _ in range(400):
        base = rng.uniform(0.2, 0.3, 8)
        arm = base * np.where(rng.random(8) < 1 / 15, slow, fast)
        false += paired_p(arm, base, 0.4) <= 0.025
    assert false <= 10


def test_the_interval_over_families_inverts_its_test() -> None:
    rng = np.random.default_rng(3)
    arm, base = rng.uniform([0.05, 0.5], [0.25, 0.9], (10, 2)).T
    lo, hi = paired_interval(arm, base, 0.025)
    assert lo < 1 - arm.mean() / base.mean() < hi
    assert paired_p(arm, base, lo) == pytest.approx(0.025, rel=0.01)
    assert paired_p(base, arm, 1 - 1 / (1 - hi)) == pytest.approx(0.025, rel=0.01)
