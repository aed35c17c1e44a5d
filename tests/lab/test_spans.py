"""Spans of the lab's services: as OTLP JSON to whoever takes it, and back from the lane's own store."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from smartops_chaos.lab.lab_target import LabLane, exports
from smartops_chaos.lab.platform import spanstore
from smartops_chaos.lab.platform.spanstore import SpanStore
from smartops_chaos.lab.smartops import spans
from smartops_chaos.lab.smartops.spans import TracedLines, Tracer, here, parent
from smartops_chaos.targets.base import LaneAddress
from tests.conftest import until
from tests.telemetry.conftest import Answer, Asked, serving

if TYPE_CHECKING:
    from tests.lab.conftest import Lane

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def environment(url: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20secret",
    }


def record() -> logging.LogRecord:
    made = logging.makeLogRecord({})
    TracedLines().filter(made)
    return made


def test_what_is_done_inside_a_span_is_below_it() -> None:
    bodies: list[tuple[str, dict[str, Any]]] = []

    def take(asked: Asked) -> Answer:
        bodies.append((asked.headers["Authorization"], {}))
        return Answer("{}")

    def fail() -> None:
        with tracer.span("act"):
            raise OSError("refused")

    with serving(take) as url:
        tracer = Tracer("orchestrator", environment(url))
        kept: list[dict[str, Any]] = []
        tracer._waiting.put_nowait = kept.append  # type: ignore[method-assign, assignment]
        with tracer.span("loop", below=parent(f"00-{TRACE}-{SPAN}-01")):
            inside = here()
            assert inside is not None
            assert (record().trace_id, record().span_id) == (TRACE, inside.span)
            with pytest.raises(OSError, match="refused"):
                fail()
        assert here() is None
        assert record().trace_id == "0"
    act, loop = kept
    assert [one["traceId"] for one in kept] == [TRACE, TRACE]
    assert (loop["parentSpanId"], act["parentSpanId"]) == (SPAN, loop["spanId"])
    assert (loop["status"], act["status"]) == ({"code": 1}, {"code": 2})
    assert int(loop["startTimeUnixNano"]) <= int(act["startTimeUnixNano"]) <= int(act["endTimeUnixNano"])


def test_spans_are_sent_as_the_usual_variables_say() -> None:
    store, asked = SpanStore(), []

    def take(question: Asked) -> Answer:
        asked.append((question.method, question.path, question.headers["Authorization"]))
        return Answer("{}")

    with serving(take) as url:
        with Tracer("erp", environment(url)).span("work"):
            pass
        until(lambda: asked)
    assert asked == [("POST", "/v1/traces", "Bearer secret")]
    assert store.trace(TRACE) is None


def test_without_an_address_nothing_is_traced() -> None:
    for told in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}):  # of gRPC, which we do not speak
        with Tracer("erp", told).span("work"):
            assert here() is None


def test_a_store_that_is_gone_costs_spans_alone(caplog: pytest.LogCaptureFixture) -> None:
    tracer = Tracer("erp", environment("http://127.0.0.1:9"))
    for _ in range(spans._KEEP * 2):
        with tracer.span("work"):
            pass
    until(lambda: "spans were not taken" in caplog.text)


@pytest.mark.parametrize("told", [None, "", "00-0-0-01", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}"])
def test_who_is_in_no_trace_or_in_one_that_is_not_kept_begins_none(told: str | None) -> None:
    assert parent(told) is None


def test_the_store_keeps_so_many_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanstore, "KEEP", 2)
    store = SpanStore()
    for trace in "abc":
        store.add({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": trace * 32}]}]}]})
    assert [store.trace(trace * 32) is not None for trace in "abc"] == [False, True, True]


@pytest.mark.lab
def test_a_repair_is_one_trace_from_the_signal_to_its_verification(lane: Lane) -> None:
    lane.arm("threshold")
    since_ns = lane.client.get("/state")["now_ns"]
    body = {"windowId": "w-1", "service": "erp-simulator", "isAnomaly": True, "score": 0.9, "type": "error"}
    headers = {"Authorization": f"Bearer {lane.file.healer_token}", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    requests.post(f"{lane.file.healer}/v1/signals/anomaly", json=body, headers=headers, timeout=5).raise_for_status()
    text = lane.until(lambda: "verified successfully" in (log := lane.log(since_ns)) and log)
    (line,) = [one for one in text.splitlines() if "verified successfully" in one]
    assert f"trace_id={TRACE} span_id=" in line
    target = LabLane(LaneAddress("lab", "test", exports(lane.process.file)), 2)

    def whole() -> dict[str, Any]:
        found = {span.name.partition(":")[0]: span for span in target.traces([TRACE])}
        return found if "closed loop" in found else {}

    found = lane.until(whole)
    above = {SPAN: "the caller", **{span.id: name for name, span in found.items()}}
    assert {name: above[span.parent] for name, span in found.items()} == {
        "closed loop": "the caller",
        "ask the policy engine": "closed loop",
        "decide": "ask the policy engine",
        "act": "closed loop",
        "verify": "closed loop",
    }
    assert {span.service for span in found.values()} == {"smartops-orchestrator"}
    assert since_ns <= found["act"].start_ns <= found["act"].end_ns <= found["verify"].start_ns


@pytest.mark.lab
def test_a_request_that_fails_or_is_slow_is_a_span_of_the_erp(lane: Lane) -> None:
    target = LabLane(LaneAddress("lab", "test", exports(lane.process.file)), 2)
    lane.inject("fault", "cpu-stress")

    def slow() -> tuple[Any, ...]:
        trace = f"{len(asked):032x}"
        asked.append(trace)
        headers = {"traceparent": f"00-{trace}-{SPAN}-01"}
        burst = [
            pool.submit(requests.post, f"{lane.file.gateway}/simulate/load", json={}, headers=headers, timeout=5)
            for _ in range(12)
        ]
        for one in burst:
            one.result()
        return target.traces([trace])

    asked = [""]
    with ThreadPoolExecutor(12) as pool:
        found = lane.until(slow)
    assert {(span.service, span.name, span.parent) for span in found} == {
        ("smartops-erp-simulator", "POST /simulate/load", SPAN)
    }


@pytest.mark.lab
def test_spans_have_a_door_of_their_own(lane: Lane) -> None:
    url = f"{lane.file.control}/v1/traces"
    for token in ("", lane.file.token, lane.file.healer_token):
        assert requests.post(url, json={}, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code == 401
    assert requests.get(f"{lane.file.control}/api/v3/traces/{TRACE}", timeout=5).status_code == 401
    assert json.loads(Path(lane.process.file).read_text())["token"] == lane.file.token
