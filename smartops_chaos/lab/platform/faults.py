"""What every fault of the lab has in common: how it is ordered, measured and ended. The kinds are in `faultkinds.py`.

`ended_by` is one of harness (revert, reset), expiry, system (the healer's or the platform's doing), momentary (over at
once), injector (it ended before anybody wanted it to, or there was nothing to hit).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from smartops_chaos.lab.platform.pods import Pod
from smartops_chaos.lab.platform.procs import Process
from smartops_chaos.lab.smartops import orders
from smartops_chaos.model import Cause, EndedBy

_BY: Mapping[Cause, EndedBy] = {
    "action": "system",
    "platform": "system",
    "harness": "harness",
    "fault": "system",  # another part of a combination took the pod's container down
}


class BadFault(ValueError):
    """A fault that cannot be injected as asked; the text says why."""


class NotEnded(RuntimeError):
    """The fault's effect could not be undone in time."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to inject. The kind's own parameters are checked by the kind."""

    id: str
    kind: str
    seed: int
    expires_s: float
    params: Mapping[str, Any]


class FaultHost(Protocol):
    """What a fault needs of the node on which it is injected."""

    core: int  # of the replicas
    slot_s: float  # that an order takes in a healthy replica

    def now_ns(self) -> int: ...

    def pods(self, deployment: str) -> list[Pod]: ...

    def faults_of(self, kind: type[Fault]) -> Sequence[Fault]:
        """All faults of a kind since the last reset, also those that are over."""

    async def push_routes(self) -> None:
        """Tell the gateway which paths are disturbed by now."""

    async def seen(self, fault_id: str) -> dict[str, float]:
        """What requests met on the path of this fault, as the gateway measured it; empty = none came that way."""

    async def load_of(self, pod: Pod, span_s: float) -> orders.Recent | None:
        """What the orders of a replica took in the last `span_s` seconds; None where it does not answer."""

    async def place_order(self, pod: Pod) -> None:
        """One request straight to a replica."""


class Fault:
    """One fault. Without a pod nothing was injected, since none was ready."""

    deployment = "smartops-erp-simulator"
    parameters: frozenset[str] = frozenset()
    ends_when_pod: Literal["exits", "leaves", "never"] = "never"

    def __init__(self, order: Order, host: FaultHost) -> None:
        """Raises BadFault."""
        if unknown := sorted(set(order.params) - self.parameters):
            raise BadFault(f"params: there is no {unknown[0]}: {order.kind} has {', '.join(sorted(self.parameters))}")
        self.order = order
        self.host = host
        self.pod: Pod | None = None
        self.before_ns = self.after_ns = 0
        self.ended_ns: int | None = None
        self.ended_by: EndedBy | None = None
        self.confirmed = False
        self.effect = "nothing was hit"
        self.measured: dict[str, float] = {}

    @property
    def objects(self) -> list[str]:
        return [self.pod.object] if self.pod else []

    @property
    def in_force(self) -> bool:
        return self.ended_by is None

    def finish(self, by: EndedBy) -> None:
        """Note who ended it and when; the first counts."""
        if self.ended_by is None:
            self.ended_ns, self.ended_by = self.host.now_ns(), by

    def pod_ready(self) -> None:
        """Its pod, perhaps with a new container, takes requests again."""

    def pod_went(self, how: Literal["exits", "leaves"], cause: Cause) -> None:
        if self.ends_when_pod == how:
            self.finish(_BY[cause])

    async def inject(self) -> None:
        """Hit `pod`. Raises OSError or subprocess.SubprocessError when it went away meanwhile."""
        raise NotImplementedError

    async def measure(self) -> None:
        """Bring `effect`, `measured` and `confirmed` up to date; once confirmed stays confirmed."""
        raise NotImplementedError

    async def end(self, by: EndedBy) -> None:
        """Undo it; returns when it is undone. Safe to repeat. Raises NotEnded."""
        raise NotImplementedError


def number_between(values: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Raises BadFault."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadFault(f"{name} is {value!r}: a number from {low:g} to {high:g} is needed")
    return float(value)


def join(pod: Pod, core: int, nice: int, program: str, *arguments: str) -> Process:
    """Start one of the lab's programs in the pod's container: it dies with it and counts as its use of the core.

    It goes to the core and becomes nice by itself, and only when it has started: else its start, and whoever waits for
    that, would queue up behind those that burn there already.

    Raises OSError or subprocess.SubprocessError when the container is gone.
    """
    assert pod.main is not None
    command = [sys.executable, "-S", "-E", str(Path(__file__).with_name(program)), str(core), str(nice), *arguments]
    process = Process(command, group=pod.main.pid)
    pod.processes.append(process)
    return process
