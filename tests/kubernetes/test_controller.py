"""When a controller counts as rolled out, and which pods are its own."""

from __future__ import annotations

from typing import Any

import pytest

from smartops_chaos.kubernetes.controller import DEPLOYMENT, Controller, is_over, is_ready

Json = dict[str, Any]
_DONE = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def _deployment(replicas: int = 2, **status: int) -> Controller:
    found = {
        "metadata": {"name": "erp", "generation": 3},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "erp"}}},
        "status": {**_DONE, **status},
    }
    return Controller(DEPLOYMENT, found)


def test_a_rollout_is_complete_when_all_counts_are_as_wanted() -> None:
    assert _deployment().rolled_out()
    none = _deployment(0)
    none.found["status"] = {"observedGeneration": 3}  # counts of zero are left out
    assert none.rolled_out()


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 2},  # the controller has not seen the change
        {"replicas": 3},  # an old pod still counts
        {"updatedReplicas": 1},
        {"availableReplicas": 1},
    ],
)
def test_a_rollout_is_not_complete(status: dict[str, int]) -> None:
    assert not _deployment(**status).rolled_out()


def _owner(name: str, kind: str = "ReplicaSet") -> Json:
    return {"controller": True, "kind": kind, "name": name}


def _pod(phase: str = "Running", ready: str = "True", **labels: str) -> Json:
    return {
        "metadata": {"name": "p", "labels": {"app": "erp", "x": "y", **labels}, "ownerReferences": [_owner("erp-7f")]},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    }


def test_pods_of_a_deployment() -> None:
    assert _deployment().owns(_pod())
    assert not _deployment().owns(_pod(app="other"))
    assert is_ready(_pod())
    assert not is_ready(_pod(ready="False"))
    assert is_over(_pod("Failed"))  # evicted: it is still listed
    assert not is_over(_pod("Pending"))
