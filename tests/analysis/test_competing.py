from __future__ import annotations

import numpy as np
import pytest

from smartops_chaos.analysis.competing import Control, Incident, alarm_rate, race
from smartops_chaos.analysis.rates import wilson


def test_an_incident_that_ended_undetected_is_neither_late_nor_left_out() -> None:
    found = race([Incident(2.0, 9.0), Incident(4.0, 9.0), Incident(None, 2.0), Incident(None, 60.0)], [], 0.025)
    assert (found.n, found.seen, found.share, found.mean_s) == (4, 2, 0.5, 3.0)
    assert (found.lo, found.hi) == wilson(2, 4, 0.025)
    assert found.by_chance is None


def test_what_is_detected_after_the_end_was_not_detected_in_time() -> None:
    found = race([Incident(5.0, 4.0), Incident(4.0, 4.0)], [], 0.025)
    assert (found.seen, found.mean_s) == (1, 4.0)
    assert race([Incident(5.0, 4.0)], [], 0.025).mean_s is None


def test_the_curve_counts_all_incidents_and_joins_equal_times() -> None:
    found = race([Incident(3.0, 9.0), Incident(1.0, 9.0), Incident(3.0, 9.0), Incident(None, 9.0)], [], 0.025)
    assert found.incidence == ((1.0, 0.25), (3.0, 0.75))


def test_false_alarms_alone_detect_what_chance_says() -> None:
    """An alarm every 10 s on average, no real detection: the share seen is the share expected."""
    rng = np.random.default_rng(1)
    alarms, ends = rng.exponential(10.0, 4000), rng.uniform(1, 20, 4000)
    incidents = [Incident(float(at), float(end)) for at, end in zip(alarms, ends, strict=True)]
    controls = [Control(float(at) if at < 30 else None, 30.0) for at in rng.exponential(10.0, 4000)]
    found = race(incidents, controls, 0.025)
    assert alarm_rate(controls) == pytest.approx(0.1, rel=0.05)
    assert found.share == pytest.approx(found.by_chance, abs=0.03)


def test_controls_without_an_alarm_and_no_controls() -> None:
    assert alarm_rate([Control(None, 30.0)]) == 0
    assert alarm_rate([]) is None
    assert race([Incident(None, 5.0)], [Control(None, 30.0)], 0.025).by_chance == 0
