"""The faults of the lab: how each is injected, measured, undone. Another kind is another class and a line in KINDS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from smartops_chaos.lab.platform.cpustress import CpuStress
from smartops_chaos.lab.platform.faults import BadFault, Fault, FaultHost, NotEnded, Order, join, number_between
from smartops_chaos.lab.platform.network import NetworkFault
from smartops_chaos.lab.platform.pods import Pod
from smartops_chaos.lab.platform.procs import Process
from smartops_chaos.model import Cause, EndedBy

_READY_WITHIN_S = 20.0


class MemoryLeak(Fault):
    """Memory that one pod's container takes until the node kills it for that, and again after each restart.

    What makes a container leak (a poisoned file in the pod's volume, say) is there again after a restart in place, and
    gone with the pod. So the fault is the pod's, not the container's.
    """

    parameters = frozenset({"size", "ramp"})
    ends_when_pod = "leaves"

    def __init__(self, order: Order, host: FaultHost) -> None:
        super().__init__(order, host)
        self.size = int(number_between(order.params, "size", 1e6, 1e9))
        self.ramp_s = number_between(order.params, "ramp", 0.1, 300)
        self._process: Process | None = None
        self._peak = self._kills = 0

    async def inject(self) -> None:
        others = [f.order.id for f in self.host.faults_of(MemoryLeak) if f is not self and f.in_force]
        if others:
            raise BadFault(f"{others[0]} leaks already: one leak at a time, for the sake of the machine")
        self._leak()

    def pod_ready(self) -> None:
        if self.in_force and (self._process is None or not self._process.running):
            self._leak()

    def pod_went(self, how: Literal["exits", "leaves"], cause: Cause) -> None:
        if how == "exits" and cause == "platform" and self.in_force:
            self._kills += 1
        super().pod_went(how, cause)

    async def measure(self) -> None:
        resident = self._process.rss_bytes if self._process else 0
        killed_with = self.pod.killed_with_bytes if self.pod and self._kills else 0
        self._peak = max(self._peak, resident, killed_with)
        self.measured = {"peak_bytes": float(self._peak), "kills": float(self._kills)}
        self.effect = f"{self._peak / 1e6:.0f} MB resident at most, container killed {self._kills} times"
        self.confirmed = self.confirmed or self._peak >= 0.05 * self.size

    async def end(self, by: EndedBy) -> None:
        """Free it, and spare the container that was killed for it the rest of its back-off."""
        self.finish(by)
        if self._process is not None:
            self._process.kill()
            await self._process.exited.wait()
        if self.pod is not None and self._kills:
            await _bring_back(self.pod, by)

    def _leak(self) -> None:
        assert self.pod is not None
        self._process = join(self.pod, self.host.core, 0, "leak.py", str(self.size), str(self.ramp_s))


class PathFault(Fault):
    """A fault of the network path to one pod, applied at the gateway; so it outlasts a restart of the container."""

    ends_when_pod = "leaves"

    @property
    def on_path(self) -> NetworkFault:
        raise NotImplementedError

    async def inject(self) -> None:
        """The gateway's routes are made from the faults in force."""
        await self.host.push_routes()

    async def end(self, by: EndedBy) -> None:
        self.finish(by)
        await self.host.push_routes()


class NetworkDelay(PathFault):
    parameters = frozenset({"delay", "jitter"})

    def __init__(self, order: Order, host: FaultHost) -> None:
        super().__init__(order, host)
        self.delay_s = number_between(order.params, "delay", 0.001, 10)
        self.jitter_s = number_between(order.params, "jitter", 0, 10)

    @property
    def on_path(self) -> NetworkFault:
        return NetworkFault(self.order.id, self.order.seed, delay_s=self.delay_s, jitter_s=self.jitter_s)

    async def measure(self) -> None:
        seen = await self.host.seen(self.order.id)
        requests, mean_s = seen.get("requests", 0.0), seen.get("mean_s", 0.0)
        self.measured = {"requests": float(requests), "mean_s": round(mean_s, 4)}
        self.effect = f"{requests:.0f} requests delayed by {mean_s:.3f} s on average"
        self.confirmed = self.confirmed or (requests > 0 and mean_s >= 0.5 * self.delay_s)


class NetworkLoss(PathFault):
    parameters = frozenset({"loss"})

    def __init__(self, order: Order, host: FaultHost) -> None:
        super().__init__(order, host)
        self.loss = number_between(order.params, "loss", 0.001, 0.9)

    @property
    def on_path(self) -> NetworkFault:
        return NetworkFault(self.order.id, self.order.seed, loss=self.loss)

    async def measure(self) -> None:
        seen = await self.host.seen(self.order.id)
        sent, lost, mean_s = (seen.get(key, 0.0) for key in ("sent", "lost", "mean_s"))
        self.measured = {"sent": float(sent), "lost": float(lost), "mean_s": round(mean_s, 4)}
        self.effect = f"{lost:.0f} of {sent:.0f} segments lost, requests delayed by {mean_s:.3f} s on average"
        self.confirmed = self.confirmed or lost > 0


class PodKill(Fault):
    """SIGKILL. Over at once; but until the pod is ready again the lane is not clean, so until then it is in force."""

    parameters = frozenset({"component"})

    def __init__(self, order: Order, host: FaultHost) -> None:
        super().__init__(order, host)
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
        if self.pod is not None:
            await _bring_back(self.pod, by)


KINDS: Mapping[str, type[Fault]] = {
    "cpu-stress": CpuStress,
    "memory-leak": MemoryLeak,
    "network-delay": NetworkDelay,
    "network-loss": NetworkLoss,
    "pod-kill": PodKill,
}


async def _bring_back(pod: Pod, by: EndedBy) -> None:
    """Start its container at once, if it is down; returns when the pod is ready or on its way out. Raises NotEnded."""
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
    while not pod.leaving and not pod.ready.is_set():
        pod.start_now("harness")
        if asyncio.get_running_loop().time() > deadline:
            raise NotEnded(f"{pod.name} is not ready {_READY_WITHIN_S:.0f} s after {by} asked for it")
        await asyncio.sleep(0.02)
