"""The platform part of a lane: crash back-off, rollouts, and who gets the blame for what."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.conftest import Lane

pytestmark = pytest.mark.lab


def test_a_crashed_container_is_restarted_in_its_pod_after_the_back_off(lane: Lane) -> None:
    since = lane.client.get("/state")["now_ns"]
    victim = lane.pods()[0]
    os.kill(victim["pid"], signal.SIGKILL)
    lane.until(lambda: len(lane.events(since, victim["name"])) == 4)
    events = lane.client.get(f"/events?since_ns={since}")["events"]
    assert [e["kind"] for e in events] == ["exited", "not_ready", "started", "ready"]
    assert {e["cause"] for e in events} == {"platform"}
    assert {e["object"] for e in events} == {f"smartops-erp-simulator/{victim['name']}"}
    assert events[2]["at_ns"] - events[0]["at_ns"] >= 8e9
    again = lane.pods()[0]
    assert (again["name"], again["ready"], again["restarts"]) == (victim["name"], True, 1)
    assert again["pid"] != victim["pid"]


def test_a_stressor_dies_with_its_replica(lane: Lane) -> None:
    victim = lane.inject("stress", "cpu-stress")["objects"][0].split("/")[1]
    [pod] = [pod for pod in lane.pods() if pod["name"] == victim]
    os.kill(pod["pid"], signal.SIGKILL)
    lane.until(lambda: not [c for c in lane.descendants().values() if "burner.py" in c])
    assert lane.fault("stress")["ended_by"] == "system"
