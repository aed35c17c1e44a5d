"""What a campaign says while it runs: sentences for people, and the live picture of a terminal."""

from __future__ import annotations

import os
import re
from io import StringIO

import pytest
from rich.console import Console

from smartops_chaos.run import display, events

STARTED = events.CampaignStarted("c-1", "/results/c-1", 12, 4, ("lane-1", "lane-2"), 120.0)


def finished(outcome: str, reason: str = "", detail: str = "") -> events.TrialFinished:
    return events.TrialFinished("lane-1", "kill.steady.on.default.1", outcome, reason, 2.5, 9.0, 5, 12, detail)


def calibrated(outcome: str) -> events.TrialFinished:
    return events.TrialFinished("lane-1", "calibration.x.1", outcome, "", 4.0, 9.0, 1, 12, phase="calibrate")


def test_the_start_says_how_long_and_until_when() -> None:
    told = display.sentence(STARTED)
    assert "8 trials on 2 lanes, 4 done before; about 1 min 20 s, until " in told


def test_what_does_not_count_says_so_and_why() -> None:
    told = display.sentence(finished("invalid", "gate", "the service was not healthy within 24 s"))
    assert told.startswith("[5/12] lane-1: kill.steady.on.default.1: invalid (gate), does not count")
    assert told.endswith("\n  the service was not healthy within 24 s")
    assert display.sentence(finished("no_effect")).endswith(": no effect")
    assert "healed after 2.5 s" in display.sentence(finished("healed"))


def test_a_fault_that_the_harness_ended_is_counted_for_calibration() -> None:
    """The platform has not ended it: in a count of outcomes it would look as if it had."""
    assert display.sentence(calibrated("platform")).endswith("recovered after 4.0 s, as the harness ended the fault")
    assert display.sentence(calibrated("unrecovered")).endswith(
        "unrecovered after 4.0 s, as the harness ended the fault"
    )
    assert display.sentence(calibrated("invalid")).endswith("invalid, does not count")
    counted = [events.counted_as(outcome, "calibrate") for outcome in ("platform", "invalid")]
    assert counted == ["calibration", "invalid"]
    assert display.tally({"calibration": 3, "healed": 7, "no_effect": 1}) == "7 healed, 1 no effect, 3 for calibration"
    over = events.CampaignFinished("c-1", 12, 12, {"calibration": 3, "healed": 7})
    assert display.sentence(over).endswith("12 of 12 trials recorded, of this run: 7 healed, 3 for calibration")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_live_picture_has_bar_end_and_tally_at_any_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: True)
    shown = display.Live()
    try:
        shown.show(events.Preparing("starting the lab, 2 lanes"))
        assert "getting ready: " in drawn(shown, 80)
        for event in (STARTED, events.TrialStarted("lane-1", "kill.steady.on.default.1", 1), finished("healed")):
            shown.show(event)
        told = drawn(shown, width)
    finally:
        shown.close()
    assert max(map(len, told.splitlines())) <= width
    assert "━" in told
    assert re.search(r"5 of 12, ends about \d\d:\d\d", " ".join(told.split()))
    assert "so far: 1 healed" in told


def drawn(shown: display.Live, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(shown.picture())
    return out.getvalue()
