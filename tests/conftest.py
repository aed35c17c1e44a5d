"""What several areas share: a small matrix on the lab, and the command line as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
