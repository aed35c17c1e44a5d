"""The drivers kubernetes, exec and app on real pods: each fault acts, is measured, found by its marks, and undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed
from kubernetes import client

from smartops_chaos.faults import app, exec, kubernetes
from smartops_chaos.kubernetes import drivers, victims
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, connect, path, proxy
from smartops_chaos.kubernetes.controller import Controller, is_ready
from smartops_chaos.model import Call, FaultFact, Interval
from smartops_chaos.resources import shipped

IMAGE = "localhost/smartops-chaos-lab:1"
ERP = """
import http.server, json, threading, time
modes = {"error_burst": False, "silence": False}
quiet_until = 0.0
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/chaos/modes":
            time.sleep(max(0, quiet_until - time.monotonic()))
        self.answer({"modes": modes})
    def do_POST(self):
        mode, doing = self.path.split("/")[2:4]
        key = mode.replace("-", "_")
        if key not in modes:
            return self.send_error(404)
        modes[key] = doing == "enable"
        if modes["silence"]:
            globals()["quiet_until"] = time.monotonic() + 18
        self.answer({"mode": key, "enabled": modes[key]})
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
ballast = b"x" * (24 << 20)
http.server.ThreadingHTTPServer(("", 8000), Server).serve_forever()
"""


def deployment(name: str, command: list[str], replicas: int = 1, **container: Any) -> dict[str, Any]:
    one = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"limits": {"cpu": "500m", "memory": "96Mi"}, "requests": {"cpu": "50m", "memory": "48Mi"}},
        **container,
    }
    spec = {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [one]}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture(scope="module")
def erp(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> str:
    """Two replicas with python3 and a shell, and the simulator's switches."""
    probe = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1}
    body = deployment("erp", ["python3", "-c", ERP], 2, readinessProbe=probe)
    client.AppsV1Api(api).create_namespaced_deployment(namespace, body)
    until(lambda: len(ready(namespace)) == 2)
    return namespace


@pytest.fixture
def fault_id(namespace: str, cluster: Cluster) -> Iterator[str]:
    yield f"test-1.cpu-90.steady.zscore.default.{uuid.uuid4().hex}.1.0"
    drivers.revert_all(cluster, namespace)
    assert drivers.leaks(cluster, namespace) == []


def ready(namespace: str, name: str = "erp") -> list[dict[str, Any]]:
    return [pod for pod in victims.pods_of(connect(), namespace, name) if is_ready(pod)]


def restarts(pod: dict[str, Any]) -> int:
    return sum(int(one["restartCount"]) for one in pod["status"]["containerStatuses"])


def fact(inject: dict[str, Any], confirmed: bool, revert: dict[str, Any], after_s: float = 5) -> FaultFact:
    def at(seconds: float) -> Interval:
        return Interval(round(seconds * 1e9), round(seconds * 1e9) + 1000)

    calls = (
        Call("inject", 0, at(1), True, inject),
        Call("confirm", 0, at(2), confirmed, confirmed),
        Call("revert", 0, at(1 + after_s), True, revert),
    )
    (only,) = drivers.facts(["f"], calls)
    return only


def test_pod_kill_hits_the_pod_that_the_seed_names(erp: str, fault_id: str, until: Callable[..., Any]) -> None:
    before = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in ready(erp)}
    chosen = victims.choose(connect(), erp, "erp", 7)
    receipt = kubernetes.pod_kill(erp, "", "erp", fault_id, 7)
    assert receipt["objects"] == [f"erp/{chosen[0].uid}"]
    assert kubernetes.pod_gone(erp, "", fault_id) is True
    after = {pod["metadata"]["uid"] for pod in victims.pods_of(connect(), erp, "erp")}
    assert set(before) - after == {chosen[0].uid}
    assert fact(receipt, True, kubernetes.unmark_kill(erp, "", fault_id)).ended_by == "momentary"
    until(lambda: len(ready(erp)) == 2)


def test_cpu_stress_burns_in_one_container_until_it_is_reverted(erp: str, fault_id: str, cluster: Cluster) -> None:
    receipt = exec.cpu_stress(erp, "", "erp", fault_id, 3, 60.0, load=1.0, workers=3)
    assert exec.took_effect(erp, "", fault_id) is True
    assert drivers.leaks(cluster, erp) == [fault_id]
    (marked,) = cluster.request("GET", path(erp, "pods"), query={"labelSelector": victims.LABEL})["items"]
    assert receipt["objects"] == [f"erp/{marked['metadata']['uid']}"]
    answer = exec.revert(erp, "", fault_id)
    assert answer["in_force"] is True
    assert "4 processes used" in answer["effect"]
    assert fact(receipt, True, answer).ended_by == "harness"
    assert drivers.leaks(cluster, erp) == []
    assert not cluster.request("GET", path(erp, "pods"), query={"labelSelector": victims.LABEL})["items"]
    assert exec.revert(erp, "", fault_id)["in_force"] is False


def test_cpu_stress_ends_by_itself(erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]) -> None:
    receipt = exec.cpu_stress(erp, "", "erp", fault_id, 3, 1.0, workers=1)
    until(lambda: drivers.leaks(cluster, erp) == [])
    answer = exec.revert(erp, "", fault_id)
    assert answer["in_force"] is False
    assert not cluster.request("GET", path(erp, "pods"), query={"labelSelector": victims.LABEL})["items"]
    assert receipt["expires_s"] == 1.0


def test_a_memory_leak_beyond_the_limit_is_a_real_oom_kill(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    (victim,) = victims.choose(cluster, erp, "erp", 5)
    receipt = exec.memory_leak(erp, "", "erp", fault_id, 5, 60.0, size=512 << 20, rate=64 << 20)
    assert exec.took_effect(erp, "", fault_id) is True

    def killed() -> dict[str, Any] | None:
        pod = victims.pod(cluster, erp, victim.container.pod, victim.uid)
        assert pod is not None
        return pod if restarts(pod) else None

    last = until(killed)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["reason"] == "OOMKilled"
    answer = exec.revert(erp, "", fault_id)
    assert (answer["in_force"], answer["gone"]) == (False, "container")
    assert fact(receipt, True, answer).ended_by == "system"
    until(lambda: len(ready(erp)) == 2)


def test_a_memory_leak_below_the_limit_is_given_back(erp: str, fault_id: str) -> None:
    exec.memory_leak(erp, "", "erp", fault_id, 5, 60.0, size=8 << 20, rate=64 << 20)
    assert exec.took_effect(erp, "", fault_id) is True
    assert "MiB taken" in exec.revert(erp, "", fault_id)["effect"]


def test_a_healer_that_deletes_the_faulted_pod_has_removed_the_fault(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    (victim,) = victims.choose(cluster, erp, "erp", 3)
    receipt = exec.cpu_stress(erp, "", "erp", fault_id, 3, 60.0)
    cluster.request("DELETE", path(erp, "pods", victim.container.pod))
    until(lambda: victims.pod(cluster, erp, victim.container.pod) is None)
    answer = exec.revert(erp, "", fault_id)
    assert (answer["in_force"], answer["gone"]) == (False, "pod")
    assert fact(receipt, True, answer).ended_by == "system"
    until(lambda: len(ready(erp)) == 2)


def test_scale_to_zero_is_put_back_from_the_deployment_alone(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    receipt = kubernetes.scale_to_zero(erp, "", "erp", fault_id)
    assert kubernetes.scaled(erp, "", "erp", fault_id, within_s=20) is True
    assert drivers.leaks(cluster, erp) == [fault_id]
    assert drivers.revert_all(cluster, erp) == [fault_id]
    found = Controller.read(cluster, erp, "erp").found
    assert found["spec"]["replicas"] == 2
    assert not any(key.startswith("smartops-chaos/") for key in found["metadata"].get("labels", {}))
    assert not any(key.startswith("smartops-chaos/") for key in found["metadata"]["annotations"])
    assert len(receipt["objects"]) == 2
    until(lambda: len(ready(erp)) == 2)


def test_a_healer_that_scales_up_meanwhile_keeps_what_it_did(
    erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    receipt = kubernetes.scale_to_zero(erp, "", "erp", fault_id)
    body = {"spec": {"replicas": 3}}
    cluster.request("PATCH", path(erp, "deployments", "erp"), body=body, content=MERGE)
    answer = kubernetes.scale_back(erp, "", fault_id)
    assert fact(receipt, True, answer).ended_by == "system"
    assert Controller.read(cluster, erp, "erp").replicas == 3
    body = {"spec": {"replicas": 2}}
    cluster.request("PATCH", path(erp, "deployments", "erp"), body=body, content=MERGE)
    until(lambda: len(victims.pods_of(cluster, erp, "erp")) == len(ready(erp)) == 2)


def test_a_mode_is_switched_on_in_one_pod_and_off_again(erp: str, fault_id: str, cluster: Cluster) -> None:
    receipt = app.enable(erp, "", "erp", fault_id, 4, 60.0, "error-burst")
    assert app.switched_on(erp, "", fault_id) is True
    assert drivers.leaks(cluster, erp) == [fault_id]
    assert modes_on(cluster, erp) == 1
    answer = app.revert(erp, "", fault_id)
    assert fact(receipt, True, answer).ended_by == "harness"
    assert modes_on(cluster, erp) == 0


def test_a_mode_switches_itself_off(erp: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]) -> None:
    receipt = app.enable(erp, "", "erp", fault_id, 4, 1.0, "error-burst", pods="all")
    assert len(receipt["objects"]) == 2
    until(lambda: modes_on(cluster, erp) == 0)
    answer = app.revert(erp, "", fault_id)
    assert fact(receipt, True, answer, after_s=60).ended_by == "expiry"


def test_a_pod_that_its_mode_has_silenced_is_asked_until_it_answers(erp: str, fault_id: str) -> None:
    """As the public SmartOps under cpu-spike. Left out, the worst hit trials would be missing."""
    app.enable(erp, "", "erp", fault_id, 4, 60.0, "silence")
    assert app.switched_on(erp, "", fault_id) is True
    assert app.revert(erp, "", fault_id)["in_force"] is True


def modes_on(cluster: Cluster, namespace: str) -> int:
    def on(pod: str) -> bool:
        there = proxy(namespace, "pods", pod, 8000, "/chaos/modes")
        return bool(cluster.request("GET", there)["modes"]["error_burst"])

    return sum(on(pod["metadata"]["name"]) for pod in ready(namespace))


def test_a_switch_that_is_not_there_is_named(erp: str, fault_id: str) -> None:
    with pytest.raises(ActivityFailed, match="no switch /chaos/no-such-mode/enable"):
        app.enable(erp, "", "erp", fault_id, 4, 60.0, "no-such-mode")


def test_what_is_not_there_is_said(erp: str, fault_id: str) -> None:
    with pytest.raises(ActivityFailed, match=r'deployments\.apps "nobody" not found'):
        kubernetes.pod_kill(erp, "", "nobody", fault_id, 1)
    with pytest.raises(ActivityFailed, match="has no container sidecar: it has main"):
        exec.cpu_stress(erp, "", "erp", fault_id, 1, 60.0, container="sidecar")


def test_two_faults_in_one_pod_are_reverted_one_by_one(erp: str, fault_id: str, cluster: Cluster) -> None:
    other = f"{fault_id}x"
    exec.cpu_stress(erp, "", "erp", fault_id, 3, 60.0, workers=1)
    exec.memory_leak(erp, "", "erp", other, 3, 60.0, size=8 << 20, rate=64 << 20)
    assert sorted(drivers.leaks(cluster, erp)) == [fault_id, other]
    assert exec.revert(erp, "", fault_id)["in_force"] is True
    assert drivers.leaks(cluster, erp) == [other]
    assert exec.revert(erp, "", other)["in_force"] is True


@pytest.fixture(scope="module")
def bare(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> str:
    """`shell` finds nothing but sh, `empty` nothing at all."""
    apps = client.AppsV1Api(api)
    volume = [{"name": "tools", "mountPath": "/tools"}]
    sleep = "/bin/ln -s /bin/sh /tools/sh; exec /bin/sleep 86400"
    shell = deployment(
        "shell", ["/bin/sh", "-c", sleep], env=[{"name": "PATH", "value": "/tools"}], volumeMounts=volume
    )
    shell["spec"]["template"]["spec"]["volumes"] = [{"name": "tools", "emptyDir": {}}]
    apps.create_namespaced_deployment(namespace, shell)
    empty = deployment("empty", ["/bin/sleep", "86400"], env=[{"name": "PATH", "value": "/nothing"}])
    apps.create_namespaced_deployment(namespace, empty)
    until(lambda: ready(namespace, "shell") and ready(namespace, "empty"))
    return namespace


def test_a_shell_alone_is_enough_for_full_cpu_stress(bare: str, fault_id: str, cluster: Cluster) -> None:
    exec.cpu_stress(bare, "", "shell", fault_id, 1, 60.0, workers=2)
    assert exec.took_effect(bare, "", fault_id) is True
    assert exec.revert(bare, "", fault_id)["in_force"] is True
    (pod,) = ready(bare, "shell")
    assert victims.victim(bare, Controller.read(cluster, bare, "shell"), pod).container.tools(cluster) == ("sh",)


def test_a_container_without_programs_is_refused_with_words(bare: str, fault_id: str, cluster: Cluster) -> None:
    with pytest.raises(ActivityFailed, match="container main has no python3 or sh"):
        exec.cpu_stress(bare, "", "empty", fault_id, 1, 60.0)
    with pytest.raises(ActivityFailed, match="has no python3, so memory-leak cannot run in it"):
        exec.memory_leak(bare, "", "shell", fault_id, 1, 60.0, size=1 << 20, rate=1 << 20)
    with pytest.raises(ActivityFailed, match="busy all the time"):
        exec.cpu_stress(bare, "", "shell", fault_id, 1, 60.0, load=0.5)
    assert drivers.leaks(cluster, bare) == []


def test_a_fault_file_runs_by_hand(erp: str, fault_id: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "SMARTOPS_NAMESPACE": erp,
        "SMARTOPS_SERVICE": "erp",
        "SMARTOPS_FAULT_ID": fault_id,
    }
    chaos = Path(sys.executable).with_name("chaos")
    file = shipped("experiments", "exec", "cpu-stress.yaml")
    done = subprocess.run(
        [chaos, "--no-version-check", "run", "--rollback-strategy", "always", file],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    journal = json.loads((tmp_path / "journal.json").read_text(encoding="utf-8"))
    assert [one["status"] for one in (*journal["run"], *journal["rollbacks"])] == ["succeeded"] * 3, done.stderr
    assert journal["rollbacks"][0]["output"]["in_force"] is True


def test_a_deployment_that_is_gone_has_no_fault(
    api: client.ApiClient, namespace: str, fault_id: str, cluster: Cluster, until: Callable[..., Any]
) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("brief", ["/bin/sleep", "86400"]))
    until(lambda: ready(namespace, "brief"))
    kubernetes.scale_to_zero(namespace, "", "brief", fault_id)
    apps.delete_namespaced_deployment("brief", namespace)
    assert kubernetes.scale_back(namespace, "", fault_id) == {"in_force": False}
    assert drivers.leaks(cluster, namespace) == []


def test_what_is_on_a_cluster_that_does_not_answer_cannot_be_called_over(tmp_path: Path) -> None:
    """Nobody listens there: revert must fail with words, since something may be in force."""
    file = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(config), encoding="utf-8")
    program = "from smartops_chaos.faults import exec; exec.revert('n', '', 'f')"
    environment = {**os.environ, "KUBECONFIG": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "ActivityFailed: the API server does not answer" in done.stderr
