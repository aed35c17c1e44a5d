"""Faults of the embedded lab. `lane` is the path of a lane file, as `lab up` prints it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.lab.client import LabClient, LabError, LaneGone


def cpu_stress(
    lane: str, fault_id: str, seed: int, expires_s: float, load: float, workers: int, slowdown: float = 3
) -> dict[str, Any]:
    """Burn CPU in one replica's container until an order takes `slowdown` times as long.

    That takes at most `workers` processes, each busy `load` (0 to 1) of the time. Six are enough for three times.
    """
    params = {"load": load, "workers": workers, "slowdown": slowdown}
    return _inject(lane, fault_id, "cpu-stress", seed, expires_s, params)


def network_delay(lane: str, fault_id: str, seed: int, expires_s: float, delay: float, jitter: float) -> dict[str, Any]:
    """Delay every request to one replica by `delay` seconds, give or take `jitter`."""
    return _inject(lane, fault_id, "network-delay", seed, expires_s, {"delay": delay, "jitter": jitter})


def network_loss(lane: str, fault_id: str, seed: int, expires_s: float, loss: float) -> dict[str, Any]:
    """Lose a share `loss` (0 to 1) of the segments to and from one replica; TCP sends them again after its time-out."""
    return _inject(lane, fault_id, "network-loss", seed, expires_s, {"loss": loss})


def memory_leak(lane: str, fault_id: str, seed: int, expires_s: float, size: int, ramp: float) -> dict[str, Any]:
    """Have one replica take `size` bytes over `ramp` seconds, after each restart of its container again."""
    return _inject(lane, fault_id, "memory-leak", seed, expires_s, {"size": size, "ramp": ramp})


def pod_kill(lane: str, fault_id: str, seed: int, expires_s: float, component: str = "erp") -> dict[str, Any]:
    """SIGKILL to the main process of one pod of `component` (erp or orchestrator)."""
    return _inject(lane, fault_id, "pod-kill", seed, expires_s, {"component": component})


def _inject(lane: str, fault_id: str, kind: str, seed: int, expires_s: float, params: dict[str, Any]) -> dict[str, Any]:
    body = {"id": fault_id, "kind": kind, "seed": int(seed), "expires_s": float(expires_s), "params": params}
    try:
        receipt = LabClient(Path(lane)).post("/faults", body)
    except (LabError, OSError) as error:
        raise ActivityFailed(f"{kind} was not injected: {error}") from error
    if not receipt["objects"]:
        raise ActivityFailed(f"{kind} hit nothing: no ready pod to choose from")
    return dict(receipt)


def took_effect(lane: str, fault_id: str, within_s: float = 3.0) -> bool:
    """Whether the node has measured the fault's effect: orders slower, memory resident, requests delayed."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            confirmed = bool(LabClient(Path(lane)).get(f"/faults/{quote(fault_id, safe='')}")["confirmed"])
        except (LabError, OSError) as error:
            raise ActivityFailed(f"the effect of {fault_id} could not be measured: {error}") from error
        if confirmed or time.monotonic() > deadline:
            return confirmed
        time.sleep(0.05)


def revert(lane: str, fault_id: str) -> str:
    """End the fault, if it is still in force. Safe to repeat, from any process."""
    try:
        LabClient(Path(lane)).delete(f"/faults/{quote(fault_id, safe='')}")
    except LaneGone as gone:
        return f"nothing to revert: {gone}"
    except (LabError, OSError) as error:
        raise ActivityFailed(f"{fault_id} was not reverted: {error}") from error
    return "reverted"
