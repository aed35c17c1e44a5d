"""The node of one lane: supervises everything in it, as a kubelet does."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from smartops_chaos.clock import Clock
from smartops_chaos.lab.platform.ask import ask
from smartops_chaos.lab.platform.faults import Fault
from smartops_chaos.lab.platform.faulttable import FaultTable
from smartops_chaos.lab.platform.gateway import Route
from smartops_chaos.lab.platform.lane import LaneFile
from smartops_chaos.lab.platform.logbook import LogBook
from smartops_chaos.lab.platform.monitor import Monitor
from smartops_chaos.lab.platform.pods import Deployment, Pod, Spec
from smartops_chaos.lab.platform.procs import hold_port, module, usage
from smartops_chaos.lab.platform.service import Service
from smartops_chaos.lab.platform.spanstore import SpanStore
from smartops_chaos.lab.smartops import orders
from smartops_chaos.lab.smartops.exposition import parse
from smartops_chaos.model import Cause

ERP, HEALER = "smartops-erp-simulator", "smartops-orchestrator"
ERP_BACK_OFF_S, HEALER_BACK_OFF_S = 8.0, 2.0
_KEEP_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class LaneArm:
    """The healer that is to run."""

    healer: str = "off"
    detector: str = "none"
    policy: str = ""  # the text


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """What happened to an object of the lane, and who did it."""

    at_ns: int
    object: str
    kind: str  # started, ready, not_ready, exited
    cause: Cause
    detail: str


class Node:
    """What pods report to, faults are done by, and the HTTP surface acts on."""

    def __init__(
        self, directory: Path, name: str, core: int, replicas: int, slot_s: float, client: aiohttp.ClientSession
    ) -> None:
        self.name = name
        self.core = core
        self.slot_s = slot_s
        self.arm = LaneArm()
        self.events: deque[NodeEvent] = deque(maxlen=_KEEP_EVENTS)
        self.token, self.healer_token, self.spans_token = (secrets.token_urlsafe(16) for _ in range(3))
        self.stopping = asyncio.Event()
        self.changing = asyncio.Lock()  # one reset, arm or injection at a time
        self.resetting = False
        self.service = Service(self.token, client)
        self.control, self._healer_port = hold_port(), hold_port()
        self.healer_url = _url(self._healer_port)
        self.directory = directory
        self.log = LogBook(HEALER, directory / "healer.log", self.now_ns)
        self.spans = SpanStore()
        self.monitor = Monitor(directory / "prometheus", client)
        self.faults = FaultTable(self)
        self._client = client
        self._clock = Clock.anchored()
        self._replicas = replicas
        self._pushing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        units = orders.units_for(orders.CPU_S)

        def erp_command(port: int) -> list[str]:
            work = ("--units", str(units), "--slot", str(slot_s), "--core", str(core))
            # The switches have no token, and what they do would be unknown to the fault table.
            return module("smartops.erp", "--port", str(port), *work, "--no-switches")

        traced = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": _url(self.control),
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{self.spans_token}",
        }
        healer = Spec(
            HEALER,
            self._healer_command,
            HEALER_BACK_OFF_S,
            environment={"LAB_TOKEN": self.healer_token, **traced},
            port=self._healer_port,
            output=self.log.follow,
        )
        self.deployments = {
            ERP: Deployment(Spec(ERP, erp_command, ERP_BACK_OFF_S, environment=traced), self, client),
            HEALER: Deployment(healer, self, client),
        }

    # ---- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when the lane is ready. Raises MonitorFailed, OSError."""
        await self.deployments[ERP].renew(self._replicas)
        self.set_targets()
        await self.monitor.ensure()
        await self.deployments[ERP].until_ready()
        await self.service.up()
        await self.push_routes()
        self._spawn(self._gateway_watch())
        self.publish()

    def publish(self) -> None:
        """Write the lane file; Prometheus may have had to move to another port."""
        own = usage(os.getpid())
        lane = LaneFile(
            control=_url(self.control),
            token=self.token,
            healer_token=self.healer_token,
            pid=os.getpid(),
            started=own.started_ticks if own else 0,
            prometheus=self.monitor.url,
            gateway=self.service.url,
            healer=self.healer_url,
            directory=str(self.directory),
        )
        new = self.directory / "lane.new"
        new.unlink(missing_ok=True)
        # It holds the tokens, so it is made with its mode: before a later chmod somebody else could open it.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            json.dump(asdict(lane), out)
        new.replace(self.directory / "lane.json")  # nobody reads half of it

    async def set_arm(self, arm: LaneArm) -> None:
        """The healer of the new arm is started at once; ask /state when it is ready."""
        async with self.changing:
            if arm != self.arm:
                self.arm = arm
                await self.deployments[HEALER].renew(int(arm.healer == "on"))

    async def reset(self, replicas: int) -> None:
        """Nothing of what went before is left; returns when the lane is ready again."""
        async with self.changing:
            self.resetting = True  # the last words of the old healer must not move the new pods
            try:
                await self.faults.clear()
                await self.deployments[HEALER].renew(int(self.arm.healer == "on"))
                await self.deployments[ERP].renew(replicas)
                await self.push_routes(flush=True)
            finally:
                self.resetting = False
            await asyncio.gather(self.monitor.ensure(), *(d.until_ready() for d in self.deployments.values()))
            self.publish()
            await self.push_routes()
            if not await self.service.answers():
                self.stopping.set()  # as when it dies; whoever asked for the reset gets no answer
                raise OSError("the gateway does not answer")

    async def close(self) -> None:
        """End every child; returns when all are gone."""
        await asyncio.gather(self.monitor.close(), *(deployment.close() for deployment in self.deployments.values()))
        await self.service.close()

    async def _gateway_watch(self) -> None:
        """Without its gateway the lane measures nothing, so it ends where everybody can see it."""
        await self.service.process.exited.wait()
        self.stopping.set()

    # ---- what pods tell ------------------------------------------------------------------------------------

    def pod_event(self, pod: Pod, kind: str, cause: Cause, detail: str = "") -> None:
        self.events.append(NodeEvent(self.now_ns(), pod.object, kind, cause, detail))
        if kind == "exited":
            self.faults.pod_went(pod, "exits", cause)
        if kind in ("ready", "not_ready"):
            self._spawn(self.push_routes())
        if kind == "ready":
            self.faults.pod_ready(pod)
        if kind == "started":
            self.set_targets()

    def pod_leaving(self, pod: Pod, cause: Cause) -> None:
        """The pod takes no new requests and will not come back."""
        self.faults.pod_went(pod, "leaves", cause)
        self.set_targets()

    async def drained(self, pod: Pod) -> None:
        """Returns when the gateway has nothing under way to the pod, or after a second."""
        await self.push_routes()
        await self.service.drained(pod.name)

    def set_targets(self) -> None:
        self.monitor.set_targets(
            {
                "node": {"": _port(self.control)},
                "gateway": {"": self.service.port},
                HEALER: {"": _port(self._healer_port)},
                ERP: {pod.name: pod.port for pod in self.pods(ERP)},
            }
        )

    # ---- what faults need ----------------------------------------------------------------------------------

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def pods(self, deployment: str) -> list[Pod]:
        return self.deployments[deployment].pods

    async def load_of(self, pod: Pod, span_s: float = orders.SPAN_S) -> orders.Recent | None:
        """What the orders of a replica took in the last `span_s` seconds; None where it does not answer."""
        text = await ask(self._client, f"http://127.0.0.1:{pod.port}/load?span_s={span_s}")
        return orders.Recent(**json.loads(text)) if text else None

    def faults_of(self, kind: type[Fault]) -> Sequence[Fault]:
        return self.faults.of_kind(kind)

    async def seen(self, fault_id: str) -> dict[str, float]:
        return await self.service.seen(fault_id)

    async def place_order(self, pod: Pod) -> None:
        """One request straight to a replica."""
        with suppress(aiohttp.ClientError, OSError):
            async with self._client.post(f"http://127.0.0.1:{pod.port}/simulate/load") as answer:
                await answer.read()

    async def push_routes(self, flush: bool = False) -> None:
        """Tell the gateway who is ready and who is delayed; `flush` drops what is under way in it."""
        async with self._pushing:  # the last to get in sends the newest state
            ready = [pod for pod in self.pods(ERP) if pod.ready.is_set()]
            await self.service.put([Route(pod.name, pod.port, self.faults.path_faults_of(pod)) for pod in ready], flush)

    async def healer_says_armed(self) -> bool:
        """Whether the healer can detect by now; where nothing can, there is nothing to wait for."""
        if self.arm.healer == "off" or self.arm.detector == "none":
            return True
        text = await ask(self._client, f"{self.healer_url}/metrics")
        return text is not None and parse(text).get(("smartops_detector_armed", ())) == 1

    def _healer_command(self, port: int) -> list[str]:
        policy = self.directory / "healer.policy"
        policy.write_text(self.arm.policy, encoding="utf-8")
        return module(
            "smartops.healer",
            *("--port", str(port), "--detector", self.arm.detector, "--policy", str(policy)),
            *("--node", _url(self.control), "--gateway", self.service.url),
        )

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _port(held: socket.socket) -> int:
    return int(held.getsockname()[1])


def _url(held: socket.socket) -> str:
    return f"http://127.0.0.1:{_port(held)}"
