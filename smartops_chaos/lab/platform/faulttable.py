"""All faults of a lane by ID, and the three ways to end one: revert, expiry, reset.

Every fault ends by itself at its expiry, whatever became of the one who asked for it.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from smartops_chaos.lab.platform.faultkinds import KINDS, PathFault, PodKill
from smartops_chaos.lab.platform.faults import BadFault, Fault, FaultHost, NotEnded, Order, number_between
from smartops_chaos.lab.platform.network import NetworkFault
from smartops_chaos.lab.platform.pods import Pod
from smartops_chaos.model import Cause, EndedBy


class FaultTable:
    """The faults since the last reset."""

    def __init__(self, host: FaultHost) -> None:
        self._host = host
        self._faults: dict[str, Fault] = {}
        self._expiries: list[asyncio.TimerHandle] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def inject(self, order: Order) -> dict[str, Any]:
        """Inject once and answer with the receipt; an ID that is in force gets its first one. Raises BadFault."""
        known = self._faults.get(order.id)
        if known is None or (known.ended_ns is not None and not known.in_force):
            if order.kind not in KINDS:
                raise BadFault(f"kind is {order.kind!r}: use one of {', '.join(KINDS)}")
            fault = KINDS[order.kind](order, self._host)
            self._faults[order.id] = fault  # before it is in force: a revert that comes meanwhile must find it
            self._expiries.append(asyncio.get_running_loop().call_later(order.expires_s, self._expire, fault))
            fault.before_ns = self._host.now_ns()
            fault.pod = self._victim(fault)
            await self._hit(fault)
            fault.after_ns = self._host.now_ns()
        fault = self._faults[order.id]
        return {"id": order.id, "objects": fault.objects, "before_ns": fault.before_ns, "after_ns": fault.after_ns}

    async def describe(self, fault_id: str) -> dict[str, Any]:
        """What became of it, measured now."""
        fault = self._faults.get(fault_id)
        if fault is not None:
            await fault.measure()
        return {
            "id": fault_id,
            "state": "unknown" if fault is None else "in_force" if fault.in_force else "ended",
            "objects": fault.objects if fault else [],
            "started_ns": fault.before_ns if fault else None,
            "ended_ns": fault.ended_ns if fault else None,
            "ended_by": fault.ended_by if fault else None,
            "confirmed": fault is not None and fault.confirmed,
            "effect": fault.effect if fault else "no such fault since the last reset",
            "measured": fault.measured if fault else {},
        }

    async def end(self, fault_id: str, by: EndedBy) -> None:
        """Returns when it is undone; an unknown ID has nothing to undo. Raises NotEnded."""
        if (fault := self._faults.get(fault_id)) is not None:
            await fault.end(by)

    def in_force(self) -> list[str]:
        return [fault_id for fault_id, fault in self._faults.items() if fault.in_force]

    def of_kind(self, kind: type[Fault]) -> list[Fault]:
        return [fault for fault in self._faults.values() if isinstance(fault, kind)]

    def path_faults_of(self, pod: Pod) -> tuple[NetworkFault, ...]:
        """In force on the way to a pod: a request meets them all, one after the other."""
        return tuple(fault.on_path for fault in self._on(pod) if isinstance(fault, PathFault) and fault.in_force)

    def pod_ready(self, pod: Pod) -> None:
        for fault in self._on(pod):
            fault.pod_ready()

    def pod_went(self, pod: Pod, how: Literal["exits", "leaves"], cause: Cause) -> None:
        for fault in self._on(pod):
            fault.pod_went(how, cause)

    async def clear(self) -> None:
        """End and forget everything, for a reset. Killed pods need not come back: the reset replaces them."""
        for handle in self._expiries:
            handle.cancel()
        self._expiries.clear()
        await asyncio.gather(*(f.end("harness") for f in self._faults.values() if not isinstance(f, PodKill)))
        self._faults.clear()

    async def _hit(self, fault: Fault) -> None:
        if fault.pod is None:
            fault.finish("injector")
            return
        try:
            await fault.inject()
        except (OSError, subprocess.SubprocessError) as error:  # the pod went away under our hands
            await fault.end("injector")
            raise BadFault(f"{fault.order.kind} could not be injected: {error}") from error

    def _on(self, pod: Pod) -> list[Fault]:
        return [fault for fault in self._faults.values() if fault.pod is pod]

    def _victim(self, fault: Fault) -> Pod | None:
        """By seed among the ready pods, rather one without a fault: parts of a combination must not undo each other."""
        ready = [pod for pod in self._host.pods(fault.deployment) if pod.ready.is_set()]
        free = [pod for pod in ready if not any(other.in_force for other in self._on(pod))]
        return random.Random(fault.order.seed).choice(free or ready) if ready else None

    def _expire(self, fault: Fault) -> None:
        async def end() -> None:
            with suppress(NotEnded):  # then it stays listed as in force
                await fault.end("expiry")

        task = asyncio.create_task(end())
        self._tasks.add(task)  # the event loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)


def order_from(body: Mapping[str, Any]) -> Order:
    """Raises BadFault."""
    fault_id, params = body.get("id"), body.get("params", {})
    if not isinstance(fault_id, str) or not fault_id:
        raise BadFault("id: a text is needed")
    if not isinstance(params, dict):
        raise BadFault("params: an object is needed")
    seed = body.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadFault(f"seed is {seed!r}: a whole number is needed")
    return Order(fault_id, str(body.get("kind")), seed, number_between(body, "expires_s", 0.1, 86_400), params)
