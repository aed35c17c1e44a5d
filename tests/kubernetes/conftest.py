"""An API server in memory: namespaces, controllers, ConfigMaps, pods; merge patches, label selectors, watches."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from smartops_chaos.kubernetes import cluster

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], Any]
NAMESPACE = "dev"
_STARTED = "2026-11-29T10:00:00Z"
_ALL = ("deployments", "statefulsets", "daemonsets", "replicasets")

HEALER = """\
version: 1
name: watchdog
poll: 500ms
warm_up: 1s
workload: {method: POST, path: /orders, json: {n: 1}, timeout: 2s}
settings: {healer: [on, off], limit: text}
moments: {detected: [{log: 'is slow', component: watchdog}]}
actions: {start: [{log: '(?P<kind>\\w+) (?P<target>\\S+) begun', component: watchdog}]}
kubernetes:
  service: shop
  workload: {service: shop, port: 8000}
  components: [watchdog]
  settings:
    healer: {on: [{deployment: watchdog, replicas: 1}], off: [{deployment: watchdog, replicas: 0}]}
    limit: [{configmap: watchdog, data: {limit: "{value}"}}]
  reset: {replicas: {shop: 2, watchdog: 1}, restart: [watchdog]}
"""
MATRIX = """\
version: 1
name: w
target: {kind: kubernetes, healer: healer.yaml, lanes: [{namespace: dev}], allow: [dev]}
factors:
  chaos: {zero: {fault: scale-to-zero}}
  model: {off: {healer: off}, watchdog: {limit: "0.3"}}
  workload: {steady: {rate: 20/s}}
repeats: 1
calibrate: 0
baseline: {model: off}
slo: {latency: 500ms, objective: 90%, hold: 2s}
horizon: {after: 5s, because: "a test"}
stop_after_good: 2s
"""


class FakeApi:
    """`rules(method, path, query)` may answer in its place; `asked` has every request."""

    def __init__(self, name: str = "a", namespaces: tuple[str, ...] = (NAMESPACE, "kube-system")) -> None:
        self.name, self.rules, self.asked, self.version = name, _no_rule, list[tuple[str, str]](), 10
        self.objects: dict[str, dict[str, Json]] = {}  # path of a collection -> name -> object
        self.namespaces = {
            one: {"metadata": {"name": one, "uid": f"{name}-{one}", "labels": {}}, "status": {"phase": "Active"}}
            for one in namespaces
        }
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None: ...

            def _go(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query, keep_blank_values=True))
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.asked.append((self.command, self.path))
                told = fake.rules(self.command, parts.path, query)
                if told is None:
                    told = fake.answer(self.command, parts.path, query, json.loads(body) if body else None)
                status, headers, content = told
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for key, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = _go

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.asked if one[0] != "GET"]

    def put(self, collection: str, found: Json, namespace: str = NAMESPACE) -> Json:
        self.objects.setdefault(cluster.path(namespace, collection), {})[found["metadata"]["name"]] = found
        return found

    def get(self, collection: str, name: str, namespace: str = NAMESPACE) -> Json:
        return self.objects[cluster.path(namespace, collection)][name]

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        if path == "/version":
            return 200, {}, {"gitVersion": "v1.35.0"}
        if path.endswith("/selfsubjectaccessreviews"):
            return 201, {}, {"status": {"allowed": True}}
        steps = path.strip("/").split("/")
        if steps[-2] == "namespaces":
            known = self.namespaces.get(steps[-1])
            return (200, {}, known) if known else (404, {}, {"message": f'namespaces "{steps[-1]}" not found'})
        if "namespaces" not in steps:
            return 404, {}, {"message": "the server could not find the requested resource"}
        at = steps.index("namespaces")
        collection = "/" + "/".join(steps[: at + 3])
        if steps[at + 2] not in (*_ALL, "pods", "configmaps", "services", "events") and collection not in self.objects:
            return 404, {}, {"message": "the server could not find the requested resource"}
        items = self.objects.setdefault(collection, {})
        if len(steps) == at + 3:
            return self._of_collection(method, query, items, body)
        name = steps[at + 3]
        if name not in items:
            return 404, {}, {"message": f"{name} not found"}
        if method == "DELETE":
            return 200, {}, items.pop(name)
        if method == "PATCH":
            wanted = body["metadata"].get("resourceVersion")
            if wanted not in (None, items[name]["metadata"]["resourceVersion"]):
                return 409, {}, {"message": "it was modified"}
            merge(items[name], copy.deepcopy(body))
            self.version += 1
            items[name]["metadata"]["resourceVersion"] = str(self.version)
            if "status" in items[name] and "replicas" in items[name]["spec"]:
                for count in ("replicas", "updatedReplicas", "availableReplicas"):
                    items[name]["status"][count] = items[name]["spec"]["replicas"]
        return 200, {}, items[name]

    def _of_collection(self, method: str, query: dict[str, str], items: dict[str, Json], body: Any) -> Answer:
        if method == "POST":
            name = body["metadata"]["name"]
            if name in items:
                return 409, {}, {"message": "it exists"}
            items[name] = {**body, "metadata": {**body["metadata"], "resourceVersion": "1", "uid": "u"}}
            return 201, {}, items[name]
        if query.get("watch"):
            time.sleep(0.1)
            return 200, {}, b""
        wanted = [one.partition("=") for one in query.get("labelSelector", "").split(",") if one and " " not in one]

        def fits(one: Json) -> bool:
            labels = one["metadata"].get("labels") or {}
            return all(key in labels and (not equals or labels[key] == value) for key, equals, value in wanted)

        found = [one for one in items.values() if fits(one)]
        return 200, {}, {"metadata": {"resourceVersion": str(self.version)}, "items": found}


def _no_rule(*_: object) -> Answer | None:
    return None


def merge(old: Json, patch: Json) -> None:
    for key, value in patch.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            merge(old[key], value)
        else:
            old[key] = value


def controller(name: str, replicas: int = 2, selector: Json | None = None, containers: tuple[str, ...] = ()) -> Json:
    labels = {"app": name}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels} if selector is None else selector,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": one, "image": "x"} for one in containers or (name,)]},
            },
        },
        "status": {
            "observedGeneration": 99,
            **dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas),
        },
    }


def pod(
    name: str, owner: str, labels: Json | None = None, containers: tuple[str, ...] = ("shop",), **meta: Any
) -> Json:
    """`owner` is Kind/name."""
    kind, _, whose = owner.partition("/")
    references = [{"controller": True, "kind": kind, "name": whose, "uid": f"uid-{whose}"}] if owner else []
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": labels or {"app": "shop"},
            "ownerReferences": references,
            **meta,
        },
        "spec": {"containers": [{"name": one} for one in containers]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": one,
                    "containerID": f"{name}-{one}",
                    "state": {"running": {"startedAt": "2026-11-29T10:00:00Z"}},
                }
                for one in containers
            ],
        },
    }


def system(fake: FakeApi) -> FakeApi:
    """The healer `watchdog` and the service `shop` with two pods."""
    fake.put("deployments", controller("shop"))
    fake.put("deployments", controller("watchdog", 1))
    fake.put(
        "configmaps", {"metadata": {"name": "watchdog", "uid": "c", "resourceVersion": "1"}, "data": {"limit": "0.9"}}
    )
    for n in (1, 2):
        fake.put("pods", pod(f"shop-7f-{n}", "ReplicaSet/shop-7f"))
    return fake


@pytest.fixture(autouse=True)
def _no_cluster_is_known() -> Iterator[None]:
    cluster.connect.cache_clear()
    yield
    cluster.connect.cache_clear()


@pytest.fixture
def fakes() -> Iterator[Callable[..., FakeApi]]:
    """Makes API servers; each has the system in it."""
    made: list[FakeApi] = []

    def make(name: str = "a", **more: Any) -> FakeApi:
        made.append(system(FakeApi(name, **more)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a kubeconfig of these servers, each a context of its name; `current` is the one that is chosen."""
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))

    def write(current: str, *servers: FakeApi) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": current,
            "clusters": [{"name": one.name, "cluster": {"server": one.url}} for one in servers],
            "users": [{"name": "u", "user": {"token": "a-token"}}],
            "contexts": [{"name": one.name, "context": {"cluster": one.name, "user": "u"}} for one in servers],
        }
        file.write_text(json.dumps(content), encoding="utf-8")
        cluster.connect.cache_clear()
        return file

    return write


@pytest.fixture
def fake(fakes: Callable[..., FakeApi], kubeconfig: Callable[..., Path]) -> FakeApi:
    """One API server, and the current context is it."""
    made = fakes()
    kubeconfig("a", made)
    return made


@pytest.fixture(name="pod")
def _pod() -> Callable[..., Json]:
    return pod


@pytest.fixture(name="controller")
def _controller() -> Callable[..., Json]:
    return controller


@pytest.fixture
def matrix_on_cluster(tmp_path: Path) -> Path:
    (tmp_path / "healer.yaml").write_text(HEALER, encoding="utf-8")
    (tmp_path / "matrix.yaml").write_text(MATRIX, encoding="utf-8")
    return tmp_path / "matrix.yaml"
