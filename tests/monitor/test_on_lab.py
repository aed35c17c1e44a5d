"""The monitor beside the lab, whose healer and Prometheus are real: an incident from the impact to who ended it."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import lab
from smartops_chaos.lab.client import LabClient
from smartops_chaos.model import Outcome
from tests.monitor.conftest import Standing

pytestmark = pytest.mark.lab

FILE = """\
version: 1
namespace: lab
service: smartops-erp-simulator
healer: lab
url: {gateway}
rate: 20/s
slo: {{latency: 400ms, objective: 90%, hold: 3s}}
settle: 8s
horizon: 5m
logs: {{smartops-orchestrator: lane/healer.log}}
prometheus: {prometheus}
signals: {healer}
policy: {healer}
listen: 127.0.0.1:{listen}
"""


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[tuple[Any, LabClient]]:
    process = lab.start(tmp_path / "lane", name="lane-monitored", core=0)
    client = LabClient(process.file)
    client.post("/arm", {"healer": "on", "detector": "zscore", "policy": ""})
    yield process.lane, client
    lab.stop(process.file)


def test_what_the_lab_s_healer_repairs_is_an_incident_that_it_has_ended(
    lane: tuple[Any, LabClient], tmp_path: Path, until: Callable[..., Any]
) -> None:
    there, client = lane
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    file = tmp_path / "monitor.yaml"
    file.write_text(FILE.format(gateway=there.gateway, prometheus=there.prometheus, healer=there.healer, listen=listen))
    monitor = Standing(tmp_path / "watched", file, tmp_path / "lane" / "healer.log", listen, until)
    monitor.start()
    try:
        monitor.asked(0, 100)
        until(lambda: json.load(urllib.request.urlopen(f"{there.healer}/v1/detector", timeout=30))["armed"], 120)
        order = {"id": "by-itself", "kind": "network-loss", "expires_s": 200, "params": {"loss": 0.6}}
        receipt = client.post("/faults", order)
        after_ns = receipt["before_ns"] - 3_000_000_000
        found = until(
            lambda: [one for one in monitor.incidents() if one.over and one.impacted.lo_ns > after_ns],
            240,
            monitor.said,
        )[0]
    finally:
        monitor.kill()
    told = found.timeline.events
    assert found.outcome == Outcome.HEALED, found
    assert told["detected"].at.lo_ns > receipt["before_ns"]
    assert found.timeline.causes
    assert {action.target.rpartition("/")[2] for action in found.timeline.actions} == {"smartops-erp-simulator"}
    assert any(source.startswith("increase of") for source in told["detected"].sources), "Prometheus tells it too"
    ended = client.get("/faults/by-itself")
    assert (ended["state"], ended["ended_by"]) == ("ended", "system")
