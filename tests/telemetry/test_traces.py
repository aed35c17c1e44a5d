"""Spans of Jaeger's and Tempo's query APIs: one form inside, and words for what cannot be had."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from smartops_chaos.model import Span
from smartops_chaos.telemetry import traces
from smartops_chaos.telemetry.traces import TracesError, fetch
from tests.telemetry.conftest import Answer, Asked, serving

TRACE, ROOT, CHILD = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"


def told(encode: Any = str, error: Any = 2) -> list[dict[str, Any]]:
    service = {"key": "service.name", "value": {"stringValue": "smartops-orchestrator"}}
    version = {"key": "telemetry.sdk.version", "value": {"intValue": "1"}}
    root = {"name": "closed loop", "startTimeUnixNano": "1000", "endTimeUnixNano": "9000", "status": {}}
    child = {"name": "act", "startTimeUnixNano": 2000, "endTimeUnixNano": "3000", "status": {"code": error}}
    spans = [
        {**child, "traceId": encode(TRACE), "spanId": encode(CHILD), "parentSpanId": encode(ROOT)},
        {**root, "traceId": encode(TRACE), "spanId": encode(ROOT)},
    ]
    return [{"resource": {"attributes": [version, service]}, "scopeSpans": [{"spans": spans}]}]


def as_bytes(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


SPANS = (
    Span(TRACE, ROOT, "", "smartops-orchestrator", "closed loop", 1000, 9000, ""),
    Span(TRACE, CHILD, ROOT, "smartops-orchestrator", "act", 2000, 3000, "error"),
)
STORES = {
    "jaeger": ("/api/v3/traces/", {"result": {"resourceSpans": told()}}),
    "tempo": ("/api/v2/traces/", {"trace": {"resourceSpans": told(as_bytes, "STATUS_CODE_ERROR")}}),
    "tempo's older form": ("/api/v2/traces/", {"batches": told(as_bytes, "STATUS_CODE_ERROR")}),
}


@pytest.mark.parametrize("store", STORES)
def test_both_stores_tell_the_same(store: str) -> None:
    path, body = STORES[store]
    asked: list[str] = []

    def answer(question: Asked) -> Answer:
        asked.append(question.path)
        known = question.path == path + TRACE
        return Answer(json.dumps(body)) if known else Answer("trace not found", 404)

    with serving(answer) as url:
        assert fetch(url, [TRACE, "f" * 32]) == SPANS
    assert asked[-1] == path + "f" * 32  # which API it has is known by then


def test_a_trace_that_is_not_known_has_no_span() -> None:
    with serving(lambda _: Answer('{"error": {"httpCode": 404}}', 404)) as url:
        assert fetch(url, [TRACE]) == ()


def test_jaeger_has_a_page_for_what_it_does_not_know() -> None:
    def answer(question: Asked) -> Answer:
        return Answer("{}", 404) if "/v3/" in question.path else Answer("<html>")

    with serving(answer) as url:
        assert fetch(url, [TRACE]) == ()
    with serving(lambda _: Answer("<html>")) as url, pytest.raises(TracesError, match="login page"):
        fetch(url, [TRACE])


def test_traces_and_spans_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_MOST_SPANS", 1)
    asked: list[str] = []

    def answer(question: Asked) -> Answer:
        asked.append(question.path)
        return Answer(json.dumps({"result": {"resourceSpans": told()}}))

    with serving(answer) as url:
        found = fetch(url, [f"{n:032x}" for n in range(1, 20)])
    assert len(asked) == traces.MOST
    assert [span.name for span in found] == ["closed loop"] * traces.MOST


@pytest.mark.parametrize("body", ['["spans"]', '{"result": {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}}'])
def test_what_is_no_store_of_traces_is_told(body: str) -> None:
    with serving(lambda _: Answer(body)) as url, pytest.raises(TracesError, match="does not answer as Jaeger or Tempo"):
        fetch(url, [TRACE])


def test_a_store_that_is_gone_or_refuses_is_told() -> None:
    with pytest.raises(TracesError, match=r"the store of traces at http://127\.0\.0\.1:9 does not answer"):
        fetch("http://127.0.0.1:9", [TRACE])
    with serving(lambda _: Answer("no", 401)) as url, pytest.raises(TracesError, match="refused"):
        fetch(url, [TRACE])


def test_spans_under_way_are_waited_for() -> None:
    waited: list[float] = []
    with serving(lambda _: Answer("", 404)) as url:
        fetch(url, [TRACE], settle_s=2.0, sleep=waited.append)
    assert waited == [2.0]
