"""The driver `chaos_mesh` on real pods and the real resource definitions, with a stand-in for the controller."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.exceptions import ActivityFailed
from kubernetes import client

from smartops_chaos.faults import chaos_mesh
from smartops_chaos.kubernetes import driver_chaos_mesh, drivers, victims
from smartops_chaos.kubernetes.chaos_mesh_spec import KINDS
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, connect, path
from smartops_chaos.model import FaultPart
from tests.cluster.chaos_mesh_standin import END, StandIn
from tests.cluster.test_faults import deployment, ready

NAME = "erp"
SERVER = """
import http.server, time
delay_s = 0.0
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            time.sleep(delay_s)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def do_POST(self):
        global delay_s
        delay_s = float(self.path.rpartition("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Server).serve_forever()
"""
DELAY = {"kind": "NetworkChaos", "spec": {"action": "delay", "delay": {"latency": 0.3, "correlation": "0"}}}
CPU = {"kind": "StressChaos", "spec": {"stressors": {"cpu": {"workers": 2, "load": 1.0}}}}
KILL = {"kind": "PodChaos", "spec": {"action": "pod-kill", "gracePeriod": 0}}


@pytest.fixture(scope="module")
def cluster(until: Callable[..., Any]) -> Iterator[Cluster]:
    """With Chaos Mesh's own resource definitions, unless it is installed."""
    here, definitions = connect(), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = []
    for file in sorted((Path(__file__).parent / "chaos_mesh").glob("*.yaml")):
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        try:
            here.request("POST", definitions, body=body)
            made.append(body["metadata"]["name"])
        except ClusterError as error:
            if error.status != 409:
                raise

    def served() -> bool:
        try:
            listed = here.request("GET", "/apis/chaos-mesh.org/v1alpha1")["resources"]
            return len([one for one in listed if "/" not in one["name"]]) >= len(made)
        except Gone:
            return False

    until(served)
    yield here
    for name in made:
        here.request("DELETE", f"{definitions}/{name}")


@pytest.fixture(scope="module")
def erp(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> str:
    body = deployment(NAME, ["python3", "-c", SERVER], 2, ports=[{"containerPort": 8000}])
    client.AppsV1Api(api).create_namespaced_deployment(namespace, body)
    until(lambda: len(ready(namespace, NAME)) == 2)
    return namespace


@pytest.fixture
def mesh(erp: str, cluster: Cluster) -> Iterator[StandIn]:
    made = StandIn(cluster, erp)
    yield made
    made.end()


@pytest.fixture
def fault_id(mesh: StandIn, erp: str, cluster: Cluster, until: Callable[..., Any]) -> Iterator[str]:
    until(lambda: len(ready(erp, NAME)) == 2)
    yield f"test-1.slow.steady.zscore.default.{uuid.uuid4().hex}.1.0"
    mesh.down = mesh.no_netem = False
    drivers.revert_all(cluster, erp)
    assert drivers.leaks(cluster, erp) == []
    assert not list(driver_chaos_mesh._stored(cluster, erp))


def inject(namespace: str, fault_id: str, *chaos: dict[str, Any], expires_s: float = 60) -> dict[str, Any]:
    return chaos_mesh.inject(namespace, "", NAME, fault_id, 3, expires_s, list(chaos))


def test_several_at_once_are_one_fault(erp: str, fault_id: str, cluster: Cluster) -> None:
    receipt = inject(erp, fault_id, DELAY, CPU)
    assert len(receipt["objects"]) == 1
    assert receipt["momentary"] is False
    assert chaos_mesh.took_effect(erp, "", fault_id) is True
    assert drivers.leaks(cluster, erp) == [fault_id]
    durations = {one["spec"]["duration"] for one in driver_chaos_mesh._stored(cluster, erp, fault_id)}
    assert durations == {"60s"}
    answer = chaos_mesh.revert(erp, "", fault_id)
    assert (answer["in_force"], answer["gone"]) == (True, "process")
    assert answer["effect"].startswith("StressChaos, NetworkChaos delay; erp-")
    assert "s of CPU time and took" in answer["effect"]
    assert chaos_mesh.revert(erp, "", fault_id)["in_force"] is False
    assert inject(erp, fault_id, DELAY)["objects"] == receipt["objects"]  # the same name again, at once


def test_a_kill_is_momentary_and_leaves_nothing(erp: str, fault_id: str) -> None:
    receipt = inject(erp, fault_id, KILL)
    assert receipt["momentary"] is True
    assert chaos_mesh.took_effect(erp, "", fault_id) is True
    assert chaos_mesh.revert(erp, "", fault_id)["in_force"] is False


def test_said_to_be_injected_and_not_felt_is_not_confirmed(
    erp: str, fault_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_chaos_mesh, "FELT_S", 1.0)
    nothing = {"kind": "StressChaos", "spec": {"stressors": {"cpu": {"workers": 1, "load": 100}}}}
    inject(erp, fault_id, nothing)
    (victim,) = victims.choose(connect(), erp, NAME, 3)
    victim.container.run(connect(), "python3", "-c", END)
    assert chaos_mesh.took_effect(erp, "", fault_id) is False


def test_a_pod_that_was_replaced_has_lost_its_fault_whatever_the_status_says(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    receipt = inject(erp, fault_id, CPU)
    (uid,) = [one.partition("/")[2] for one in receipt["objects"]]
    (name,) = [one["metadata"]["name"] for one in ready(erp, NAME) if one["metadata"]["uid"] == uid]
    cluster.request("DELETE", path(erp, "pods", name), body={"gracePeriodSeconds": 0})
    until(lambda: victims.pod(cluster, erp, name) is None)
    (one,) = driver_chaos_mesh._stored(cluster, erp, fault_id)
    assert all(map(driver_chaos_mesh.is_injected, driver_chaos_mesh._records(one)))
    answer = chaos_mesh.revert(erp, "", fault_id)
    assert (answer["in_force"], answer["gone"]) == (False, "pod")


def test_it_expires_by_itself_and_what_is_left_is_cleared_up(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    inject(erp, fault_id, CPU, expires_s=2)

    def stopped() -> bool:
        (one,) = driver_chaos_mesh._stored(cluster, erp, fault_id)
        return bool(one["status"]["experiment"]["desiredPhase"] == "Stop")

    until(stopped)
    assert drivers.leaks(cluster, erp) == [fault_id]
    assert chaos_mesh.revert(erp, "", fault_id)["in_force"] is False


def test_what_could_not_be_applied_is_undone_although_chaos_mesh_hangs(
    erp: str, fault_id: str, mesh: StandIn, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.no_netem = True
    monkeypatch.setattr(driver_chaos_mesh, "_INJECTED_S", 8.0)
    monkeypatch.setattr(driver_chaos_mesh, "_DELETED_S", 1.0)
    with pytest.raises(ActivityFailed, match="unable to set tcs"):
        inject(erp, fault_id, DELAY)
    assert chaos_mesh.revert(erp, "", fault_id)["in_force"] is False
    assert not list(driver_chaos_mesh._stored(cluster, erp))


def test_without_its_controller_nothing_can_be_said_to_be_undone(
    erp: str, fault_id: str, mesh: StandIn, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject(erp, fault_id, CPU)
    mesh.down = True
    monkeypatch.setattr(driver_chaos_mesh, "_DELETED_S", 1.0)
    with pytest.raises(ActivityFailed, match="is it up"):
        chaos_mesh.revert(erp, "", fault_id)
    assert drivers.leaks(cluster, erp) == [fault_id]


def test_the_resources_alone_are_enough_to_find_it(erp: str, fault_id: str, cluster: Cluster) -> None:
    inject(erp, fault_id, CPU)
    assert drivers.revert_all(cluster, erp) == [fault_id]


@pytest.mark.usefixtures("mesh")
def test_preflight_asks_the_real_definitions(erp: str, cluster: Cluster) -> None:
    (victim,) = victims.choose(cluster, erp, NAME, 3)

    def problems(chaos: dict[str, Any]) -> str:
        arguments = {"chaos": [chaos]}
        definition = {"method": [{"name": "inject", "provider": {"arguments": arguments}}]}
        part = FaultPart("own", "network", True, {}, definition)
        return "; ".join(what for what, _ in driver_chaos_mesh.problems(cluster, victim, part))

    assert problems(DELAY) == problems(CPU) == problems(KILL) == ""
    assert "unknown field" in problems({"kind": "NetworkChaos", "spec": {**DELAY["spec"], "laod": 1}})
    assert "Unsupported value" in problems({"kind": "PodChaos", "spec": {"action": "pod-explode"}})
    assert "not installed" in problems({"kind": "TimeChaos", "spec": {"timeOffset": 60.0}})
    assert "no workers" in problems({"kind": "StressChaos", "spec": {"stressors": {"cpu": {"workers": 0}}}})
    assert cluster.request("GET", path(erp, KINDS["NetworkChaos"]))["items"] == []
