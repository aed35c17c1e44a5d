"""Lanes from outside: start, stop, and every way in which one can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartops_chaos import lab
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.lab.client import LabClient, LaneGone
from smartops_chaos.lab.lab_target import LabLane, exports
from smartops_chaos.lab.platform.procs import environment, usage
from smartops_chaos.targets.base import LaneAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import Lane, OpenLoop


def gone(pids: set[int]) -> bool:
    return not [pid for pid in pids if (now := usage(pid)) and not now.zombie]


def test_kill_9_of_the_node_leaves_no_process(start: Callable[..., Lane]) -> None:
    lane = start()
    lane.arm("zscore")
    lane.inject("stress", "cpu-stress")
    below = lane.descendants()
    # Two replicas, the healer, the gateway, Prometheus, and the three stressors that it begins with.
    assert len(below) == 8
    os.kill(lane.file.pid, signal.SIGKILL)
    lane.until(lambda: gone({lane.file.pid, *below}))
    with pytest.raises(LaneGone):
        lane.client.get("/state")


def test_the_lane_ends_when_its_runner_is_killed(tmp_path: Path, until: Callable[..., Any]) -> None:
    program = (
        "import pathlib, sys, time; from smartops_chaos import lab; "
        f"lab.start(pathlib.Path({str(tmp_path)!r}), name='x', core=0); print('up', flush=True); time.sleep(600)"
    )
    runner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment({}))
    assert runner.stdout is not None
    assert runner.stdout.readline() == b"up\n"
    file = lab.read(tmp_path / "lane.json")
    replica = LabClient(tmp_path / "lane.json").get("/state")["deployments"]["smartops-erp-simulator"]["pods"][0]["pid"]
    runner.kill()
    runner.wait()
    runner.stdout.close()
    until(lambda: gone({file.pid, replica}))
    assert not (tmp_path / "lane.json").exists()


def test_a_lane_without_lifeline_stays_until_it_is_stopped(tmp_path: Path) -> None:
    program = (
        "import pathlib; from smartops_chaos import lab; "
        f"lab.start(pathlib.Path({str(tmp_path)!r}), name='x', core=0, lifeline=False)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=environment({}))
    file = tmp_path / "lane.json"
    assert LabClient(file).get("/state")["deployments"]["smartops-erp-simulator"]["ready"] == 2
    assert lab.stop(file) is True
    assert lab.stop(file) is False
    assert not file.exists()


def test_shutdown_by_api(start: Callable[..., Lane]) -> None:
    lane = start()
    below = lane.descendants()
    lane.client.post("/shutdown", {})
    assert lane.process.process.wait(10) == 0
    assert gone(set(below))
    lane.process.stop()
    lane.process.stop()


def test_stop_touches_no_stranger_that_has_the_number_now(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    file = tmp_path / "lane.json"
    names = ("control", "token", "healer_token", "prometheus", "gateway", "healer", "directory")
    file.write_text(json.dumps({"pid": stranger.pid, "started": 1, **dict.fromkeys(names, "")}), encoding="utf-8")
    assert lab.stop(file) is False
    assert stranger.poll() is None
    assert not file.exists()
    stranger.kill()
    stranger.wait()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, and a Python with nothing beside it: no Prometheus, whatever the machine has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # what its environment had
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_without_prometheus_the_preflight_says_how_to_get_it(tmp_path: Path, bare: Path) -> None:
    assert [file.name for file in bare.iterdir()] == ["python"]
    with pytest.raises(PreflightFailed, match="prometheus") as failed:
        lab.start(tmp_path / "lane", name="x", core=0)
    assert failed.value.hint == "install it: sudo apt-get install prometheus"


def test_a_lane_that_does_not_come_up_says_why(tmp_path: Path, bare: Path) -> None:
    broken = bare / "prometheus"
    broken.write_text("#!/bin/sh\necho no luck today >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    with pytest.raises(PreflightFailed, match="no luck today"):
        lab.start(tmp_path / "lane", name="x", core=0)


def test_read_refuses_what_is_no_lane_file(tmp_path: Path) -> None:
    (tmp_path / "lane.json").write_text('{"control": ""}', encoding="utf-8")
    with pytest.raises(ValueError, match="is no lane file"):
        lab.read(tmp_path / "lane.json")


def test_a_lane_tells_how_busy_its_replicas_are(running: Lane, load: Callable[[], OpenLoop]) -> None:
    lane = LabLane(LaneAddress("lab", "test", exports(running.process.file)), replicas=2)
    assert lane.load() is None  # nothing was asked
    load()
    found = lane.load()
    assert found is not None
    assert found.service_ms >= 32.5
    assert 0.5 < found.utilisation <= 1.01
    assert 0 < found.work_ms <= found.service_ms
