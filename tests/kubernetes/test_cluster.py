"""The connection to a cluster: what is repeated, what is said, and that no credential is shown."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from smartops_chaos.kubernetes import cluster
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone
from smartops_chaos.telemetry.connection import connection

_TOKEN = "very-secret-token"
Answer = tuple[int, object, dict[str, str]]


class _Server(ThreadingHTTPServer):
    """Answers in the order of `answers`, the last one for ever, in the API server's format."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.asked.append((self.command, self.path, body or None))
        assert self.headers["Authorization"] == f"Bearer {_TOKEN}"
        status, content, headers = (
            self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        )
        text = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def here(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "team/dev@eu", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "team/dev@eu",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    cluster.connect.cache_clear()
    yield cluster.connect("")
    cluster.connect.cache_clear()


def _status(code: int, message: str) -> dict[str, object]:
    return {"kind": "Status", "code": code, "message": message}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_succeed_later_is_repeated(here: Cluster, server: _Server, status: int) -> None:
    server.answers = [(status, _status(status, "later"), {"Retry-After": "0"})] * 2 + [(200, {"items": []}, {})]
    assert here.request("GET", "/api/v1/pods", query={"labelSelector": "a=b,c"}) == {"items": []}
    assert server.asked == [("GET", "/api/v1/pods?labelSelector=a%3Db%2Cc", None)] * 3


_REFUSALS: list[tuple[int, str]] = [
    (401, "the cluster does not accept the credentials (401): log in again or renew the token"),
    (403, "pods is forbidden; `smartops-chaos doctor --rbac MATRIX` prints the roles that are needed"),
    (409, "PATCH /x: 409 pods is forbidden"),
]


@pytest.mark.parametrize(("status", "told"), _REFUSALS)
def test_a_refusal_is_said_at_once(here: Cluster, server: _Server, status: int, told: str) -> None:
    server.answers = [(status, _status(status, "pods is forbidden"), {})]
    with pytest.raises(ClusterError) as caught:
        here.request("PATCH", "/x", body={"a": 1}, content="application/merge-patch+json")
    assert str(caught.value) == told
    assert caught.value.status == status
    assert server.asked == [("PATCH", "/x", '{"a": 1}')]


def test_what_is_not_there_is_told_apart(here: Cluster, server: _Server) -> None:
    server.answers = [(404, _status(404, 'pods "a" not found'), {})]
    with pytest.raises(Gone, match='pods "a" not found'):
        here.request("DELETE", "/x")


def test_a_server_that_is_not_there_is_given_up(here: Cluster, server: _Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError, match="the API server does not answer"):
        here.request("GET", "/x", patience_s=0.2)


def test_an_outage_is_waited_out_only_once(here: Cluster, server: _Server) -> None:
    """Several calls in a row each with its own patience would put off the end of a trial by minutes."""
    server.answers = [(200, {}, {})]
    server.shutdown()
    server.server_close()
    with pytest.raises(ClusterError):
        here.request("GET", "/x", patience_s=0.2)
    begun = time.monotonic()
    with pytest.raises(ClusterError):
        here.request("GET", "/x", patience_s=30)
    assert time.monotonic() - begun < 10


def test_the_lines_of_a_watch(here: Cluster, server: _Server) -> None:
    server.answers = [(200, {"type": "ADDED"}, {})]
    assert [json.loads(line) for line in here.stream("/x", {"watch": "1"}, 5)] == [{"type": "ADDED"}]


@pytest.mark.parametrize("context", ["", "team/dev@eu"])
def test_an_address_through_the_api_server(here: Cluster, server: _Server, context: str) -> None:
    url = cluster.service_url(context, "dev", "erp", 8000)
    found = connection(f"{url}#tenant=team")
    assert found.url == f"{here.api.configuration.host}/api/v1/namespaces/dev/services/erp:8000/proxy"
    assert found.headers == {"authorization": f"Bearer {_TOKEN}", "X-Scope-OrgID": "team"}
    assert found.proxied
    assert _TOKEN not in repr(found) + url
    assert server.asked == []


def test_no_cluster_at_all_is_said_with_the_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    cluster.connect.cache_clear()
    with pytest.raises(ClusterError, match=r"none is not there; set KUBECONFIG, or name its context"):
        cluster.connect("")
