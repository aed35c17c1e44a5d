"""Spans of a service, sent as OTLP JSON over HTTP to where the usual variables of OpenTelemetry say.

    OTEL_EXPORTER_OTLP_PROTOCOL=http/json OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
    OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20...

Without them nothing is traced, and nothing costs time. Standard library only, as the ERP has to be ready quickly.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

BATCH_S = 0.2
_KEEP = 500  # spans that wait: of a store that does not answer the rest is given up
_SEND_WITHIN_S = 1.0
_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SERVER, _INTERNAL = 2, 1


@dataclass(frozen=True, slots=True)
class Context:
    """Where one is in a trace; what a request hands on (W3C Trace Context)."""

    trace: str
    span: str

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace}-{self.span}-01"}


_here: ContextVar[Context | None] = ContextVar("here", default=None)


def here() -> Context | None:
    return _here.get()


def parent(traceparent: str | None) -> Context | None:
    """The caller's place in a trace that is to be kept; None if it names none, or says that this one is not."""
    found = _PARENT.fullmatch(traceparent or "")
    return Context(found[1], found[2]) if found and int(found[3], 16) & 1 else None


class Tracer:
    def __init__(self, service: str, environment: Mapping[str, str] = os.environ) -> None:
        asked = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "http/json"
        address = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "") if asked else ""
        pairs = (pair.partition("=") for pair in environment.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",") if pair)
        self._headers = {"Content-Type": "application/json"} | {name: unquote(value) for name, _, value in pairs}
        self._to = urlsplit(address)
        self._on = bool(address)
        self._resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(_KEEP)
        if self._on:
            threading.Thread(target=self._send, daemon=True).start()

    @contextmanager
    def span(self, name: str, *, begin_ns: int = 0, below: Context | None = None) -> Iterator[None]:
        """What is done inside, below `below` or below what it is in; else it begins a trace. An exception is noted."""
        above = below or here()
        if not self._on:
            yield
            return
        at = Context(above.trace if above else secrets.token_hex(16), secrets.token_hex(8))
        begin_ns = begin_ns or time.time_ns()
        before, ok = _here.set(at), False
        try:
            yield
            ok = True
        finally:
            _here.reset(before)
            self._keep(name, at, above, begin_ns, _INTERNAL, ok=ok)

    def served(self, name: str, above: Context, begin_ns: int, *, ok: bool) -> None:
        """A request that has been answered."""
        if self._on:
            self._keep(name, Context(above.trace, secrets.token_hex(8)), above, begin_ns, _SERVER, ok=ok)

    def _keep(self, name: str, at: Context, above: Context | None, begin_ns: int, kind: int, *, ok: bool) -> None:
        span = {
            "traceId": at.trace,
            "spanId": at.span,
            **({"parentSpanId": above.span} if above else {}),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(begin_ns),
            "endTimeUnixNano": str(time.time_ns()),
            "status": {"code": 1 if ok else 2},
        }
        with suppress(queue.Full):
            self._waiting.put_nowait(span)

    def _send(self) -> None:
        while True:
            spans = [self._waiting.get()]
            time.sleep(BATCH_S)
            while not self._waiting.empty():
                spans.append(self._waiting.get())
            body = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [{"spans": spans}]}]}
            try:
                self._post(json.dumps(body).encode())
            except (OSError, HTTPException) as error:  # the service goes on without its traces
                logging.getLogger("smartops.traces").warning("%d spans were not taken: %s", len(spans), error)

    def _post(self, body: bytes) -> None:
        connection = HTTPConnection(self._to.hostname or "", self._to.port, timeout=_SEND_WITHIN_S)
        try:
            connection.request("POST", f"{self._to.path.rstrip('/')}/v1/traces", body, self._headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise OSError(f"{answer.status} {answer.reason}")
        finally:
            connection.close()


class TracedLines(logging.Filter):
    """Gives each log record the fields that SmartOps' lines have; 0 where nothing is traced."""

    def filter(self, record: logging.LogRecord) -> bool:
        at = here()
        record.trace_id, record.span_id, record.sampled = (at.trace, at.span, True) if at else ("0", "0", False)
        return True
