"""What several areas share: the command line as a user calls it, a small matrix, campaigns on stand-in lanes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from benchmarks import standin

settings.register_profile("no-deadline", deadline=None)  # a busy machine is not a failure
settings.load_profile("no-deadline")

MATRIX = """\
version: 1
name: small
target: {kind: lab, lanes: 2, replicas: 2}
factors:
  chaos:
    cpu: {fault: cpu-stress}
    none: {}
  model: {off: {healer: off}, zscore: {detector: zscore}}
  workload: {steady: {rate: 40/s}}
exclude: [{model: off, chaos: none}]
repeats: 1
calibrate: 0
baseline: {model: off, policy: default}
slo: {latency: 250ms, objective: 95%, hold: 1s}
horizon: {after: 4s, because: "a test"}
stop_after_good: 1s
seed: 1
"""

REPEATS = 10  # of a campaign with two looks
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("smartops-chaos")), *map(str, arguments)]


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(MATRIX, encoding="utf-8")
    return file


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run the real console script in an empty folder."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
        return subprocess.run(
            command(*arguments), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180
        )

    return call


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the console script and leave it running."""

    def call(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return call


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the stand-in's matrix; the command line finds the stand-in itself."""
    monkeypatch.setenv("PYTHONPATH", str(Path(standin.__file__).parents[1]))
    return partial(standin.write, tmp_path)


@pytest.fixture
def looking(standins: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a matrix in which `off`, which never recovers, is held against `on` and is ruled out at the first look.

    `other` is `on` by another name, so nothing of it is decided. Two scenarios: a fault, and a control without one.
    """

    def write(*, other: bool = True, **more: Any) -> Path:
        file = standins(repeats=REPEATS, lanes=2, **more)
        healer = file.with_name("healer.yaml")
        known = healer.read_text(encoding="utf-8").replace("[on, off]}", "[on, off], variant: [a, b]}")
        healer.write_text(known, encoding="utf-8")
        text = file.read_text(encoding="utf-8").replace("baseline: {model: off", "looks: 2\nbaseline: {model: on")
        if other:
            text = text.replace("on: {healer: on}", "on: {healer: on}, other: {healer: on, variant: b}")
        file.write_text(text, encoding="utf-8")
        return file

    return write


def until(what: Callable[[], Any], within_s: float = 60.0, pause_s: float = 0.05) -> Any:
    """Wait for something to become true; its value."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause_s)
    return found


@pytest.fixture(name="until")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture
def rows() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """The rows of a campaign's records by trial; earlier attempts are not looked at."""

    def read(campaign: Path) -> dict[str, dict[str, Any]]:
        files = [file for file in campaign.glob("trials/*/record.json") if "~" not in file.parent.name]
        found = {file.parent.name: json.loads(file.read_text(encoding="utf-8"))["row"] for file in files}
        assert all(row["trial"] == name for name, row in found.items())
        return found

    return read
