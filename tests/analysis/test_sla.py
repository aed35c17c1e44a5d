"""Availability by hand, by simulation, and at its unfavourable end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.analysis import cells, likelihood_ratio, sla, table
from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import Arm, Sla

TAU_S = 100.0
HOUR = Sla(3600.0, 5)


def cell(bad_s: list[float], *, chaos: str = "kill", tau_s: float = TAU_S, weight: float = 1.0, lost: int = 0) -> Cell:
    """A cell of these bad seconds; what is bad to the horizon has not recovered."""
    told = {"chaos": chaos, "workload": "steady", "model": "on", "policy": "default", "horizon_s": tau_s}
    rows: list[dict[str, object]] = [
        {
            **told,
            "outcome": "unrecovered" if s >= tau_s else "healed" if s else "no_effect",
            "time_s": s,
            "bad_seconds": s,
        }
        for s in bad_s
    ]
    rows += [{**told, "outcome": "error", "time_s": None, "bad_seconds": None}] * lost
    arm = Arm("on", "default")
    planned = Question(arm, weights={chaos: weight})
    (found,) = cells.build(table.from_rows(rows), planned)
    return found


def test_the_lower_end_is_the_availability_of_the_longest_mean_that_the_trials_allow() -> None:
    """Without a failure among 20 trials that take no time, Clopper and Pearson: 1 - 0.025^(1/20) of them may fail."""
    arm_cells = [cell([0.0] * 20)]
    hidden = 1 - 0.025 ** (1 / 20)
    found = sla.availability(arm_cells, HOUR, 0.99, 0.025, None)
    assert (found.availability, found.hi) == (1.0, 1.0)
    assert found.lo == pytest.approx(1 - 5 * hidden * TAU_S / 3600)
    assert sla.decide(arm_cells, HOUR, 0.99, 0.025).bound == pytest.approx(found.lo)


@settings(max_examples=30)
@given(st.lists(st.floats(1.0, 99.0), min_size=5, max_size=12), st.floats(0.9, 0.9999))
def test_the_bound_lies_below_and_agrees_with_the_decision(bad_s: list[float], target: float) -> None:
    arm_cells = [cell(bad_s)]
    found = sla.availability(arm_cells, HOUR, target, 0.025, None)
    assert found.lo is not None
    assert found.availability is not None
    assert found.hi is not None
    assert found.lo < found.availability < found.hi
    assert found.lo >= 1 - 5 * TAU_S / 3600
    test = sla.decide(arm_cells, HOUR, target, 0.025)
    if test.bound is not None and abs(test.bound - target) > 1e-6:
        assert (test.p <= 0.025) == (test.bound > target)
        assert (test.p_ruled_out <= 0.025) == (found.hi < target) or abs(found.hi - target) < 1e-6


def test_lost_trials_count_at_their_worst_for_a_proof_and_at_their_best_against_it() -> None:
    target = 1 - 5 * 30 / 3600
    good, lost = ([cell([5.0] * 20, lost=n)] for n in (0, 20))
    assert sla.decide(good, HOUR, target, 0.025).p < 0.025 < sla.decide(lost, HOUR, target, 0.025).p
    bad, unknown = ([cell([60.0] * 20, lost=n)] for n in (0, 40))
    assert sla.decide(bad, HOUR, target, 0.025).p_ruled_out < 0.025
    assert sla.decide(unknown, HOUR, target, 0.025).p_ruled_out > 0.025


def test_what_never_recovered_costs_the_person_s_repair_as_well() -> None:
    with_repair = Sla(3600.0, 5, repair_s=50.0)
    arm_cells = [cell([10.0, 10.0, 10.0, TAU_S])]
    found = [sla.availability(arm_cells, one, 0.9, 0.025, None).availability for one in (HOUR, with_repair)]
    assert found == pytest.approx([1 - 5 * 130 / 4 / 3600, 1 - 5 * 180 / 4 / 3600])
    lows = [sla.availability(arm_cells, one, 0.9, 0.025, None).lo for one in (HOUR, with_repair)]
    assert lows[1] < lows[0], "an unseen failure costs it too"
    assert "each 50s longer if it never recovered" in sla.says(0.9, None, with_repair, 0.9)


def test_a_target_that_holds_whatever_the_healer_does_is_trivial() -> None:
    arm_cells = [cell([5.0] * 3), cell([5.0] * 3, chaos="cpu", tau_s=300.0)]  # 200 s on average at worst
    window_s = 5 * 200 / (1 - 0.99)
    assert sla.asks_nothing(arm_cells, Sla(window_s * 1.001, 5), 0.99)
    assert not sla.asks_nothing(arm_cells, Sla(window_s * 0.999, 5), 0.99)
    assert not sla.asks_nothing(arm_cells, Sla(window_s * 1.001, 5, repair_s=1.0), 0.99)
    test = sla.decide(arm_cells, Sla(window_s * 1.001, 5), 0.99, 0.025)
    assert test.p == test.p_ruled_out == 1.0
    assert test.trivial.startswith("99 % hold whatever the healer does")
    assert sla.decide(arm_cells, Sla(window_s * 0.999, 5), 0.99, 0.025).trivial == ""


def test_too_few_trials_decide_nothing() -> None:
    assert "4 counted trials" in sla.decide([cell([5.0] * 4)], HOUR, 0.99, 0.025).undecidable
    assert not sla.decide([cell([5.0] * 5)], HOUR, 0.99, 0.025).undecidable
    missing = [cell([5.0] * 5), cell([], chaos="cpu", lost=1)]
    assert "no counted trial in cpu / steady" in sla.decide(missing, HOUR, 0.99, 0.025).undecidable


def test_the_scenarios_are_weighted() -> None:
    arm_cells = [cell([10.0] * 4, weight=3.0), cell([50.0] * 8, chaos="cpu")]
    assert sla.availability(arm_cells, HOUR, 0.9, 0.025, None).availability == pytest.approx(1 - 5 * 20 / 3600)
    assert sla.budget_used(arm_cells, HOUR, 0.9) == pytest.approx(5 * 20 / 360)


def test_a_window_of_a_day_is_told_in_days() -> None:
    told = [sla.window(Sla(seconds, 1)) for seconds in (86399.0, 86400.0, 30 * 86400.0)]
    assert told[1:] == ["1 days", "30 days"]
    assert "days" not in told[0]


# ---- windows that keep it ------------------------------------------------------------------------------------


def kept(trials: list[Cell], agreed: Sla, target: float) -> float:
    return sla.windows_kept(sla.samples(trials, agreed), agreed, target)


def test_a_rare_failure_costs_a_window_and_hardly_the_mean() -> None:
    """5 % failures of an hour, 4 faults a month: the mean keeps 99.9 %, and 18 % of the months do not."""
    agreed = Sla(30 * 86400.0, 4)
    arm_cells = [cell([100.0] * 19 + [3600.0], tau_s=3600.0)]
    value = sla.availability(arm_cells, agreed, 0.999, 0.025, None).availability
    assert value is not None
    assert value > 0.999
    assert kept(arm_cells, agreed, 0.999) == pytest.approx(np.exp(-4 * 0.05), abs=0.01)


@pytest.mark.parametrize("faults", [0.5, 20.0, 5000.0])
def test_the_share_of_windows_is_that_of_simulated_ones(faults: float) -> None:
    rng = np.random.default_rng(3)
    bad_s = rng.exponential(20.0, 30).clip(max=TAU_S)
    agreed = Sla(faults * 1e6, faults)
    allowed_s = bad_s.mean() * faults * 1.02 + 10
    target = 1 - allowed_s / agreed.window_s
    windows = [rng.choice(bad_s, n).sum() <= allowed_s for n in rng.poisson(faults, 3000)]
    share = float(np.mean(windows))
    error = np.sqrt(share * (1 - share) / 3000)
    assert kept([cell(bad_s.tolist())], agreed, target) == pytest.approx(share, abs=4 * error + 0.003)


def test_faults_that_cost_nothing_or_everything() -> None:
    assert kept([cell([0.0] * 5)], HOUR, 0.99) == 1.0
    assert kept([cell([99.0] * 5)], HOUR, 0.99) == pytest.approx(np.exp(-5))  # only a window without a fault


def test_the_mean_is_that_of_the_test() -> None:
    arm_cells = [cell([10.0, 20.0, 99.0, 5.0, 7.0])]
    mean = likelihood_ratio.mean(sla.samples(arm_cells, HOUR), 50.0, 0.025)
    found = sla.availability(arm_cells, HOUR, 0.99, 0.025, None)
    assert (found.availability, found.lo, found.hi) == pytest.approx(
        tuple(1 - 5 * s / 3600 for s in (mean.estimate_s, mean.hi_s, mean.lo_s))
    )
