"""A namespace as a trial sees it: what sets sizes beside us, and what records it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import recorder
from smartops_chaos.model import Variant
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress, LaneLost


@pytest.fixture
def opened(fake: Any, matrix_on_cluster: Path, tmp_path: Path) -> Any:
    """The target, and a lane of it in the process of a trial."""
    del fake

    def make() -> Any:
        plan = load_plan(matrix_on_cluster)
        target = kinds.target(plan.target)
        (address,) = target.open(tmp_path / "results" / "w-1" / ".lanes")
        environment = {**address.environment, "SMARTOPS_TRIAL_DIR": str(tmp_path)}
        lane = kinds.connect(plan.target, LaneAddress("kubernetes", "dev", environment))
        lane.apply(Variant("off", {"healer": "off"}), Variant("default", {}))
        return target, lane

    return make


def _scale(fake: Any, replicas: int) -> None:
    """As anybody does it who is not us."""
    shop = fake.get("deployments", "shop")
    shop["spec"]["replicas"] = replicas
    shop["status"] |= dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas)


def test_a_size_that_an_autoscaler_sets_is_left_to_it(fake: Any, opened: Any) -> None:
    scaled = {"scaleTargetRef": {"kind": "Deployment", "name": "shop"}}
    fake.put("horizontalpodautoscalers", {"metadata": {"name": "h"}, "spec": scaled})
    _scale(fake, 4)
    target, lane = opened()
    lane.reset()
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 4
    assert fake.get("deployments", "watchdog")["spec"]["replicas"] == 0
    _scale(fake, 5)
    assert lane.armed()
    target.close()
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 5
    assert fake.get("deployments", "watchdog")["spec"]["replicas"] == 1


def test_without_an_autoscaler_the_size_is_ours(fake: Any, opened: Any) -> None:
    _scale(fake, 3)
    target, lane = opened()
    lane.reset()
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 2
    _scale(fake, 5)
    assert not lane.armed()
    target.close()
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 3


def test_the_death_of_the_recorder_is_no_silence(opened: Any, tmp_path: Path) -> None:
    target, lane = opened()
    (tmp_path / "samples").mkdir()
    lane.watch(tmp_path / "samples", Clock.anchored())
    try:
        assert lane.lost(0) == ()
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert not recorder.running()
        with pytest.raises(LaneLost, match="has ended before the trial"):
            lane.lost(0)
    finally:
        lane.unwatch()
        target.close()
