"""The monitor beside the lab, whose service, healer and Prometheus are real: known outages and what is on record."""

from __future__ import annotations

import json
import random
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import lab
from smartops_chaos.lab.client import LabClient
from smartops_chaos.model import Interval, Outcome
from smartops_chaos.timeline.incident import Incident
from tests.monitor.conftest import Standing

pytestmark = pytest.mark.lab

# An answer has so long that a busy machine is no outage; what is lost has none.
FILE = """\
version: 1
namespace: lab
service: smartops-erp-simulator
healer: lab
url: {gateway}
rate: 20/s
slo: {{latency: 1500ms, objective: 80%, hold: 3s}}
settle: 12s
horizon: 30s
logs: {{smartops-orchestrator: lane/healer.log}}
prometheus: {prometheus}
signals: {healer}
policy: {healer}
listen: 127.0.0.1:{listen}
"""
_CLOSE_NS = 4_000_000_000  # from the truth to the dated interval: the window, and a request's time limit


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[tuple[Any, LabClient]]:
    process = lab.start(tmp_path / "lane", name="lane-monitored", core=0)
    yield process.lane, LabClient(process.file)
    lab.stop(process.file)


@pytest.fixture
def monitor(lane: tuple[Any, LabClient], tmp_path: Path, until: Callable[..., Any]) -> Iterator[Standing]:
    there, _ = lane
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    file = tmp_path / "monitor.yaml"
    file.write_text(FILE.format(gateway=there.gateway, prometheus=there.prometheus, healer=there.healer, listen=listen))
    made = Standing(tmp_path / "watched", file, tmp_path / "lane" / "healer.log", listen, until)
    made.start()
    yield made
    made.kill()


def test_known_outages_are_on_record_as_they_were(
    lane: tuple[Any, LabClient], monitor: Standing, until: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Partial, flapping, not healed, and healed; in each the monitor is killed at a random moment and started again."""
    there, client = lane
    chance = random.Random(16)
    numbers = iter(range(100))

    def begin(loss: float) -> tuple[str, int]:
        """Lose so many requests from now on."""
        order = {"id": f"by-itself-{next(numbers)}", "kind": "network-loss", "expires_s": 300, "params": {"loss": loss}}
        return order["id"], client.post("/faults", order)["before_ns"]

    def end(fault: str) -> int:
        client.delete(f"/faults/{fault}")
        return int(client.get(f"/faults/{fault}")["ended_ns"])

    def killed() -> None:
        time.sleep(chance.uniform(0, 2))
        monitor.kill()
        monitor.start()
        monitor.asked(time.time_ns(), 100)

    truth: list[tuple[str, int, int]] = []  # what, and between which moments

    def on_record() -> Incident:
        found = monitor.over(len(truth))
        assert len(found) == len(truth), monitor.said()
        return found[-1]

    client.post("/arm", {"healer": "off", "detector": "none", "policy": ""})
    monitor.asked(0, 100)

    fault, begun_ns = begin(0.4)
    killed()
    truth.append(("partial", begun_ns, end(fault)))
    partial = on_record()

    flaps = []
    for _ in range(3):
        fault, begun_ns = begin(0.9)
        monitor.asked(begun_ns, 60)
        flaps.append((begun_ns, end(fault)))
        monitor.asked(flaps[-1][1], 75)
    killed()
    truth.append(("flapping", flaps[0][0], flaps[-1][1]))
    flapping = on_record()

    fault, begun_ns = begin(0.9)
    killed()
    (given_up,) = until(lambda: [one for one in monitor.incidents() if not one.over], 240, monitor.said)
    assert (given_up.outcome, given_up.reason) == (Outcome.UNRECOVERED, "undetected")
    killed()
    truth.append(("not healed", begun_ns, end(fault)))
    unhealed = on_record()

    client.post("/arm", {"healer": "on", "detector": "zscore", "policy": ""})
    until(lambda: json.load(urllib.request.urlopen(f"{there.healer}/v1/detector", timeout=30))["armed"], 120)
    monitor.asked(time.time_ns(), 100)
    fault, begun_ns = begin(0.6)
    killed()
    until(lambda: client.get(f"/faults/{fault}")["state"] == "ended", 240, monitor.said)
    ended = client.get(f"/faults/{fault}")
    assert ended["ended_by"] == "system"
    truth.append(("healed", begun_ns, ended["ended_ns"]))
    healed = on_record()

    found = [partial, flapping, unhealed, healed]
    with capsys.disabled():
        print("\n| outage | lasted | on record | as | relapses |\n|---|---|---|---|---|")
        for (what, begun_ns, ended_ns), one in zip(truth, found, strict=True):
            recorded_s = one.seconds_to("recovered")
            print(
                f"| {what} | {(ended_ns - begun_ns) / 1e9:.1f} s | {recorded_s:.1f} s | {one.outcome} {one.reason} | "
                f"{one.timeline.health.relapses} |"
            )
    told = [(one.outcome, one.reason) for one in found]
    by_itself = (Outcome.PLATFORM, "no-action")
    assert told == [by_itself, by_itself, (Outcome.UNRECOVERED, "undetected"), (Outcome.HEALED, "")]
    assert flapping.timeline.health.relapses == 2
    for (what, begun_ns, ended_ns), one in zip(truth, found, strict=True):
        assert close(one.impacted, begun_ns), what
        # What was healed is well again when its pods are, some time after the fault has gone.
        assert close(one.recovered, ended_ns) or what == "healed", what
    events, acts = healed.timeline.events, healed.timeline.actions
    assert events["detected"].at.lo_ns > begun_ns
    assert healed.timeline.causes
    assert {action.target.rpartition("/")[2] for action in acts} == {"smartops-erp-simulator"}
    assert any(source.startswith("increase of") for source in events["detected"].sources), "Prometheus tells it too"


def close(dated: Interval | None, truth_ns: int) -> bool:
    return dated is not None and dated.lo_ns - _CLOSE_NS <= truth_ns <= dated.hi_ns + _CLOSE_NS
