"""Alerts of Prometheus as evidence: when each was evaluated as firing, and what bounds the moment before that.

`ALERTS` has a sample for each evaluation at which an alert is pending or firing and none while it is inactive, so the
evaluation before the first is not in it: the rule group's interval tells. How old the samples of an evaluation can be
depends on the scrape interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smartops_chaos.model import AlertRule, Series
from smartops_chaos.schema.units import prometheus_duration_s
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import Connection, connection
from smartops_chaos.telemetry.prometheus import PrometheusError

_DEFAULT_SCRAPE_S = 60.0  # Prometheus' own default, where no target is known


@dataclass(frozen=True, slots=True)
class Alerts:
    series: tuple[Series, ...]
    rules: tuple[AlertRule, ...]


def fetch(
    where: str | Connection, names: Sequence[str], start_ns: int, end_ns: int, *, namespaces: Sequence[str] = ()
) -> Alerts:
    """The evaluations at which the named alerts were pending or firing, from a minute before `start` to `end`.

    With `namespaces` those of one of them, and those whose labels tell none. Times are nanoseconds of Prometheus'
    clock. Raises PrometheusError, also for an alert that no rule has.
    """
    source = connection(where)
    of = prometheus.of_namespaces(namespaces)
    query = prometheus.selector({"__name__": ["ALERTS"], "alertname": names} | of)
    series = prometheus.raw(source, query, *prometheus.asked_ms(start_ns, end_ns))
    try:
        return Alerts(series, _rules(source, names))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PrometheusError(f"{source.url} does not tell its rules like Prometheus: check the address") from None


def _rules(source: Connection, names: Sequence[str]) -> tuple[AlertRule, ...]:
    groups = prometheus.data(source, "/api/v1/rules", {"type": "alert"})["groups"]
    evaluation_s: dict[str, float] = {}
    for group in groups:
        for rule in group["rules"]:
            evaluation_s[rule["name"]] = max(evaluation_s.get(rule["name"], 0.0), float(group["interval"]))
    for name in names:
        if name not in evaluation_s:
            known = ", ".join(sorted(evaluation_s)) or "none"
            raise PrometheusError(f"Prometheus at {source.url} has no alert {name}: add its rule; known: {known}")
    try:
        targets = prometheus.data(source, "/api/v1/targets", {"state": "active"})["activeTargets"]
    except PrometheusError as error:
        if error.status != 404:  # a store in front of several Prometheus servers scrapes nothing itself
            raise
        targets = []
    intervals = (prometheus_duration_s(one["scrapeInterval"]) for one in targets if "scrapeInterval" in one)
    scrape_s = max(intervals, default=_DEFAULT_SCRAPE_S)
    return tuple(AlertRule(name, evaluation_s[name], scrape_s) for name in names)
