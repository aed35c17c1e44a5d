"""How late the values of a query can show a change, by what Prometheus itself says of it.

A value rests on samples as old as its ranges are long. Each sample is as old as a scrape interval, and a series that a
recording rule writes is as late as the rule's own query, its evaluation interval added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from smartops_chaos.schema import promql
from smartops_chaos.schema.units import format_duration, prometheus_duration_s
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import Connection, connection
from smartops_chaos.telemetry.prometheus import PrometheusError

_MISSING = (400, 404, 405)  # what a store in front of several Prometheus servers answers to what it does not have
_DEEPEST = 10  # rules on rules


@dataclass(frozen=True, slots=True)
class Lateness:
    seconds: float
    because: tuple[str, ...]  # what it is made of, in words


def of_query(where: str | Connection, query: str) -> Lateness:
    """Raises PrometheusError, also for a query that it cannot parse."""
    source = connection(where)
    rules = _recording_rules(source)
    because: list[str] = []
    late_s = _late_s(_formatted(source, query), rules, because, 0)
    if scrape_s := _scrape_s(source):
        late_s += scrape_s
        because.append(f"its series are scraped every {format_duration(scrape_s)}")
    return Lateness(late_s, tuple(dict.fromkeys(because)))


def understated(where: str | Connection, query: str, lag_s: float) -> tuple[str, str] | None:
    """(what is wrong, how to mend it) if the values can be later than `lag_s`. Raises PrometheusError."""
    found = of_query(where, query)
    if found.seconds <= lag_s + 0.001:
        return None
    whole = format_duration(math.ceil(found.seconds))
    what = f"`slo.query` can show a change {whole} late, and not {format_duration(lag_s)}: {'; '.join(found.because)}"
    return what, f"write `lag: {whole}` under `slo`, or ask for something that is quicker"


def _late_s(query: str, rules: dict[str, tuple[str, float]], because: list[str], depth: int) -> float:
    back_s = promql.looks_back_s(query)
    if back_s:
        because.append(f"{query if len(query) <= 80 else query[:80] + '...'} looks back {format_duration(back_s)}")
    slowest_s = 0.0
    for name in promql.names(query):
        if name in rules and depth < _DEEPEST:
            expression, every_s = rules[name]
            because.append(f"a rule writes {name} every {format_duration(every_s)}")
            slowest_s = max(slowest_s, every_s + _late_s(expression, rules, because, depth + 1))
    return back_s + slowest_s


def _formatted(source: Connection, query: str) -> str:
    """The query as Prometheus itself has parsed it; as it stands where a server has no parser to ask."""
    try:
        payload = source.ask(PrometheusError, "/api/v1/format_query", {"query": query})
    except PrometheusError as error:
        if "parse error" in error.said or error.status not in _MISSING:
            raise PrometheusError(f"Prometheus cannot parse {query}: {error.said or error}") from None
        return query
    text = payload.get("data") if isinstance(payload, dict) else None
    return text if isinstance(text, str) else query


def _recording_rules(source: Connection) -> dict[str, tuple[str, float]]:
    """Name of a recorded series -> the query of its rule and how often that is evaluated; the slowest of a name."""
    found: dict[str, tuple[str, float]] = {}
    for group in _listed(source, "/api/v1/rules", {"type": "record"}, "groups"):
        for rule in group.get("rules", ()):
            one = str(rule.get("query", "")), float(group.get("interval", 60))
            if rule.get("type") == "recording":
                known = found.get(rule["name"], one)
                found[rule["name"]] = max(known, one, key=lambda of: of[1] + promql.looks_back_s(of[0]))
    return found


def _scrape_s(source: Connection) -> float:
    """The longest interval of a scraped target; 0 where nobody tells it."""
    targets = _listed(source, "/api/v1/targets", {"state": "active"}, "activeTargets")
    intervals = (prometheus_duration_s(str(one["scrapeInterval"])) for one in targets if "scrapeInterval" in one)
    return max(intervals, default=0.0)


def _listed(source: Connection, path: str, params: dict[str, str], key: str) -> list[dict[str, Any]]:
    try:
        listed = prometheus.data(source, path, params).get(key) or []
    except PrometheusError as error:
        if error.status not in _MISSING:
            raise
        return []
    return [one for one in listed if isinstance(one, dict)]
