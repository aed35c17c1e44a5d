"""What a trial takes from its sources: the right window, every line once, and a note for what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.model import AlertRule, ClockOffset, LogLine, Series, Span
from smartops_chaos.schema.healerfile import HealerFile, load
from smartops_chaos.telemetry.alerts import Alerts
from smartops_chaos.telemetry.loki import Found, LokiError
from smartops_chaos.telemetry.prometheus import PrometheusError
from smartops_chaos.telemetry.traces import MOST, TracesError
from smartops_chaos.trial import evidence
from tests.timeline.conftest import Story

S = 1_000_000_000
SERIES = Series("c", {}, (1,), (1.0,))
ALERT = Series("ALERTS", {}, (1,), (1.0,))


class Lane:
    """The part of a lane that has telemetry; Prometheus' clock is five minutes ahead."""

    def __init__(self, broken: Sequence[str] = (), found: tuple[Series, ...] = (SERIES,)) -> None:
        self.broken, self.found = broken, found
        self.asked: dict[str, tuple[int, int]] = {}

    def logs(self, _: int) -> tuple[LogLine, ...]:
        return (LogLine(5, "orchestrator", "own"),)

    def lost(self, _: int) -> tuple[str, ...]:
        return ("the recorder was down",)

    def series(self, _: Sequence[str], *window: int) -> tuple[tuple[Series, ...], float]:
        self._ask("series", window, PrometheusError)
        return self.found, 0.1

    def alerts(self, names: Sequence[str], *window: int) -> Alerts:
        self._ask("alerts", window, PrometheusError)
        return Alerts((ALERT,), (AlertRule(names[0], 1, 1),))

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


def test_each_server_is_asked_on_its_own_clock(healer: HealerFile) -> None:
    clock = Clock.anchored()
    since_ns = clock.now_ns() - 60 * S
    clocks = [
        ClockOffset("prometheus", "start", 300 * S, 301 * S),
        ClockOffset("node", "start", -S, 0),
    ]
    lane: Any = Lane()
    found = evidence.collect(lane, healer, clocks, since_ns, since_ns, clock)
    until_ns = clock.now_ns()
    for source, low, high in (("series", 300 * S, 301 * S), ("alerts", 300 * S, 301 * S), ("loki", -S, 0)):
        start, end = lane.asked[source]
        assert start == since_ns + low
        assert since_ns + 60 * S + high <= end <= until_ns + high
    assert found["series"] == (SERIES, ALERT)
    assert found["alert_rules"] == (AlertRule("TooHot", 1, 1),)
    assert found["logs"] == (LogLine(5, "orchestrator", "own"), LogLine(6, "detector", "only here"))
    assert found["missing"] == ("the recorder was down", "late")


def test_a_source_that_is_down_leaves_a_note(healer: HealerFile) -> None:
    lane: Any = Lane(broken=("series", "alerts", "loki"))
    found = evidence.collect(lane, healer, (), 0, 0, Clock.anchored())
    assert found == {
        "logs": (LogLine(5, "orchestrator", "own"),),
        "missing": ("metrics: series is down", "alerts: alerts is down", *lane.lost(0), "Loki: loki is down"),
    }


def up(*seconds: float) -> Series:
    return Series("up", {}, tuple(round(at * S) for at in seconds), (1.0,) * len(seconds))


def test_every_target_is_scraped_once_more_after_what_is_needed() -> None:
    fast, slow, gone = up(6, 7, 8, 9), up(-2, 3, 8), up(0, 1, 2)
    waited = evidence.complete_ns((fast, slow, gone, SERIES), (), round(8.5 * S), 0.1)
    assert 13.1 * S <= waited <= 13.3 * S  # the slow one; the fast one has been scraped since, the third is gone
    assert evidence.complete_ns((fast, slow, gone), (), 8 * S, 0.1) == 0
    assert evidence.complete_ns((up(8),), (), 9 * S, 0.1) == 0  # nobody knows how often


def test_an_alert_is_evaluated_once_more_after_its_last_scrape() -> None:
    waited = evidence.complete_ns((up(6, 7, 8, 9),), (AlertRule("TooHot", 15, 5),), 9 * S, 0.0)
    assert 29 * S <= waited <= 29.2 * S


def test_the_last_scrape_is_waited_for_only_where_it_matters() -> None:
    healer, clock = load("lab"), Clock.anchored()
    now_ns = clock.now_ns()
    stamps = tuple(now_ns + round(at * S) for at in (-0.8, -0.5, -0.2))
    lane: Any = Lane(found=(Series("up", {}, stamps, (1.0,) * 3),))
    evidence.collect(lane, healer, (), 0, stamps[-1], clock)
    assert lane.asked["series"][1] < stamps[-1] + round(0.3 * S)
    evidence.collect(lane, healer, (), 0, now_ns, clock)
    assert lane.asked["series"][1] >= stamps[-1] + round(0.4 * S)


def test_a_trial_without_observation_has_only_the_lane_s_lines(healer: HealerFile) -> None:
    lane: Any = Lane()
    assert evidence.collect(lane, healer, (), 0, 0, None) == {"logs": lane.logs(0), "missing": lane.lost(0)}
    assert lane.asked == {}


class Tracing:
    """The part of a lane that has a store of traces."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, ()

    def traces(self, ids: tuple[str, ...]) -> Any:
        self.asked = ids
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_spans_of_the_traces_that_the_timeline_names_are_kept() -> None:
    span = Span("ab" * 16, "1", "", "orchestrator", "act", 1, 2, "ok")
    told, healer = Story(bad=[(0.3, 4.0)], more={"traced": True, "missing": ("late",)}), load("lab")
    lane: Any = Tracing((span,))
    found = evidence.with_spans(lane, told.evidence(), healer, told.chaos())
    assert (found.traces, found.spans) == (lane.asked, (span,))
    assert 1 <= len(lane.asked) <= MOST
    for answer, untraced in ((None, ""), (TracesError("it is gone"), "it is gone")):
        lane = Tracing(answer)
        found = evidence.with_spans(lane, told.evidence(), healer, told.chaos())
        assert (found.traces, found.spans, found.untraced) == ((), (), untraced)
        assert found.missing == ("late",)  # which makes a trial suspect, as spans do not
    quiet: Any = Tracing((span,))
    evidence.with_spans(quiet, Story().evidence(), healer, Story().chaos())
    assert quiet.asked == ()  # no trace is named, so nobody is asked
