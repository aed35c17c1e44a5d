"""The control API, asked as the runner asks it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from smartops_chaos import lab
from smartops_chaos.lab.client import LabError

if TYPE_CHECKING:
    from tests.lab.conftest import Lane

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/state"),
        ("POST", "/reset"),
        ("DELETE", "/faults/x"),
        ("GET", "/apis/deployments/smartops-orchestrator"),
    ],
)
def test_nothing_is_told_or_done_without_the_token(running: Lane, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        assert requests.request(method, running.file.control + path, headers=headers, timeout=5).status_code == 401


def test_each_token_opens_its_own_door(running: Lane) -> None:
    own = {"Authorization": f"Bearer {running.file.token}"}
    url = f"{running.file.control}/apis/deployments/smartops-erp-simulator/restart"
    assert requests.post(url, headers=own, timeout=5).status_code == 401
    assert requests.get(f"{running.file.control}/state", headers=own, timeout=5).status_code == 200


def test_the_lane_file_is_private_and_says_where_everything_is(running: Lane) -> None:
    file = running.process.file
    assert file.stat().st_mode & 0o777 == 0o600
    assert lab.read(file) == running.file
    state = running.client.get("/state")
    assert state["pid"] == running.file.pid
    assert state["addresses"] == {
        "gateway": running.file.gateway,
        "healer": running.file.healer,
        "prometheus": running.file.prometheus,
    }


def test_the_state_after_a_start(lane: Lane) -> None:
    state = lane.client.get("/state")
    erp = state["deployments"]["smartops-erp-simulator"]
    assert (erp["desired"], erp["ready"], [pod["restarts"] for pod in erp["pods"]]) == (2, 2, [0, 0])
    assert state["deployments"]["smartops-orchestrator"]["pods"] == []
    assert (state["armed"], state["faults"]) == (True, [])
    assert all(pod["started_ns"] < state["now_ns"] for pod in erp["pods"])


def test_replicas_are_nice_and_on_their_core(lane: Lane) -> None:
    for pod in lane.pods():
        assert os.getpriority(os.PRIO_PROCESS, pod["pid"]) == 15
        tasks = [int(task.name) for task in Path(f"/proc/{pod['pid']}/task").iterdir()]
        assert {core for task in tasks for core in os.sched_getaffinity(task)} == {lane.core}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/arm", {"healer": "on", "detector": "zscor"}, "detector is 'zscor': use one of none, threshold, zscore"),
        ("/arm", {"healer": "yes", "detector": "none"}, "healer is 'yes': use on or off"),
        ("/arm", {"healer": "on", "detector": "none", "policy": "POLICY"}, "policy: 1:1: expected POLICY"),
        ("/reset", {"replicas": 0}, "replicas is 0: a number from 1 to 8 is needed"),
        ("/faults", {"kind": "cpu-stress", "expires_s": 1}, "id: a text is needed"),
        ("/faults", {"id": "bad", "kind": "fire", "expires_s": 1}, "kind is 'fire': use one of cpu-stress"),
        ("/faults", {"id": "bad", "kind": "pod-kill"}, "expires_s is None: a number from 0.1"),
        (
            "/faults",
            {"id": "bad", "kind": "pod-kill", "expires_s": 1, "params": {"component": "x"}},
            "component is 'x'",
        ),
        (
            "/faults",
            {"id": "bad", "kind": "cpu-stress", "expires_s": 1, "params": {"load": 2, "workers": 1}},
            "load is 2: a number from 0.01 to 1 is needed",
        ),
        (
            "/faults",
            {"id": "bad", "kind": "network-delay", "expires_s": 1, "params": {"delay": 1, "jiter": 1}},
            "params: there is no jiter: network-delay has delay, jitter",
        ),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(lane: Lane, path: str, body: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=re.escape(message)) as refused:
        lane.client.post(path, body)
    assert "400" in str(refused.value)
    assert lane.client.get("/faults") == {"faults": []}
    assert lane.fault("bad")["state"] == "unknown"


def test_a_body_that_is_no_json_is_refused(running: Lane) -> None:
    connection = http.client.HTTPConnection(urlsplit(running.file.control).netloc, timeout=5)
    connection.request("POST", "/faults", "{", {"Authorization": f"Bearer {running.file.token}"})
    answer = connection.getresponse()
    assert (answer.status, "not JSON" in json.loads(answer.read())["error"]) == (400, True)
    connection.close()


def test_ids_may_hold_any_text(lane: Lane) -> None:
    fault_id = "cpu/steady off?x=1#2 ü"
    lane.inject(fault_id, "network-delay")
    path = f"/faults/{quote(fault_id, safe='')}"
    assert lane.client.get(path)["state"] == "in_force"
    assert lane.client.delete(path)["ended_by"] == "harness"


def test_a_reset_leaves_nothing(lane: Lane) -> None:
    before = lane.pods()
    lane.inject("stress", "cpu-stress")
    lane.inject("delay", "network-delay")
    stressed = len(lane.client.get("/faults")["faults"])
    lane.client.post("/reset", {"replicas": 3})
    state = lane.client.get("/state")
    erp = state["deployments"]["smartops-erp-simulator"]
    assert (stressed, state["faults"], erp["desired"], erp["ready"]) == (2, [], 3, 3)
    assert not {pod["name"] for pod in erp["pods"]} & {pod["name"] for pod in before}
    assert not [pod for pod in before if Path(f"/proc/{pod['pid']}").exists()]


def test_a_reset_drops_what_is_under_way(lane: Lane) -> None:
    lane.inject("delay", "network-delay", params={"delay": 10, "jitter": 0})
    admin = {"Authorization": f"Bearer {lane.file.token}"}

    def under_way() -> int:
        return sum(requests.get(f"{lane.file.gateway}/-/routes", headers=admin, timeout=5).json()["in_flight"].values())

    def post() -> int:
        return requests.post(f"{lane.file.gateway}/simulate/load", json={}, timeout=30).status_code

    with ThreadPoolExecutor() as threads:
        posted = [threads.submit(post) for _ in range(2)]  # one to each replica
        lane.until(lambda: under_way() == 1 and any(one.done() for one in posted))
        lane.client.post("/reset", {"replicas": 2})
        assert sorted(one.result() for one in posted) == [200, 503]
    assert under_way() == 0


def test_a_dead_prometheus_is_started_by_the_next_reset(lane: Lane) -> None:
    def ready() -> bool:
        try:
            return requests.get(f"{lane.file.prometheus}/-/ready", timeout=1).ok
        except requests.RequestException:
            return False

    assert ready()
    [server] = [pid for pid, command in lane.descendants().items() if command.startswith("prometheus")]
    os.kill(server, signal.SIGKILL)
    lane.until(lambda: not ready())
    lane.client.post("/reset", {"replicas": 2})
    assert ready()
    assert lane.client.get("/state")["addresses"]["prometheus"] == lane.file.prometheus


def test_prometheus_scrapes_every_part(lane: Lane) -> None:
    names = ["gateway_requests_total", "kube_deployment_status_replicas_ready", "container_cpu_usage_seconds_total"]
    requests.post(f"{lane.file.gateway}/simulate/load", json={}, timeout=5).raise_for_status()

    def found(name: str) -> bool:
        answer = requests.get(f"{lane.file.prometheus}/api/v1/query", {"query": name}, timeout=5).json()
        return bool(answer["data"]["result"])

    for name in [*names, "erp_simulator_requests_total"]:
        lane.until(lambda name=name: found(name))
