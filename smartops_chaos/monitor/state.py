"""What the page at `/` shows, as plain JSON: seconds since 1970, and null for what goes on or is not known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from smartops_chaos.model import Request, Slo
from smartops_chaos.timeline.health import is_good
from smartops_chaos.timeline.incident import Incident

SPAN_S = 900
DAY_S = 86_400
_BUCKET_S = 5
_MOST = 200  # incidents


class GoodShares:
    """The share of good requests in every five seconds of the last 15 minutes."""

    def __init__(self, slo: Slo) -> None:
        self._latency_ns = round(slo.latency_s * 1e9)
        self._counts: deque[list[int]] = deque(maxlen=SPAN_S // _BUCKET_S + 2)  # bucket, good, all

    def add(self, requests: Iterable[Request]) -> None:
        for one in requests:
            bucket = one.sched_ns // (_BUCKET_S * 10**9)
            row = next((row for row in reversed(self._counts) if row[0] == bucket), None)
            if row is None:
                if self._counts and bucket < self._counts[-1][0]:
                    continue  # it came too late to be shown
                row = [bucket, 0, 0]
                self._counts.append(row)
            row[1] += is_good(one, self._latency_ns)
            row[2] += 1

    def shares(self) -> list[tuple[float, float]]:
        return [((bucket + 0.5) * _BUCKET_S, round(good / n, 4)) for bucket, good, n in self._counts]


def shown(incident: Incident) -> dict[str, Any]:
    moments = {name: event.at.mid_ns / 1e9 for name, event in incident.timeline.events.items()}
    recovered = incident.recovered if incident.over else None
    return {
        "from": incident.impacted.mid_ns / 1e9,
        "to": recovered.mid_ns / 1e9 if recovered else None,
        "outcome": incident.outcome.value,
        "reason": incident.reason,
        "fault": incident.fault,
        "relapses": incident.timeline.health.relapses,
        "moments": moments,
        "actions": [
            {
                "kind": one.kind,
                "target": one.target,
                "status": one.status,
                "from": one.start.mid_ns / 1e9,
                "to": (one.verified or one.end or one.start).mid_ns / 1e9,
            }
            for one in incident.timeline.actions
        ],
    }


def recent(incidents: Iterable[Incident], current: Incident | None, now_s: float) -> list[dict[str, Any]]:
    """Those of the last day that are shown, the one that goes on last."""
    there = [one for one in incidents if one.until_ns / 1e9 > now_s - DAY_S or not one.over]
    found = [shown(one) for one in there[-_MOST:]]
    if current is not None and current.id not in {one.id for one in there}:
        found.append(shown(current) | {"outcome": "goes on", "reason": ""})  # nothing is decided yet
    return found
