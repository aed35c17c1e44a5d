"""Faults on a real lane: injected once, measured, ended once, by whoever comes first."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import Lane, OpenLoop

pytestmark = pytest.mark.lab
ERP = "smartops-erp-simulator"


def stressors(lane: Lane) -> list[int]:
    return [pid for pid, command in lane.descendants().items() if "stress.py" in command]


def test_the_same_id_is_injected_once_and_gets_the_same_receipt(lane: Lane) -> None:
    receipt = lane.inject("once", "cpu-stress")
    assert receipt["before_ns"] <= receipt["after_ns"]
    assert receipt["objects"][0] in {f"{ERP}/{pod['name']}" for pod in lane.pods()}
    assert lane.inject("once", "cpu-stress") == receipt
    lane.client.delete("/faults/once")
    assert lane.inject("once", "cpu-stress")["before_ns"] > receipt["after_ns"]
    assert len(stressors(lane)) == 6
    assert lane.client.get("/faults") == {"faults": ["once"]}


def test_a_revert_ends_it_at_once_and_may_be_repeated(lane: Lane) -> None:
    lane.inject("stress", "cpu-stress")
    first = lane.client.delete("/faults/stress")
    assert stressors(lane) == []
    assert (first["state"], first["ended_by"]) == ("ended", "harness")
    assert lane.client.delete("/faults/stress")["ended_ns"] == first["ended_ns"]
    assert lane.client.get("/faults") == {"faults": []}


def test_a_revert_of_what_never_was_is_fine(lane: Lane) -> None:
    assert lane.client.delete("/faults/never")["state"] == "unknown"


@pytest.mark.parametrize("kind", ["cpu-stress", "network-delay"])
def test_a_fault_expires_by_itself(lane: Lane, kind: str) -> None:
    lane.inject("short", kind, expires_s=0.4)
    lane.until(lambda: lane.fault("short")["state"] == "ended")
    assert lane.fault("short")["ended_by"] == "expiry"
    assert stressors(lane) == []


def test_the_seed_picks_the_victim(lane: Lane) -> None:
    victims = set()
    for seed in range(6):
        chosen = {tuple(lane.inject(f"{seed}.{n}", "network-delay", seed=seed)["objects"]) for n in range(1)}
        lane.client.delete(f"/faults/{seed}.0")
        victims |= chosen
        assert tuple(lane.inject(f"{seed}.again", "network-delay", seed=seed)["objects"]) in chosen
        lane.client.delete(f"/faults/{seed}.again")
    assert len(victims) == 2


def test_parts_of_a_combination_hit_different_replicas(lane: Lane) -> None:
    assert lane.inject("one", "network-delay")["objects"] != lane.inject("two", "cpu-stress")["objects"]


def test_a_fault_that_dies_of_itself_is_the_injectors_failure(lane: Lane) -> None:
    lane.inject("frail", "cpu-stress")
    for pid in stressors(lane):
        os.kill(pid, signal.SIGKILL)
    lane.until(lambda: lane.fault("frail")["state"] == "ended")
    assert lane.fault("frail")["ended_by"] == "injector"


def test_stress_is_confirmed_by_the_cpu_time_that_it_burnt(lane: Lane) -> None:
    lane.inject("stress", "cpu-stress")
    found = lane.until(lambda: (f := lane.fault("stress"))["confirmed"] and f)
    assert found["measured"]["cpu_s"] > 0
    assert "CPU seconds burnt" in found["effect"]


def test_delay_is_confirmed_by_the_requests_that_it_delayed(lane: Lane) -> None:
    lane.inject("delay", "network-delay", params={"delay": 0.2, "jitter": 0.0})
    assert lane.fault("delay")["confirmed"] is False
    for _ in range(2):  # one to each replica
        requests.post(f"{lane.file.gateway}/simulate/load", json={}, timeout=5).raise_for_status()
    found = lane.fault("delay")
    assert found["confirmed"] is True
    assert found["measured"]["requests"] == 1
    assert found["measured"]["mean_s"] >= 0.2


def test_a_killed_pod_is_in_force_until_it_is_ready_again(lane: Lane) -> None:
    receipt = lane.inject("kill", "pod-kill")
    name = receipt["objects"][0].split("/")[1]
    found = lane.fault("kill")
    assert (found["state"], found["ended_by"], found["confirmed"]) == ("in_force", "momentary", True)
    assert receipt["before_ns"] <= found["ended_ns"] <= receipt["after_ns"]
    assert lane.client.get("/faults") == {"faults": ["kill"]}
    lane.client.delete("/faults/kill")
    assert [pod["ready"] for pod in lane.pods()] == [True, True]
    assert lane.client.get("/faults") == {"faults": []}
    story = [("exited", "fault"), ("not_ready", "fault"), ("started", "harness"), ("ready", "harness")]
    assert lane.events(receipt["before_ns"], name) == story


def test_the_orchestrator_can_be_killed_only_where_there_is_one(lane: Lane) -> None:
    params = {"component": "orchestrator"}
    assert lane.inject("none", "pod-kill", params=params)["objects"] == []
    assert lane.fault("none")["ended_by"] == "injector"
    lane.arm("threshold")
    assert lane.inject("one", "pod-kill", params=params)["objects"][0].startswith("smartops-orchestrator/")
    lane.until(lambda: lane.client.get("/faults") == {"faults": []})  # the platform restarts it after two seconds
    assert [pod["restarts"] for pod in lane.pods("smartops-orchestrator")] == [1]


@pytest.mark.parametrize("kind", ["cpu-stress", "network-delay", "pod-kill"])
def test_every_fault_breaks_the_service_until_it_is_reverted(
    lane: Lane, load: Callable[[], OpenLoop], kind: str
) -> None:
    loop = load()
    receipt = lane.inject("fault", kind)
    lane.until(lambda: lane.fault("fault")["confirmed"], within_s=3)
    bad: Any = lane.until(lambda: loop.bad_share(receipt["after_ns"], 2))
    assert bad > 0.05
    lane.client.delete("/faults/fault")
    reverted = loop.now_ns()
    lane.until(lambda: loop.healthy_since(reverted))
