"""Start, find and stop a lane from another process."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from smartops_chaos.errors import PreflightFailed
from smartops_chaos.lab.platform.procs import environment, module, prometheus_program, usage
from smartops_chaos.lab.smartops.orders import SLOT_S

_READY_WITHIN_S = 30.0
_STOP_WITHIN_S = 5.0
_INSTALL_PROMETHEUS = "install it: sudo apt-get install prometheus"


@dataclass(frozen=True)
class LaneFile:
    """How to reach a lane; in `lane.json` (mode 0600), which is there as long as the lane is."""

    control: str
    token: str  # of the node's control API and of the gateway's
    healer_token: str  # of the healer's API, and the healer's own for the node
    pid: int
    started: int  # of the node, in clock ticks since boot: pids are used again
    prometheus: str
    gateway: str
    healer: str
    directory: str


@dataclass(frozen=True)
class LaneProcess:
    file: Path
    lane: LaneFile
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the lane and everything in it; safe to repeat."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.file.unlink(missing_ok=True)


def start(
    directory: Path,
    *,
    name: str,
    core: int,
    lanes: int = 1,
    replicas: int = 2,
    slot_s: float = SLOT_S,
    lifeline: bool = True,
) -> LaneProcess:
    """Start a lane in `directory` (made if need be); returns when its ERP and its Prometheus are ready.

    `core` is taken modulo the cores that this process may use. What measures runs on those that no one of the `lanes`
    has, as far as there are any, where stress of a replica does not disturb it. With `lifeline` the lane ends when this
    process does, by whatever means; without, it stays until stopped. Raises PreflightFailed when Prometheus is missing
    or the lane does not come up.
    """
    if prometheus_program() is None:
        raise PreflightFailed("the program `prometheus` is not on the PATH", _INSTALL_PROMETHEUS)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory / "prometheus", ignore_errors=True)
    cores = sorted(os.sched_getaffinity(0))
    own = cores[core % len(cores)]
    beside = [other for other in cores[lanes:] if other != own] or cores
    command = module(
        "platform.main",
        *("--directory", str(directory), "--name", name),
        *("--core", str(own), "--beside", *map(str, beside)),
        *("--replicas", str(replicas), "--slot", str(slot_s)),
        *(["--lifeline"] if lifeline else []),
    )
    # In a session of its own: Ctrl-C goes to all processes of a terminal, and the lane has to last until the trials on
    # it have reverted their faults.
    with (directory / "node.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment({}),
            start_new_session=True,
        )
    said = _first_line(process)
    file = directory / "lane.json"
    if said != "ready":
        process.kill()
        process.wait()
        words = said or (directory / "node.log").read_text(encoding="utf-8", errors="replace")[-1000:].strip()
        raise PreflightFailed(f"lane {name} did not come up: {words or 'no word within 30 s'}", f"see {directory}")
    return LaneProcess(file, read(file), process)


def read(path: Path) -> LaneFile:
    """Raises OSError when the lane is gone, ValueError when the file is no lane file."""
    try:
        return LaneFile(**json.loads(path.read_text(encoding="utf-8")))
    except TypeError as error:
        raise ValueError(f"{path} is no lane file: {error}") from error


def stop(lane_file: Path) -> bool:
    """End the lane that `lane_file` describes, whoever started it; True if it was running."""
    try:
        lane = read(lane_file)
    except FileNotFoundError:
        return False
    except ValueError:
        lane_file.unlink()
        return False
    running = runs(lane)
    if running:
        os.kill(lane.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN_S
        while runs(lane) and time.monotonic() < deadline:
            time.sleep(0.02)
        if runs(lane):
            os.kill(lane.pid, signal.SIGKILL)
    lane_file.unlink(missing_ok=True)
    return running


def runs(lane: LaneFile) -> bool:
    """Whether the lane's node is alive: the same process and not a later one with its number."""
    now = usage(lane.pid)
    return now is not None and not now.zombie and now.started_ticks == lane.started


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _READY_WITHIN_S)[0]:
        return ""
    return process.stdout.readline().decode().strip()
