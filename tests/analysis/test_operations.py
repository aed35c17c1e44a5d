"""What the healer did beside healing, and H: counted by hand on small tables and on the sample campaign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.analysis import hold, question, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import Operations
from smartops_chaos.model import Arm, Sla, Targets
from smartops_chaos.schema import healerfile
from smartops_chaos.store.campaign_folder import CampaignFolder

Trials = Callable[..., list[dict[str, Any]]]
OFF = Arm("off", "default")
SAMPLE = CampaignFolder(Path(__file__).parents[2] / "results" / "sample")


def operations(rows: list[dict[str, Any]], asked: Question | None = None) -> Operations:
    return summarise(table.from_rows(rows), asked or Question(OFF), campaign="test").arms[-1].operations


def test_actions_blocks_skips_and_relapses_are_summed_over_counted_trials(trials: Trials) -> None:
    told = {"actions": 2, "actions_failed": 1, "guardrail_blocks": 1, "cooldown_skips": 3}
    rows = trials("off", [50, 60, 70]) + trials("on", [1, 2], **told, relapses=0) + trials("on", [3], relapses=4)
    rows += [row | {"outcome": "error", "time_s": None} for row in trials("on", [1], **told)]
    found = operations(rows)
    assert (found.actions, found.guardrail_blocks, found.cooldown_skips) == (4, 2, 6)
    assert (found.relapses, found.relapsed) == (4, 1)
    assert found.action_success is not None
    assert (found.action_success.successes, found.action_success.n) == (2, 4)


def test_a_table_that_does_not_tell_gives_no_zeros(trials: Trials) -> None:
    found = operations(trials("off", [50]) + trials("on", [1]))
    assert (found.actions, found.action_success, found.guardrail_blocks, found.relapses) == (None, None, None, None)
    assert (found.adherence, found.budget_used, found.closed_loop_s) == (None, None, None)
    assert found.healed_if_right.value is None


def test_healed_with_the_right_cause_and_with_a_wrong_one(trials: Trials) -> None:
    rows = trials("off", [50] * 3)
    rows += trials("on", [1, 2, 100], rca_expected="cpu|memory", rca_top1="memory", rca_rank=1)
    rows += trials("on", [3, 0, 100, 100], rca_expected="cpu", rca_top1="disk", rca_rank=2)
    rows += trials("on", [100], rca_expected="cpu")  # no answer is a wrong one
    rows += [r | {"outcome": "no_effect"} for r in trials("on", [0], rca_expected="cpu", rca_top1="cpu")]  # no incident
    found = operations(rows)
    assert (found.healed_if_right.successes, found.healed_if_right.n) == (2, 3)
    assert (found.healed_if_wrong.successes, found.healed_if_wrong.n) == (2, 5)


def test_closed_loop_is_from_detected_to_verified(trials: Trials) -> None:
    seen = {"detected_lo_s": 1.0, "detected_hi_s": 2.0, "verified_lo_s": 5.0, "verified_hi_s": 5.0}
    found = operations(trials("off", [50] * 3) + trials("on", [9, 9], **seen) + trials("on", [8]))
    assert (found.closed_loop_s, found.closed_loop_error_s, found.closed_loop_n) == (3.5, 1.0, 2)


def test_reliability_is_of_all_recorded_trials_with_a_fault(trials: Trials) -> None:
    rows = trials("off", [50] * 3) + trials("on", [1] * 8)
    rows += [row | {"outcome": "invalid", "time_s": None} for row in trials("on", [1, 1])]
    rows += [
        row | {"outcome": "clean", "time_s": None, "family": "none"} for row in trials("on", [1] * 5, chaos="none")
    ]
    found = operations(rows).reliability
    assert (found.successes, found.n, found.value) == (8, 10, 0.8)


def test_adherence_and_error_budget(trials: Trials) -> None:
    rows = trials("off", [50] * 3, bad_seconds=50) + trials("on", [10] * 3, bad_seconds=10)
    found = operations(rows, Question(OFF, sla=Sla(1000.0, 2), targets=Targets(sla=0.9)))
    assert found.adherence == pytest.approx(0.9)
    assert found.budget_used == pytest.approx(2 * 10 / 100)


def test_with_the_plans_hold_the_stored_requests_give_the_recorded_numbers() -> None:
    plan = SAMPLE.read().plan
    records = {t.id: record for t in plan.trials if (record := SAMPLE.record(t.id)) is not None}
    asked = question.of_plan(plan)
    summary = summarise(table.from_rows(r.row for r in records.values()), asked, campaign="sample")
    evidence = [SAMPLE.trial(name).read_evidence() for name in hold.chosen(plan, records)]
    found = hold.sensitivity(plan, healerfile.restore(plan.healer), evidence, asked)
    assert {h.hold_s for h in found} == {1.0, 2.0, 3.0}
    same = {(h.model, h.policy): h for h in found if h.hold_s == plan.analysis.slo.hold_s}
    for arm in summary.arms:
        numbers = same[arm.model, arm.policy]
        assert (numbers.rmst_s, numbers.trials) == (pytest.approx(arm.mttr.rmst_s), arm.counted + arm.controls)
        assert numbers.other_outcomes == 0
    by_model = {h.model: [other.rmst_s for other in found if other.model == h.model] for h in found}
    assert any(len(set(means)) > 1 for means in by_model.values()), "another H is really another measurement"
    means = by_model["zscore"]
    assert max(means) - min(means) < 0.05, "but H decides whether it is healthy, hardly when"


def test_only_a_hold_that_the_requests_allow() -> None:
    plan = SAMPLE.read().plan
    analysis = plan.analysis
    strict = replace(analysis, slo=replace(analysis.slo, objective=0.97))
    assert hold.holds(replace(plan, analysis=strict)) == [2.0, 3.0]  # 1 s at 40/s has fewer than 67 requests
    hasty = replace(analysis, stop_after_good_s=2.0)
    assert hold.holds(replace(plan, analysis=hasty)) == [1.0, 2.0]
    assert hold.holds(replace(plan, analysis=replace(strict, stop_after_good_s=2.0))) == []
    assert hold.sensitivity(plan, healerfile.restore(plan.healer), [], question.of_plan(plan)) == ()


def test_a_large_campaign_is_judged_by_its_first_repeats() -> None:
    plan = SAMPLE.read().plan
    trials = tuple(
        replace(t, id=f"{t.id}-{n}", repeat=n) for n in range(1, 101) for t in plan.trials if t.phase == "measure"
    )
    names = hold.chosen(replace(plan, trials=trials), {t.id: None for t in trials})
    one = len(trials) // 100
    assert len(names) == hold.MOST_TRIALS // one * one
    assert names == [t.id for t in trials[: len(names)]]


def test_detected_trials_and_the_rules_that_decided(trials: Trials) -> None:
    rows = trials("off", [50] * 2)
    rows += trials("on", [9, 9], detected_lo_s=1.0, detected_hi_s=2.0, policy_rule="restart")
    rows += trials("on", [9], policy_rule="scale") + trials("on", [100, 100])
    found = operations(rows)
    assert found.detected is not None
    assert (found.detected.successes, found.detected.n) == (2, 5)
    assert found.rules == {"restart": 2, "": 2, "scale": 1}
    assert operations(trials("off", [50]) + trials("on", [1])).rules is None
