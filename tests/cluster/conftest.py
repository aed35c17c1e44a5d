"""A real cluster for the tests in this folder: whichever KUBECONFIG names. The lab's images must be on its nodes.

`platform/testbed/up` starts one on a bare machine; kind, minikube, k3s or a cloud's serve too: platform/lab/README.md.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client, config, utils

from smartops_chaos.kubernetes.cluster import Cluster, connect
from tests.conftest import until

MANIFESTS = Path(__file__).parents[2] / "platform" / "lab" / "manifests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("KUBECONFIG"):
        skip = pytest.mark.skip(reason="KUBECONFIG is not set: no cluster to test on")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def api() -> client.ApiClient:
    config.load_kube_config()
    return client.ApiClient()


@contextmanager
def _namespace(api: client.ApiClient) -> Iterator[str]:
    core, name = client.CoreV1Api(api), f"smartops-chaos-test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        yield name
    finally:
        with contextlib.suppress(client.ApiException):  # a test has done so
            core.delete_namespace(name)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return connect()


@pytest.fixture(scope="module")
def namespace(api: client.ApiClient) -> Iterator[str]:
    """An empty namespace, which goes away with the module."""
    with _namespace(api) as name:
        yield name


@pytest.fixture(scope="module")
def lab(api: client.ApiClient) -> Iterator[str]:
    """A namespace in which the lab's ERP, healer and Prometheus are ready; goes away with the module."""
    with _namespace(api) as name:
        for file in sorted(MANIFESTS.glob("*.yaml")):
            for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
                utils.create_from_dict(api, document, namespace=name)
        until(lambda: rolled_out(api, name), why=lambda: _troubles(api, name))
        yield name


def rolled_out(api: client.ApiClient, namespace: str, name: str = "") -> bool:
    """Whether every Deployment, or that one, is as its newest generation wants it."""
    found = client.AppsV1Api(api).list_namespaced_deployment(namespace).items
    wanted = [deployment for deployment in found if deployment.metadata.name == (name or deployment.metadata.name)]
    return bool(wanted) and all(_done(deployment) for deployment in wanted)


def _done(deployment: Any) -> bool:
    status, replicas = deployment.status, deployment.spec.replicas
    pods = [count or 0 for count in (status.replicas, status.updated_replicas, status.available_replicas)]
    return (status.observed_generation or 0) >= deployment.metadata.generation and pods == [replicas] * 3


def _troubles(api: client.ApiClient, namespace: str) -> str:
    """What keeps containers from running, in the platform's words."""
    pods = client.CoreV1Api(api).list_namespaced_pod(namespace).items
    states = [
        (pod.metadata.name, state.state.waiting or state.state.terminated)
        for pod in pods
        for state in pod.status.container_statuses or []
    ]
    return "; ".join(f"{name}: {state.reason} {state.message or ''}" for name, state in states if state)


class Wire:
    """A connection to the API server that can be cut, and closed for a while: listens on loopback at `port`."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.closed:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._open += [near, far]
                threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        with selectors.DefaultSelector() as ready, contextlib.suppress(OSError, ValueError):
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        raise OSError
                    key.data.sendall(data)
        near.close()
        far.close()

    def cut(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def end(self) -> None:
        self._listener.close()
        self.cut()


@pytest.fixture
def wire(api: client.ApiClient) -> Iterator[Wire]:
    parts = urlsplit(api.configuration.host)
    made = Wire(str(parts.hostname), parts.port or 443)
    yield made
    made.end()
