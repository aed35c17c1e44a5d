"""The lab on Kubernetes: real pods, real OOM kills, a healer that acts through the API server and may do no more."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from kubernetes import client
from kubernetes.stream import stream

from smartops_chaos.kubernetes.cluster import connection, service_url

ERP, HEALER = "smartops-erp-simulator", "smartops-orchestrator"
RATE_PER_S, GOOD_WITHIN_S = 30, 0.5
BURN = "import os\nfor _ in range(5): os.fork()\nwhile True: pass"
POLICY = 'POLICY "up": WHEN anomaly.type == "resource" THEN scale(service, 3) PRIORITY 1'


class Service:
    """One Service of a namespace through the API server's proxy."""

    def __init__(self, namespace: str, name: str, port: int) -> None:
        self._there = connection(service_url("", namespace, name, port))

    def __call__(self, path: str, body: Any = None, method: str = "") -> requests.Response:
        there = self._there
        return requests.request(
            method or ("GET" if body is None else "POST"),
            there.url + path,
            json=body,
            headers=there.headers,
            verify=there.ca_file or there.verify,
            cert=(there.client_cert, there.client_key) if there.client_cert else None,
            timeout=5,
        )


class OpenLoop:
    """Requests to the ERP on a schedule, and which were answered well."""

    def __init__(self, erp: Service) -> None:
        self._erp, self._end, self._good = erp, threading.Event(), dict[int, bool]()
        self._pool = ThreadPoolExecutor(64)
        self._begin = time.monotonic()
        threading.Thread(target=self._send, daemon=True).start()

    def sent(self) -> int:
        return int((time.monotonic() - self._begin) * RATE_PER_S)

    def good_share(self, first: int, number: int = 2 * RATE_PER_S) -> float | None:
        """Of `number` requests from the `first` on; None as long as they are not all finished."""
        found = [self._good.get(n) for n in range(first, first + number)]
        return None if None in found else sum(map(bool, found)) / number

    def healthy_since(self, first: int) -> bool:
        ends = range(first, self.sent() - 2 * RATE_PER_S, 5)
        return any((share := self.good_share(n)) is not None and share >= 0.95 for n in ends)

    def stop(self) -> None:
        self._end.set()
        self._pool.shutdown(cancel_futures=True)

    def _send(self) -> None:
        for number in range(1_000_000):
            if self._end.wait(max(0.0, self._begin + number / RATE_PER_S - time.monotonic())):
                return
            self._pool.submit(self._one, number)

    def _one(self, number: int) -> None:
        try:
            status = self._erp("/simulate/load", {"duration_seconds": 0, "target": "cpu"}).status_code
        except requests.RequestException:
            status = 0
        late_s = time.monotonic() - self._begin - number / RATE_PER_S
        self._good[number] = status == 200 and late_s <= GOOD_WITHIN_S


class Lab:
    """A namespace with the lab in it, and what the tests do with it."""

    def __init__(self, api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> None:
        self.namespace, self.until = namespace, until
        self.core, self.apps, self.access = client.CoreV1Api(api), client.AppsV1Api(api), client.AuthorizationV1Api(api)
        self.erp, self.healer, self.prometheus = (
            Service(namespace, name, port) for name, port in ((ERP, 8000), (HEALER, 8001), ("prometheus", 9090))
        )

    def pods(self, app: str = ERP) -> dict[str, Any]:
        """By name, without those on their way out."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items
        return {pod.metadata.name: pod for pod in found if pod.metadata.deletion_timestamp is None}

    def healer_with(self, **changes: Any) -> None:
        """Set the healer's environment or replicas and start it anew, with the ERP at two replicas."""
        container = {"name": HEALER, "env": [{"name": "DETECTOR", "value": changes.get("detector", "none")}]}
        note = {"metadata": {"annotations": {"test/at": str(time.time())}}}
        template = note | {"spec": {"containers": [container]}}
        spec = {"replicas": changes.get("replicas", 1), "template": template}
        self.apps.patch_namespaced_deployment(HEALER, self.namespace, {"spec": spec})
        self.apps.patch_namespaced_deployment(ERP, self.namespace, {"spec": {"replicas": 2}})
        for name in (HEALER, ERP):
            self.until(lambda name=name: self.done(name))

    def done(self, name: str) -> bool:
        found = self.apps.read_namespaced_deployment(name, self.namespace)
        status, wanted = found.status, found.spec.replicas
        counts = [count or 0 for count in (status.replicas, status.updated_replicas, status.available_replicas)]
        return (status.observed_generation or 0) >= found.metadata.generation and counts == [wanted] * 3

    def healer_log(self) -> str:
        (name,) = self.pods(HEALER)
        return str(self.core.read_namespaced_pod_log(name, self.namespace))

    def may(self, account: str, verb: str, resource: str, name: str = "", group: str = "", namespace: str = "") -> bool:
        what = {"namespace": namespace or self.namespace, "verb": verb, "group": group, "name": name}
        what["resource"], _, what["subresource"] = resource.partition("/")
        spec = {"user": f"system:serviceaccount:{self.namespace}:{account}", "resourceAttributes": what}
        return bool(self.access.create_subject_access_review({"spec": spec}).status.allowed)


@pytest.fixture(scope="module")
def ready(api: client.ApiClient, lab: str, until: Callable[..., Any]) -> Lab:
    return Lab(api, lab, until)


@pytest.fixture
def load(ready: Lab) -> Iterator[Callable[[], OpenLoop]]:
    """Starts the open loop; returns when the service is healthy under it."""
    loops: list[OpenLoop] = []

    def begin() -> OpenLoop:
        loops.append(OpenLoop(ready.erp))
        ready.until(lambda: loops[0].healthy_since(0))
        return loops[0]

    yield begin
    for loop in loops:
        loop.stop()


def test_prometheus_finds_every_pod_and_forgets_those_that_went(ready: Lab) -> None:
    def scraped() -> set[tuple[str, str]]:
        answer = ready.prometheus("/api/v1/query?query=up==1").json()["data"]["result"]
        return {(one["metric"]["job"], one["metric"]["pod"]) for one in answer}

    def wanted() -> set[tuple[str, str]]:
        return {(app, pod) for app in (ERP, HEALER, "prometheus") for pod in ready.pods(app)}

    ready.until(lambda: scraped() == wanted())
    ready.core.delete_namespaced_pod(min(ready.pods()), ready.namespace, grace_period_seconds=0)
    ready.until(lambda: ready.done(ERP) and scraped() == wanted())

    def most_often() -> float:
        answer = ready.prometheus("/api/v1/query?query=count_over_time(up[10s])").json()["data"]["result"]
        return max(float(one["value"][1]) for one in answer)

    ready.until(lambda: most_often() >= 8)  # every second


def test_it_heals_a_busy_replica(ready: Lab, load: Callable[[], OpenLoop]) -> None:
    ready.healer_with(detector="threshold")
    loop = load()
    ready.until(lambda: ready.healer("/v1/detector").json()["armed"])
    victim = min(ready.pods())
    burn = ["sh", "-c", f"setsid timeout 120 python -c '{BURN}' </dev/null >/dev/null 2>&1 &"]
    stream(ready.core.connect_get_namespaced_pod_exec, victim, ready.namespace, command=burn, stdout=True, stderr=True)
    ready.until(lambda: "| result=SUCCESS |" in ready.healer_log())
    ready.until(lambda: victim not in ready.pods() and loop.healthy_since(loop.sent() - 3 * RATE_PER_S))
    where = re.escape(f"{ready.namespace}/{ERP}")
    story = [
        r'"POST /v1/signals/anomaly HTTP/1\.1" 202 Accepted',
        r"SIGNAL_RAW \| kind=anomaly \| type=AnomalySignal \| data=\{'windowId': ",
        r'POLICY_ENGINE_RESPONSE=\{.*"decision": "action", "policy": "restart_on_anomaly_\w+"',
        rf"ClosedLoopManager: executing restart on {where} \(attempt=0 windowId=\w+\)",
        rf"Action completed: type=restart target=Deployment {where} status=success duration=",
        rf"ClosedLoopManager: action restart on {where} verified successfully in ",
        rf"CLOSED_LOOP_SUMMARY \| service={ERP} \| action=restart \| namespace={ready.namespace} \| .*result=SUCCESS",
    ]
    log = ready.healer_log()
    for line in story:
        assert re.search(line, log), line
    ready.until(lambda: "'cause': 'Resource Saturation'" in ready.healer_log())


def test_a_leak_ends_in_the_platforms_oom_killer(ready: Lab, load: Callable[[], OpenLoop]) -> None:
    ready.healer_with(replicas=0)
    load()
    victim = min(ready.pods())
    switch = "chaos/memory-leak/enable"
    ready.core.connect_post_namespaced_pod_proxy_with_path(f"{victim}:8000", ready.namespace, switch)

    def killed() -> Any:
        (container,) = ready.pods()[victim].status.container_statuses
        return container.restart_count and container.last_state.terminated

    ended = ready.until(killed)
    assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)
    ready.until(lambda: ready.done(ERP))
    modes = ready.core.connect_get_namespaced_pod_proxy_with_path(f"{victim}:8000", ready.namespace, "chaos/modes")
    assert "True" not in str(modes)


def test_a_policy_file_is_what_the_config_map_says(ready: Lab) -> None:
    ready.core.patch_namespaced_config_map("smartops-policies", ready.namespace, {"data": {"default.policy": POLICY}})
    ready.healer_with(detector="none")
    body = {"windowId": "w-1", "service": "erp-simulator", "isAnomaly": True, "score": 0.9, "type": "resource"}
    assert ready.healer("/v1/signals/anomaly", body).status_code == 202
    ready.until(lambda: f"action scale on {ready.namespace}/{ERP} verified successfully" in ready.healer_log())
    assert len(ready.pods()) == 3
    assert 'type="scale",verification_status="SUCCESS"} 1' in ready.healer("/metrics").text


@pytest.mark.parametrize(
    ("account", "allowed", "refused"),
    [
        (
            HEALER,
            [
                {"verb": "list", "resource": "pods"},
                {"verb": "get", "resource": "deployments", "name": ERP, "group": "apps"},
                {"verb": "patch", "resource": "deployments", "name": ERP, "group": "apps"},
                {"verb": "patch", "resource": "deployments/scale", "name": ERP, "group": "apps"},
            ],
            [
                {"verb": "delete", "resource": "pods"},
                {"verb": "create", "resource": "pods/exec"},
                {"verb": "patch", "resource": "deployments", "name": HEALER, "group": "apps"},
                {"verb": "delete", "resource": "deployments", "name": ERP, "group": "apps"},
                {"verb": "patch", "resource": "configmaps"},
                {"verb": "get", "resource": "secrets"},
                {"verb": "list", "resource": "pods", "namespace": "default"},
            ],
        ),
        (
            "prometheus",
            [{"verb": "list", "resource": "pods"}, {"verb": "watch", "resource": "pods"}],
            [{"verb": "get", "resource": "secrets"}, {"verb": "delete", "resource": "pods"}],
        ),
    ],
)
def test_its_parts_may_do_what_they_need_and_no_more(
    ready: Lab, account: str, allowed: list[dict[str, str]], refused: list[dict[str, str]]
) -> None:
    assert [ready.may(account, **right) for right in allowed] == [True] * len(allowed)
    assert [ready.may(account, **right) for right in refused] == [False] * len(refused)
