"""The testbed's stand-in for kube-state-metrics: the API's objects in, the names that rules and boards read out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import kube_state
import pytest
import requests
from kubernetes import client

from smartops_chaos.lab.smartops.exposition import parse
from tests.platform.promql import PAGES
from tests.telemetry.conftest import Answer, Asked, serving

_HERE, _BORN = {"namespace": "smartops-dev"}, "2026-11-30T10:00:00Z"


def _pod(name: str, ready: str, **status: Any) -> dict[str, Any]:
    container = {"name": "erp", "image": "erp:1", "imageID": "sha256:1", "restartCount": 0, "state": {}, **status}
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]
    return {
        "metadata": {**_HERE, "name": name, "creationTimestamp": _BORN},
        "status": {"conditions": conditions, "containerStatuses": [container]},
    }


_PODS = [
    _pod("erp-1", "True", state={"running": {}}),
    _pod("erp-2", "False", restartCount=3, state={"waiting": {"reason": "CrashLoopBackOff"}}),
    {
        "metadata": {**_HERE, "name": "erp-3", "creationTimestamp": _BORN},
        "status": {"phase": "Pending"},
    },  # nobody has looked at it yet
]
_DEPLOYMENTS = [
    {"metadata": {**_HERE, "name": "erp"}, "spec": {"replicas": 3}, "status": {"availableReplicas": 1}},
    {"metadata": {**_HERE, "name": "new"}, "spec": {}, "status": {}},
]


def test_what_it_tells() -> None:
    told = parse(kube_state.exposition(_DEPLOYMENTS, _PODS))

    def value(name: str, **labels: str) -> float | None:
        return told.get((name, tuple(sorted({**_HERE, **labels}.items()))))

    assert value("kube_deployment_spec_replicas", deployment="erp") == 3
    assert value("kube_deployment_status_replicas_available", deployment="erp") == 1
    assert value("kube_deployment_spec_replicas", deployment="new") == 1
    assert value("kube_deployment_status_replicas_available", deployment="new") == 0
    assert value("kube_pod_created", pod="erp-3") == datetime(2026, 11, 30, 10, tzinfo=UTC).timestamp()
    assert value("kube_pod_status_ready", pod="erp-1", condition="true") == 1
    assert value("kube_pod_status_ready", pod="erp-2", condition="true") == 0
    assert value("kube_pod_status_ready", pod="erp-3", condition="false") == 1
    assert value("kube_pod_container_status_restarts_total", pod="erp-2", container="erp") == 3
    waits = {"pod": "erp-2", "container": "erp", "reason": "CrashLoopBackOff"}
    assert value("kube_pod_container_status_waiting_reason", **waits) == 1
    assert [labels for name, labels in told if name.endswith("waiting_reason")] == [
        tuple(sorted({**_HERE, **waits}.items()))
    ]
    assert value("kube_pod_container_info", pod="erp-1", container="erp", image="erp:1", image_id="sha256:1") == 1


def test_it_tells_all_that_rules_and_boards_read() -> None:
    page = parse((PAGES / "cluster.txt").read_text(encoding="utf-8"))
    wanted = {name: {label for label, _ in labels} for name, labels in page if name.startswith("kube_")}
    told = {name: {k for k, _ in labels} for name, labels in parse(kube_state.exposition(_DEPLOYMENTS, _PODS))}
    assert {name: told.get(name) for name in wanted} == wanted


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Asked], Answer]], requests.Response]:
    """An API server -> what is read at /metrics."""

    def ask(api: Callable[[Asked], Answer]) -> requests.Response:
        with serving(api) as address:
            monkeypatch.setattr(client.Configuration, "_default", client.Configuration(host=address))
            served = kube_state.server(0, ("smartops-dev", "smartops-prod"))
            thread = Thread(target=served.serve_forever)
            thread.start()
            try:
                return requests.get(f"http://127.0.0.1:{served.server_port}/metrics", timeout=30)
            finally:
                served.shutdown()
                served.server_close()
                thread.join()

    return ask


def test_each_reading_asks_the_api_server_in_each_namespace(asked: Callable[..., requests.Response]) -> None:
    paths = []

    def api(question: Asked) -> Answer:
        paths.append(question.path)
        dev = "smartops-dev" in question.path
        items = (_PODS if question.path.endswith("pods") else _DEPLOYMENTS) if dev else []
        return Answer(json.dumps({"items": items}), headers={"Content-Type": "application/json"})

    answer = asked(api)
    assert answer.status_code == 200
    assert answer.text == kube_state.exposition(_DEPLOYMENTS, _PODS)
    assert sorted(paths) == [
        "/api/v1/namespaces/smartops-dev/pods",
        "/api/v1/namespaces/smartops-prod/pods",
        "/apis/apps/v1/namespaces/smartops-dev/deployments",
        "/apis/apps/v1/namespaces/smartops-prod/deployments",
    ]


def test_what_may_not_be_asked_is_no_data_and_no_zero(asked: Callable[..., requests.Response]) -> None:
    answer = asked(lambda _: Answer('{"reason": "Forbidden"}', status=403))
    assert answer.status_code == 503
    assert "kube_" not in answer.text
    assert "Forbidden" in answer.text


def test_an_environment_that_is_not_there_yet_hides_no_other(asked: Callable[..., requests.Response]) -> None:
    def api(question: Asked) -> Answer:
        if "smartops-prod" in question.path:
            return Answer('{"reason": "Forbidden"}', status=403)
        items = _PODS if question.path.endswith("pods") else _DEPLOYMENTS
        return Answer(json.dumps({"items": items}), headers={"Content-Type": "application/json"})

    answer = asked(api)
    assert answer.status_code == 200
    assert answer.text == kube_state.exposition(_DEPLOYMENTS, _PODS)
