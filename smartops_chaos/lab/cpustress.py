"""CPU stress by its effect: as many busy workers as it takes to make an order so many times as long, on any machine."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from typing import TYPE_CHECKING

from smartops_chaos.lab.faults import Fault, Order, join, number
from smartops_chaos.lab.pods import Pod
from smartops_chaos.lab.procs import Process
from smartops_chaos.model import EndedBy

if TYPE_CHECKING:
    from smartops_chaos.lab.node import Node

MOST_WORKERS = 64
STEP_S = 0.5  # between two looks at what an order takes
STEPS = 5  # so many looks; then the number of workers is held, come what may
ENOUGH = 1.15  # times longer that an order ought to take: within what a look gets wrong, and no worker is added
_FOLLOWS_WITHIN_S = 2.0


class CpuStress(Fault):
    """Busy workers in the container's process group: they die with it. It begins with some, and adds what is wanting.

    None is taken away: what an order takes varies from look to look, and a stress that is stronger than asked for
    hurts no measurement, while one that is too weak for a moment is a fault that comes and goes.
    """

    parameters = frozenset({"load", "workers", "slowdown"})
    ends_when_pod = "exits"

    def __init__(self, order: Order, node: Node) -> None:
        super().__init__(order, node)
        self.load = number(order.params, "load", 0.01, 1)
        self.slowdown = number({"slowdown": 3, **order.params}, "slowdown", 1, 20)
        self._begin_with = int(number(order.params, "workers", 1, MOST_WORKERS))
        self._workers: list[Process] = []
        self._orders, self._took_s = 0, 0.0  # since the number of workers is what it is
        self._tasks: list[asyncio.Task[None]] = []

    async def inject(self) -> None:
        pod = self.pod
        assert pod is not None
        self._add(pod, self._begin_with)
        self._tasks = [asyncio.create_task(work) for work in (self._watch_out(pod), self._look_on(pod))]

    async def measure(self) -> None:
        if not self._workers:
            return
        burnt = sum(worker.cpu_s for worker in self._workers)
        wall = ((self.ended_ns or self.node.now_ns()) - self.before_ns) / 1e9
        self.measured = {
            "slowdown": round(self._times, 2),
            "workers": float(len(self._workers)),
            "cpu_s": round(burnt, 3),
            "wall_s": round(wall, 3),
        }
        self.effect = (
            f"orders took {self._times:.1f} times as long, by {len(self._workers)} workers: "
            f"{burnt:.2f} CPU seconds burnt in {wall:.2f} s"
        )
        # Half of what was asked for is a real stress already, and the rest may be chance.
        self.confirmed = self.confirmed or (burnt > 0 and self._times >= (1 + self.slowdown) / 2)

    async def end(self, by: EndedBy) -> None:
        self.finish(by)
        for task in self._tasks[1:]:
            task.cancel()
        for worker in self._workers:
            worker.kill()
        await self._gone()

    @property
    def _times(self) -> float:
        """How many times as long an order takes; 0 as long as none has been seen."""
        return self._took_s / self._orders / self.node.slot_s if self._orders else 0.0

    def _add(self, pod: Pod, count: int) -> None:
        """Raises OSError or subprocess.SubprocessError when the container is gone."""
        for n in range(len(self._workers), len(self._workers) + count):
            phase = n * 0.618 % 1  # evenly spread, however many there will be
            where = (str(self.node.core), str(self.node.nice))
            self._workers.append(join(pod, "stress.py", str(self.load), str(phase), *where))
        self._orders, self._took_s = 0, 0.0

    async def _look_on(self, pod: Pod) -> None:
        """See what orders take; add workers as long as that is less than was asked for."""
        for step in itertools.count(1):
            await asyncio.sleep(STEP_S)
            if not any(worker.running for worker in self._workers):
                return
            seen = await self.node.load_of(pod, STEP_S)
            if seen is None:
                continue
            if not seen.orders:
                await self.node.place_order(pod)  # nobody does, and without one there is nothing to see
            self._orders += seen.orders
            self._took_s += seen.orders * seen.service_s
            wanted = self.slowdown / self._times if self._orders else 1.0
            if step <= STEPS and wanted > ENOUGH:
                # It goes with the number of those that share the core.
                more = round(len(self._workers) * (min(2.0, wanted) - 1))
                try:
                    self._add(pod, min(more, MOST_WORKERS - len(self._workers)))
                except (OSError, subprocess.SubprocessError):
                    return  # all workers are gone with the container

    async def _gone(self) -> None:
        while working := [worker for worker in self._workers if worker.running]:
            await asyncio.gather(*(worker.exited.wait() for worker in working))

    async def _watch_out(self, pod: Pod) -> None:
        container = pod.main
        await self._gone()
        if container is not None:  # killed together, processes end one after the other
            await asyncio.wait([asyncio.ensure_future(container.exited.wait())], timeout=_FOLLOWS_WITHIN_S)
        if container is pod.main and pod.running:
            self.finish("injector")
