"""A whole campaign: every trial counted, extreme samples, the contract of summary.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.analysis import table
from smartops_chaos.analysis.question import Question, of_plan
from smartops_chaos.analysis.summarise import summarise, to_json
from smartops_chaos.analysis.summary import ArmSummary, Summary
from smartops_chaos.errors import UsageError
from smartops_chaos.model import AnalysisPlan, Arm, ChaosLevel, Plan, Sla, Slo, Targets, Trial, Variant

Trials = Callable[..., list[dict[str, Any]]]
Rows = list[dict[str, Any]]
OFF = Arm("off", "default")
ASKED = Question(OFF, because={"kill": "demonstration"}, sla=Sla(3600, 4))


def summary(rows: Rows, question: Question = ASKED) -> Summary:
    return summarise(table.from_rows(rows), question, campaign="test")


def arm(found: Summary, model: str) -> ArmSummary:
    return next(a for a in found.arms if a.model == model)


def test_every_counted_trial_is_scored(trials: Trials) -> None:
    rows = trials("off", [0, 20, 100]) + trials("on", [0, 4, 6, 100])
    rows += [row | {"outcome": "harmed"} for row in trials("on", [40, 100])]
    rows += [row | {"outcome": o, "time_s": None} for o in ("invalid", "error", "aborted") for row in trials("on", [1])]
    on = arm(summary(rows), "on")
    assert (on.trials, on.counted) == (9, 6)
    assert on.mttr.rmst_s == pytest.approx((0 + 4 + 6 + 100 + 40 + 100) / 6)
    assert on.left_out == {"aborted": 1, "error": 1, "invalid": 1}
    assert on.outcomes == on.left_out | {"harmed": 2, "healed": 2, "prevented": 1, "unrecovered": 1}


def test_left_out_by_arm_and_reason(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30]) + trials("on", [1, 2])
    rows += [row | {"outcome": "invalid", "reason": "gate", "time_s": None} for row in trials("on", [1])]
    assert summary(rows).excluded == {"on": {"invalid: gate": 1}}


def test_fewer_trials_than_the_fullest_arm_count_as_lost(trials: Trials) -> None:
    found = summary(trials("off", [10, 20, 30]) + trials("on", [1]))
    assert found.excluded == {"on": {"not recorded": 2}}
    assert any("2 trials are not recorded in kill / steady" in w for w in found.warnings)


def test_a_planned_arm_without_any_trial_is_shown_and_undecidable(trials: Trials) -> None:
    cells = frozenset({("kill", "steady", OFF), ("kill", "steady", Arm("on", "default"))})
    found = summary(trials("off", [10, 20, 30], bad_seconds=9, detected_lo_s=1), replace(ASKED, cells=cells))
    json.dumps(to_json(found), allow_nan=False)
    on = arm(found, "on")
    assert (on.trials, on.counted, on.mttr.rmst_s, on.left_out) == (0, 0, None, {"not recorded": 3})
    assert {v.verdict for v in found.verdicts} == {"undecidable"}


def test_weights_and_scenarios(trials: Trials) -> None:
    rows = trials("off", [10, 10]) + trials("off", [40, 40], chaos="cpu", horizon_s=50)
    assert arm(summary(rows), "off").mttr.rmst_s == pytest.approx(25)
    weighted = arm(summary(rows, replace(ASKED, weights={"cpu": 3.0})), "off")
    assert weighted.mttr.rmst_s == pytest.approx((10 + 3 * 40) / 4)
    assert weighted.mttr.horizon_s == 100
    assert [(c.chaos, c.horizon_s, c.rmst_s) for c in weighted.cells] == [("cpu", 50, 40), ("kill", 100, 10)]
    with pytest.raises(UsageError, match="weight of cpu"):
        replace(ASKED, weights={"cpu": 0.0})


def test_controls_only_give_false_alarms(trials: Trials) -> None:
    control = {"outcome": "clean", "time_s": None, "family": "none"}
    rows = trials("off", [10, 20, 30]) + trials("on", [1, 2, 3])
    rows += [row | control for row in trials("on", [1, 2, 3], chaos="none")]
    rows[-1]["outcome"] = "false_alarm"
    rows += [row | control | {"outcome": "invalid"} for row in trials("on", [1], chaos="none")]
    on = arm(summary(rows), "on")
    assert (on.controls, on.false_alarms, on.counted, len(on.cells)) == (3, 1, 3, 1)
    assert on.left_out == {"invalid": 1}


def test_calibration_trials_only_calibrate(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30])
    for fault_end, measured in ((8.0, 8.5), (9.0, 8.9), (7.0, 9.0)):
        rows += trials(
            "off",
            [measured],
            phase="calibrate",
            fault_end_s=fault_end,
            fault_end_width_s=0.3,
            fault_end_by="harness",
            recovered_lo_s=measured - 0.1,
            recovered_hi_s=measured + 0.1,
        )
    rows += trials("off", [3.0], phase="calibrate", fault_end_s=0.0, fault_end_by="momentary")  # nobody ended it
    found = summary(rows)
    assert arm(found, "off").trials == 3
    (calibration,) = found.calibration
    assert (calibration.n, calibration.error_s, calibration.worst_s, calibration.width_s) == (
        3,
        pytest.approx(0.8),
        pytest.approx(2.0),
        pytest.approx(0.5),
    )
    assert any("A calibration trial of kill / steady is off by +2.0 s" in w for w in found.warnings)


def test_arms_with_equal_settings_are_one(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30]) + trials("on", [1, 2, 3])
    found = summary(rows, replace(ASKED, baseline=Arm("off", "strict"), same_arm={"off/strict": "off/default"}))
    assert [a.arm for a in found.arms] == [OFF, Arm("on", "default")]
    assert found.arms[0].baseline


def test_times_to_detect_and_to_mitigate(trials: Trials) -> None:
    rows = trials("off", [100, 100]) + trials("on", [5, 100])
    rows[2] |= {"detected_lo_s": 1, "detected_hi_s": 3, "acted_lo_s": 3, "acted_hi_s": 3}
    rows[3] |= {"detected_lo_s": 4, "detected_hi_s": 4, "acted_lo_s": 5, "acted_hi_s": 5}
    rows[2] |= {"actions": 1, "actions_failed": 0}
    rows[3] |= {"actions": 1, "actions_failed": 1}
    on = arm(summary(rows), "on")
    assert (on.ttd.rmst_s, on.p_detected) == (3, 1)
    assert (on.ttm.rmst_s, on.p_mitigated) == ((3 + 100) / 2, 0.5)  # an action that failed mitigates nothing
    assert on.mitigation is not None
    assert on.mitigation.mean_s == 3
    off = arm(summary(rows), "off")
    assert (off.ttd.rmst_s, off.p_detected) == (100, 0)


def test_an_incident_that_ended_undetected_did_not_go_on_to_the_horizon(trials: Trials) -> None:
    rows = trials("off", [2, 2], detected_lo_s=None, detected_hi_s=None)
    off = arm(summary(rows), "off")
    assert (off.ttd.rmst_s, off.p_detected) == (2, 0)


def test_curve_of_an_arm(trials: Trials) -> None:
    pooled, scenario = arm(summary(trials("off", [0, 10, 10, 100])), "off").curves
    assert (pooled.scenario, scenario.scenario) == ("", "kill / steady")
    assert (pooled.time_s, pooled.survival) == ((0, 10), (0.75, 0.25))
    assert (pooled.at_risk_times_s, pooled.at_risk) == ((0, 25, 50, 75, 100), (4, 1, 1, 1, 1))
    assert pooled.censored_at_s == (100,)


EXTREMES = {
    "one trial": ([10], [5]),
    "all healed": ([50, 60, 70], [1, 2, 3]),
    "none healed": ([100, 100, 100], [100, 100, 100]),
    "all equal": ([50, 50, 50], [10, 10, 10]),
    "all zero": ([0, 0, 0], [0, 0, 0]),
    "zero against never": ([100, 100, 100], [0, 0, 0]),
    "worse": ([1, 1, 1], [100, 100, 100]),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_samples_make_valid_json(trials: Trials, name: str) -> None:
    off, on = EXTREMES[name]
    text = json.dumps(to_json(summary(trials("off", off) + trials("on", on))), allow_nan=False)
    assert json.loads(text)["schema_version"] == 1


def test_all_trials_left_out(trials: Trials) -> None:
    rows = [row | {"outcome": "invalid", "time_s": None} for row in trials("off", [1, 2]) + trials("on", [1, 2])]
    found = summary(rows)
    assert {v.verdict for v in found.verdicts} == {"undecidable"}
    json.dumps(to_json(found), allow_nan=False)


def test_a_scenario_lost_in_one_arm_is_undecidable_but_the_rest_is_shown(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30]) + trials("on", [1, 2, 3]) + trials("off", [50, 60, 70], chaos="cpu")
    rows += [
        row | {"outcome": "error", "time_s": None, "horizon_s": None} for row in trials("on", [1] * 3, chaos="cpu")
    ]
    comparison = summary(rows).comparisons[0]
    assert comparison.verdict == "undecidable"
    assert comparison.why == "cpu / steady has no counted trial in on"
    assert comparison.mttr_reduction.estimate == pytest.approx(0.9)


def test_controls_that_were_left_out_are_no_fault(trials: Trials) -> None:
    rows = trials("off", [10, 20, 30]) + trials("on", [1, 2, 3])
    rows += [row | {"outcome": "invalid", "time_s": None} for row in trials("on", [1], chaos="none")]
    rows += [row | {"outcome": "clean", "time_s": None} for row in trials("off", [1], chaos="none")]
    assert [c.chaos for c in arm(summary(rows), "on").cells] == ["kill"]


def test_the_baseline_must_be_there(trials: Trials) -> None:
    with pytest.raises(UsageError, match="the baseline none has no trial") as caught:
        summary(trials("off", [1]), Question(Arm("none", "default")))
    assert caught.value.hint == "arms in the table: model=off,policy=default"


@pytest.mark.parametrize("levels", [("chaos", "workload"), ("model", "policy")])
def test_two_scenarios_or_arms_that_would_have_one_name_are_not_mixed(trials: Trials, levels: tuple[str, str]) -> None:
    one, other = dict(zip(levels, ("a", "b / c"), strict=True)), dict(zip(levels, ("a / b", "c"), strict=True))
    rows = [row | level for level in (one, other) for row in trials("off", [50.0]) + trials("on", [1.0])]
    baseline = Arm("a", "b / c") if levels[0] == "model" else Arm("off", "default")
    with pytest.raises(UsageError, match="`a / b / c` is the name of two") as caught:
        summary(rows, Question(baseline))
    assert caught.value.hint == "rename the levels that contain ` / `"


def test_contract_of_summary_json(trials: Trials) -> None:
    document = to_json(summary(trials("off", [50, 60, 70]) + trials("on", [1, 2, 3])))
    assert {"schema_version", "campaign", "plan", "excluded", "calibration", "arms", "comparisons", "verdicts"} <= set(
        document
    )
    found = json.loads(json.dumps(document))
    first = found["arms"][0]
    assert {"model", "policy", "trials", "counted", "phases", "funnel", "measuring_error_s"} <= set(first)
    assert set(first["mttr"]) == {"rmst_s", "lo", "hi", "horizon_s", "median_s", "p90_s"}
    assert {"no_human", "by_healer", "lo", "hi", "successes", "n", "uplift"} <= set(first["auto_heal"])
    assert {"availability", "lo", "hi"} <= set(first["sla"])
    assert {"top1", "lo", "hi", "n", "lift"} <= set(first["rca"])
    comparison = found["comparisons"][0]
    assert (comparison["arm"], comparison["scope"]) == ({"model": "on", "policy": "default"}, "these-scenarios")
    assert set(comparison["mttr_reduction"]) == {"estimate", "lo", "hi", "p", "p_adjusted", "at_worst", "at_best"}
    assert set(comparison["at_horizons"]) == {"tau/4", "tau/2", "tau"}
    assert {"decides", "baseline", "verdict"} <= set(comparison)
    assert {"target", "arm", "value", "bound", "verdict", "why"} <= set(found["verdicts"][0])


@settings(max_examples=20)
@given(st.permutations(range(12)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    times = {"off": [0, 10, 20, 100, 100, 50], "on": [1, 2, 3, 4, 0, 100]}
    rows = [
        {"chaos": "kill", "workload": "w", "model": model, "policy": "p", "time_s": t, "horizon_s": 100}
        | {"outcome": "unrecovered" if t == 100 else "no_effect" if t == 0 else "healed", "rca_expected": "x"}
        for model, values in times.items()
        for t in values
    ]
    question = Question(Arm("off", "p"))
    expected = summary(rows, question)
    found = summary([rows[n] for n in order], question)
    assert [(v.verdict, v.why) for v in found.verdicts] == [(v.verdict, v.why) for v in expected.verdicts]
    assert [v.value for v in found.verdicts] == pytest.approx([v.value for v in expected.verdicts])
    assert [a.outcomes for a in found.arms] == [a.outcomes for a in expected.arms]
    assert [a.curves for a in found.arms] == [a.curves for a in expected.arms]


def test_question_of_a_plan() -> None:
    def level(name: str, because: str) -> ChaosLevel:
        return ChaosLevel(name, (), "pod", 12.0, because)

    def trial(phase: Any, model: str) -> Trial:
        return Trial(f"{phase}.{model}", phase, "kill", "steady", model, "default", 1, 1, 7)

    plan = Plan(
        name="quick",
        target={"kind": "lab"},
        healer={},
        chaos={"kill": level("kill", "on-call"), "cpu": level("cpu", "")},
        models={"off": Variant("off", {}), "on": Variant("on", {})},
        policies={"default": Variant("default", {})},
        workloads={},
        trials=(trial("calibrate", "off"), trial("measure", "off"), trial("measure", "on")),
        same_arm={"off/strict": "off/default"},
        analysis=AnalysisPlan(OFF, Slo(0.25, 0.95, 2.0), 4.0, Targets(), Sla(86400, 4), weights={"kill": 2.0}),
        seed=5,
        digest="abc",
    )
    asked = of_plan(plan)
    assert asked.because == {"kill": "on-call"}
    assert asked.cells == {("kill", "steady", OFF), ("kill", "steady", Arm("on", "default"))}
    assert (asked.weights, asked.same_arm) == ({"kill": 2.0}, {"off/strict": "off/default"})
    assert asked.frozen is not None
    assert asked.frozen.seed == 5


def test_a_hundred_thousand_trials_keep_every_one() -> None:
    n = 100_000
    rng = np.random.default_rng(0)
    model = np.where(np.arange(n) % 2 == 0, "off", "on")
    time = np.minimum(rng.lognormal(2, 1, n), 60)
    frame = pd.DataFrame(
        {"chaos": "kill", "workload": "steady", "model": model, "policy": "default", "time_s": time, "horizon_s": 60.0}
        | {"outcome": np.where(time == 60, "unrecovered", "healed")}
    )
    found = summarise(frame, ASKED, campaign="large")
    assert sum(a.counted for a in found.arms) == n
    assert arm(found, "on").mttr.rmst_s == pytest.approx(time[1::2].mean())


def test_bounds_of_a_mean_assume_nothing_of_where_a_moment_lay(trials: Trials) -> None:
    rows = trials("off", [50.0, 50.0, 50.0], detected_lo_s=None, detected_hi_s=None)
    rows += trials("on", [20.0], detected_lo_s=4.0, detected_hi_s=9.0)
    rows += trials("on", [20.0], detected_lo_s=96.0, detected_hi_s=106.0)  # perhaps only after the horizon
    rows += trials("on", [20.0], detected_lo_s=None, detected_hi_s=None)
    arms = {a.model: a for a in summarise(table.from_rows(rows), Question(Arm("off", "default")), campaign="c").arms}
    assert arms["on"].ttd_between == pytest.approx(((4 + 20 + 20) / 3, (9 + 20 + 20) / 3))  # over at 20 s
    assert arms["off"].ttd_between == (50.0, 50.0)
    assert arms["on"].ttm_between is None  # the table has no such column


def test_a_reference_arm_is_shown_and_not_judged(trials: Trials) -> None:
    rows = trials("off", [50.0] * 4) + trials("on", [5.0, 6.0, 7.0, 8.0]) + trials("again", [5.0, 6.0, 7.0, 9.0])
    alone = summary([row for row in rows if row["model"] != "again"])
    found = summary(rows, replace(ASKED, references={Arm("again", "default"): "again"}))
    assert [(a.model, a.reference) for a in found.arms] == [("off", None), ("again", "again"), ("on", None)]
    assert arm(found, "again").mttr.rmst_s == 6.75
    assert (found.verdicts, found.comparisons) == (alone.verdicts, alone.comparisons)  # not in Holm's family


def test_a_trial_that_false_alarms_spoiled_is_a_failure_also_in_a_table_of_an_earlier_version(trials: Trials) -> None:
    rows = trials("off", [50.0] * 3) + trials("on", [5.0] * 4, rca_expected="cpu", rca_top1="cpu", family="cpu")
    old = rows[-1] | {"outcome": "invalid", "reason": "false-alarms", "time_s": None, "rca_top1": None}
    on = arm(summary([*rows[:-1], old]), "on")
    assert (on.counted, on.left_out, on.outcomes) == (4, {}, {"healed": 3, "unrecovered": 1})
    assert on.mttr.rmst_s == (3 * 5 + 100) / 4
    assert (on.auto_heal.successes, on.auto_heal.n) == (3, 4)
    assert (on.rca.top1, on.rca.n) == (0.75, 4)
    other = arm(summary([*rows[:-1], old | {"reason": "gate"}]), "on")
    assert (other.counted, other.left_out) == (3, {"invalid: gate": 1})
    unjudged = arm(summary([*rows, old | {"phase": "calibrate"}]), "on")
    assert (unjudged.counted, unjudged.trials) == (4, 4)
