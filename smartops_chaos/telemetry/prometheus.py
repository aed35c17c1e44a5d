"""Raw samples from Prometheus, with the stamps that it stored, and the offset of its clock."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import requests

from smartops_chaos.clock import Clock
from smartops_chaos.model import Series

_SCRAPE_DURATION = "scrape_duration_seconds"
_SLACK_S = 60  # a born or vanished series needs the sample before the window to be bracketed


class PrometheusError(RuntimeError):
    """The server did not answer, or answered with an error; the text says which."""


def offset_ns(url: str, clock: Clock, *, timeout_s: float = 2.0, tries: int = 3) -> tuple[int, int]:
    """Bounds of Prometheus' clock minus the runner's, from `time()`: the tightest of a few calls.

    The server stamped its answer between our two readings, so the offset lies in [server - after, server - before].
    The scalar has three decimals, so half a millisecond is added to both sides.
    """
    low, high = -math.inf, math.inf
    for _ in range(tries):
        before = clock.now_ns()
        server = round(float(_get(url, {"query": "time()"}, timeout_s)["result"][1]) * 1e9)
        low, high = max(low, server - clock.now_ns() - 500_000), min(high, server - before + 500_000)
    return int(min(low, high)), int(max(low, high))


def fetch(
    url: str, names: Sequence[str], start_ns: int, end_ns: int, *, timeout_s: float = 5.0
) -> tuple[tuple[Series, ...], float]:
    """Every stored sample of the named metrics in [start - a minute, end], and the longest scrape in seconds.

    A range selector at one instant returns samples as stored; `query_range` would return its own grid instead.
    Times are Prometheus' clock. Raises PrometheusError.
    """
    range_s = math.ceil((end_ns - start_ns) / 1e9) + _SLACK_S
    pattern = "|".join(re.escape(name).replace("\\", "\\\\") for name in (*names, _SCRAPE_DURATION))
    query = f'{{__name__=~"{pattern}"}}[{range_s}s]'
    data = _get(url, {"query": query, "time": f"{end_ns / 1e9:.3f}"}, timeout_s)
    series, scrape_s = [], 0.0
    for one in data["result"]:
        labels = dict(one["metric"])
        name = labels.pop("__name__")
        values = tuple(float(value) for _, value in one["values"])
        if name == _SCRAPE_DURATION:
            scrape_s = max(scrape_s, *values)
        else:
            at_ns = tuple(round(stamp * 1000) * 1_000_000 for stamp, _ in one["values"])
            series.append(Series(name, labels, at_ns, values))
    return tuple(sorted(series, key=lambda s: (s.name, sorted(s.labels.items())))), scrape_s


def instant(url: str, query: str, *, timeout_s: float = 2.0) -> dict[str, Any]:
    """The answer of an instant query: good for "is it so now", never for a moment. Raises PrometheusError."""
    return _get(url, {"query": query}, timeout_s)


def _get(url: str, params: dict[str, str], timeout_s: float) -> dict[str, Any]:
    try:
        answer = requests.post(f"{url}/api/v1/query", data=params, timeout=timeout_s)
        payload = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise PrometheusError(f"Prometheus at {url} does not answer: {error}") from error
    if payload.get("status") != "success":
        raise PrometheusError(f"Prometheus refused {params['query']}: {payload.get('error', answer.text[:200])}")
    return dict(payload["data"])
