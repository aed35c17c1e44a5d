"""Where the instrument does not tell the truth no verdict is given, and everything that decides says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.analysis import instrument, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise, to_json
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.export import ci
from smartops_chaos.model import Arm, Finding, Sla, Targets
from smartops_chaos.store.campaign_folder import CampaignFolder, Start
from smartops_chaos.timeline.before import disturbed

Trials = Callable[..., list[dict[str, Any]]]
ASKED = Question(
    Arm("off", "default"),
    because={"kill": "demonstration", "cpu": "demonstration"},
    sla=Sla(86400.0, 4.0),
    targets=Targets(sla=0.99),
)
HARNESS = {"phase": "calibrate", "fault_end_s": 9.0, "fault_end_by": "harness"}
BUSY = Start("2026-11-29T19:44:07Z", {}, (Finding("another process used 0.9 of 2 cores", "end it", True),))
BUSYISH = replace(BUSY, findings=(Finding("another process used 0.3 of 2 cores", "end it", False),))


def summary(trials: Trials, *calibration: dict[str, Any], asked: Question = ASKED) -> Summary:
    rows = trials("off", [80, 90, 99, 100, 100] * 10, bad_seconds=80.0)
    rows += trials("on", [5, 6, 7, 8, 9] * 10, bad_seconds=5.0)
    return summarise(table.from_rows([*rows, *calibration]), asked, campaign="test")


def calibration(trials: Trials, time_s: float, **more: Any) -> dict[str, Any]:
    width = {"recovered_lo_s": time_s - 0.1, "recovered_hi_s": time_s + 0.1}
    (row,) = trials("off", [time_s], **HARNESS, **width, **more)
    return row


def test_a_true_instrument_changes_no_verdict(trials: Trials) -> None:
    found = summary(trials, calibration(trials, 9.2, dating_error_s=0.1, drain_s=0.1))
    assert "proven" in {v.verdict for v in found.verdicts}
    assert found.verdicts == summary(trials).verdicts
    (told,) = to_json(found)["calibration"]  # type: ignore[misc]
    assert (told["error_s"], told["drain_s"], told["not_recovered"], told["off"]) == (0.1, 0.1, 0, "")


@pytest.mark.parametrize(
    ("off", "told"),
    [
        ({"time_s": 12.0, "dating_error_s": 3.0, "drain_s": 0.0}, "is off by +3.0 s"),
        ({"time_s": 100.0}, "did not recover by the horizon"),
    ],
)
def test_a_calibration_that_is_off_leaves_no_verdict_and_page_1_says_so_first(
    trials: Trials, off: dict[str, Any], told: str
) -> None:
    found = summary(trials, calibration(trials, **off))
    assert {v.verdict for v in found.verdicts} == {c.verdict for c in found.comparisons} == {"undecidable"}
    assert all(
        v.why.startswith("no verdict: the calibration of kill / steady") and told in v.why for v in found.verdicts
    )
    assert all(v.value is not None for v in found.verdicts), "the numbers stay"
    assert told in found.warnings[0]
    assert "No verdict that rests on this scenario is given" in found.warnings[0]
    passed, lines = ci.check(found, "observed")
    assert not passed
    assert all(line.startswith("FAIL") and told in line for line in lines)
    assert ci.junit(found).count('type="undecidable"') == len(found.verdicts)


def test_a_drain_is_told_and_decides_nothing(trials: Trials) -> None:
    found = summary(trials, calibration(trials, 13.0, dating_error_s=0.1, drain_s=3.9))
    assert found.verdicts == summary(trials).verdicts
    assert found.calibration[0].drain_s == 3.9


def test_a_calibration_of_another_scenario_holds_nothing_back(trials: Trials) -> None:
    found = summary(trials, calibration(trials, 12.0, dating_error_s=3.0, chaos="cpu"))
    assert found.verdicts == summary(trials).verdicts
    assert "cpu / steady is off" in found.warnings[0]


def test_calibration_that_ran_and_does_not_count_is_not_said_to_be_missing(trials: Trials) -> None:
    lost = calibration(trials, 9.0) | {"outcome": "invalid", "reason": "gate", "time_s": None, "fault_end_by": ""}
    text = "\n".join(summary(trials, lost).warnings)
    assert "No calibration trial counts (1 left out)" in text
    assert "`calibrate: 1` in the matrix" not in text


def test_a_machine_too_busy_at_the_start_leaves_no_verdict(trials: Trials) -> None:
    why = disturbed([*BUSYISH.findings, *BUSY.findings])
    assert why.endswith("when the campaign was started: another process used 0.9 of 2 cores")
    found = summary(trials, asked=replace(ASKED, disturbed=why))
    assert {v.verdict for v in found.verdicts} == {"undecidable"}
    assert all("another process used 0.9 of 2 cores" in v.why for v in found.verdicts)


def test_a_machine_that_is_a_little_busy_is_told_and_decides_nothing() -> None:
    assert disturbed(BUSYISH.findings) == ""
    told = instrument.noticed([*BUSYISH.findings, *BUSYISH.findings])
    assert told == ("When this campaign was started, another process used 0.3 of 2 cores: end it.",)


def test_what_disturbed_a_start_of_which_no_trial_is_kept_is_forgotten(tmp_path: Path) -> None:
    store = CampaignFolder(tmp_path)
    assert store.starts() == ()
    store.write_start(BUSY, first=True)
    store.write_start(BUSYISH, first=False)
    assert store.starts() == (BUSY, BUSYISH)
    store.write_start(BUSYISH, first=True)
    assert store.starts() == (BUSYISH,)


def test_trials_that_did_not_begin_are_told_why_in_the_words_of_one(trials: Trials) -> None:
    (lost,) = trials("on", [1])
    lost |= {"outcome": "invalid", "reason": "gate", "time_s": None, "detail": "80 of 80 requests were bad. Mend it."}
    assert "Why 1 trial did not begin (gate), as one of them tells: 80 of 80 requests were bad. Mend it." in (
        summary(trials, lost).warnings
    )


def test_drift_of_the_service_is_on_page_1_with_the_trial_s_name(trials: Trials) -> None:
    steady = trials("on", [5] * 4, service_ms=32.5, service_from="lane")
    (late,) = trials("on", [6], service_ms=40.0, service_from="lane", trial="kill.steady.on.9")
    told = "\n".join(summary(trials, *steady, late).warnings)
    assert "in kill.steady.on.9 (40.0 ms)" in told


def test_of_a_bare_table_without_calibration_nobody_knows(trials: Trials) -> None:
    text = "\n".join(summary(trials).warnings)
    assert "Nobody knows how true these times are" in text
    assert "in the matrix" not in text, "there is none"
    assert "Nobody knows" not in "\n".join(summary(trials, calibration(trials, 9.2, dating_error_s=0.1)).warnings)
