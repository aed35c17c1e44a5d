"""Alerts of Prometheus as evidence: when each was evaluated as firing, and what bounds the moment before that.

`ALERTS` has a sample for each evaluation at which an alert is pending or firing and none while it is inactive, so the
evaluation before the first is not in it: the rule group's interval tells. How old the samples of an evaluation can be
depends on the scrape interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from smartops_chaos.model import AlertRule, Series
from smartops_chaos.schema.units import prometheus_duration_s
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import Connection, SourceError, connection
from smartops_chaos.telemetry.prometheus import PrometheusError
from smartops_chaos.timeline.interval import firings

_DEFAULT_SCRAPE_S = 60.0  # Prometheus' own default, where no target is known


class AlertmanagerError(SourceError):
    source = "Alertmanager"


@dataclass(frozen=True, slots=True)
class Alerts:
    series: tuple[Series, ...]
    rules: tuple[AlertRule, ...]
    notes: tuple[str, ...] = ()  # what Alertmanager says otherwise, or why it says nothing


def fetch(
    where: str | Connection,
    names: Sequence[str],
    start_ns: int,
    end_ns: int,
    *,
    labels: Mapping[str, str] | None = None,
    alertmanager: str | Connection | None = None,
) -> Alerts:
    """The evaluations at which the named alerts were pending or firing, from a minute before `start` to `end`.

    `labels` limits them, and the scraped targets that are looked at for their interval. Times are Prometheus' clock.
    With `alertmanager` its `startsAt` is compared: it must be the first firing evaluation. Raises PrometheusError, also
    for an alert that no rule has.
    """
    source = connection(where)
    window = prometheus.window(start_ns, end_ns)
    query = prometheus.selector({"__name__": ["ALERTS"], "alertname": names}, labels or {})
    series = prometheus.raw(source, query, *window)
    rules = _rules(source, names, labels or {})
    notes: tuple[str, ...] = ()
    if alertmanager:
        try:
            notes = _disagreements(connection(alertmanager), names, series, rules, window)
        except AlertmanagerError as error:
            notes = (f"alerts are not compared: {error}",)
        except (KeyError, TypeError, ValueError):
            notes = ("alerts are not compared: what should be Alertmanager does not answer like it",)
    return Alerts(series, rules, notes)


def _rules(source: Connection, names: Sequence[str], labels: Mapping[str, str]) -> tuple[AlertRule, ...]:
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
    ours = [one for one in targets if labels.items() <= one["labels"].items()] or targets
    intervals = (prometheus_duration_s(one["scrapeInterval"]) for one in ours if "scrapeInterval" in one)
    scrape_s = max(intervals, default=_DEFAULT_SCRAPE_S)
    return tuple(AlertRule(name, evaluation_s[name], scrape_s) for name in names)


def _disagreements(
    source: Connection,
    names: Sequence[str],
    series: Sequence[Series],
    rules: Sequence[AlertRule],
    window: tuple[int, int],
) -> tuple[str, ...]:
    """Alerts in the window that began at another evaluation, says Alertmanager. It forgets what is resolved."""
    asked = {"filter": f'alertname=~"{"|".join(map(re.escape, names))}"'}
    notes = []
    known = {rule.name: rule for rule in rules}
    for alert in source.ask(AlertmanagerError, "/api/v2/alerts", asked):
        labels = alert["labels"]
        start_ns = round(datetime.fromisoformat(alert["startsAt"]).timestamp() * 1000) * 1_000_000
        rule = known[labels["alertname"]]
        if not window[0] < start_ns // 1_000_000 <= window[1]:
            continue
        began = [
            at_ns
            for one in series
            if one.labels.get("alertstate") == "firing"
            and {k: v for k, v in one.labels.items() if k != "alertstate"}.items() <= labels.items()
            for at_ns in firings(one, rule)
        ]
        # Of two Prometheus servers that watch the same, Alertmanager keeps the earlier start.
        if not any(abs(at_ns - start_ns) <= rule.evaluation_s * 1e9 for at_ns in began):
            told = f"Alertmanager has it from {alert['startsAt']}, when Prometheus did not begin to fire"
            notes.append(f"alert {rule.name}: {told}")
    return tuple(notes)
