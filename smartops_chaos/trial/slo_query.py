"""The load of a trial where a team has its own: nothing is sent, a query is asked and its values are kept.

Prometheus is asked at fixed times. Each answer is one line of the requests file: 200 if every value is at least
`at_least`, 503 if one is below, is NaN, or there is none, for what does not show that it is good is not. When
Prometheus itself does not answer there is no line: then nothing is known.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.model import Request
from smartops_chaos.store import request_log
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import connection

_RENEW_NS = 30_000_000_000  # credentials of a cluster's API server live for minutes


def loop(
    out: request_log.Sink,
    clock: Clock,
    *,
    url: str,
    query: str,
    at_least: float,
    rate_per_s: float,
    timeout_s: float,
    limit_s: float,
) -> None:
    """Ask until told to stop, or for `limit_s`; a time that came while Prometheus was busy is left out."""
    spacing_ns = int(1e9 / rate_per_s)
    sched_ns = clock.now_ns() + spacing_ns
    end_ns = sched_ns + int(limit_s * 1e9)
    source, renew_ns = None, 0
    while sched_ns < end_ns:
        time.sleep(max(0.0, (sched_ns - clock.now_ns()) / 1e9))
        try:
            if source is None or sched_ns > renew_ns:
                source = replace(connection(url), timeout_s=timeout_s, retries=0)
                renew_ns = sched_ns + _RENEW_NS
            late_ns = clock.now_ns() - sched_ns
            answer = prometheus.instant(source, query)
        except RuntimeError:
            source = None
        else:
            status = 200 if good(answer, at_least) else 503
            out.write(request_log.line(Request(sched_ns, late_ns, clock.now_ns() - sched_ns, status)))
        missed = max(0, clock.now_ns() - sched_ns) // spacing_ns
        sched_ns += (missed + 1) * spacing_ns


def good(answer: Mapping[str, Any], at_least: float) -> bool:
    """Of Prometheus' `data`: whether there is a value, and all of them are at least so large. NaN never is."""
    result = answer.get("result", [])
    values = [result[1]] if answer.get("resultType") == "scalar" else [one["value"][1] for one in result]
    return bool(values) and all(float(value) >= at_least for value in values)
