"""A namespace with the public SmartOps' names in it: found by `init`, checked by `doctor`, set and put back.

The objects are real, their programs stand-ins: what the real ones print is in tests/timeline/test_smartops.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, connect, path
from smartops_chaos.kubernetes.controller import Controller, is_ready
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.targets import kinds

IMAGE = "localhost/smartops-chaos-lab:1"
POLICY = "/app/apps/policy_engine/policies/default.policy"
ERP, ENGINE, DETECT = "smartops-erp-simulator", "smartops-policy-engine", "smartops-agent-detect-sim"
SERVER = """
import http.server, json
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"modes": {"error_burst": False}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Server).serve_forever()
"""


def deployment(name: str, container: str, command: list[str], env: dict[str, str]) -> dict[str, Any]:
    one = {
        "name": container,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": key, "value": value} for key, value in env.items()],
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [one]},
    }
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture(scope="module")
def smartops(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> str:
    apps, core, sleep = client.AppsV1Api(api), client.CoreV1Api(api), ["sleep", "86400"]
    detector = {"SIM_USE_GROUND_TRUTH": "1", "ISO_ENABLED": "0", "METRICS_POLL_INTERVAL": "5"}
    for body in (
        deployment(ERP, "erp-simulator", ["python3", "-c", SERVER], {"PORT": "8000"}),
        deployment("smartops-orchestrator", "orchestrator", sleep, {"ORCH_PORT": "8001"}),
        deployment(ENGINE, "policy-engine", sleep, {"POLICY_ENGINE_PORT": "8002"}),
        deployment(DETECT, "agent-detect", sleep, detector),
        deployment("smartops-agent-diagnose-sim", "agent-diagnose", sleep, {}),
    ):
        apps.create_namespaced_deployment(namespace, body)
    spec = {"selector": {"app": ERP}, "ports": [{"port": 8000}]}
    core.create_namespaced_service(namespace, {"metadata": {"name": ERP}, "spec": spec})
    names = [one.metadata.name for one in apps.list_namespaced_deployment(namespace).items]
    until(lambda: all(pods(namespace, name) for name in names))
    return namespace


def pods(namespace: str, name: str) -> list[dict[str, Any]]:
    return [pod for pod in victims.pods_of(connect(), namespace, name) if is_ready(pod)]


def specs(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """Everything of the Deployments that a campaign could have changed."""
    found = cluster.request("GET", path(namespace, "deployments"))["items"]
    own = "deployment.kubernetes.io/revision"  # the controller's count of templates
    return {
        one["metadata"]["name"]: (
            one["spec"],
            one["metadata"].get("labels"),
            {key: value for key, value in one["metadata"].get("annotations", {}).items() if key != own},
        )
        for one in found
    }


def test_init_finds_it_and_doctor_passes(smartops: str, cli: Any, until: Callable[..., Any], tmp_path: Path) -> None:
    def passes() -> bool:  # init may find the Prometheus of another test's namespace, which is about to go
        shutil.rmtree(tmp_path / "my", ignore_errors=True)
        done = cli("init", "--from-cluster", smartops, "my")
        assert done.returncode == 0, done.stderr
        return bool(cli("doctor", "my/matrix.yaml").returncode == 0)

    until(passes)
    text = (tmp_path / "my" / "matrix.yaml").read_text(encoding="utf-8")
    assert "healer: smartops\n" in text
    assert f"lanes: [{{namespace: {smartops}}}]" in text
    assert (tmp_path / "my" / "policies" / "smartops-restart.policy").exists()
    done = cli("doctor", "my/matrix.yaml")
    assert done.returncode == 0, done.stdout
    assert "note driver exec: cpu-stress, memory-leak: sh and python3 in smartops-erp-simulator" in done.stdout
    assert "note driver app: " in done.stdout
    assert "driver proxy: network-bandwidth, network-cut, network-delay" in done.stdout


def test_init_says_what_is_there_when_nothing_fits(cli: Any) -> None:
    done = cli("init", "--from-cluster", "kube-system", "other")
    assert done.returncode == 4
    assert "no shipped healer file fits kube-system" in done.stderr


def test_its_arms_are_set_as_they_really_are_and_put_back(smartops: str, cli: Any, tmp_path: Path) -> None:
    cluster = connect()
    assert cli("init", "--from-cluster", smartops, "my").returncode == 0
    plan = load_plan(tmp_path / "my" / "matrix.yaml")
    before = specs(cluster, smartops)
    target = kinds.target(plan.target)
    (address,) = target.open(tmp_path / "results" / "smartops-1" / ".lanes")
    try:
        lane = kinds.connect(plan.target, address)
        lane.apply(plan.models["fast"], plan.policies["restart"])
        lane.reset()
        assert inside(cluster, smartops, ENGINE, "cat", POLICY) == plan.policies["restart"].settings["policy"]
        assert inside(cluster, smartops, DETECT, "printenv", "METRICS_POLL_INTERVAL", "ISO_ENABLED") == "2\n0\n"
        assert inside(cluster, smartops, ERP, "printenv", "SIM_BASE_ERROR_RATE") == "0\n"
        url = "http://smartops-policy-engine:5051\n"
        assert inside(cluster, smartops, "smartops-orchestrator", "printenv", "POLICY_ENGINE_URL") == url
        lane.apply(plan.models["off"], plan.policies["shipped"])
        lane.reset()
        assert Controller.read(cluster, smartops, DETECT).replicas == 0
        assert victims.pods_of(cluster, smartops, DETECT) == []
        template = Controller.read(cluster, smartops, ENGINE).found["spec"]["template"]
        assert "volumes" not in template["spec"]
    finally:
        target.close()
    assert specs(cluster, smartops) == before


def inside(cluster: Cluster, namespace: str, name: str, *command: str) -> str:
    (pod,) = pods(namespace, name)
    controller = Controller.read(cluster, namespace, name)
    return victims.victim(namespace, controller, pod).container.run(cluster, *command)
