"""The three faults of the lab: how each is injected, measured and undone.

`ended_by` is one of harness (revert, reset), expiry, system (the healer's or the platform's doing), momentary (over at
once), injector (it ended before anybody wanted it to, or there was nothing to hit).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from smartops_chaos.lab.pods import Cause, Pod
from smartops_chaos.lab.procs import Process

if TYPE_CHECKING:
    from smartops_chaos.lab.node import Node

EndedBy = Literal["harness", "expiry", "system", "momentary", "injector"]

_STRESS = str(Path(__file__).with_name("stress.py"))
_READY_WITHIN_S = 20.0
_BY: Mapping[Cause, EndedBy] = {
    "action": "system",
    "platform": "system",
    "harness": "harness",
    "fault": "injector",
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


class Fault:
    """One fault. Without a pod nothing was injected, since none was ready."""

    deployment = "smartops-erp-simulator"
    parameters: frozenset[str] = frozenset()
    ends_when_pod: Literal["exits", "leaves", "never"] = "never"

    def __init__(self, order: Order, node: Node) -> None:
        """Raises BadFault."""
        if unknown := sorted(set(order.params) - self.parameters):
            raise BadFault(f"params: there is no {unknown[0]}: {order.kind} has {', '.join(sorted(self.parameters))}")
        self.order = order
        self.node = node
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
            self.ended_ns, self.ended_by = self.node.now_ns(), by

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


class CpuStress(Fault):
    """Busy workers in the container's process group: they die with it."""

    parameters = frozenset({"load", "workers"})
    ends_when_pod = "exits"

    def __init__(self, order: Order, node: Node) -> None:
        super().__init__(order, node)
        self.load = number(order.params, "load", 0.01, 1)
        self.workers = int(number(order.params, "workers", 1, 64))
        self.stressors: list[Process] = []
        self._watch: asyncio.Task[None] | None = None

    async def inject(self) -> None:
        pod = self.pod
        assert pod is not None
        assert pod.main is not None
        for n in range(self.workers):
            command = [sys.executable, "-S", "-E", _STRESS, str(self.load), str(n / self.workers)]
            stressor = Process(command, nice=self.node.nice, core=self.node.core, group=pod.main.pid)
            self.stressors.append(stressor)
            pod.processes.append(stressor)
        self._watch = asyncio.create_task(self._watch_out(pod))

    async def measure(self) -> None:
        if not self.stressors:
            return
        burnt = sum(stressor.cpu_s for stressor in self.stressors)
        wall = ((self.ended_ns or self.node.now_ns()) - self.before_ns) / 1e9
        self.measured = {"cpu_s": round(burnt, 3), "wall_s": round(wall, 3), "workers": float(len(self.stressors))}
        self.effect = f"{burnt:.2f} CPU seconds burnt in {wall:.2f} s by {len(self.stressors)} workers"
        # One core is all there is, and its lawful users want some of it: a quarter of it taken away is a real stress.
        if wall >= 0.2 and burnt / wall >= 0.25 * min(1.0, self.load * self.workers):
            self.confirmed = True

    async def end(self, by: EndedBy) -> None:
        self.finish(by)
        for stressor in self.stressors:
            stressor.kill()
        await self._gone()

    async def _gone(self) -> None:
        await asyncio.gather(*(stressor.exited.wait() for stressor in self.stressors))

    async def _watch_out(self, pod: Pod) -> None:
        await self._gone()
        if pod.running:
            self.finish("injector")


class NetworkDelay(Fault):
    """A delay at the gateway, for one pod; like a network path's, it outlasts a restart of the container."""

    parameters = frozenset({"delay", "jitter"})
    ends_when_pod = "leaves"

    def __init__(self, order: Order, node: Node) -> None:
        super().__init__(order, node)
        self.delay_s = number(order.params, "delay", 0.001, 10)
        self.jitter_s = number(order.params, "jitter", 0, 10)

    async def inject(self) -> None:
        """The gateway's routes are made from the faults in force."""
        await self.node.push_routes()

    async def measure(self) -> None:
        requests, mean_s = await self.node.service.delays_seen(self.order.id)
        self.measured = {"requests": float(requests), "mean_s": round(mean_s, 4)}
        self.effect = f"{requests} requests delayed by {mean_s:.3f} s on average"
        self.confirmed = self.confirmed or (requests > 0 and mean_s >= 0.5 * self.delay_s)

    async def end(self, by: EndedBy) -> None:
        self.finish(by)
        await self.node.push_routes()


class PodKill(Fault):
    """SIGKILL. Over at once; but until the pod is ready again the lane is not clean, so until then it is in force."""

    parameters = frozenset({"component"})

    def __init__(self, order: Order, node: Node) -> None:
        super().__init__(order, node)
        component = order.params.get("component", "erp")
        if component not in ("erp", "orchestrator"):
            raise BadFault(f"component is {component!r}: use erp or orchestrator")
        if component == "orchestrator":
            self.deployment = "smartops-orchestrator"

    @property
    def in_force(self) -> bool:
        return self.pod is not None and not self.pod.leaving and not self.pod.ready.is_set()

    async def inject(self) -> None:
        assert self.pod is not None
        assert self.pod.main is not None
        killed = self.pod.main.pid
        await self.pod.kill("fault")
        self.finish("momentary")
        self.confirmed = True
        self.measured = {"pid": float(killed)}
        self.effect = f"process {killed} is gone"

    async def measure(self) -> None:
        """It was measured when it was injected: the process was waited for."""

    async def end(self, by: EndedBy) -> None:
        """Spare the rest of the back-off. The fault stays `momentary`, whoever asked for this."""
        deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
        while self.pod is not None and self.in_force:
            self.pod.start_now("harness")
            if asyncio.get_running_loop().time() > deadline:
                raise NotEnded(f"{self.pod.name} is not ready {_READY_WITHIN_S:.0f} s after {by} asked for it")
            await asyncio.sleep(0.02)


KINDS: Mapping[str, type[Fault]] = {"cpu-stress": CpuStress, "network-delay": NetworkDelay, "pod-kill": PodKill}


def number(values: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Raises BadFault."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadFault(f"{name} is {value!r}: a number from {low:g} to {high:g} is needed")
    return float(value)
