"""The driver `proxy` on real pods: requests survive both switches, the fault acts, and the Service is put back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed
from kubernetes import client

from smartops_chaos.faults import proxy
from smartops_chaos.inside.proxy import FORMER
from smartops_chaos.kubernetes import cluster as wing
from smartops_chaos.kubernetes import driver_proxy, drivers, victims
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, path
from tests.cluster.test_faults import ERP, deployment, ready

NAME = "erp"


@pytest.fixture(scope="module")
def erp(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> str:
    probe = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1}
    ports = [{"name": "http", "containerPort": 8000}]
    body = deployment(NAME, ["python3", "-c", ERP], 2, readinessProbe=probe, ports=ports)
    client.AppsV1Api(api).create_namespaced_deployment(namespace, body)
    spec = {
        "selector": {"app": NAME},
        "ports": [
            {"name": "http", "port": 80, "targetPort": "http"},
            {"name": "other", "port": 81, "targetPort": 8000},
        ],
    }
    client.CoreV1Api(api).create_namespaced_service(namespace, {"metadata": {"name": NAME}, "spec": spec})
    until(lambda: len(ready(namespace, NAME)) == 2)
    return namespace


@pytest.fixture
def fault_id(erp: str, cluster: Cluster, until: Callable[..., Any]) -> Iterator[str]:
    before = spec(cluster, erp)
    yield f"test-1.slow.steady.zscore.default.{uuid.uuid4().hex}.1.0"
    drivers.revert_all(cluster, erp)
    assert drivers.leaks(cluster, erp) == []
    assert spec(cluster, erp) == before
    until(lambda: not left(cluster, erp), why=lambda: str(left(cluster, erp)))


def spec(cluster: Cluster, namespace: str) -> tuple[dict[str, Any], dict[str, str]]:
    found = cluster.request("GET", path(namespace, "services", NAME))
    return found["spec"], found["metadata"].get("annotations") or {}


def left(cluster: Cluster, namespace: str) -> list[str]:
    """What a proxy has left: its Deployment, account, role."""
    name = driver_proxy.proxy_name(NAME)
    found = []
    for collection in ("deployments", "serviceaccounts", "roles", "rolebindings"):
        names = [one["metadata"]["name"] for one in cluster.request("GET", path(namespace, collection))["items"]]
        found += [f"{collection} {name}" for one in names if one == name]
    return found


class Load:
    """Requests through the API server until it is left, two at a time: what went wrong, and how long each took."""

    def __init__(self, cluster: Cluster, namespace: str, port: int = 80) -> None:
        self.bad: list[str] = []
        self.took: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._ask = (cluster, wing.proxy(namespace, "services", NAME, port, "/x"))
        self._threads = [threading.Thread(target=self._go_on) for _ in range(2)]

    def _go_on(self) -> None:
        cluster, there = self._ask
        while not self._over.is_set():
            begin = time.monotonic()
            try:
                cluster.request("GET", there, patience_s=0)
            except ClusterError as error:
                self.bad.append(f"{error.status} {error}")
            self.took.append((begin, time.monotonic() - begin))
            time.sleep(0.01)

    def __enter__(self) -> Load:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._threads:
            one.join()


def inject(namespace: str, fault_id: str, expires_s: float = 60, **params: Any) -> dict[str, Any]:
    proxy.prepare(namespace, "", NAME, fault_id)
    return proxy.trouble(namespace, "", NAME, fault_id, 3, expires_s, **params)


def test_a_proxy_that_does_nothing_shows_no_bad_request(erp: str, fault_id: str, cluster: Cluster) -> None:
    with Load(cluster, erp) as first, Load(cluster, erp, 81) as second:
        for _ in range(2):  # at once again: the account of the first is still to be collected
            proxy.prepare(erp, "", NAME, fault_id)
            assert FORMER in spec(cluster, erp)[1]
            time.sleep(0.5)
            assert proxy.revert(erp, "", fault_id)["in_force"] is False
            time.sleep(0.5)
    assert not first.bad + second.bad
    assert min(len(first.took), len(second.took)) > 50


def test_a_delay_is_felt_measured_and_ended(erp: str, fault_id: str, cluster: Cluster) -> None:
    with Load(cluster, erp) as load:
        receipt = inject(erp, fault_id, pods="all", delay=0.3)
        assert len(receipt["objects"]) == 2
        begun = time.monotonic()
        assert proxy.took_effect(erp, "", fault_id) is True
        assert drivers.leaks(cluster, erp) == [fault_id]
        ending = time.monotonic()
        answer = proxy.revert(erp, "", fault_id)
        ended = time.monotonic()
        time.sleep(0.5)
    assert not load.bad
    assert all(took >= 0.3 for begin, took in load.took if begin > begun and begin + took < ending)
    after = sorted(took for begin, took in load.took if begin > ended)
    assert after[len(after) // 2] < 0.3  # one of them may be late on a busy machine, not half of them
    assert answer["in_force"] is True
    assert "measured: 1000 exchanges, delay 30" in answer["effect"]
    assert proxy.revert(erp, "", fault_id)["in_force"] is False


def test_two_faults_share_a_proxy_and_one_replica_is_hit(erp: str, fault_id: str, cluster: Cluster) -> None:
    receipt = inject(erp, fault_id, reset=1.0)
    assert len(receipt["objects"]) == 1
    other = f"{fault_id}-other"
    inject(erp, other, pods="all", delay=0.2)
    with Load(cluster, erp) as load:
        time.sleep(3)
    assert 0 < len(load.bad) < len(load.took)  # the other replica's requests are only slow
    assert proxy.revert(erp, "", other)["in_force"] is True
    assert drivers.leaks(cluster, erp) == [fault_id]
    assert proxy.revert(erp, "", fault_id)["in_force"] is True


def test_when_the_runner_is_killed_the_proxy_puts_the_service_back(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    before = spec(cluster, erp)
    program = f"""
import os
from smartops_chaos.faults import proxy
proxy.prepare({erp!r}, "", {NAME!r}, {fault_id!r})
proxy.trouble({erp!r}, "", {NAME!r}, {fault_id!r}, 3, 2.0, delay=0.2)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert done.returncode == -9
    # Nobody is left; even the pod of the proxy goes, as by an eviction, and another one takes over.
    assert spec(cluster, erp) != before
    (pod,) = driver_proxy._pods(cluster, erp, driver_proxy.proxy_name(NAME))
    cluster.request("DELETE", path(erp, "pods", pod["metadata"]["name"]), body={"gracePeriodSeconds": 0})
    until(lambda: spec(cluster, erp) == before, 60)
    told = proxy.revert(erp, "", fault_id)  # whether anybody has asked the service meanwhile is the machine's doing
    assert told.pop("effect") in ("", "no exchange of the service met it")
    assert told == {"in_force": False, "gone": "process"}


def test_a_replica_that_is_gone_has_taken_its_fault_with_it(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    receipt = inject(erp, fault_id, delay=0.2)
    (uid,) = [one.partition("/")[2] for one in receipt["objects"]]
    (name,) = [one["metadata"]["name"] for one in ready(erp, NAME) if one["metadata"]["uid"] == uid]
    cluster.request("DELETE", path(erp, "pods", name), body={"gracePeriodSeconds": 0})
    until(lambda: victims.pod(cluster, erp, name) is None)
    until(lambda: len(ready(erp, NAME)) == 2)
    answer = proxy.revert(erp, "", fault_id)
    assert (answer["in_force"], answer["gone"]) == (False, "pod")


def test_what_it_cannot_stand_for_is_refused(erp: str, fault_id: str, cluster: Cluster) -> None:
    where = path(erp, "services", NAME)
    cluster.request("PATCH", where, body={"spec": {"sessionAffinity": "ClientIP"}}, content=MERGE)
    try:
        with pytest.raises(ActivityFailed, match="session affinity"):
            proxy.prepare(erp, "", NAME, fault_id)
    finally:
        back = {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}}
        cluster.request("PATCH", where, body=back, content=MERGE)
    assert not left(cluster, erp)
