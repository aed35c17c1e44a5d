"""The open loop against a real server on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.store import request_log
from smartops_chaos.store.request_log import RequestTail
from smartops_chaos.timeline import tracing
from smartops_chaos.trial import workload


class Handler(BaseHTTPRequestHandler):
    gate = threading.Event()
    traces: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.traces.append(self.headers.get("traceparent", ""))
        if self.path == "/stuck":
            self.gate.wait(30)
        self.send_response(503 if self.path == "/refuse" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Handler.gate.set()
    server.shutdown()
    Handler.gate.clear()


def load(url: str, limit_s: float = 10.0, good_within_s: float = 30.0) -> workload.Load:
    return workload.Load(url, "GET", None, timeout_s=2.0, good_within_s=good_within_s, rate_per_s=50.0, limit_s=limit_s)


def wait_for(file: Path, lines: int) -> None:
    deadline = time.monotonic() + 10
    tail, seen = RequestTail(file), 0
    while seen < lines:
        seen += len(tail.read())
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_leave_on_schedule_and_are_all_kept(url: str, tmp_path: Path) -> None:
    file, clock = tmp_path / "requests.csv", Clock.anchored()
    workload.start(load(url), file, clock)
    wait_for(file, 25)
    assert workload.running()
    workload.stop()
    assert not workload.running()
    requests = request_log.read(file)
    gaps = {later.sched_ns - earlier.sched_ns for earlier, later in pairwise(requests)}
    assert gaps == {20_000_000}
    assert all(request.status == 200 and request.latency_ns > 0 for request in requests)
    assert all(request.late_ns >= 0 for request in requests)


def test_a_request_s_trace_is_known_from_its_line(url: str, tmp_path: Path) -> None:
    Handler.traces.clear()
    workload.start(replace(load(url), traces="a trial 1"), tmp_path / "requests.csv", Clock.anchored())
    wait_for(tmp_path / "requests.csv", 5)
    workload.stop()
    sent = [one.sched_ns for one in RequestTail(tmp_path / "requests.csv").read()]
    assert sent
    assert {tracing.traceparent("a trial 1", at) for at in sent} <= set(Handler.traces)
    assert len(set(Handler.traces)) == len(Handler.traces)


def test_a_refusal_keeps_its_status(url: str, tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    workload.start(load(f"{url}/refuse"), file, Clock.anchored())
    wait_for(file, 3)
    workload.stop()
    assert {request.status for request in request_log.read(file)} == {503}


def test_a_slow_service_does_not_slow_the_loop_and_overdue_requests_are_unanswered(url: str, tmp_path: Path) -> None:
    file, clock = tmp_path / "requests.csv", Clock.anchored()
    workload.start(load(f"{url}/stuck", good_within_s=0.2), file, clock)
    wait_for(file, 5)  # the first time out after 2 s
    end_ns = clock.now_ns()
    workload.stop()
    requests = request_log.read(file)
    assert all((request.latency_ns, request.status) == (-1, 0) for request in requests)
    assert len(requests) > 80
    assert requests[-1].sched_ns > end_ns - 1_000_000_000, "those in flight count as soon as they are overdue"


def test_nobody_there_is_recorded_too(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    workload.start(load("http://127.0.0.1:9"), file, Clock.anchored())
    wait_for(file, 3)
    workload.stop()
    assert {request.status for request in request_log.read(file)} == {0}


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "requests.csv"
    file.write_text("20,0,5,200\n10,0,5,200\n30,0", encoding="ascii")
    assert [request.sched_ns for request in request_log.read(file)] == [10, 20]


def test_where_nothing_can_be_written_the_load_ends_by_itself(url: str) -> None:
    """And whoever observes the trial sees that it has."""
    workload.start(load(url), Path("/dev/full"), Clock.anchored())
    deadline = time.monotonic() + 60
    while workload.running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
