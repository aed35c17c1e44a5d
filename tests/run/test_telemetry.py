"""What a trial takes from its sources: the right window, every line once, and a note for what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.healerfile import HealerFile, load
from smartops_chaos.model import AlertRule, ClockOffset, LogLine, Series
from smartops_chaos.run import telemetry
from smartops_chaos.telemetry.alerts import Alerts
from smartops_chaos.telemetry.loki import Found, LokiError
from smartops_chaos.telemetry.prometheus import PrometheusError

S = 1_000_000_000
SERIES = Series("c", {}, (1,), (1.0,))
ALERT = Series("ALERTS", {}, (1,), (1.0,))


class Lane:
    """The part of a lane that has telemetry; Prometheus' clock is five minutes ahead."""

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken = broken
        self.asked: dict[str, tuple[int, int]] = {}

    def logs(self, _: int) -> tuple[LogLine, ...]:
        return (LogLine(5, "orchestrator", "own"),)

    def lost(self, _: int) -> tuple[str, ...]:
        return ("the recorder was down",)

    def series(self, _: Sequence[str], *window: int) -> tuple[tuple[Series, ...], float]:
        self._ask("series", window, PrometheusError)
        return (SERIES,), 0.1

    def alerts(self, names: Sequence[str], *window: int) -> Alerts:
        self._ask("alerts", window, PrometheusError)
        return Alerts((ALERT,), (AlertRule(names[0], 1, 1),), ("Alertmanager disagrees",))

    def stored_logs(self, _: Any, *window: int) -> Found:
        self._ask("loki", window, LokiError)
        lines = (LogLine(5, "orchestrator", "own"), LogLine(6, "detector", "only here"))
        return Found(lines, ("late",))

    def _ask(self, what: str, window: tuple[int, ...], error: type[RuntimeError]) -> None:
        self.asked[what] = (window[0], window[1])
        if what in self.broken:
            raise error(f"{what} is down")


@pytest.fixture
def healer() -> HealerFile:
    moments = {"detected": [{"alert": "TooHot"}]}
    return HealerFile.model_validate(
        load("lab").model_dump() | {"moments": moments, "loki": {"query": "{}"}}, context="from_dump"
    )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(telemetry, "_LAST_SCRAPE_S", 0)


def test_each_server_is_asked_on_its_own_clock(healer: HealerFile) -> None:
    clock = Clock.anchored()
    since_ns = clock.now_ns() - 60 * S
    clocks = [
        ClockOffset("prometheus", "start", 300 * S, 301 * S),
        ClockOffset("node", "start", -S, 0),
    ]
    lane: Any = Lane()
    found = telemetry.collect(lane, healer, clocks, since_ns, clock)
    until_ns = clock.now_ns()
    for source, low, high in (("series", 300 * S, 301 * S), ("alerts", 300 * S, 301 * S), ("loki", -S, 0)):
        start, end = lane.asked[source]
        assert start == since_ns + low
        assert since_ns + 60 * S + high <= end <= until_ns + high
    assert found["series"] == (SERIES, ALERT)
    assert found["alert_rules"] == (AlertRule("TooHot", 1, 1),)
    assert found["logs"] == (LogLine(5, "orchestrator", "own"), LogLine(6, "detector", "only here"))
    assert found["missing"] == ("Alertmanager disagrees", "the recorder was down", "late")


def test_a_source_that_is_down_leaves_a_note(healer: HealerFile) -> None:
    lane: Any = Lane(broken=("series", "alerts", "loki"))
    found = telemetry.collect(lane, healer, (), 0, Clock.anchored())
    assert found == {
        "logs": (LogLine(5, "orchestrator", "own"),),
        "missing": ("metrics: series is down", "alerts: alerts is down", *lane.lost(0), "Loki: loki is down"),
    }


def test_a_trial_without_observation_has_only_the_lane_s_lines(healer: HealerFile) -> None:
    lane: Any = Lane()
    assert telemetry.collect(lane, healer, (), 0, None) == {"logs": lane.logs(0), "missing": lane.lost(0)}
    assert lane.asked == {}
