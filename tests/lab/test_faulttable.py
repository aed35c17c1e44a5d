"""Faults on a real lane: injected once, measured, ended once, by whoever comes first."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from smartops_chaos.lab.client import LabError
from smartops_chaos.lab.platform.faultkinds import KINDS
from smartops_chaos.resources import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import Lane, OpenLoop

pytestmark = pytest.mark.lab

ERP = "smartops-erp-simulator"


def stressors(lane: Lane) -> list[int]:
    return [pid for pid, command in lane.descendants().items() if "burner.py" in command]


def test_the_same_id_is_injected_once_and_gets_the_same_receipt(lane: Lane) -> None:
    receipt = lane.inject("once", "cpu-stress")
    assert receipt["before_ns"] <= receipt["after_ns"]
    assert receipt["objects"][0] in {f"{ERP}/{pod['name']}" for pod in lane.pods()}
    assert lane.inject("once", "cpu-stress") == receipt
    lane.client.delete("/faults/once")
    assert lane.inject("once", "cpu-stress")["before_ns"] > receipt["after_ns"]
    assert len(stressors(lane)) == 3  # of six at most, it begins with half
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


def leaks(lane: Lane) -> list[int]:
    return [pid for pid, command in lane.descendants().items() if "leak.py" in command]


@pytest.mark.parametrize("kind", ["cpu-stress", "memory-leak", "network-delay", "network-loss"])
def test_a_fault_expires_by_itself(lane: Lane, kind: str) -> None:
    lane.inject("short", kind, expires_s=0.4)
    lane.until(lambda: lane.fault("short")["state"] == "ended")
    assert lane.fault("short")["ended_by"] == "expiry"
    lane.until(lambda: stressors(lane) + leaks(lane) == [])  # killed at that moment, which nobody waits for


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


def test_stress_is_confirmed_by_how_much_longer_an_order_takes(lane: Lane) -> None:
    lane.inject("stress", "cpu-stress")  # nobody places orders, so the node does
    found = lane.until(lambda: (f := lane.fault("stress"))["confirmed"] and f)
    assert found["measured"]["slowdown"] >= 1.5
    assert found["measured"]["cpu_s"] > 0
    assert re.match(r"orders took \d+\.\d times as long, by \d workers: \d+\.\d\d CPU seconds burnt", found["effect"])


def test_stress_that_is_too_weak_grows_up_to_its_workers_and_hits_one_replica_only(
    lane: Lane, load: Callable[[], OpenLoop]
) -> None:
    load()
    params = {"load": 0.9, "workers": 8, "slowdown": 100}  # more than these can do
    [victim] = lane.inject("stress", "cpu-stress", params=params)["objects"]
    lane.until(lambda: len(stressors(lane)) == 8)

    def taken_s() -> tuple[float, float]:
        """By the stressed replica for an order, and by the slowest of the others."""
        replicas = lane.client.get("/load")["replicas"]
        stressed = replicas.pop(victim.split("/")[1])
        return stressed["service_s"], max(other["service_s"] for other in replicas.values())

    lane.until(lambda: taken_s()[0] > 2 * taken_s()[1])  # the orders of the last seconds count, so it takes some
    slot_s = taken_s()[1]
    lane.client.delete("/faults/stress")
    lane.until(lambda: all(one["service_s"] < 1.2 * slot_s for one in lane.client.get("/load")["replicas"].values()))


def test_delay_is_confirmed_by_the_requests_that_it_delayed(lane: Lane) -> None:
    lane.inject("delay", "network-delay", params={"delay": 0.2, "jitter": 0.0})
    assert lane.fault("delay")["confirmed"] is False
    for _ in range(2):  # one to each replica
        requests.post(f"{lane.file.gateway}/simulate/load", json={}, timeout=5).raise_for_status()
    found = lane.fault("delay")
    assert found["confirmed"] is True
    assert found["measured"]["requests"] == 1
    assert found["measured"]["mean_s"] >= 0.2


def test_loss_is_confirmed_by_what_was_lost_and_makes_answers_late_or_missing(lane: Lane) -> None:
    lane.inject("loss", "network-loss", params={"loss": 0.9})
    assert lane.fault("loss")["confirmed"] is False
    url = f"{lane.file.gateway}/simulate/load"
    with ThreadPoolExecutor(4) as threads:  # one half to each replica
        answers = list(threads.map(lambda _: requests.post(url, json={}, timeout=5).status_code, range(8)))
    # The same segment lost four times is 3 seconds late, more than the gateway's patience.
    assert sorted(answers) == [200] * 4 + [504] * 4
    found = lane.fault("loss")
    assert found["confirmed"] is True
    assert found["measured"]["lost"] > 0.5 * found["measured"]["sent"]


def test_several_network_faults_on_one_way_add_up(lane: Lane) -> None:
    lane.client.post("/reset", {"replicas": 1})
    for fault_id in ("one", "two"):
        lane.inject(fault_id, "network-delay", params={"delay": 0.2, "jitter": 0.0})
    begin = time.monotonic()
    requests.post(f"{lane.file.gateway}/simulate/load", json={}, timeout=5).raise_for_status()
    assert time.monotonic() - begin >= 0.4
    assert [lane.fault(fault_id)["confirmed"] for fault_id in ("one", "two")] == [True, True]


def test_a_leak_gets_the_container_killed_and_comes_back_with_it(lane: Lane) -> None:
    receipt = lane.inject("leak", "memory-leak", params={"size": 500_000_000, "ramp": 1.0})
    name = receipt["objects"][0].split("/")[1]
    with pytest.raises(LabError, match="leak leaks already: one leak at a time"):
        lane.inject("second", "memory-leak")
    lane.until(lambda: lane.fault("leak")["confirmed"])
    lane.until(lambda: ("exited", "platform") in lane.events(receipt["before_ns"], name))
    events = lane.client.get(f"/events?since_ns={receipt['before_ns']}")["events"]
    detail = next(e["detail"] for e in events if e["kind"] == "exited")
    megabytes = re.fullmatch(r"code 137, OOMKilled at (\d+) MB", detail)
    assert megabytes is not None
    assert int(megabytes[1]) >= 512
    assert leaks(lane) == []
    lane.until(lambda: ("ready", "platform") in lane.events(receipt["before_ns"], name))
    [leaking] = lane.until(lambda: leaks(lane))
    assert lane.fault("leak")["state"] == "in_force"
    assert lane.client.delete("/faults/leak")["ended_by"] == "harness"
    assert not Path(f"/proc/{leaking}").exists()
    assert [pod["ready"] for pod in lane.pods()] == [True, True]


def test_a_leak_goes_with_its_pod(lane: Lane) -> None:
    lane.inject("leak", "memory-leak")
    restart = f"{lane.file.control}/apis/deployments/{ERP}/restart"
    requests.post(restart, headers={"Authorization": f"Bearer {lane.file.healer_token}"}, timeout=5).raise_for_status()
    lane.until(lambda: lane.fault("leak")["state"] == "ended")
    assert lane.fault("leak")["ended_by"] == "system"
    lane.until(lambda: leaks(lane) == [])


def test_a_part_that_kills_the_container_of_another_is_not_the_injectors_failure(lane: Lane) -> None:
    lane.client.post("/reset", {"replicas": 1})
    assert lane.inject("stress", "cpu-stress")["objects"] == lane.inject("kill", "pod-kill")["objects"]
    lane.until(lambda: lane.fault("stress")["state"] == "ended")
    assert lane.fault("stress")["ended_by"] == "system"


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


def test_every_kind_has_a_fault_file() -> None:
    assert {path.stem for path in shipped("experiments", "lab").glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_breaks_the_service_until_it_is_reverted(
    lane: Lane, load: Callable[[], OpenLoop], kind: str
) -> None:
    loop = load()
    receipt = lane.inject("fault", kind)
    lane.until(lambda: lane.fault("fault")["confirmed"])
    lane.until(lambda: loop.broken_since(receipt["after_ns"]))
    lane.client.delete("/faults/fault")
    reverted = loop.now_ns()
    lane.until(lambda: loop.healthy_since(reverted))
