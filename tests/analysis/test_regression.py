"""Two campaigns against each other: the ratio of ratios, its errors on simulated truth, and what is not comparable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from smartops_chaos import api
from smartops_chaos.analysis import cells, likeness, load, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.regression import ArmChange, Regression, Side, regress
from smartops_chaos.cli.commands import app
from smartops_chaos.cli.compare_command import verdict
from smartops_chaos.model import Arm
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped

Trials = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]
OFF = Arm("off", "default")


def side(name: str, rows: Rows) -> Side:
    return Side(name, OFF, cells.build(table.from_rows(rows), Question(OFF)))


def compared(old: Rows, new: Rows, limit: float = 0.1) -> Regression:
    return regress(side("old", old), side("new", new), limit=limit, alpha=0.025)


def only(found: Regression) -> ArmChange:
    (arm,) = found.arms
    return arm


def drawn(rng: np.random.Generator, mean: float, n: int, fails: float = 0.0) -> list[float]:
    times = np.minimum(rng.lognormal(np.log(mean) - 0.15, 0.55, n), 100)
    return np.where(rng.random(n) < fails, 100.0, times).tolist()


def test_each_campaign_is_relative_to_its_own_baseline(trials: Trials) -> None:
    # a machine twice as slow: everything takes twice as long, nothing has changed
    old = trials("off", [40, 50, 60] * 10) + trials("on", [8, 10, 12] * 10)
    new = trials("off", [80, 90, 100] * 10) + trials("on", [16, 18, 20] * 10)
    arm = only(compared(old, new))
    assert (arm.old_relative, arm.new_relative) == (pytest.approx(0.2), pytest.approx(0.2))
    assert arm.slowdown.estimate == pytest.approx(0, abs=0.01)
    assert arm.direction == "no difference shown"


def test_the_interval_is_about_that_of_the_delta_method_where_trials_are_many(trials: Trials) -> None:
    rng = np.random.default_rng(1)
    times = [drawn(rng, mean, 200) for mean in (50, 10, 50, 15)]
    old = trials("off", times[0]) + trials("on", times[1])
    new = trials("off", times[2]) + trials("on", times[3])
    found = only(compared(old, new)).slowdown
    values = [np.array(t) for t in times]
    old_base, old_arm, new_base, new_arm = (v.mean() for v in values)
    variances = [v.var(ddof=1) / len(v) / v.mean() ** 2 for v in values]
    base, noise = np.log(new_base / old_base), variances[0] + variances[2]
    taken_out = max(0.0, 1 - 0.5 * noise / base**2)
    log = np.log(new_arm / old_arm) - taken_out * base
    error = np.sqrt(variances[1] + variances[3] + taken_out * noise)
    assert found.estimate == pytest.approx(np.expm1(log), rel=0.01)
    assert found.lo is not None
    assert found.hi is not None
    assert np.log1p([found.lo, found.hi]) == pytest.approx([log - 1.96 * error, log + 1.96 * error], abs=0.25 * error)


def night(rng: np.random.Generator, slow: float, trials: Trials, *, name: str = "night", sigma: float = 0.2) -> Side:
    """A campaign whose baseline never recovers, on a machine so much slower."""
    times = (10 * slow * rng.lognormal(0, sigma, 20)).clip(max=100)
    return side(name, trials("off", [100.0] * 20) + trials("on", times.tolist()))


def test_former_nights_are_the_gate_s_second_standard_error(trials: Trials) -> None:
    """Nights differ by a third; one that is half as slow again is a change of two nights, not of the code."""
    rng = np.random.default_rng(8)
    old, new = night(rng, 1.0, trials), night(rng, 1.5, trials)
    former = [night(rng, slow, trials) for slow in (0.7, 0.8, 1.0, 1.2, 1.4, 0.9)]
    alone, known = (only(regress(old, new, limit=0.1, alpha=0.025, nights=some)) for some in (former[:4], former))
    assert (alone.direction, alone.gate, alone.nights, alone.night_spread) == ("slower", "exceeded", 0, None)
    assert (known.direction, known.gate, known.nights) == ("slower", "open", 6)
    assert known.night_spread == pytest.approx(np.log([0.7, 0.8, 1.0, 1.2, 1.4, 0.9]).std(ddof=1), abs=0.08)
    assert known.p_exceeded is not None
    assert alone.p_exceeded is not None
    assert known.p_exceeded > alone.p_exceeded
    steady = [night(rng, 1.0, trials) for _ in range(6)]
    assert only(regress(old, new, limit=0.1, alpha=0.025, nights=steady)).gate == "exceeded"


def test_a_baseline_at_its_horizon_cancels_nothing_and_the_calibration_s_drain_is_the_yardstick(trials: Trials) -> None:
    rng = np.random.default_rng(9)
    old, new = night(rng, 1.0, trials), night(rng, 1.5, trials)
    told = only(regress(old, new, limit=0.1, alpha=0.025))
    assert told.direction == "slower"
    assert told.mind == (
        "kill / steady: the baseline is at its horizon, so what slows the machine as a whole does not cancel out, and "
        "no calibration of both campaigns tells how fast the service itself was",
    )
    drained = [replace(one, drain_s={"kill / steady": s}) for one, s in ((old, 0.5), (new, 5.5))]
    told = only(regress(*drained, limit=0.1, alpha=0.025))
    assert (told.direction, told.gate) == ("no difference shown", "open")
    assert "the service itself needed 5.0 s longer in NEW" in told.mind[0]
    assert told.slowdown.lo is not None
    assert told.slowdown.lo < 0 < (told.slowdown.estimate or 0)
    quicker = [replace(one, drain_s={"kill / steady": s}) for one, s in ((old, 5.5), (new, 0.5))]
    assert only(regress(*quicker, limit=0.1, alpha=0.025)).direction == "slower", "shown with and without the drain"


def test_a_scenario_whose_instrument_was_off_in_one_night_is_not_compared(trials: Trials) -> None:
    """Its recovery was dated 3 s late, though the harness itself had ended the fault."""
    rows = trials("off", [50] * 5) + trials("on", [10] * 5)
    ended = {"phase": "calibrate", "fault_end_s": 9.0, "fault_end_by": "harness", "dating_error_s": 3.0}
    off = trials("off", [12.0], recovered_lo_s=11.9, recovered_hi_s=12.1, **ended)
    asked = Question(OFF)
    old, new = (load.side_of(name, asked, table.from_rows(some)) for name, some in (("old", rows), ("new", rows + off)))
    found = regress(old, new, limit=0.1, alpha=0.025)
    assert "in NEW, the calibration of kill / steady is off by +3.0 s" in found.not_compared["kill / steady"]
    assert (only(found).direction, only(found).why) == ("undecidable", found.not_compared["kill / steady"])
    assert verdict(found, non_inferior=False)[0] is False
    assert only(regress(old, old, limit=0.1, alpha=0.025)).direction == "no difference shown"


def test_a_drain_says_nothing_where_the_baseline_recovers(trials: Trials) -> None:
    rng = np.random.default_rng(10)
    rows = [trials("off", drawn(rng, 40, 20)) + trials("on", drawn(rng, mean, 20)) for mean in (10, 30)]
    sides = [replace(side("n", one), drain_s={"kill / steady": s}) for one, s in zip(rows, (0.0, 20.0), strict=True)]
    told = only(regress(*sides, limit=0.1, alpha=0.025))
    assert (told.direction, told.mind) == ("slower", ())


def test_a_slowdown_is_found_and_named(trials: Trials) -> None:
    rng = np.random.default_rng(3)
    old = trials("off", drawn(rng, 50, 50)) + trials("on", drawn(rng, 10, 50)) + trials("fine", drawn(rng, 10, 50))
    new = trials("off", drawn(rng, 50, 50)) + trials("on", drawn(rng, 40, 50)) + trials("fine", drawn(rng, 10, 50))
    found = compared(old, new)
    assert {a.arm.model: a.direction for a in found.arms} == {"on": "slower", "fine": "no difference shown"}
    assert {a.arm.model: a.gate for a in found.arms} == {"on": "exceeded", "fine": "open"}
    back = {a.arm.model: a for a in compared(new, old).arms}
    assert (back["on"].direction, back["on"].gate) == ("faster", "kept")
    assert found.arms[1].p_exceeded == pytest.approx(
        2 * (only(compared(*[[r for r in rows if r["model"] != "fine"] for rows in (old, new)])).p_exceeded or 0)
    )


def test_a_usual_trial_that_takes_longer_is_told_though_the_mean_does_not_show_it(trials: Trials) -> None:
    base = trials("off", [100] * 8)
    times = [8, 9, 9.5, 10, 11, 12, 13, 100], [18, 19, 20, 21, 22, 24, 26, 27]
    told = only(compared(base + trials("on", times[0]), base + trials("on", times[1])))
    assert (told.direction, told.gate) == ("slower", "open")
    assert (told.slowdown.lo or -1) < 0
    assert "what differs is how long a usual trial took" in told.mind[-1]
    back = only(compared(base + trials("on", times[1]), base + trials("on", times[0])))
    assert (back.direction, back.p_different) == ("faster", pytest.approx(told.p_different, abs=0.01))


def test_lost_trials_cannot_buy_non_inferiority(trials: Trials) -> None:
    rng = np.random.default_rng(4)
    old = trials("off", drawn(rng, 50, 60)) + trials("on", drawn(rng, 30, 60))
    new = trials("off", drawn(rng, 50, 60)) + trials("on", drawn(rng, 10, 60))
    assert only(compared(old, new)).gate == "kept"
    lost = [row | {"outcome": "error", "time_s": None} for row in trials("on", [1] * 30)]
    assert only(compared(old, new + lost)).gate == "open"


def test_at_the_shorter_horizon(trials: Trials) -> None:
    old = trials("off", [50] * 3, horizon_s=50) + trials("on", [10, 20, 30], horizon_s=50)
    new = trials("off", [80, 90, 100]) + trials("on", [10, 20, 90])
    found = compared(old, new)
    assert found.horizons_s == {"kill / steady": 50}
    assert only(found).new_relative == pytest.approx((10 + 20 + 50) / 150)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (([50] * 3, [1, 2]), ([50] * 3, [1, 2, 3]), "no scenario has 3 counted trials"),
        (([0] * 3, [1, 2, 3]), ([50] * 3, [1, 2, 3]), "never bad in the baseline of OLD"),
        (([50] * 3, [0] * 3), ([50] * 3, [0] * 3), "never bad with this arm"),
        (([100] * 3, [100] * 3), ([100] * 3, [100] * 3), "no trial of either campaign recovered"),
    ],
)
def test_what_cannot_be_said_is_undecidable(
    old: tuple[list[float], list[float]], new: tuple[list[float], list[float]], why: str, trials: Trials
) -> None:
    rows = [trials("off", base) + trials("on", arm) for base, arm in (old, new)]
    found = compared(*rows)
    assert why in only(found).why
    assert verdict(found, non_inferior=False)[0] is False


def test_healed_at_once_before_and_slow_now_has_no_ratio_but_a_bound(trials: Trials) -> None:
    old = trials("off", [50] * 40) + trials("on", [0] * 40)
    found = only(compared(old, trials("off", [50] * 40) + trials("on", [40.0, 50.0] * 20)))
    assert found.slowdown.estimate is None
    assert found.slowdown.lo is not None
    assert found.slowdown.lo > 1
    assert found.gate == "exceeded"


def test_what_is_in_one_only_is_said(trials: Trials) -> None:
    both = trials("off", [50, 60, 70]) + trials("on", [1, 2, 3])
    found = compared(
        both + trials("off", [50, 60, 70], chaos="cpu") + trials("old", [1, 2, 3]), both + trials("new", [1, 2, 3])
    )
    assert found.not_compared == {"arm new": "only in NEW", "arm old": "only in OLD", "cpu / steady": "only in OLD"}
    assert verdict(compared(both + trials("x", [1]), trials("off", [1, 2, 3])), non_inferior=False) == (
        False,
        ["FAIL no arm is in both old and new"],
    )


def test_plans_say_what_is_the_same_thing() -> None:
    plan = load_plan(shipped("matrix", "quick.yaml"))
    assert (likeness.unlike(plan, plan), likeness.cautions(plan, plan)) == ({}, ())
    (level, *_) = [c for c in plan.chaos.values() if c.parts]
    other = replace(
        plan,
        chaos=plan.chaos | {level.name: replace(level, parts=level.parts * 2, horizon_s=30.0)},
        models=plan.models | {"zscore": replace(plan.models["zscore"], settings={"detector": "other"})},
        analysis=replace(plan.analysis, slo=replace(plan.analysis.slo, latency_s=0.3), weights={"x": 2.0}),
    )
    (workload,) = plan.workloads
    assert list(likeness.unlike(plan, other)) == [f"{level.name} / {workload}"]
    told = "\n".join(likeness.cautions(plan, other))
    assert "`slo` was 250ms, 95%, hold 2s and is 300ms, 95%, hold 2s" in told
    assert "times are cut at 12s in both" in told
    assert "The settings of model zscore have changed" in told
    assert "weights" in told
    faster = replace(plan, workloads={workload: replace(plan.workloads[workload], rate_per_s=80.0)})
    assert set(likeness.unlike(plan, faster).values()) == {"the workload was 40/s, now 80/s"}


def run(folder: Path, old: Rows, new: Rows, *options: str) -> Any:
    for name, rows in (("old.csv", old), ("new.csv", new)):
        pd.DataFrame(rows).to_csv(folder / name, index=False)
    arguments = ["compare", str(folder / "old.csv"), str(folder / "new.csv"), "--baseline", "model=off,policy=default"]
    return CliRunner().invoke(app, [*arguments, *options])


def test_the_command_tells_and_judges(tmp_path: Path, trials: Trials) -> None:
    rng = np.random.default_rng(5)
    old = trials("off", drawn(rng, 50, 40)) + trials("on", drawn(rng, 10, 40))
    new = trials("off", drawn(rng, 50, 40)) + trials("on", drawn(rng, 40, 40))
    slower = run(tmp_path, old, new, "--check", "--max-slowdown", "10%")
    assert slower.exit_code == 1
    assert "slower; more than 10% slower is shown (of these two nights)" in slower.stdout
    assert "kill / steady" in slower.stdout
    assert "FAIL on: time to recover +" in slower.stderr
    same = run(tmp_path, old, old, "--check")
    assert same.exit_code == 0
    assert run(tmp_path, old, old, "--check", "--require", "non-inferior").exit_code == 1
    assert run(tmp_path, new, old, "--check", "--require", "non-inferior", "--max-slowdown", "5%").exit_code == 0
    document = json.loads(run(tmp_path, old, new, "--json").stdout)
    assert document["arms"][0]["gate"] == "exceeded"
    assert document["check"] == {"require": "not-slower", "passed": False, "why": document["check"]["why"]}


def test_a_campaign_against_itself() -> None:
    sample = Path(__file__).parents[2] / "results" / "sample"
    found = api.compare(api.load(sample), api.load(sample))
    assert [a.slowdown.estimate for a in found.arms] == [pytest.approx(0.0)] * len(found.arms)
    assert found.cautions == ()
