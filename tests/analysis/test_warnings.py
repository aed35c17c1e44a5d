"""What makes a result weak is said, with what mends it; a strong result is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from smartops_chaos.analysis import table
from smartops_chaos.analysis.outlook import minutes_a_trial
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.model import Arm, Sla, Targets

Trials = Callable[..., list[dict[str, Any]]]
ASKED = Question(Arm("off", "default"), because={"kill": "demonstration", "cpu": "demonstration"})


def warned(rows: list[dict[str, Any]], question: Question = ASKED) -> str:
    return "\n".join(summarise(table.from_rows(rows), question, campaign="test").warnings)


def strong(trials: Trials) -> list[dict[str, Any]]:
    rows = trials("off", [80, 90, 99, 100, 100] * 10, fault_end_s=None, rca_expected="", flags="")
    rows += trials("on", [5, 6, 7, 8, 9] * 10)
    rows += [row | {"outcome": "clean", "time_s": None} for row in trials("on", [1], chaos="none")]
    rows += trials(
        "off",
        [9.0, 9.0],
        phase="calibrate",
        fault_end_s=9.0,
        fault_end_by="harness",
        recovered_lo_s=8.9,
        recovered_hi_s=9.1,
    )
    return rows


def test_a_strong_result_has_no_warning(trials: Trials) -> None:
    assert warned(strong(trials)) == ""


def test_horizon_without_a_reason(trials: Trials) -> None:
    assert "The horizon of kill has no reason" in warned(strong(trials), replace(ASKED, because={}))


def test_detection_that_only_a_coarse_grid_tells(trials: Trials) -> None:
    rows = strong(trials)
    for row in rows[50:100]:
        row.update(detected_lo_s=1.0, detected_hi_s=1.5)
    assert "mean time to detect of on" not in warned(rows)
    for row in rows[50:100]:
        row.update(detected_lo_s=1.0, detected_hi_s=4.0)
    assert "The mean time to detect of on is only known to lie between 1.0 s and 4.0 s" in warned(rows)


def test_a_baseline_that_never_recovers(trials: Trials) -> None:
    assert "never recovered in kill / steady" in warned(trials("off", [100] * 3) + trials("on", [1, 2, 3]))


def test_left_out_trials(trials: Trials) -> None:
    rows = strong(trials)
    for row in rows[50:60]:
        row.update(outcome="invalid", reason="gate", time_s=None)
    text = warned(rows)
    assert "19.6 % of the trials of on are left out (10 invalid: gate)" in text
    assert "Arms lose trials unevenly (on 19.6 %, off 0.0 %)" in text


def test_scenarios_that_rarely_hurt_or_are_missing(trials: Trials) -> None:
    rows = trials("off", [0, 0, 9]) + trials("on", [1, 2, 3]) + trials("off", [1, 2, 3], chaos="cpu")
    text = warned(rows)
    assert "kill / steady rarely hurts the baseline" in text
    assert "on and the baseline are compared without cpu / steady" in text


def test_few_trials_name_the_command_that_would_prove_it(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100] * 2) + trials("on", [35, 36, 37] * 2)
    for n, row in enumerate(rows):
        row["started_at"] = f"2026-11-24T09:{2 * n:02d}:00+00:00"
    text = warned(rows)
    # 36 of 36 prove the auto-heal rate, if the reduction is proven by then; 2 minutes a trial
    assert "Observed, not proven: auto-heal rate of on and MTTR reduction of on." in text
    assert "`smartops-chaos run MATRIX --repeats 36` would prove all of that (60 more trials, about 2 h more)" in text


def test_that_many_repeats_do_prove_it(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100] * 3) + trials("on", [5, 6, 7] * 3)
    found = summarise(table.from_rows(rows), ASKED, campaign="test").verdicts
    assert next(v for v in found if v.target == "mttr_reduction").verdict == "proven"


def test_what_more_trials_cannot_prove_names_no_number(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100]) + trials("on", [5, 6, 7])
    assert "would prove" not in warned(rows, replace(ASKED, because={}))


def test_an_sla_that_asks_nothing(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100], bad_seconds=9) + trials("on", [5, 6, 7], bad_seconds=5)
    asked = replace(ASKED, sla=Sla(30 * 86400, 4), targets=Targets(sla=0.99))
    assert "The SLA target asks nothing: 99 % hold whatever the healer does" in warned(rows, asked)
    assert "asks nothing" not in warned(rows, replace(asked, targets=Targets(sla=0.99999)))


def test_the_instrument(trials: Trials) -> None:
    rows = trials("off", [1, 2, 3], recovered_lo_s=0, recovered_hi_s=3) + trials("on", [1, 2, 3])
    text = warned(rows)
    assert "Nobody knows how true these times are" in text
    assert "The measuring error of off (3.00 s) is more than half of its mean time to recover (2.00 s)" in text


def test_the_healer(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100]) + trials("on", [5, 6, 7], flags="contested", rca_expected="cpu", rca_top1="cpu")
    for row in rows[3:]:
        row["outcome"] = "platform"
    text = warned(rows)
    assert "on: 3 recoveries may be the healer's or the platform's" in text
    assert "on named one and the same root cause in all trials" in text
    assert "False alarms were not measured" in text


def test_flags_are_counted(trials: Trials) -> None:
    rows = trials("off", [80, 90, 100], flags="relapsed,clock_step") + trials("on", [5, 6, 7], flags="clock_step")
    assert "6 trials: a clock was stepped" in warned(rows)


def test_minutes_come_from_the_starts(trials: Trials) -> None:
    starts = ["2026-11-24T10:00:00Z", "2026-11-24T10:01:00Z", "2026-11-24T10:03:00Z", "2026-11-25T08:00:00Z"]
    rows = [row | {"started_at": at} for row, at in zip(trials("off", [1, 2, 3, 4]), starts, strict=True)]
    assert minutes_a_trial(table.from_rows(rows)) == 2  # the night between two sessions is no work
    assert minutes_a_trial(table.from_rows(trials("off", [1, 2]))) is None
