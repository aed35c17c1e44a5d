"""Spans of a few traces, by their IDs: of Jaeger (v2), Tempo, and what else answers one of their query APIs.

Both tell a trace as OTLP JSON, below `result` and below `trace`. Its IDs are hexadecimal there, or base64 as protobuf
writes bytes; numbers are numbers or texts; a status has its number or its name.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from smartops_chaos.model import Span
from smartops_chaos.telemetry.connection import Connection, SourceError, connection

MOST = 6  # traces of one trial
_MOST_SPANS = 200  # of one trace: the earliest
_LONGEST = 200  # letters of a name that somebody else gives
_PATHS = ("/api/v3/traces/{}", "/api/v2/traces/{}")  # Jaeger's and Tempo's
_STATUS = {1: "ok", 2: "error", "STATUS_CODE_OK": "ok", "STATUS_CODE_ERROR": "error"}


class TracesError(SourceError):
    source = "the store of traces"


def fetch(
    where: str | Connection, ids: Sequence[str], *, settle_s: float = 0.0, sleep: Callable[[float], None] = time.sleep
) -> tuple[Span, ...]:
    """The spans of these traces, in order of time; none of a trace that the store does not know.

    Services and collectors send in batches: what was told last has arrived after `settle_s`. Raises TracesError.
    """
    source = connection(where)
    paths: tuple[str, ...] = _PATHS
    sleep(settle_s)
    found: list[Span] = []
    for trace in ids[:MOST]:
        for path in paths:
            try:
                answer = source.ask(TracesError, path.format(trace), {}, retries=1)
            except TracesError as error:
                if not _unknown(error, source, path):
                    raise
                continue
            found += sorted(_spans(source.url, trace, answer), key=lambda span: span.start_ns)[:_MOST_SPANS]
            paths = (path,)
            break
    return tuple(sorted(found, key=lambda span: span.start_ns))


def _unknown(error: TracesError, source: Connection, path: str) -> bool:
    """Whether it does not know the trace, or has the other one's API."""
    if error.status == 404:
        return not (source.proxied and error.said.startswith("services "))  # the API server does not find a Service
    return error.status == 200 and path != _PATHS[0]  # for what it does not know Jaeger has a page of HTML


def _spans(url: str, trace: str, answer: Any) -> Iterator[Span]:
    try:
        inner = answer.get("result") or answer.get("trace") or answer
        for resource in inner.get("resourceSpans") or inner.get("batches") or ():
            attributes = resource.get("resource", {}).get("attributes", ())
            told = {one["key"]: one["value"].get("stringValue", "") for one in attributes}
            for scope in resource.get("scopeSpans", ()):
                for span in scope.get("spans", ()):
                    yield _span(trace, told.get("service.name", ""), span)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TracesError(f"{url} does not answer as Jaeger or Tempo do: check the address") from None


def _span(trace: str, service: str, span: dict[str, Any]) -> Span:
    start_ns = int(span["startTimeUnixNano"])
    return Span(
        trace=trace,
        id=_hex(span["spanId"]),
        parent=_hex(span.get("parentSpanId", "")),
        service=service[:_LONGEST],
        name=str(span["name"])[:_LONGEST],
        start_ns=start_ns,
        end_ns=max(start_ns, int(span["endTimeUnixNano"])),
        status=_STATUS.get((span.get("status") or {}).get("code", 0), ""),
    )


def _hex(told: str) -> str:
    """16 hexadecimal digits; of zeros alone means none."""
    text = told if len(told) in (0, 16) else base64.b64decode(told, validate=True).hex()
    return text.lower() if text.strip("0") else ""
