"""Every line of the outcome table, and the cases that people argue about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.model import COLUMNS, Call, ClockOffset, Interval, Outcome, PlatformEvent

ERP = "smartops-erp-simulator"
POD = f"{ERP}/{ERP}-1"


def test_healed_by_an_action_on_the_sick_deployment(story: Any, healer_lines: Any) -> None:
    trial = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0, verified=4.1), ended=3.8, ended_by="system")
    row = trial.row()
    assert (row["outcome"], row["reason"], row["flags"]) == ("healed", "", "")
    assert row["time_s"] == pytest.approx(3.9875)  # between the request at 3.975 and the one at 4.000
    assert row["ttr_impact_s"] == pytest.approx(3.7)
    assert (row["impacted_lo_s"], row["impacted_hi_s"]) == (0.265, 0.31)  # 10 ms of the injection on both sides
    assert (row["actions"], row["actions_failed"], row["needless_actions"]) == (1, 0, 0)
    assert (row["rca_expected"], row["rca_top1"], row["rca_rank"]) == ("Resource Saturation", "Resource Saturation", 1)
    assert row["policy_rule"] == "restart_on_resource"
    assert (row["fault_end_s"], row["fault_end_by"]) == (3.8, "system")


# ---- left out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"error": "LaneLost: the node is gone"}, ("error", "harness")),
        ({"requests": ()}, ("error", "no-requests")),
        ({"aborted": True, "calls": ()}, ("aborted", "by-hand")),
        ({"aborted": True, "calls": (), "error": "KeyboardInterrupt"}, ("aborted", "by-hand")),
        ({"aborted": True, "observed_until_ns": 0}, ("aborted", "by-hand")),
        ({"observed_until_ns": 0}, ("error", "not-observed")),
        ({"gate_passed": False, "calls": ()}, ("invalid", "gate")),
        ({"gate_passed": False, "calls": (), "requests": ()}, ("error", "no-requests")),
        ({"calls": ()}, ("invalid", "not-injected")),
        ({"faults": ()}, ("invalid", "not-confirmed")),
    ],
)
def test_left_out(story: Any, more: dict[str, Any], expected: tuple[str, str]) -> None:
    row = story(bad=[(0.3, 4.0)], more=more).row()
    assert (row["outcome"], row["reason"]) == expected
    assert row["time_s"] is None
    assert row["ttr_impact_s"] is None


def test_what_the_healers_false_alarms_spoil_is_a_failure_of_its_arm(story: Any) -> None:
    spoiled = {"gate_passed": False, "calls": (), "gate_false_alarms": 3}
    row = story(more=spoiled).row()
    assert (row["outcome"], row["reason"]) == ("unrecovered", "false-alarms")
    assert row["time_s"] == row["ttr_impact_s"] == row["horizon_s"]
    assert row["detected_lo_s"] is None
    assert row["rca_expected"]
    once = story(more={**spoiled, "gate_false_alarms": 2}).row()
    assert (once["outcome"], once["reason"], once["time_s"]) == ("invalid", "gate", None)
    quiet = story(more=spoiled, families=()).row()
    assert (quiet["outcome"], quiet["reason"], quiet["time_s"]) == ("false_alarm", "false-alarms", None)


def test_what_the_trial_itself_did_in_the_healers_place_heals(story: Any) -> None:
    trial = story(bad=[(0.3, 4.0)])
    begun, done = trial.ns(0.5), trial.ns(0.6)
    repaired = [{"kind": "restart", "target": f"lab/{ERP}", "replicas": None}]
    repair = Call("repair", -1, Interval(begun, done), True, repaired)
    row = replace(trial, more={"calls": (*trial.evidence().calls, repair)}).row()
    assert (row["outcome"], row["reason"], row["actions"]) == ("healed", "", 1)
    assert row["detected_hi_s"] == pytest.approx(0.51, abs=0.001)
    assert row["acted_hi_s"] == pytest.approx(0.61, abs=0.001)
    wrong = replace(repair, output=[{"kind": "scale", "target": "lab/other", "replicas": 3}])
    missed = replace(trial, more={"calls": (*trial.evidence().calls, wrong)}).row()
    assert (missed["outcome"], missed["reason"], missed["acted_lo_s"]) == ("platform", "off-target", None)
    failed = replace(trial, more={"calls": (*trial.evidence().calls, replace(repair, ok=False, output=None))})
    assert failed.ended_as() == ("platform", "no-action")


def test_not_confirmed(story: Any) -> None:
    assert story(bad=[(0.3, 4.0)], confirmed=False).ended_as() == ("invalid", "not-confirmed")


def test_one_part_of_two_was_not_injected(story: Any) -> None:
    trial = story(bad=[(0.3, 4.0)], families=("cpu", "network"))
    evidence = trial.evidence()
    calls = tuple(replace(c, ok=False) if c.part == 1 else c for c in evidence.calls)
    assert replace(trial, more={"calls": calls}).ended_as() == ("invalid", "not-injected")


@pytest.mark.parametrize(
    ("by", "reason"), [("injector", "injector-ended"), ("expiry", "expired"), ("harness", "reverted-early")]
)
def test_a_fault_that_ended_early_other_than_through_the_system(story: Any, by: str, reason: str) -> None:
    assert story(bad=[(0.3, 4.0)], ended=4.0, ended_by=by).ended_as() == ("invalid", reason)


@pytest.mark.parametrize("by", ["injector", "expiry", "harness"])
def test_a_fault_that_ended_after_the_observation(story: Any, by: str) -> None:
    assert story(bad=[(0.3, 30.0)], ended=14.2, ended_by=by).ended_as() == ("unrecovered", "undetected")


def test_the_harness_ends_the_fault_of_a_calibration_trial(story: Any) -> None:
    row = story(bad=[(0.3, 5.02)], ended=5.0, ended_by="harness", phase="calibrate").row()
    assert (row["outcome"], row["reason"]) == ("platform", "no-action")
    assert (row["fault_end_s"], row["fault_end_by"]) == (5.0, "harness")
    assert row["time_s"] - row["fault_end_s"] == pytest.approx(0.0125)


def test_a_killed_pod_of_a_calibration_trial_comes_back_within_the_revert(story: Any) -> None:
    trial = story(bad=[(0.3, 5.3)], ended=0.0, ended_by="momentary", phase="calibrate", families=("pod",))
    revert = Call("revert", 0, Interval(trial.ns(5.0), trial.ns(5.2)), True, "reverted")
    row = replace(trial, more={"calls": (*trial.evidence().calls, revert)}).row()
    assert (row["fault_end_s"], row["fault_end_width_s"], row["fault_end_by"]) == (5.1, 0.2, "harness")


def test_a_revert_that_found_nothing_to_end_has_not_brought_a_killed_pod_back(story: Any) -> None:
    trial = story(bad=[(0.3, 3.0)], ended=0.0, ended_by="momentary", phase="calibrate", families=("pod",))
    revert = Call("revert", 0, Interval(trial.ns(5.0), trial.ns(5.2)), True, {"in_force": False})
    row = replace(trial, more={"calls": (*trial.evidence().calls, revert)}).row()
    assert (row["fault_end_s"], row["fault_end_by"]) == (0.0, "momentary")


def test_the_load_generator_died_before_anything_was_decided(story: Any) -> None:
    assert story(bad=[(0.3, 30.0)], gaps=[(6.0, 30.0)]).ended_as() == ("error", "no-requests")
    assert story(gaps=[(6.0, 30.0)]).ended_as() == ("error", "no-requests")


def test_the_observation_ended_before_anything_was_decided(story: Any) -> None:
    assert story(bad=[(0.3, 30.0)], until=6.0).ended_as() == ("error", "not-observed")


def test_a_person_ended_it_after_the_injection(story: Any) -> None:
    bad, good = story(bad=[(0.3, 30.0)], until=6.0), story(until=6.0)
    row = replace(bad, more={"aborted": True}).row()
    assert (row["outcome"], row["time_s"], row["flags"]) == ("unrecovered", 12.0, "late_generator,cut_short")
    assert replace(good, more={"aborted": True}).ended_as() == ("aborted", "by-hand")


# ---- no fault --------------------------------------------------------------------------------------------------


def test_no_fault_and_a_silent_healer_is_clean_whatever_the_service_does(story: Any) -> None:
    assert story(families=()).ended_as() == ("clean", "")
    row = story(families=(), bad=[(3.0, 4.0)]).row()
    assert (row["outcome"], row["time_s"], row["bad_seconds"]) == ("clean", None, 1.0)


def test_no_fault_and_a_signal_or_an_action_is_a_false_alarm(story: Any, healer_lines: Any) -> None:
    assert story(families=(), logs=healer_lines(5.0)).ended_as() == ("false_alarm", "")
    row = story(families=(), logs=healer_lines(act=5.0)).row()
    assert (row["outcome"], row["needless_actions"]) == ("false_alarm", 1)


def test_what_was_refused_is_no_false_alarm(story: Any, healer_lines: Any) -> None:
    assert story(families=(), logs=healer_lines(act=5.0, status="dry_run")).ended_as() == ("clean", "")


# ---- never bad -------------------------------------------------------------------------------------------------


def test_prevented_needs_an_action_and_the_target_s_word_that_the_fault_is_gone(story: Any, healer_lines: Any) -> None:
    acted = healer_lines(1.0, 1.2, 1.5)
    gone = {"ended": 2.0, "ended_by": "system"}
    assert story(logs=acted, **gone).ended_as() == ("prevented", "")
    row = story(logs=acted, **gone).row()
    assert (row["time_s"], row["ttr_impact_s"], row["needless_actions"]) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    "case",
    [
        {"acted": True},  # still in force
        {"acted": False, "ended": 2.0, "ended_by": "system"},  # the platform removed it
        {"acted": True, "ended": 0.0, "ended_by": "momentary"},  # nothing to remove
        {"acted": True, "ended": 1.0, "ended_by": "system"},  # gone before the action began
        {"acted": True, "ended": 2.0, "ended_by": "system", "objects": ("smartops-orchestrator/o-1",)},
    ],
)
def test_no_effect(story: Any, healer_lines: Any, case: dict[str, Any]) -> None:
    logs = healer_lines(1.0, 1.2, 1.5) if case.pop("acted") else healer_lines(1.0)
    row = story(logs=logs, **case).row()
    assert (row["outcome"], row["time_s"], row["needless_actions"]) == ("no_effect", 0.0, row["actions"])


def test_prevented_needs_every_part_gone(story: Any, healer_lines: Any) -> None:
    trial = story(logs=healer_lines(1.0, 1.2, 1.5), ended=2.0, ended_by="system", families=("cpu", "network"))
    assert trial.ended_as() == ("prevented", "")
    first, second = trial.evidence().faults
    half = (first, replace(second, ended=None, ended_by=""))
    assert replace(trial, more={"faults": half}).ended_as() == ("no_effect", "")


def test_what_happens_after_the_horizon_neither_prevents_nor_hurts(story: Any, healer_lines: Any) -> None:
    late = story(logs=healer_lines(1.0, 1.2, 12.5), ended=13.0, ended_by="system")
    assert late.ended_as() == ("no_effect", "")
    row = story(bad=[(12.5, 30.0)]).row()  # the window that begins at the horizon is bad already
    assert (row["outcome"], row["impacted_lo_s"], row["bad_seconds"]) == ("no_effect", None, 0.0)


def test_a_few_bad_requests_are_within_the_objective(story: Any) -> None:
    assert story(bad_at=[40, 41, 42, 43]).ended_as() == ("no_effect", "")
    assert story(bad_at=[40, 41, 42, 43, 44]).ended_as() == ("platform", "no-action")


# ---- harmed ----------------------------------------------------------------------------------------------------


def test_harm_begins_within_an_action_or_its_rollout(story: Any, healer_lines: Any) -> None:
    logs = healer_lines(1.0, 1.2, 1.5, verified=4.0)
    row = story(bad=[(2.0, 3.5)], logs=logs).row()
    assert (row["outcome"], row["time_s"]) == ("harmed", pytest.approx(3.4875))
    row = story(bad=[(2.0, 30.0)], logs=logs).row()
    assert (row["outcome"], row["reason"], row["time_s"]) == ("harmed", "unrecovered", 12.0)


def test_no_harm_if_the_service_was_bad_before_or_the_rollout_over(story: Any, healer_lines: Any) -> None:
    assert story(bad=[(0.9, 5.0)], logs=healer_lines(1.0, 1.2, 1.5, verified=4.0)).ended_as()[0] == "healed"
    assert story(bad=[(6.0, 7.0)], logs=healer_lines(1.0, 1.2, 1.5, verified=4.0)).ended_as()[0] == "healed"
    assert story(bad=[(2.0, 3.5)], logs=healer_lines(1.0, 1.2, 1.5, status="skipped")).ended_as()[0] == "platform"


def test_an_unverified_rollout_lasts_as_long_as_pods_change(story: Any, healer_lines: Any) -> None:
    trial = story(bad=[(3.0, 4.5)], logs=healer_lines(1.0, 1.2, 1.5))
    assert trial.ended_as()[0] == "healed"  # nothing says that the rollout went on
    assert replace(trial, ready=[(4.0, f"{ERP}/{ERP}-3", "action")]).ended_as()[0] == "harmed"
    assert replace(trial, ready=[(4.0, "smartops-orchestrator/o-2", "action")]).ended_as()[0] == "healed"
    again = healer_lines(1.0, 1.2, 1.5) + healer_lines(act=3.5)
    assert replace(trial, logs=again, ready=[(4.0, f"{ERP}/{ERP}-3", "action")]).ended_as()[0] == "healed"


# ---- unrecovered -----------------------------------------------------------------------------------------------


def denial(at: float) -> list[tuple[float, str]]:
    return [(at, "ClosedLoopManager: policy denied execution (no policy matched)")]


def cooldown(at: float) -> list[tuple[float, str]]:
    return [
        (at, "ClosedLoopManager: cooldown active for ('lab', 'x', 'restart') (elapsed=6.10s < 20s), skipping action")
    ]


def guardrail(at: float) -> list[tuple[float, str]]:
    return [(at, "ClosedLoopManager: guardrail max_actions_per_hour for ('lab', 'x', 'restart'), skipping action")]


def test_reasons_of_unrecovered_in_their_order(story: Any, healer_lines: Any) -> None:
    def reason(logs: list[tuple[float, str]], **more: Any) -> Any:
        row = story(bad=[(0.3, 30.0)], logs=logs, **more).row()
        assert (row["outcome"], row["time_s"]) == ("unrecovered", 12.0)
        assert row["ttr_impact_s"] == pytest.approx(11.7125)
        return row["reason"]

    signals = healer_lines(1.2, 1.6)
    failing = [(2.1, "CLOSED_LOOP_SUMMARY | service=x | action=restart | duration=1s | result=FAILED | attempt=3")]
    assert reason([]) == "undetected"
    assert reason(healer_lines(1.2)) == "undiagnosed"
    assert reason(healer_lines(1.2) + denial(1.3)) == "denied"  # a policy may act on the anomaly alone
    assert reason(signals + denial(1.7) + cooldown(1.8) + guardrail(1.9)) == "denied"
    assert reason(signals + cooldown(1.8) + guardrail(1.9)) == "cooldown"
    assert reason(signals + guardrail(1.9)) == "guardrail"
    assert reason(signals) == "undecided"
    assert reason(healer_lines(1.2, 1.6, 2.0, status="failed")) == "action-failed"
    assert reason(healer_lines(1.2, 1.6, 2.0) + failing) == "action-failed"
    assert reason(healer_lines(1.2, 1.6, 2.0)[:-1]) == "action-failed"  # never came to its end
    assert reason(healer_lines(1.2, 1.6, 2.0, target="lab/odoo")) == "off-target"
    assert reason(healer_lines(1.2, 1.6, 2.0)) == "insufficient"
    assert reason(healer_lines(1.2, 1.6, 2.0) + cooldown(3.0) + denial(4.0)) == "insufficient"
    assert reason(healer_lines(1.2, 1.6, 2.0, status="blocked")) == "guardrail"


def test_without_telemetry_nobody_can_say_why(story: Any) -> None:
    row = story(bad=[(0.3, 30.0)], more={"missing": ("logs: the node does not answer",)}).row()
    assert (row["outcome"], row["reason"], row["flags"]) == ("unrecovered", "no-evidence", "telemetry_missing")
    assert row["detected_lo_s"] is None
    assert row["time_s"] == 12.0


def test_a_recovery_that_begins_just_before_the_horizon_counts_and_one_after_it_does_not(story: Any) -> None:
    row = story(bad=[(0.3, 11.99)]).row()
    assert (row["outcome"], row["time_s"]) == ("platform", pytest.approx(11.9875))
    assert story(bad=[(0.3, 12.1)]).ended_as() == ("unrecovered", "undetected")


# ---- healed or platform ----------------------------------------------------------------------------------------


def test_reasons_of_platform(story: Any, healer_lines: Any) -> None:
    bad = [(0.3, 4.0)]
    assert story(bad=bad).ended_as() == ("platform", "no-action")
    assert story(bad=bad, logs=healer_lines(1.2, 1.6, 2.0, target="lab/odoo")).ended_as() == ("platform", "off-target")
    assert story(bad=bad, logs=healer_lines(1.2, 1.6, 5.0)).ended_as() == ("platform", "after")
    assert story(bad=bad, logs=healer_lines(1.2, 1.6, 2.0)[:-1]).ended_as() == ("platform", "concurrent")
    for status in ("skipped", "dry_run", "blocked"):
        refused = story(bad=bad, logs=healer_lines(1.2, 1.6, 2.0, status=status)).row()
        assert (refused["outcome"], refused["reason"], refused["actions"]) == ("platform", "no-action", 0)
    blind = story(bad=bad, more={"missing": ("logs: gone",)})
    assert blind.ended_as() == ("platform", "no-evidence")


def test_an_action_after_recovery_is_needless(story: Any, healer_lines: Any) -> None:
    row = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 5.0)).row()
    assert (row["actions"], row["needless_actions"]) == (1, 1)


def test_a_useless_scale_and_then_a_restart_by_the_platform(story: Any, healer_lines: Any) -> None:
    logs = healer_lines(1.2, 1.6, 2.0, kind="scale")
    row = story(bad=[(0.3, 8.1)], logs=logs, ready=[(8.0, POD, "platform")]).row()
    assert (row["outcome"], row["reason"], row["flags"]) == ("platform", "concurrent", "")


def test_a_restart_by_the_platform_at_the_moment_of_recovery_is_contested(story: Any, healer_lines: Any) -> None:
    """It was Ready before the last bad answer was due, so the one or the other may have ended the outage."""
    logs = healer_lines(1.2, 1.6, 2.0)
    half = [n for n in range(12, 330) if n % 2]  # every second request fails until 8.2 s
    trial = story(bad_at=half, logs=logs, ready=[(8.23, POD, "platform")])
    row = trial.row()
    assert row["recovered_lo_s"] < 8.225 < row["recovered_hi_s"]
    assert (row["outcome"], row["reason"], row["flags"]) == ("platform", "concurrent", "contested")
    assert replace(trial, ready=()).ended_as() == ("healed", "")
    before_the_last_bad_answer = replace(trial, ready=[(8.21, POD, "platform")]).row()
    assert (before_the_last_bad_answer["outcome"], before_the_last_bad_answer["flags"]) == ("platform", "")


@pytest.mark.parametrize(
    "ready",
    [
        (3.9, POD, "action"),  # the healer's own rollout
        (3.9, f"{ERP}/{ERP}-9", "platform"),  # not a replica that was hit
        (1.5, POD, "platform"),  # before the action, and no help
        (9.0, POD, "platform"),  # long after
    ],
)
def test_pods_made_ready_that_do_not_take_the_healing_away(story: Any, healer_lines: Any, ready: Any) -> None:
    assert story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0), ready=[ready]).ended_as() == ("healed", "")


def test_a_fast_action_heals_though_a_good_window_may_begin_with_bad_requests(story: Any, healer_lines: Any) -> None:
    half = [n for n in range(4, 64) if n % 2]  # every second request fails until 1.6 s
    row = story(bad_at=half, logs=healer_lines(1.3, 1.35, 1.5, verified=1.7)).row()
    assert 1.5 < row["recovered_lo_s"] < 1.6 < row["recovered_hi_s"] < 1.75
    assert (row["outcome"], row["needless_actions"]) == ("healed", 0)
    strays = [*half, 120, 140]  # at 3.0 and 3.5 s, as any service has them: not the outage
    row = story(bad_at=strays, logs=healer_lines(2.4, 2.5, 2.6)).row()
    assert (row["outcome"], row["reason"], row["flags"], row["needless_actions"]) == ("platform", "after", "", 1)


def test_an_action_that_ends_between_the_last_bad_and_the_first_good_request_is_contested(
    story: Any, healer_lines: Any
) -> None:
    row = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 3.99)).row()
    assert (row["outcome"], row["reason"], row["flags"]) == ("platform", "concurrent", "contested")


def test_a_replica_that_became_ready_just_before_the_action_began_is_contested(story: Any, healer_lines: Any) -> None:
    trial = story(bad=[(0.3, 6.1)], logs=healer_lines(3.0, 3.2, 6.0))  # begun at 5.99
    row = replace(trial, ready=[(5.9, POD, "platform")]).row()
    assert (row["outcome"], row["reason"], row["flags"]) == ("platform", "concurrent", "contested")
    early = replace(trial, ready=[(5.0, POD, "platform")])
    assert early.ended_as() == ("healed", "")  # long felt, and no help
    drained = replace(early, more={"drain_s": 1.2}).row()  # calibration shows that a repair is felt so much later
    assert (drained["outcome"], drained["flags"]) == ("platform", "contested")


@pytest.mark.parametrize("share", [2, 3, 7])
def test_no_healed_trial_recovers_before_its_healer_has_acted(story: Any, healer_lines: Any, share: int) -> None:
    """One request in `share` fails until 6 s; the action that ends it is done at 5.9 s, or 0.5 s too late."""
    partly = [n for n in range(8, 240) if n % share == 0]
    for done in (5.9, 6.5):
        row = story(bad_at=partly, logs=healer_lines(3.0, 3.2, done)).row()
        if row["outcome"] == "healed":
            assert row["recovered_lo_s"] + 0.02 >= done
        else:
            assert row["flags"] == "contested" or done == 6.5
        assert row["recovered_lo_s"] - 0.02 <= 6.0 <= row["recovered_hi_s"] + 0.02


def test_a_replica_that_left_again_within_the_outage_has_not_ended_it(story: Any, healer_lines: Any) -> None:
    """Recorded on a cluster: the sick pod's probe passed once more while the rollout was on its way to it."""
    healed = story(bad=[(0.3, 9.4)], logs=healer_lines(1.2, 1.6, 2.0))

    def with_pod(*events: tuple[float, str, str]) -> tuple[Any, Any]:
        told = tuple(PlatformEvent(healed.point(at), POD, kind, cause) for at, kind, cause in events)  # type: ignore[arg-type]
        return replace(healed, more={"platform": told}).ended_as()  # type: ignore[no-any-return]

    ready, gone = (4.6, "ready", "platform"), (5.2, "exited", "action")
    assert with_pod(ready, gone) == ("healed", "")
    assert with_pod(ready) == ("platform", "concurrent")
    assert with_pod(ready, (5.2, "not_ready", "fault"), (7.0, "ready", "platform")) == ("platform", "concurrent")
    assert with_pod(ready, (9.5, "exited", "action")) == ("platform", "concurrent")  # until then it served


def test_the_second_action_can_heal_what_the_first_and_the_platform_did_not(story: Any, healer_lines: Any) -> None:
    logs = healer_lines(1.2, 1.6, 2.0, kind="scale") + healer_lines(act=6.0)
    assert story(bad=[(0.3, 8.0)], logs=logs, ready=[(4.0, POD, "platform")]).ended_as() == ("healed", "")


def test_an_action_whose_verification_failed_still_heals(story: Any, healer_lines: Any) -> None:
    failed = [(6.0, "CLOSED_LOOP_SUMMARY | service=x | action=restart | duration=4s | result=FAILED | attempt=1")]
    row = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0) + failed).row()
    assert (row["outcome"], row["actions_failed"]) == ("healed", 1)


def test_missing_telemetry_never_changes_an_outcome_that_the_rest_shows(story: Any, healer_lines: Any) -> None:
    trial = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0), more={"missing": ("prometheus: refused",)})
    row = trial.row()
    assert (row["outcome"], row["flags"]) == ("healed", "telemetry_missing")


# ---- relapse, stop, clocks -------------------------------------------------------------------------------------


def test_a_relapse_moves_the_recovery(story: Any, healer_lines: Any) -> None:
    row = story(bad=[(0.3, 4.0), (7.0, 8.0)], logs=healer_lines(1.2, 1.6, 2.0)).row()
    assert (row["outcome"], row["relapses"], row["flags"]) == ("healed", 1, "relapsed")
    assert row["time_s"] == pytest.approx(7.9875)
    assert row["bad_seconds"] == pytest.approx(4.7)


def test_an_early_stop_leaves_the_rest_good_and_what_came_later_unseen(story: Any, healer_lines: Any) -> None:
    stopped = story(
        bad=[(0.3, 4.0), (8.2, 9.0)], logs=healer_lines(1.2, 1.6, 2.0), until=8.1, more={"stopped_early": True}
    )
    row = stopped.row()
    assert (row["outcome"], row["relapses"], row["bad_seconds"], row["unknown_seconds"]) == ("healed", 0, 3.7, 0.0)


def test_a_stop_without_recovery_is_unrecovered(story: Any) -> None:
    trial = story(bad=[(0.3, 30.0)], until=8.0, more={"stopped_early": True})
    assert trial.ended_as() == ("unrecovered", "undetected")


def test_a_late_generator_is_flagged(story: Any) -> None:
    assert "late_generator" in story(late_s=0.1).row()["flags"]
    gap = story(bad=[(0.3, 3.0)], gaps=[(6.0, 8.0)]).row()
    assert gap["flags"] == "late_generator"
    assert gap["unknown_seconds"] == pytest.approx(2.95, abs=0.1)  # the gap, and the windows that reach into it


def test_a_step_of_a_clock_is_flagged(story: Any) -> None:
    clocks = (ClockOffset("node", "start", -1000, 1000), ClockOffset("node", "end", 50_000_000, 50_001_000))
    assert story(more={"clocks": clocks}).row()["flags"] == "clock_step"


def test_a_clock_that_is_hardly_known_is_flagged(story: Any) -> None:
    clocks = (ClockOffset("node", "start", 0, 1_500_000_000), ClockOffset("node", "end", 0, 1_400_000_000))
    assert story(more={"clocks": clocks}).row()["flags"] == "clock_uncertain"


def test_a_false_alarm_before_the_injection_is_flagged(story: Any) -> None:
    assert story(more={"gate_false_alarms": 1}).row()["flags"] == "false_alarm_before"


# ---- properties ------------------------------------------------------------------------------------------------

times = st.floats(0.05, 13.5).map(lambda t: round(t, 3))
spans = st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))


@st.composite
def stories(draw: st.DrawFn, story: Any, lines: Any) -> Any:
    logs = []
    for at in draw(st.lists(times, max_size=2)):
        target = draw(st.sampled_from([f"lab/{ERP}", "lab/odoo"]))
        status = draw(st.sampled_from(["success", "failed", "skipped", "dry_run", "odd"]))
        logs += lines(max(0.02, at - 0.8), max(0.03, at - 0.4), at, target=target, status=status)
    return story(
        bad=draw(st.lists(spans, max_size=3)),
        bad_at=draw(st.lists(st.integers(0, 500), max_size=20)),
        gaps=draw(st.lists(spans, max_size=1)),
        logs=sorted(logs),
        ready=[(at, POD, draw(st.sampled_from(["platform", "action"]))) for at in draw(st.lists(times, max_size=2))],
        families=draw(st.sampled_from([(), ("cpu",), ("cpu", "network")])),
        ended=draw(st.none() | times),
        ended_by=draw(st.sampled_from(["", "system", "expiry", "momentary"])),
        until=draw(st.sampled_from([None, 14.0, 9.0])),
        more={"stopped_early": draw(st.booleans()), "gate_passed": draw(st.sampled_from([True, True, True, False]))},
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_evidence_gets_exactly_one_outcome_and_a_sound_row(story: Any, healer_lines: Any, data: Any) -> None:
    trial = data.draw(stories(story, healer_lines))
    row = trial.row()
    assert list(row) == list(COLUMNS)
    assert row["outcome"] in set(Outcome)
    assert all(isinstance(value, str | int | float | None) for value in row.values())
    counted = row["outcome"] in ("prevented", "no_effect", "harmed", "unrecovered", "healed", "platform")
    assert (row["time_s"] is not None) == counted
    assert (row["ttr_impact_s"] is not None) == counted
    if counted:
        assert 0 <= row["ttr_impact_s"] <= row["time_s"] <= 12.0
        assert row["bad_seconds"] + row["unknown_seconds"] <= 12.0 + 1e-6
    if row["outcome"] in ("healed", "platform"):
        assert row["recovered_lo_s"] <= row["time_s"] <= row["recovered_hi_s"]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), shift_ns=st.integers(-(10**18), 10**18))
def test_when_a_trial_ran_changes_nothing(story: Any, healer_lines: Any, data: Any, shift_ns: int) -> None:
    trial = data.draw(stories(story, healer_lines))
    assert replace(trial, base_ns=trial.base_ns + shift_ns).row() == trial.row()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), extra=st.integers(1, 200))
def test_good_requests_after_the_end_change_nothing(story: Any, healer_lines: Any, data: Any, extra: int) -> None:
    trial = data.draw(stories(story, healer_lines))
    evidence = trial.evidence()
    last = evidence.requests[-1]
    step_ns = round(1e9 / trial.rate)
    after = max(last.sched_ns, evidence.observed_until_ns)
    more = tuple(last._replace(sched_ns=after + n * step_ns, latency_ns=1, status=200) for n in range(1, extra))
    changed = replace(trial, more=trial.more | {"requests": evidence.requests + more})
    assert changed.row() == trial.row()
