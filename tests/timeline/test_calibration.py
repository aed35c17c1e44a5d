"""A calibration trial tells the instrument's error from the service's own time to work off its backlog."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from smartops_chaos.model import Call, Interval, Request
from smartops_chaos.timeline.calibration import TOLERANCE_S, calibrations

RATE = 40.0
QUICK_S, SLOW_S = 0.016, 0.034  # of an order: 64 % and 136 % of what one worker can do
ENDED_S = 4.0


def queued(trial: Any, service_s: Callable[[float], float]) -> tuple[Request, ...]:
    """What one worker answers who takes one order after the other, each for as long as it takes when it begins."""
    free, made = -10.0, []
    for n in range(round(-5 * RATE), round(14.5 * RATE)):
        at = n / RATE
        begin = max(at, free)
        free = begin + service_s(begin)
        made.append(Request(trial.ns(at), 0, round((free - at) * 1e9), 200))
    return tuple(made)


def calibrated(story: Any, *, service_s: Callable[[float], float] | None = None, **more: Any) -> dict[str, Any]:
    """The row of a trial of which the harness says that it ended the fault at 4 s."""
    plain = {"phase": "calibrate", "ended": ENDED_S, "ended_by": "harness", **more}
    fields = {} if service_s is None else {"requests": queued(story(), service_s)}
    return dict(story(**plain, more=fields).row())


def test_without_a_backlog_there_is_nothing_to_drain(story: Any) -> None:
    row = calibrated(story, bad=[(0.1, ENDED_S)])
    assert row["drain_s"] == 0.0
    assert row["dating_error_s"] == pytest.approx(row["time_s"] - ENDED_S, abs=1e-5)
    assert abs(row["dating_error_s"]) <= TOLERANCE_S


def test_answers_that_fail_on_after_the_end_without_a_backlog_are_the_instrument_s_error(story: Any) -> None:
    row = calibrated(story, bad=[(0.1, ENDED_S + 2)])
    assert row["drain_s"] == 0.0
    assert row["dating_error_s"] == pytest.approx(2, abs=0.2)


def test_a_backlog_is_drained_and_that_is_no_error_of_the_instrument(story: Any) -> None:
    row = calibrated(story, service_s=lambda at: SLOW_S if 0 <= at < ENDED_S else QUICK_S)
    assert row["outcome"] == "platform"
    # 42 orders wait at the end; 22.5 more are answered a second than come; 15 fit into the 250 ms that are allowed.
    assert row["drain_s"] == pytest.approx((42 - 15) / 22.5, abs=0.3)
    assert abs(row["dating_error_s"]) <= TOLERANCE_S


def test_a_queue_that_grows_on_shows_that_the_fault_has_not_ended(story: Any) -> None:
    row = calibrated(story, service_s=lambda at: SLOW_S if 0 <= at < ENDED_S + 2 else QUICK_S)
    assert row["dating_error_s"] == pytest.approx(2, abs=TOLERANCE_S)
    assert row["drain_s"] > 1


def test_a_service_that_slowed_down_before_the_fault_drains_and_the_instrument_is_not_to_blame(story: Any) -> None:
    requests = story(bad=[(0.1, ENDED_S + 1)]).requests()
    zero_ns = story().ns(0)
    slowing = tuple(
        r._replace(latency_ns=220_000_000 + (r.sched_ns - zero_ns) // 10) if r.sched_ns < zero_ns else r
        for r in requests
    )
    found = {}
    for name, sent in (("steady", requests), ("slowing", slowing)):
        row = story(phase="calibrate", ended=ENDED_S, ended_by="harness", more={"requests": sent}).row()
        found[name] = (row["drain_s"], row["dating_error_s"])
    assert found == {
        "steady": (0.0, pytest.approx(1, abs=0.1)),
        "slowing": (pytest.approx(1, abs=0.1), pytest.approx(0, abs=0.1)),
    }


def test_bad_answers_that_come_back_are_the_service_s(story: Any) -> None:
    row = calibrated(story, bad=[(0.1, ENDED_S), (ENDED_S + 2.5, ENDED_S + 3)])
    assert row["relapses"] == 1
    assert row["drain_s"] == pytest.approx(3, abs=0.1)
    assert abs(row["dating_error_s"]) <= TOLERANCE_S


def cold(until_s: float, more_s: float) -> Callable[[float], float]:
    """An order takes longer while caches fill: much at the start of the workload, nothing more at `until_s`."""

    def service_s(at: float) -> float:
        usual_s = SLOW_S if 0 <= at < ENDED_S else QUICK_S
        return usual_s + more_s * max(0.0, (until_s - at) / (until_s + 5.0))

    return service_s


def test_a_first_trial_on_empty_caches_drains_longer_and_spoils_no_verdict(story: Any) -> None:
    first, *others = (calibrated(story, service_s=cold(*so)) for so in ((10.0, 0.008), (0.0, 0.0), (0.0, 0.0)))
    assert first["drain_s"] > 2 * others[0]["drain_s"]
    (found,) = calibrations([first, *others])
    assert (found.n, found.not_recovered, found.off) == (3, 0, "")
    assert found.worst_s is not None
    assert abs(found.worst_s) <= TOLERANCE_S


def test_a_first_trial_on_empty_caches_that_does_not_come_back_is_told_of_and_one_of_three(story: Any) -> None:
    rows = [calibrated(story, service_s=cold(*so)) for so in ((30.0, 0.018), (0.0, 0.0), (0.0, 0.0))]
    assert rows[0]["outcome"] == "unrecovered"
    (found,) = calibrations(rows)
    assert (found.not_recovered, found.off) == (1, "")
    assert "1 of 3 not recovered" in str(found)
    (alone,) = calibrations(rows[:1])
    assert "did not recover by the horizon" in alone.off


@pytest.mark.parametrize("seed", range(6))
def test_a_machine_under_load_that_works_unevenly_and_fails_now_and_then_is_dated_truly(story: Any, seed: int) -> None:
    draw = random.Random(seed)

    def uneven_s(at: float) -> float:
        return max(0.001, (SLOW_S if 0 <= at < ENDED_S else QUICK_S) * draw.gauss(1.0, 0.5))

    sent = queued(story(), uneven_s)
    failing = tuple(r._replace(status=503) if draw.random() < 0.01 else r for r in sent)
    row = story(phase="calibrate", ended=ENDED_S, ended_by="harness", more={"requests": failing}).row()
    assert abs(row["dating_error_s"]) <= TOLERANCE_S


def test_what_does_not_recover_has_nothing_to_date(story: Any) -> None:
    row = calibrated(story, service_s=lambda at: SLOW_S if at >= 0 else QUICK_S)
    assert (row["outcome"], row["drain_s"], row["dating_error_s"]) == ("unrecovered", None, None)
    (found,) = calibrations([row])
    assert (found.n, found.not_recovered, found.error_s) == (1, 1, None)
    assert "did not recover by the horizon, though the harness itself had ended the fault" in found.off


def test_only_calibration_trials_have_such_numbers(story: Any) -> None:
    row = story(bad=[(0.1, 4.0)], ended=4.0, ended_by="harness").row()
    assert (row["drain_s"], row["dating_error_s"]) == (None, None)


def test_the_end_that_counts_is_that_of_the_harness_s_own_call_for_what_is_over_at_once(story: Any) -> None:
    trial = story()
    end = Call("revert", -1, Interval(trial.ns(3.9), trial.ns(4.1)), True, None)
    more = {"calls": (*trial.evidence().calls, end)}
    row = story(bad=[(0.1, 4.0)], ended=0.0, ended_by="momentary", phase="calibrate", more=more).row()
    assert row["fault_end_by"] == "harness"
    assert abs(row["dating_error_s"]) <= TOLERANCE_S


def trial(**more: Any) -> dict[str, object]:
    known = {"chaos": "kill", "workload": "steady", "outcome": "platform", "reason": "", "fault_end_by": "harness"}
    return {**known, "time_s": 4.1, "fault_end_s": 4.0, "recovered_lo_s": 4.05, "recovered_hi_s": 4.15, **more}


def test_an_error_beyond_its_width_and_half_a_second_is_off() -> None:
    (near,) = calibrations([trial(dating_error_s=0.55, drain_s=0.2)])
    assert near.off == ""
    assert str(near) == "kill / steady: dating error +0.55 s (width 0.10 s), drain 0.20 s"
    (far,) = calibrations([trial(dating_error_s=-0.65, drain_s=0.2)])
    assert "the calibration of kill / steady is off by -0.7 s, more than its measuring error (0.10 s)" in far.off


def test_a_long_drain_alone_is_not_off() -> None:
    (found,) = calibrations([trial(time_s=9.0, dating_error_s=0.1, drain_s=4.9)])
    assert found.off == ""


def test_a_table_that_does_not_tell_them_apart_gives_the_difference() -> None:
    (found,) = calibrations([trial(), trial(time_s=4.3, drain_s=float("nan"))])
    assert found.error_s == pytest.approx(0.2)
    assert (found.worst_s, found.drain_s) == (pytest.approx(0.3), None)


def test_one_trial_of_many_that_did_not_recover_is_counted_and_half_of_them_are_off() -> None:
    lost = trial(outcome="unrecovered", time_s=12.0)
    (few,) = calibrations([trial(), trial(), lost])
    assert (few.n, few.not_recovered, few.off) == (3, 1, "")
    (many,) = calibrations([trial(), lost])
    assert "in 1 of 2 trials" in many.off


def test_trials_that_do_not_count_are_counted_apart() -> None:
    (found,) = calibrations([trial(outcome="invalid", time_s=None, fault_end_by=None)])
    assert (found.n, found.left_out, found.off) == (0, 1, "")
    assert calibrations([trial(fault_end_by="expiry")]) == ()
