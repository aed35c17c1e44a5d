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


ERP = "/apis/deployments/smartops-erp-simulator"
FAULT = {"id": "x", "kind": "pod-kill", "expires_s": 9}
CONTROL: list[tuple[str, str, str, Any]] = [
    ("control", "GET", "/state", None),
    ("control", "POST", "/arm", {"healer": "off", "detector": "none"}),
    ("control", "POST", "/reset", {"replicas": 1}),
    ("control", "POST", "/faults", FAULT),
    ("control", "GET", "/faults", None),
    ("control", "GET", "/faults/x", None),
    ("control", "DELETE", "/faults/x", None),
    ("control", "GET", "/events", None),
    ("control", "GET", "/logs", None),
    ("control", "POST", "/shutdown", {}),
    ("control", "GET", ERP, None),
    ("control", "POST", f"{ERP}/restart", {}),
    ("control", "POST", f"{ERP}/scale", {"replicas": 5}),
    ("gateway", "GET", "/-/routes", None),
    ("gateway", "PUT", "/-/routes", {"routes": [], "flush": True}),
    ("healer", "POST", "/v1/signals/anomaly", {"windowId": "w", "service": "erp-simulator", "isAnomaly": True,
                                               "score": 1, "type": "error"}),
    ("healer", "POST", "/v1/signals/rca", {"windowId": "w", "confidence": 1,
                                           "rankedCauses": [{"svc": "s", "cause": "c", "probability": 1}]}),
    ("healer", "POST", "/v1/policy/evaluate", {"signal": {"anomaly.type": "error", "anomaly.score": 1}}),
]  # fmt: skip


def test_without_its_token_no_control_request_does_anything(running: Lane) -> None:
    running.arm("threshold")
    before = (running.client.get("/state"), running.client.get("/events")["events"])
    for address, method, path, body in CONTROL:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}):
            url = getattr(running.file, address) + path
            answer = requests.request(method, url, json=body, headers=headers, timeout=5)
            assert answer.status_code == 401, (method, path)
    after = (running.client.get("/state"), running.client.get("/events")["events"])
    for state, _ in (before, after):
        del state["now_ns"]
    assert after == before
    assert requests.get(f"{running.file.healer}/v1/policy/audit/latest", timeout=5).json()["events"] == []


@pytest.mark.parametrize("path", ["/-/reload", "/-/quit", "/api/v1/admin/tsdb/snapshot", "/api/v1/write"])
def test_prometheus_takes_no_orders(running: Lane, path: str) -> None:
    answer = requests.post(running.file.prometheus + path, timeout=5)
    assert not answer.ok
    assert re.search("not enabled|disabled|needs to be enabled", answer.text)
    assert requests.get(f"{running.file.prometheus}/-/ready", timeout=5).ok


def test_the_applications_own_fault_switches_are_off(running: Lane) -> None:
    for _ in range(2):  # one to each replica
        answer = requests.post(f"{running.file.gateway}/chaos/error-burst/enable", timeout=5)
        assert answer.status_code == 404


def test_everything_listens_on_loopback_only(running: Lane) -> None:
    running.arm("threshold")
    own = {running.file.pid, *running.descendants()}
    links = [str(link.readlink()) for pid in own for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    sockets = {link.removeprefix("socket:[").removesuffix("]") for link in links}
    local = [
        fields[1].rpartition(":")[0]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A" and fields[9] in sockets
    ]
    assert len(local) >= 6  # node, gateway, healer, Prometheus, two replicas
    assert set(local) == {"0100007F"}


def test_nothing_runs_as_more_than_its_user(running: Lane) -> None:
    for pid in (running.file.pid, *running.descendants()):
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:(\t\d+)\1{3}$", status, re.MULTILINE)
        assert f"Uid:\t{os.getuid()}\t" in status


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


def test_replicas_are_on_their_core(lane: Lane) -> None:
    for pod in lane.pods():
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
    [server] = [pid for pid, command in lane.descendants().items() if "--config.file=" in command]
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
