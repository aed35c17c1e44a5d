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

FILE = """\
version: 1
namespace: lab
service: smartops-erp-simulator
healer: lab
url: {gateway}
rate: 20/s
slo: {{latency: {latency}, objective: {objective}, hold: 3s}}
settle: {settle}
horizon: {horizon}
logs: {{smartops-orchestrator: lane/healer.log}}
prometheus: {prometheus}
signals: {healer}
policy: {healer}
listen: 127.0.0.1:{listen}
"""


_CALM_S = 6.0
_CLOSE_NS = 4_000_000_000  # from the truth to the dated interval: the window, and a request's time limit


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[tuple[Any, LabClient]]:
    process = lab.start(tmp_path / "lane", name="lane-monitored", core=0)
    yield process.lane, LabClient(process.file)
    lab.stop(process.file)


Watch = Callable[[str, str, str, str], Standing]


@pytest.fixture
def watch(lane: tuple[Any, LabClient], tmp_path: Path, until: Callable[..., Any]) -> Iterator[Watch]:
    """Starts a monitor of the lane; how good it has to be, how long health lasts, and the horizon."""
    there, _ = lane
    started: list[Standing] = []

    def start(latency: str, objective: str, settle: str, horizon: str) -> Standing:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            listen = free.getsockname()[1]
        file = tmp_path / "monitor.yaml"
        where = {"gateway": there.gateway, "prometheus": there.prometheus, "healer": there.healer, "listen": listen}
        wanted = {"latency": latency, "objective": objective, "settle": settle, "horizon": horizon}
        file.write_text(FILE.format(**where, **wanted))
        made = Standing(tmp_path / "watched", file, tmp_path / "lane" / "healer.log", listen, until)
        started.append(made)
        made.start()
        return made

    yield start
    for one in started:
        one.kill()


class Calm:
    """Of a healer that has just been armed: what it takes for an anomaly at first may be none, and it acts on that."""

    def __init__(self, log: Path) -> None:
        self._log, self._signals, self._since_s = log, -1, 0.0

    def lasts(self) -> bool:
        signals = self._log.read_text(encoding="utf-8").count("POST /v1/signals/")
        if signals != self._signals:
            self._signals, self._since_s = signals, time.monotonic()
        return time.monotonic() - self._since_s > _CALM_S


def test_what_the_lab_s_healer_repairs_is_an_incident_that_it_has_ended(
    lane: tuple[Any, LabClient], watch: Watch, until: Callable[..., Any], tmp_path: Path
) -> None:
    there, client = lane
    client.post("/arm", {"healer": "on", "detector": "zscore", "policy": ""})
    monitor = watch("400ms", "90%", "8s", "5m")
    monitor.asked(0, 100)
    until(lambda: json.load(urllib.request.urlopen(f"{there.healer}/v1/detector", timeout=30))["armed"], 120)
    until(Calm(tmp_path / "lane" / "healer.log").lasts, 120)
    order = {"id": "by-itself", "kind": "network-loss", "expires_s": 200, "params": {"loss": 0.6}}
    receipt = client.post("/faults", order)
    after_ns = receipt["before_ns"] - 3_000_000_000
    found = until(
        lambda: [one for one in monitor.incidents() if one.over and one.impacted.lo_ns > after_ns],
        240,
        monitor.said,
    )[0]
    told = found.timeline.events
    # The last answer that was lost may be one from just before the action: then nobody can say which came first.
    assert found.outcome == Outcome.HEALED or found.flags == ("contested",), found
    assert told["detected"].at.lo_ns > receipt["before_ns"]
    assert found.timeline.causes
    assert {action.target.rpartition("/")[2] for action in found.timeline.actions} == {"smartops-erp-simulator"}
    assert any(source.startswith("increase of") for source in told["detected"].sources), "Prometheus tells it too"
    ended = client.get("/faults/by-itself")
    assert (ended["state"], ended["ended_by"]) == ("ended", "system")


def test_known_outages_are_on_record_as_they_were(
    lane: tuple[Any, LabClient], watch: Watch, until: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of half of the requests: once, flapping, not healed; in each the monitor is killed at a random moment."""
    _, client = lane
    chance = random.Random(16)
    numbers = iter(range(100))

    def begin() -> tuple[str, int]:
        """From now on the answers of one of the two replicas come too late. On a busy machine none may be ready."""

        def hit() -> dict[str, Any] | None:
            order = {"kind": "network-delay", "expires_s": 300, "params": {"delay": 3, "jitter": 0}}
            receipt: dict[str, Any] = client.post("/faults", order | {"id": f"by-itself-{next(numbers)}"})
            return receipt if receipt["objects"] else None

        receipt = until(hit, 120, pause_s=1.0)
        return receipt["id"], receipt["before_ns"]

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
        """The one incident of the last outage. Between outages there may be others, real ones of a busy machine."""
        _, begun_ns, ended_ns = truth[-1]

        def overlapping() -> list[Incident]:
            there = [one for one in monitor.incidents() if one.over and one.recovered is not None]
            return [one for one in there if one.impacted.lo_ns < ended_ns and one.recovered.hi_ns > begun_ns]

        until(overlapping, 240, lambda: f"{monitor.incidents()} {monitor.said()}")
        (found,) = overlapping()
        return found

    client.post("/arm", {"healer": "off", "detector": "none", "policy": ""})
    monitor = watch("1500ms", "80%", "12s", "30s")  # a busy machine is no outage
    monitor.asked(0, 100)

    fault, begun_ns = begin()
    killed()
    truth.append(("once", begun_ns, end(fault)))
    once = on_record()

    flaps = []
    for _ in range(3):
        fault, begun_ns = begin()
        monitor.asked(begun_ns, 60)
        flaps.append((begun_ns, end(fault)))
        monitor.asked(flaps[-1][1], 75)
    killed()
    truth.append(("flapping", flaps[0][0], flaps[-1][1]))
    flapping = on_record()

    fault, begun_ns = begin()
    killed()
    (given_up,) = until(lambda: [one for one in monitor.incidents() if not one.over], 240, monitor.said)
    assert (given_up.outcome, given_up.reason) == (Outcome.UNRECOVERED, "undetected")
    killed()
    truth.append(("not healed", begun_ns, end(fault)))
    unhealed = on_record()

    found = [once, flapping, unhealed]
    with capsys.disabled():
        print("\n| outage | lasted | on record | as | relapses |\n|---|---|---|---|---|")
        for (what, begun_ns, ended_ns), one in zip(truth, found, strict=True):
            recorded_s = one.seconds_to("recovered")
            print(
                f"| {what} | {(ended_ns - begun_ns) / 1e9:.1f} s | {recorded_s:.1f} s | {one.outcome} {one.reason} | "
                f"{one.timeline.health.relapses} |"
            )
    assert len({one.id for one in monitor.incidents()}) == len(monitor.incidents())
    told = [(one.outcome, one.reason) for one in found]
    by_itself = (Outcome.PLATFORM, "no-action")
    assert told == [by_itself, by_itself, (Outcome.UNRECOVERED, "undetected")]
    assert flapping.timeline.health.relapses == 2
    for (what, begun_ns, ended_ns), one in zip(truth, found, strict=True):
        assert close(one.impacted, begun_ns), what
        assert close(one.recovered, ended_ns), what


def close(dated: Interval | None, truth_ns: int) -> bool:
    return dated is not None and dated.lo_ns - _CLOSE_NS <= truth_ns <= dated.hi_ns + _CLOSE_NS
