"""Everything of a campaign dies in the middle of a fault that nothing else ends: the same command puts it right."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from smartops_chaos.kubernetes.cluster import connect
from smartops_chaos.kubernetes.controller import Controller
from tests.conftest import command

_ERP = "smartops-erp-simulator"
_MATRIX = """\
version: 1
name: dead
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {lab}}}], allow: [{lab}]}}
factors:
  chaos: {{gone: {{fault: scale-to-zero}}}}
  model: {{off: {{healer: off}}}}
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 300ms, objective: 90%, hold: 2s}}
horizon: {{after: 5s}}
"""


def replicas(lab: str) -> int:
    return Controller.read(connect(), lab, _ERP).replicas


def session(leader: int) -> list[int]:
    """The processes of a session: the runner's, its children's and the load's."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(file.read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(file.parent.name))
    return found


def test_the_same_command_undoes_the_fault_before_it_looks_at_the_system(
    lab: str, tmp_path: Path, until: Callable[..., Any]
) -> None:
    """The service has no pod any more: whoever looks first would refuse to go on, and leave it so."""
    (tmp_path / "m.yaml").write_text(_MATRIX.format(lab=lab), encoding="utf-8")
    before = replicas(lab)
    runner = subprocess.Popen(command("run", "m.yaml"), cwd=tmp_path, start_new_session=True)
    try:
        until(lambda: replicas(lab) == 0)
    finally:
        for pid in session(runner.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        runner.wait()
    until(lambda: session(runner.pid) == [])
    assert replicas(lab) == 0
    done = subprocess.run(command("run", "m.yaml"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "undid 1 trial of a run that was cut off" in done.stderr
    assert replicas(lab) == before
