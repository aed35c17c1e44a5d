"""The way to the service is down, and not the service: requests of that time say nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.store import request_log
from smartops_chaos.trial import workload


class Front(ThreadingHTTPServer):
    """An API server in front of a service."""

    answer: tuple[int, object] = (200, {})
    cut = False
    asked = 0


class Handler(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content = self.server.answer
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    from smartops_chaos.kubernetes import cluster

    server = Front(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    content = {
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    cluster.connect.cache_clear()
    yield server
    server.shutdown()
    server.server_close()
    cluster.connect.cache_clear()


def statuses(front: Front, tmp_path: Path) -> set[int]:
    """What is on record of some requests."""
    load = workload.Load(
        "kubernetes://a@dev/shop:80", "GET", None, timeout_s=2.0, good_within_s=30.0, rate_per_s=50.0, limit_s=60.0
    )
    workload.start(load, tmp_path / "requests.csv", Clock.anchored())
    deadline = time.monotonic() + 60
    while front.asked < 40:
        assert workload.running()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workload.stop()
    return {request.status for request in request_log.read(tmp_path / "requests.csv")}


def status(message: str) -> dict[str, str]:
    return {"kind": "Status", "message": message}


@pytest.mark.parametrize("message", ["no endpoints available for service", "error trying to reach service: EOF"])
def test_a_service_that_cannot_be_reached_behind_the_api_server_is_bad(
    front: Front, tmp_path: Path, message: str
) -> None:
    front.answer = (503, status(message))
    assert statuses(front, tmp_path) == {503}


def test_an_api_server_in_trouble_says_nothing_of_the_service(front: Front, tmp_path: Path) -> None:
    front.answer = (503, status("etcdserver: leader changed"))
    assert statuses(front, tmp_path) == set()


def test_a_connection_that_breaks_before_the_api_server_answers_says_nothing(front: Front, tmp_path: Path) -> None:
    front.cut = True
    assert statuses(front, tmp_path) == set()


def test_what_the_service_says_itself_counts(front: Front, tmp_path: Path) -> None:
    front.answer = (500, {"detail": "no"})
    assert statuses(front, tmp_path) == {500}
