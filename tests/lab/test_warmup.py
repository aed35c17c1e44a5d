"""Lanes are warmed up and measured together before anything counts. A slot that no machine keeps shows the refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartops_chaos.errors import PreflightFailed
from smartops_chaos.lab.client import LabClient
from smartops_chaos.lab.lab_target import LabTarget
from smartops_chaos.lab.platform.procs import environment
from smartops_chaos.run.machine import usable_cores

pytestmark = pytest.mark.lab
EASY_S, IMPOSSIBLE_S = 0.2, 0.0005


@pytest.fixture
def opened() -> Iterator[list[LabTarget]]:
    """Targets to close."""
    targets: list[LabTarget] = []
    yield targets
    for target in targets:
        target.close()


def test_a_warm_lane_carries_what_is_set_and_nothing_of_the_warming_is_left(
    tmp_path: Path, opened: list[LabTarget]
) -> None:
    target, said = LabTarget(1, 2, EASY_S), list[str]()
    opened.append(target)
    [address] = target.open(tmp_path / "lanes", said.append)
    rounds = [line for line in said if line.startswith("warming up")]
    assert [line.split(" orders")[0].rsplit(",", 1)[0] for line in rounds[:2]] == [
        "warming up 1 lane: round 1",
        "warming up 1 lane: round 2",
    ]
    assert rounds[0].endswith("orders/s a replica (set: 5.0)")
    state = LabClient(Path(address.environment["SMARTOPS_LANE"])).get("/state")
    assert (state["faults"], state["arm"]["healer"]) == ([], "off")
    assert [pod["ready"] for pod in state["deployments"]["smartops-erp-simulator"]["pods"]] == [True, True]
    assert state["deployments"]["smartops-orchestrator"]["pods"] == []


def test_where_not_one_lane_is_carried_it_is_refused_with_the_numbers_and_the_fix(
    tmp_path: Path, opened: list[LabTarget]
) -> None:
    target, said = LabTarget(2, 2, IMPOSSIBLE_S), list[str]()
    opened.append(target)
    with pytest.raises(
        PreflightFailed, match=r"does not carry a single lane .*: a replica did .* of 2000\.0"
    ) as failed:
        target.open(tmp_path / "lanes", said.append)
    assert "end what else runs" in failed.value.hint
    fewer = [line for line in said if line.startswith("this machine carries 1 lane, not 2")]
    assert len(fewer) == 1
    assert not list((tmp_path / "lanes").glob("*/lane.json"))


def test_only_the_cores_that_it_may_use_are_counted() -> None:
    core = min(os.sched_getaffinity(0))
    count = (
        f"import os; os.sched_setaffinity(0, {{{core}}}); "
        "from smartops_chaos.run.machine import usable_cores; print(usable_cores())"
    )
    told = subprocess.run(
        [sys.executable, "-c", count], env=environment({}), capture_output=True, text=True, check=True
    )
    assert 0 < float(told.stdout) <= 1
    assert float(told.stdout) <= usable_cores()
