"""A real service whose outages are known, and a real monitor beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.model import Interval
from smartops_chaos.store.incident_book import IncidentBook
from smartops_chaos.timeline.incident import Incident

SETTLE_S, HORIZON_S = 2, 6
SLO = "{latency: 500ms, objective: 90%, hold: 1s}"
_FILE = """\
version: 1
namespace: shop
service: smartops-erp-simulator
healer: lab
{url}
rate: 25/s
slo: {slo}
settle: {settle}s
horizon: {horizon}s
logs: {{smartops-orchestrator: {log}}}
listen: 127.0.0.1:{listen}
{more}
"""


@dataclass
class Shop:
    port: int

    def be(self, share: float) -> Interval:
        """Have so many of its answers bad from now on; when that began, by the wall clock."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/be",
            json.dumps({"share": share}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Interval(*json.load(answer)["between"])


@dataclass
class Standing:
    """A monitor as its user sees it: a process, a folder, a page."""

    folder: Path
    file: Path
    log: Path
    listen: int
    until: Callable[..., Any]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        out = (self.file.parent / "monitor.log").open("ab")
        self.processes.append(subprocess.Popen(self._command(self.folder), stdout=out, stderr=out))
        out.close()
        self.until(lambda: self._answers() or self.processes[-1].poll() is not None, 120, self.said)
        assert self.processes[-1].poll() is None, self.said()

    def said(self) -> str:
        return (self.file.parent / "monitor.log").read_text()

    def another(self, folder: Path) -> subprocess.CompletedProcess[str]:
        """A second monitor that cannot be."""
        return subprocess.run(self._command(folder), capture_output=True, text=True, timeout=120)

    def memory_mb(self) -> float:
        """Of it and its probe: what both have of their own, and of what they share its part."""
        processes = [self.processes[-1].pid, *self.children()]
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in processes]
        return (
            sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1e3
        )

    def children(self) -> list[int]:
        own = self.processes[-1].pid
        tasks = Path(f"/proc/{own}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    def _command(self, folder: Path) -> list[str]:
        program = Path(sys.executable).with_name("smartops-chaos")
        return [str(program), "monitor", str(self.file), "--folder", str(folder)]

    def kill(self) -> None:
        self.processes[-1].send_signal(signal.SIGKILL)
        self.processes[-1].wait()

    def end(self) -> int:
        self.processes[-1].terminate()
        return self.processes[-1].wait(60)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.listen}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def incidents(self) -> list[Incident]:
        return IncidentBook(self.folder).read()

    def over(self, number: int) -> list[Incident]:
        """Wait until so many incidents are over; all of them."""

        def found() -> list[Incident] | None:
            there = self.incidents()
            return there if sum(one.over for one in there) >= number else None

        return self.until(found, 120, lambda: f"{self.incidents()} {self.said()}")

    def asked(self, since_ns: int, number: int = 60) -> None:
        """Wait until the service was asked so often since then, so that a time is measured in requests."""

        def enough() -> bool:
            lines = [
                text for file in sorted(self.folder.glob("raw/requests-*")) for text in file.read_text().splitlines()
            ]
            return sum(line.count(",") == 3 and int(line.partition(",")[0]) > since_ns for line in lines) >= number

        self.until(enough, 120, self.said)

    def say(self, text: str) -> None:
        with self.log.open("a") as out:
            out.write(text + "\n")

    def _answers(self) -> bool:
        try:
            return "smartops_chaos_monitor_up 1.0" in self.get("/metrics")
        except OSError:
            return False


@pytest.fixture
def shop() -> Iterator[Shop]:
    program = Path(__file__).with_name("shop.py")
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield Shop(int(process.stdout.readline()))
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def standing(shop: Shop, tmp_path: Path, until: Callable[..., Any]) -> Iterator[Callable[..., Standing]]:
    """Starts a monitor of the shop and waits until it has seen it healthy."""
    there: list[Standing] = []

    def start(
        more: str = "",
        *,
        horizon: int = HORIZON_S,
        settle: int = SETTLE_S,
        slo: str = SLO,
        url: str = "",
        asked: int = 60,
        log: Path | None = None,
    ) -> Standing:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            listen = free.getsockname()[1]
        if log is None:
            log = tmp_path / "orchestrator.log"
            log.touch()
        file = tmp_path / "monitor.yaml"
        url = url or f"url: http://127.0.0.1:{shop.port}"
        file.write_text(
            _FILE.format(url=url, slo=slo, settle=settle, horizon=horizon, log=log, listen=listen, more=more)
        )
        monitor = Standing(tmp_path / "watched", file, log, listen, until)
        there.append(monitor)
        monitor.start()
        monitor.asked(0, asked)
        return monitor

    yield start
    for monitor in there:
        for process in monitor.processes:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
