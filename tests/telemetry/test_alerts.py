"""Alerts and vanished targets of a Prometheus that scrapes and evaluates while the test flips what it scrapes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from smartops_chaos.model import AlertRule, Series
from smartops_chaos.telemetry import alerts, prometheus
from smartops_chaos.timeline.interval import fired, firings
from tests.conftest import until

S = 1_000_000_000
CONFIG = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 300ms}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: service, static_configs: [{{targets: ['{target}']}}]}}]
"""
RULES = """\
groups:
- name: service
  rules:
  - {alert: TooHot, expr: hot > 0, labels: {severity: page}}
  - {alert: TooHotForLong, expr: hot > 0, for: 600ms}
"""


@dataclass
class Live:
    url: str = ""
    hot_ns: int = 0  # wall clock: Prometheus' too
    back_ns: int = 0
    until_ns: int = 0
    series: tuple[Series, ...] = ()
    scrape_s: float = 0.0
    found: alerts.Alerts = field(default_factory=lambda: alerts.Alerts((), ()))


@pytest.fixture(scope="module")
def live(program: str, run_prometheus: Any, serve: Any, answer: Any, tmp_path_factory: Any) -> Iterator[Live]:
    """The target answers, gets hot, is gone for a while with everything it counted, and is back as it was."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "rules.yml").write_text(RULES, encoding="ascii")
    state = Live()
    gone = [False]

    def metrics(_: Any) -> Any:
        if gone[0]:
            return answer("", 503)
        hot = state.hot_ns > 0
        births = 'calls_total{kind="late"} 1\n' if hot else ""
        return answer(f"# TYPE hot gauge\nhot {int(hot)}\n# TYPE calls_total counter\n{births}", 200)

    with ExitStack() as stack:
        target = stack.enter_context(serve(metrics))
        config = CONFIG.format(target=target.removeprefix("http://"))
        state.url = stack.enter_context(run_prometheus(program, folder, config))

        def value(query: str) -> list[Any]:
            return list(prometheus.instant(state.url, query)["result"])

        started_ns = time.time_ns()
        until(lambda: value("hot == 0"), why=lambda: "the first scrape")
        until(lambda: value("count_over_time(hot[1m]) > 3"), why=lambda: "some scrapes more")
        state.hot_ns = time.time_ns()
        until(lambda: value('ALERTS{alertname="TooHotForLong",alertstate="firing"}'), why=lambda: "the alert")
        gone[0] = True
        until(lambda: value("count_over_time((up == 0)[1m:200ms]) > 2"), why=lambda: "the failed scrapes")
        until(lambda: not value("hot"), why=lambda: "the stale marker")
        gone[0] = False
        state.back_ns = time.time_ns()
        until(lambda: value("hot"), why=lambda: "the scrape of what is back")
        until(lambda: value('ALERTS{alertname="TooHot",alertstate="firing"}'), why=lambda: "the alert again")
        state.until_ns = time.time_ns()
        state.series, state.scrape_s = prometheus.fetch(state.url, ("calls_total", "hot"), started_ns, state.until_ns)
        state.found = alerts.fetch(state.url, ("TooHot", "TooHotForLong"), started_ns, state.until_ns)
        yield state


def test_the_flip_lies_in_the_alert_s_interval(live: Live, reading: Any) -> None:
    found = reading(
        {"alert": "TooHot", "labels": {"severity": "page"}},
        live.hot_ns - 60 * S,
        live.until_ns,
        series=live.found.series,
        scrape_s=live.scrape_s,
        alert_rules=live.found.rules,
    )
    first, again = found
    assert first.at.lo_ns <= live.hot_ns <= first.at.hi_ns
    assert again.at.lo_ns <= live.back_ns + S  # a vanished target ends an alert: nothing was repaired
    assert first.raw.startswith("ALERTS{alertname=TooHot")
    assert live.found.rules[0] == AlertRule("TooHot", pytest.approx(0.3), pytest.approx(0.2))


def test_an_alert_that_waits_fires_later(live: Live, reading: Any) -> None:
    rest = {"series": live.found.series, "scrape_s": live.scrape_s, "alert_rules": live.found.rules}
    (short, *_), (long, *_) = (
        reading({"alert": name}, live.hot_ns - 60 * S, live.until_ns, **rest) for name in ("TooHot", "TooHotForLong")
    )
    assert long.stamp_ns - short.stamp_ns >= 600_000_000
    assert reading({"alert": "TooHot", "labels": {"severity": "none"}}, 0, live.until_ns, **rest) == []


def test_a_target_that_was_gone_has_counted_nothing(live: Live, reading: Any) -> None:
    """Stale markers and failed scrapes are no births, and its return at the same value is no increase."""
    assert {one.name for one in live.series} == {"calls_total", "hot", "up"}
    assert 0.0 in next(one.values for one in live.series if one.name == "up")
    found = reading(
        {"increase": "calls_total"}, live.hot_ns - S, live.until_ns, series=live.series, scrape_s=live.scrape_s
    )
    assert len(found) == 1
    assert found[0].at.lo_ns <= live.hot_ns <= found[0].at.hi_ns
    assert live.scrape_s < 0.2


def test_an_alert_that_no_rule_has(live: Live) -> None:
    with pytest.raises(prometheus.PrometheusError, match="no alert Cold: add its rule; known: TooHot, TooHotForLong"):
        alerts.fetch(live.url, ("Cold",), live.hot_ns, live.until_ns)


def test_a_server_that_scrapes_nothing_itself(serve: Any, answer: Any) -> None:
    """Thanos and the like know rules and no targets."""
    group = {"interval": 30, "rules": [{"name": "A"}, {"name": "B"}]}

    def handler(asked: Any) -> Any:
        if asked.path == "/api/v1/targets":
            return answer("404 page not found", 404)
        if asked.path == "/api/v1/rules":
            return answer(json.dumps({"status": "success", "data": {"groups": [group]}}))
        return answer('{"status": "success", "data": {"result": []}}')

    with serve(handler) as url:
        found = alerts.fetch(url, ("A",), 0, 10 * S)
    assert found.rules == (AlertRule("A", 30.0, 60.0),)


def test_a_gap_of_more_than_an_evaluation_is_a_new_firing() -> None:
    rule = AlertRule("A", 10.0, 2.0)
    series = Series("ALERTS", {}, tuple(n * S for n in (100, 110, 120, 150, 160)), (1.0,) * 5)
    assert firings(series, rule) == [100 * S, 150 * S]
    at = fired(100 * S, rule, 50_000_000)
    assert at.lo_ns == pytest.approx(88 * S, abs=60_000_000)
    assert at.hi_ns == pytest.approx(100 * S, abs=60_000_000)
    assert at.lo_ns < 88 * S - 50_000_000
    assert at.hi_ns > 100 * S + 50_000_000
