from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from smartops_chaos.analysis import table
from smartops_chaos.analysis.competing import alarm_rate, race
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.analysis.summary import Race

Trials = Callable[..., list[dict[str, Any]]]


def raced(rows: list[dict[str, Any]]) -> Race:
    found = race(table.from_rows(rows), "detected", 0.025)
    assert found is not None
    return found


def at(second: float | None) -> dict[str, float | None]:
    return {"detected_lo_s": second, "detected_hi_s": second}


def control(alarm_s: float | None, observed_s: float) -> dict[str, Any]:
    outcome = "clean" if alarm_s is None else "false_alarm"
    return {
        "chaos": "none", "workload": "steady", "model": "on", "policy": "default", "outcome": outcome, "time_s": None,
        "horizon_s": 100.0, "observed_s": observed_s, **at(alarm_s),
    }  # fmt: skip


def test_an_incident_that_ended_undetected_is_neither_late_nor_left_out(trials: Trials) -> None:
    rows = trials("on", [9], **at(2.0)) + trials("on", [9], **at(4.0)) + trials("on", [2, 100], **at(None))
    found = raced(rows)
    assert (found.n, found.seen, found.share, found.mean_s) == (4, 2, 0.5, 3.0)
    assert (found.lo, found.hi) == wilson(2, 4, 0.025)
    assert found.by_chance is None


def test_what_is_detected_after_the_end_was_not_detected_in_time(trials: Trials) -> None:
    found = raced(trials("on", [4], **at(5.0)) + trials("on", [4], **at(4.0)))
    assert (found.seen, found.mean_s) == (1, 4.0)
    assert raced(trials("on", [4], **at(5.0))).mean_s is None


def test_only_incidents_race_and_only_where_clocks_kept_time(trials: Trials) -> None:
    rows = trials("on", [9, 0], **at(2.0))  # what was prevented never was an incident
    rows += trials("on", [9], flags="clock_step,conflict", **at(3.0))
    assert (raced(rows).n, raced(rows).seen) == (1, 1)
    assert race(table.from_rows(rows[1:2]), "detected", 0.025) is None
    assert race(table.from_rows(rows), "acted", 0.025) is None  # no such columns


def test_an_action_that_failed_mitigates_nothing(trials: Trials) -> None:
    rows = trials("on", [9], acted_lo_s=3.0, acted_hi_s=3.0, actions=1, actions_failed=1)
    rows += trials("on", [9], acted_lo_s=3.0, acted_hi_s=3.0, actions=2, actions_failed=1)
    found = race(table.from_rows(rows), "acted", 0.025)
    assert found is not None
    assert (found.n, found.seen) == (2, 1)


def test_false_alarms_alone_detect_what_chance_says() -> None:
    """An alarm every 10 s on average, no real detection: the share seen is the share expected."""
    rng = np.random.default_rng(1)
    n = 4000
    alarms, ends, free = rng.exponential(10.0, n), rng.uniform(1, 20, n), rng.exponential(10.0, n)
    alarmed = np.where(free < 30, free, np.nan)
    rows = pd.DataFrame(
        {
            "outcome": ["platform"] * n + ["clean"] * n,
            "time_s": np.r_[ends, np.full(n, np.nan)],
            "observed_s": 30.0,
            "detected_lo_s": np.r_[alarms, alarmed],
            "detected_hi_s": np.r_[alarms, alarmed],
        }
    )
    found = race(rows, "detected", 0.025)
    assert found is not None
    assert alarm_rate(alarmed, np.full(n, 30.0)) == pytest.approx(0.1, rel=0.05)
    assert found.share == pytest.approx(found.by_chance, abs=0.03)


def test_controls_without_an_alarm_and_no_controls(trials: Trials) -> None:
    assert alarm_rate(np.array([np.nan]), np.array([30.0])) == 0
    assert alarm_rate(np.array([]), np.array([])) is None
    quiet = raced([*trials("on", [5], **at(None)), control(None, 30.0)])
    assert quiet.by_chance == 0
    loud = raced([*trials("on", [5], **at(None)), control(5.0, 30.0), control(None, 5.0)])
    assert loud.by_chance == pytest.approx(1 - np.exp(-0.1 * 5))
