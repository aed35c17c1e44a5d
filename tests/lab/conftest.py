"""A real lane for the tests of a module, and the few things that they all do with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import lab
from smartops_chaos.clock import Clock
from smartops_chaos.lab.client import LabClient
from smartops_chaos.model import Request
from smartops_chaos.resources import shipped
from smartops_chaos.schema import faultfile
from smartops_chaos.store.request_log import RequestTail
from smartops_chaos.trial import workload
from tests.conftest import until

# A core for each parallel run of the tests: they stress it.
CORE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
ERP, HEALER = "smartops-erp-simulator", "smartops-orchestrator"
DEFAULTS: dict[str, dict[str, Any]] = {
    path.stem: faultfile.load(path).defaults for path in sorted(shipped("experiments", "lab").glob("*.yaml"))
}


class Lane:
    """A running lane and its client."""

    def __init__(self, process: lab.LaneProcess) -> None:
        self.process = process
        self.file = process.lane
        cores = sorted(os.sched_getaffinity(0))
        self.core = cores[CORE % len(cores)]
        self.client = LabClient(process.file)

    until = staticmethod(until)

    def arm(self, detector: str, policy: str = "") -> None:
        healer = "off" if detector == "off" else "on"
        body = {"healer": healer, "detector": "none" if healer == "off" else detector, "policy": policy}
        self.client.post("/arm", body)
        self.client.post("/reset", {"replicas": 2})

    def inject(self, fault_id: str, kind: str, **more: Any) -> Any:
        order = {"id": fault_id, "kind": kind, "params": DEFAULTS[kind], "expires_s": 60, "seed": 0, **more}
        return self.client.post("/faults", order)

    def fault(self, fault_id: str) -> Any:
        return self.client.get(f"/faults/{fault_id}")

    def pods(self, deployment: str = ERP) -> list[dict[str, Any]]:
        return list(self.client.get("/state")["deployments"][deployment]["pods"])

    def events(self, since_ns: int, name: str = "") -> list[tuple[str, str]]:
        """(kind, cause) of every event since then, of one pod or of all."""
        events = self.client.get(f"/events?since_ns={since_ns}")["events"]
        return [(e["kind"], e["cause"]) for e in events if name in e["object"]]

    def descendants(self) -> dict[int, str]:
        """Command line by pid of every process below the node."""
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        found, below = dict[int, str](), {self.file.pid}
        while below := {pid for pid, parent in parents.items() if parent in below}:
            for pid in below:
                with contextlib.suppress(OSError):
                    found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def log(self, since_ns: int) -> str:
        return "\n".join(line["text"] for line in self.client.get(f"/logs?since_ns={since_ns}")["lines"])


class OpenLoop:
    """40 requests a second, and whether they were answered well within 250 ms."""

    def __init__(self, gateway: str, file: Path) -> None:
        self.clock = Clock.anchored()
        body = {"duration_seconds": 0, "target": "cpu"}
        load = workload.Load(
            f"{gateway}/simulate/load", "POST", body, timeout_s=2.0, good_within_s=0.25, rate_per_s=40, limit_s=120
        )
        workload.start(load, file, self.clock)
        self._tail = RequestTail(file)
        self._requests: list[Request] = []

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def bad_share(self, begin_ns: int, seconds: float) -> float | None:
        """Of the requests scheduled in that stretch; None as long as not all of them are finished."""
        self._requests += self._tail.read()
        found = [r for r in self._requests if begin_ns <= r.sched_ns < begin_ns + seconds * 1e9]
        if len(found) < 40 * seconds - 1:
            return None
        return sum(not (r.status == 200 and 0 <= r.latency_ns <= 250e6) for r in found) / len(found)

    def healthy_since(self, begin_ns: int) -> bool:
        """Whether two good seconds have begun after that moment, on a grid of quarter seconds."""
        return any(share <= 0.05 for share in self._shares(begin_ns))

    def broken_since(self, begin_ns: int) -> bool:
        """The same of two bad ones."""
        return any(share > 0.05 for share in self._shares(begin_ns))

    def _shares(self, begin_ns: int) -> list[float]:
        starts = range(begin_ns, self.now_ns() - 2_000_000_000, 250_000_000)
        return [share for start in starts if (share := self.bad_share(start, 2)) is not None]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lane]]:
    """Starts a lane of its own, which ends with the module."""
    started: list[lab.LaneProcess] = []

    def begin(**options: Any) -> Lane:
        started.append(lab.start(tmp_path_factory.mktemp("lane"), **{"name": "test", "core": CORE, **options}))
        return Lane(started[-1])

    yield begin
    for process in started:
        process.stop()


@pytest.fixture(scope="module")
def running(start: Callable[..., Lane]) -> Lane:
    return start()


@pytest.fixture
def lane(running: Lane) -> Lane:
    """The module's lane, with the healer off and nothing left of the test before."""
    running.arm("off")
    return running


@pytest.fixture
def load(lane: Lane, tmp_path: Path) -> Iterator[Callable[[], OpenLoop]]:
    """Starts the open loop; returns when the service has been healthy under it for two seconds."""

    def begin() -> OpenLoop:
        loop = OpenLoop(lane.file.gateway, tmp_path / "requests")
        start = loop.now_ns()
        until(lambda: loop.healthy_since(start))
        return loop

    yield begin
    workload.stop()
