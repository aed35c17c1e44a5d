"""Raw samples from Prometheus, with the stamps that it stored, and the offset of its clock.

Every function takes the server's address, or a Connection where TLS, credentials or limits are needed.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired, Required

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from smartops_chaos.clock import Clock
from smartops_chaos.model import Series
from smartops_chaos.telemetry.connection import Connection, SourceError, connection

_UP, _DURATION = "up", "scrape_duration_seconds"
_SLACK_MS = 60_000  # a born or vanished series needs the sample before the window to be bracketed
_PAGE_MS = 3_600_000
_SHORTEST_PAGE_MS = 1_000
_CUT_NS = 1_000_000
_TRIES = 3  # to read the clock: the one with the shortest way there and back counts

_HINTS = ("PromQL info", "PromQL warning")  # about the query itself: all samples are there

logger = logging.getLogger("smartops_chaos")


_Sample = tuple[float, str]  # seconds since the epoch, and a number as text


class _AnswerSeries(TypedDict, total=False):
    metric: Required[dict[str, str]]
    value: _Sample
    values: list[_Sample]


class _Instant(TypedDict):
    resultType: NotRequired[Literal["matrix", "vector"]]
    result: list[_AnswerSeries]


class _Scalar(TypedDict):
    resultType: Literal["scalar", "string"]
    result: _Sample


_ANSWER: TypeAdapter[_Instant | _Scalar] = TypeAdapter(_Instant | _Scalar)
Labels = Mapping[str, str]
_Key = tuple[str, tuple[tuple[str, str], ...]]


class PrometheusError(SourceError):
    source = "Prometheus"


def offset_ns(where: str | Connection, clock: Clock) -> tuple[int, int]:
    """Bounds of Prometheus' clock minus the runner's, from `time()`: the tightest of a few calls.

    The server stamped its answer between our two readings, so the offset lies in [server - after, server - before].
    It cuts its time to milliseconds, so it may be as much as one later than it says. Raises PrometheusError.
    """
    source = connection(where)
    low, high = -math.inf, math.inf
    failure: PrometheusError | None = None
    for _ in range(_TRIES):
        before = clock.now_ns()
        try:
            server = round(float(_query(source, "time()", retries=0)["result"][1]) * 1e9)
        except PrometheusError as error:
            failure = error
            continue
        low, high = max(low, server - clock.now_ns()), min(high, server - before + _CUT_NS)
    if failure and low == -math.inf:
        raise failure
    return int(min(low, high)), int(max(low, high))


def fetch(
    where: str | Connection, names: Sequence[str], start_ns: int, end_ns: int, *, namespaces: Sequence[str] = ()
) -> tuple[tuple[Series, ...], float]:
    """Every stored sample of the named metrics, from a minute before `start` to `end`, and the longest scrape in s.

    `up` of the same scraped processes always comes along: where it is 1, a metric without a sample was absent and not
    missed. Scrapes that failed brought no sample, so their duration does not count. Times are Prometheus' clock. With
    `namespaces` a series counts that is of one of them, or whose labels do not tell. Raises PrometheusError.
    """
    source = connection(where)
    between = asked_ms(start_ns, end_ns)
    series = raw(source, selector({"__name__": names} | of_namespaces(namespaces)), *between)
    instances = sorted({one.labels.get("instance", "") for one in series})
    scrape = selector({"__name__": [_UP, _DURATION], "instance": instances})
    scrapes = raw(source, scrape, *between) if series else ()
    failed = {
        (one.labels.get("job"), one.labels.get("instance"), at_ns)
        for one in scrapes
        for at_ns, value in zip(one.at_ns, one.values, strict=True)
        if one.name == _UP and value == 0
    }
    scrape_s = 0.0
    for one in scrapes:
        if one.name == _DURATION:
            target = one.labels.get("job"), one.labels.get("instance")
            lasted = (v for at, v in zip(one.at_ns, one.values, strict=True) if (*target, at) not in failed)
            scrape_s = max(scrape_s, *lasted, 0.0)
    wanted = {_key(one.name, one.labels): one for one in (*series, *(s for s in scrapes if s.name == _UP))}
    return tuple(wanted[key] for key in sorted(wanted)), scrape_s


def asked_ms(start_ns: int, end_ns: int) -> tuple[int, int]:
    """What to ask for, in milliseconds: a minute more than wanted, which brackets what is born at the start."""
    return start_ns // 1_000_000 - _SLACK_MS, -(-end_ns // 1_000_000)


def raw(where: str | Connection, query: str, after_ms: int, until_ms: int) -> tuple[Series, ...]:
    """The stored samples of a selector's series with stamps in (after, until], in milliseconds since the epoch.

    A range selector at one instant returns samples as stored; `query_range` would return its own grid instead. Pages
    of time keep an answer below what the server loads at once: a page that it refuses as too large is halved. Up to
    version 2 a selector includes its left end and from version 3 on it does not; leaving that end to the page before
    gives the same on both. Raises PrometheusError.
    """
    source = connection(where)
    found: dict[_Key, tuple[list[int], list[float]]] = {}
    page_ms, at_ms = _PAGE_MS, after_ms
    while at_ms < until_ms:
        end_ms = min(at_ms + page_ms, until_ms)
        try:
            answer = _query(source, f"{query}[{end_ms - at_ms}ms]", at_ms=end_ms)
        except PrometheusError as error:
            if not _too_large(error) or end_ms - at_ms <= _SHORTEST_PAGE_MS:
                raise
            page_ms = max(_SHORTEST_PAGE_MS, (end_ms - at_ms) // 2)
            continue
        for one in answer["result"]:
            labels = dict(one["metric"])
            stamps, values = found.setdefault(_key(labels.pop("__name__", ""), labels), ([], []))
            for stamp_s, value in one.get("values", ()):  # a native histogram has none
                stamp_ms = round(stamp_s * 1000)
                if at_ms < stamp_ms <= end_ms:
                    stamps.append(stamp_ms * 1_000_000)
                    values.append(float(value))
        at_ms = end_ms
    return tuple(
        Series(name, dict(labels), tuple(stamps), tuple(values))
        for (name, labels), (stamps, values) in sorted(found.items())
        if stamps
    )


def selector(any_of: Mapping[str, Iterable[str]]) -> str:
    """Series whose labels have one of the values each."""
    matchers = [f'{name}=~"{"|".join(_quoted(re.escape(v)) for v in values)}"' for name, values in any_of.items()]
    return f"{{{','.join(matchers)}}}"


def of_namespaces(names: Sequence[str]) -> dict[str, Sequence[str]]:
    """For `selector`. A Prometheus of a whole cluster knows more namespaces than a lane, each with a healer maybe."""
    return {"namespace": ["", *names]} if names else {}


def instant(where: str | Connection, query: str) -> dict[str, Any]:
    """The answer of an instant query: good for "is it so now", never for a moment. Raises PrometheusError."""
    return _query(connection(where), query)


def data(source: Connection, path: str, params: Mapping[str, str], *, retries: int | None = None) -> dict[str, Any]:
    """What Prometheus' API answers. Raises PrometheusError, also for an answer that is not the whole one."""
    payload = source.ask(PrometheusError, path, params, retries=retries)
    if (
        not isinstance(payload, dict)
        or payload.get("status") != "success"
        or not isinstance(payload.get("data"), dict)
        or not isinstance(payload.get("warnings") or [], list)
    ):
        raise PrometheusError(f"{source.url} does not answer like Prometheus: check the address")
    said = [source.hide(str(one)) for one in (*(payload.get("warnings") or ()), *_list(payload.get("infos")))]
    hints = [one for one in said if one.startswith(_HINTS)]
    if lacking := [one for one in said if one not in hints]:
        raise PrometheusError(f"Prometheus at {source.url} has answered in part only: {'; '.join(lacking)}")
    if payload.get("isPartial"):
        raise PrometheusError(f"Prometheus at {source.url} has answered in part only: a store behind it is missing")
    for hint in hints:
        logger.info("Prometheus at %s notes: %s", source.url, hint)
    return dict(payload["data"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _query(source: Connection, query: str, *, at_ms: int | None = None, retries: int | None = None) -> dict[str, Any]:
    params = {"query": query}
    if at_ms is not None:  # as a date: the server would cut a decimal number of seconds a millisecond short at times
        date = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        params["time"] = f"{date}.{at_ms % 1000:03}Z"
    try:
        answer = data(source, "/api/v1/query", params, retries=retries)
        return dict(_ANSWER.validate_python(answer))
    except ValidationError:
        raise PrometheusError(f"{source.url} does not answer a query like Prometheus: check the address") from None
    except PrometheusError as error:
        if error.status in (400, 422):
            told = f"Prometheus refused {query}: {error.said}"
            raise PrometheusError(told, status=error.status, said=error.said) from None
        raise


def _too_large(error: PrometheusError) -> bool:
    return error.status == 413 or (error.status in (400, 422) and "samples" in error.said)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _key(name: str, labels: Labels) -> _Key:
    return name, tuple(sorted(labels.items()))
