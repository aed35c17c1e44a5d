"""Warm every lane up, and measure what its replicas carry, before anything counts.

A round: the lane is reset, so pods are started; a fault is injected and undone, a healer started (in the first round);
then all lanes at once are kept busy through their gateways, and what each carries is counted. Rounds go on until two in
a row agree. What is carried is known beforehand, it is set: 1 / slot orders a second for each replica (`orders.py`). So
a machine that carries less cannot be measured on, and one look tells.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from smartops_chaos.lab.client import LabClient
from smartops_chaos.lab.platform.lane import LaneProcess
from smartops_chaos.targets.base import Tell

NEAR = 0.05  # two rounds agree, and a lane carries what is set
WITHIN_S = 15.0
LOAD_S = 1.2
_CLIENTS = 3  # for each replica: one order under work, two waiting, none refused
_FAULT_S = 0.5
_ORDER = (b'{"duration_seconds": 0, "target": "cpu"}', {"Content-Type": "application/json"})


def warm_up(lanes: Sequence[LaneProcess], replicas: int, slot_s: float, say: Tell) -> list[float]:
    """What each lane carries in the end, as a share of what is set. Raises LabError, OSError when a lane is lost."""
    deadline, before, number = time.monotonic() + WITHIN_S, list[float](), 0
    with ThreadPoolExecutor(len(lanes)) as threads:
        while True:
            number += 1
            together = threading.Barrier(len(lanes))

            def turn(lane: LaneProcess, first: bool = number == 1, together: threading.Barrier = together) -> float:
                try:
                    _renew(lane, replicas, first)
                except BaseException:
                    together.abort()
                    raise
                together.wait()
                return carried(lane.lane.gateway, replicas, LOAD_S) / replicas

            rates = list(threads.map(turn, lanes))
            told = " and ".join(f"{rate:.1f}" for rate in rates)
            what = f"{len(lanes)} lanes" if len(lanes) > 1 else "1 lane"
            say(f"warming up {what}: round {number}, {told} orders/s a replica (set: {1 / slot_s:.1f})")
            shares = [rate * slot_s for rate in rates]
            agree = bool(before) and all(abs(a - b) <= NEAR for a, b in zip(before, shares, strict=True))
            if agree or time.monotonic() > deadline:
                return shares
            before = shares


def carried(gateway: str, replicas: int, seconds: float) -> float:
    """Orders a second that a gateway's replicas carry when there is always one waiting. Raises OSError."""
    address, end = urlsplit(gateway), time.monotonic() + seconds
    answered: list[float] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
        try:
            while time.monotonic() < end:
                connection.request("POST", "/simulate/load", *_ORDER)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    answered.append(time.monotonic())
                else:
                    time.sleep(0.02)  # refused, or on its way to a pod that has just gone
        except http.client.HTTPException as error:
            raise OSError(f"the gateway answers no more: {error!r}") from error
        finally:
            connection.close()

    with ThreadPoolExecutor(_CLIENTS * replicas) as threads:
        for asking in [threads.submit(ask) for _ in range(_CLIENTS * replicas)]:
            asking.result()
    # The first answers came before anyone waited, the last ones when not all did any more.
    times = sorted(answered)[replicas : len(answered) - _CLIENTS * replicas]
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def _renew(lane: LaneProcess, replicas: int, first: bool) -> None:
    """Pods are new, no fault and no healer is left; the first time one of each has been there."""
    client = LabClient(lane.file)
    if first:
        client.post("/arm", {"healer": "on", "detector": "threshold", "policy": ""})
        client.post("/reset", {"replicas": replicas}, timeout_s=60)
        params = {"load": 0.9, "workers": 2}
        client.post("/faults", {"id": "warm-up", "kind": "cpu-stress", "seed": 0, "expires_s": 60, "params": params})
        time.sleep(_FAULT_S)
        client.delete("/faults/warm-up")
        client.post("/arm", {"healer": "off", "detector": "none", "policy": ""})
    client.post("/reset", {"replicas": replicas}, timeout_s=60)
