"""CPU stress by its effect: as many busy workers as it takes to make an order so many times as long, on any machine."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections import deque
from contextlib import suppress

from smartops_chaos.lab.platform.faults import Fault, FaultHost, Order, join, number_between
from smartops_chaos.lab.platform.pods import Pod
from smartops_chaos.lab.platform.procs import Process
from smartops_chaos.lab.smartops.orders import MAX_WAITING, Recent
from smartops_chaos.model import EndedBy

MOST_WORKERS = 64
NICE = 10  # a tenth of what measures weighs, five times work that gives way
STEP_S = 0.4  # between two looks at what an order takes
LOOKS = 5  # so many count together: a single one sees few orders
ENOUGH = 1.15  # times longer that an order ought to take: within what the looks get wrong, and no worker is added
CLEAR = 1.5  # times as long, and a replica that was used to two thirds is overrun
_FOLLOWS_WITHIN_S = 2.0


class CpuStress(Fault):
    """Busy workers in the container's process group: they die with it. It begins with half, and adds what is wanting.

    In a cluster the processes of a container share what the container may use of the CPU, and other containers do not
    suffer. Only root may make such groups. So meanwhile the replica's own work gives way to the workers by its
    niceness, and they to everything else on the core.

    None is taken away: what an order takes varies from look to look, and a stress that is stronger than asked for
    hurts no measurement, while one that is too weak for a moment is a fault that comes and goes.
    """

    parameters = frozenset({"load", "workers", "slowdown"})
    ends_when_pod = "exits"

    def __init__(self, order: Order, host: FaultHost) -> None:
        super().__init__(order, host)
        self.load = number_between(order.params, "load", 0.01, 1)
        self.slowdown = number_between({"slowdown": 3, **order.params}, "slowdown", 1, 100)
        self.most = int(number_between(order.params, "workers", 1, MOST_WORKERS))
        self._workers: list[Process] = []
        self._looks: deque[Recent] = deque(maxlen=LOOKS)  # at what it is with so many workers
        self._orders, self._took_s = 0, 0.0  # of all looks since the injection
        self._tasks: list[asyncio.Task[None]] = []

    async def inject(self) -> None:
        pod = self.pod
        assert pod is not None
        self._add(pod, (self.most + 1) // 2)
        if pod.main is not None:
            pod.main.send_signal(signal.SIGUSR1)  # its own work gives way: only root may put the workers first
        self._tasks = [asyncio.create_task(work) for work in (self._watch_out(pod), self._look_on(pod))]

    async def measure(self) -> None:
        if not self._workers:
            return
        burnt = sum(worker.cpu_s for worker in self._workers)
        wall = ((self.ended_ns or self.host.now_ns()) - self.before_ns) / 1e9
        times = self._took_s / self._orders / self.host.slot_s if self._orders else 0.0
        self.measured = {
            "slowdown": round(times, 2),
            "workers": float(len(self._workers)),
            "cpu_s": round(burnt, 3),
            "wall_s": round(wall, 3),
        }
        self.effect = (
            f"orders took {times:.1f} times as long, by {len(self._workers)} workers: "
            f"{burnt:.2f} CPU seconds burnt in {wall:.2f} s"
        )
        self.confirmed = self.confirmed or times >= CLEAR

    async def end(self, by: EndedBy) -> None:
        self.finish(by)
        for task in self._tasks[1:]:
            task.cancel()
        for worker in self._workers:
            worker.kill()
        others = [one for one in self.host.faults_of(CpuStress) if one.pod is self.pod and one.in_force]
        if self.pod is not None and self.pod.running and self.pod.main is not None and not others:
            self.pod.main.send_signal(signal.SIGUSR2)
        await self._gone()

    def _add(self, pod: Pod, count: int) -> None:
        """Raises OSError or subprocess.SubprocessError when the container is gone."""
        for n in range(len(self._workers), len(self._workers) + count):
            phase = n * 0.618 % 1  # evenly spread, however many there will be
            self._workers.append(join(pod, self.host.core, NICE, "burner.py", str(self.load), str(phase)))
            self._looks.clear()

    async def _look_on(self, pod: Pod) -> None:
        """See what orders take; add workers as long as that is less than was asked for."""
        clock = asyncio.get_running_loop().time
        last_s = clock()
        while True:
            await asyncio.sleep(STEP_S)
            if not any(worker.running for worker in self._workers):
                return  # all are gone, with the container or without
            seen = await self.host.load_of(pod, clock() - last_s)
            if seen is None:
                continue
            if not seen.orders:
                # Nobody places any, and without a queue of them there is nothing to see.
                await asyncio.gather(*(self.host.place_order(pod) for _ in range(MAX_WAITING)))
                continue
            last_s = clock()
            self._orders += seen.orders
            self._took_s += seen.orders * seen.service_s
            self._looks.append(seen)
            with suppress(OSError, subprocess.SubprocessError):  # all workers are gone with the container
                self._add(pod, self._wanting())

    def _wanting(self) -> int:
        """How many workers more it takes, as far as one knows."""
        looks = list(self._looks)[1:]  # the start of workers is a burden too, so the first says nothing of what follows
        if not looks:
            return 0
        took_s = sum(look.orders * look.service_s for look in looks) / sum(look.orders for look in looks)
        short = self.slowdown * self.host.slot_s / took_s
        # What an order takes goes with the number of those that share the core.
        more = round(len(self._workers) * (min(2.0, short) - 1)) if short > ENOUGH else 0
        return min(more, self.most - len(self._workers))

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
