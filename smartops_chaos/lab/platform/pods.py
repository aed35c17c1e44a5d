"""The node's kubelet and deployment controller, as small as the lab allows: pods, readiness, back-off, rollouts."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Protocol

import aiohttp

from smartops_chaos.lab.platform.ask import ask
from smartops_chaos.lab.platform.procs import Process, hold_port
from smartops_chaos.model import Cause

PROBE_S = 0.25
STARTUP_PROBE_S = 0.03
PROBE_TIMEOUT_S = 1.0
MEMORY_LIMIT_BYTES = 512_000_000  # of a container
MEMORY_CHECK_S = 0.1


class PodHost(Protocol):
    """What a pod needs of the node on which it runs."""

    def now_ns(self) -> int: ...

    def pod_event(self, pod: Pod, kind: str, cause: Cause, detail: str = "") -> None:
        """Note what happened to the pod, and let everybody act on it whom it concerns."""

    def pod_leaving(self, pod: Pod, cause: Cause) -> None:
        """The pod takes no new requests and will not come back."""

    async def drained(self, pod: Pod) -> None:
        """Returns when nothing is under way to the pod any more, or after a second."""


@dataclass(frozen=True)
class Spec:
    """What every pod of a deployment runs."""

    deployment: str
    command: Callable[[int], list[str]]  # by port
    back_off_s: float  # from an exit to the restart in the same pod
    environment: Mapping[str, str] = field(default_factory=dict)
    port: socket.socket | None = None  # held for all pods in turn; None: every pod has its own
    output: Callable[[IO[bytes], str], None] | None = None  # reads the container's stdout and stderr


class Pod:
    """One container, restarted in place after its back-off until the pod is stopped."""

    def __init__(self, name: str, generation: int, spec: Spec, host: PodHost, client: aiohttp.ClientSession) -> None:
        self.name = name
        self.generation = generation
        self.object = f"{spec.deployment}/{name}"
        self.restarts = 0
        self.started_ns = 0  # of the container that runs now
        self._gone = asyncio.Event()
        self.ready = asyncio.Event()
        self.processes: list[Process] = []  # all that ever ran in it, so that its CPU counter never falls
        self._spec = spec
        self._host = host
        self._client = client
        self._held = spec.port or hold_port()
        self.port: int = self._held.getsockname()[1]
        self._wake: asyncio.Future[Cause] = asyncio.get_running_loop().create_future()
        self._exit_cause: Cause = "platform"
        self._exit_reason = ""
        self.killed_with_bytes = 0  # resident when the node last killed the container for its memory
        self._probing: asyncio.Task[None] | None = None
        self._limiting: asyncio.Task[None] | None = None
        self.main: Process | None = None
        self._life: asyncio.Task[None] | None = None

    def begin(self, cause: Cause) -> None:
        self._life = asyncio.create_task(self._live(cause))

    @property
    def leaving(self) -> bool:
        """Whether it is on its way out for good."""
        return self._gone.is_set()

    @property
    def running(self) -> bool:
        return self.main is not None and self.main.running

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all processes that ran in the pod."""
        return sum(process.cpu_s for process in self.processes)

    @property
    def rss_bytes(self) -> int:
        return sum(process.rss_bytes for process in self.processes)

    async def kill(self, cause: Cause) -> None:
        """SIGKILL to the container; the back-off begins."""
        if self.main is not None and self.main.running:
            self._exit_cause = cause
            self.main.kill()
            await self.main.exited.wait()

    def start_now(self, cause: Cause) -> None:
        """Spare the rest of the back-off."""
        if not self.running and not self._wake.done():
            self._wake.set_result(cause)

    async def stop(self, cause: Cause, *, drain: bool) -> None:
        """End the pod for good; safe to repeat, and a later call without `drain` hastens an earlier one with it."""
        if not self.leaving:
            self._gone.set()
            self._stop_probing()
            self._set_ready(False, cause)
            self._host.pod_leaving(self, cause)
        if drain:
            await self._host.drained(self)
        await self.kill(cause)
        self.start_now(cause)
        if self._life is not None:
            await self._life
        if self._spec.port is None:
            self._held.close()

    async def _live(self, cause: Cause) -> None:
        while not self._gone.is_set():
            self.main = self._start_container(cause)
            self._probing = asyncio.create_task(self._probe(cause))
            self._limiting = asyncio.create_task(self._limit_memory())
            await self.main.exited.wait()
            self._stop_probing()
            self._limiting.cancel()
            cause, self._exit_cause = self._exit_cause, "platform"
            self._host.pod_event(self, "exited", cause, f"code {_code(self.main)}{self._exit_reason}")
            self._exit_reason = ""
            self._set_ready(False, cause)
            if self._gone.is_set():
                return
            self._wake = asyncio.get_running_loop().create_future()
            try:
                cause = await asyncio.wait_for(self._wake, self._spec.back_off_s)
            except TimeoutError:
                cause = "platform"
            self.restarts += 1

    def _start_container(self, cause: Cause) -> Process:
        follow = self._spec.output
        process = Process(
            self._spec.command(self.port),
            extra_environment=self._spec.environment,
            output=subprocess.PIPE if follow else None,
        )
        if follow and process.stdout and process.stderr:
            follow(process.stdout, "stdout")
            follow(process.stderr, "stderr")
        self.processes.append(process)
        self.started_ns = self._host.now_ns()
        self._host.pod_event(self, "started", cause, f"pid {process.pid}")
        return process

    async def _probe(self, cause: Cause) -> None:
        """Readiness: one failure is enough. Until the first success the container is starting, so ask more often."""
        while not await self._healthy():
            await asyncio.sleep(STARTUP_PROBE_S)
        self._set_ready(True, cause)
        while True:
            await asyncio.sleep(PROBE_S)
            self._set_ready(await self._healthy(), "platform")

    async def _limit_memory(self) -> None:
        """What the kernel does with a cgroup's limit, by hand: SIGKILL to the container that takes more."""
        while (used := self.rss_bytes) <= MEMORY_LIMIT_BYTES:
            await asyncio.sleep(MEMORY_CHECK_S)
        self.killed_with_bytes, self._exit_reason = used, f", OOMKilled at {used / 1e6:.0f} MB"
        await self.kill("platform")

    async def _healthy(self) -> bool:
        return await ask(self._client, f"http://127.0.0.1:{self.port}/healthz", PROBE_TIMEOUT_S) is not None

    def _set_ready(self, ready: bool, cause: Cause) -> None:
        if ready != self.ready.is_set():
            if ready:
                self.ready.set()
            else:
                self.ready.clear()
            self._host.pod_event(self, "ready" if ready else "not_ready", cause)

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()


def _code(process: Process) -> int:
    """As a container runtime tells it: 128 and the signal's number."""
    code = process.returncode or 0
    return 128 - code if code < 0 else code


class Deployment:
    """`desired` pods of the newest generation, reached by a rolling update: one more first, then one less."""

    def __init__(self, spec: Spec, host: PodHost, client: aiohttp.ClientSession) -> None:
        self.name = spec.deployment
        self.desired = 0
        self.generation = 1
        self._spec = spec
        self._host = host
        self._client = client
        self._all: list[Pod] = []
        self._numbers = 0
        self._rollout: asyncio.Task[None] | None = None

    @property
    def pods(self) -> list[Pod]:
        """Those that belong to it, oldest first; pods on their way out do not."""
        return [pod for pod in self._all if not pod.leaving]

    @property
    def running(self) -> list[Pod]:
        """Every pod with a process, also those on their way out."""
        return [pod for pod in self._all if pod.running]

    @property
    def ready(self) -> int:
        return sum(pod.ready.is_set() for pod in self.pods)

    @property
    def rolled_out(self) -> bool:
        fresh = all(pod.generation == self.generation for pod in self.pods)
        return fresh and len(self.pods) == self.desired == self.ready

    def restart(self) -> None:
        """Replace every pod; returns at once."""
        self.generation += 1
        self._roll_out()

    def scale(self, replicas: int) -> None:
        """Have `replicas` pods; returns at once."""
        self.desired = replicas
        self._roll_out()

    async def renew(self, replicas: int) -> None:
        """End every pod at once, by the harness, and start `replicas` new ones; does not wait for them to be ready."""
        await self.close()
        self.generation += 1
        self.desired = replicas
        for _ in range(replicas):
            self._add("harness")

    async def until_ready(self) -> None:
        """Returns when all pods are ready."""
        await asyncio.gather(*(pod.ready.wait() for pod in self.pods))

    async def close(self) -> None:
        """End every pod at once."""
        if self._rollout is not None:
            self._rollout.cancel()
        await self._stop(list(self._all), "harness", drain=False)

    def _roll_out(self) -> None:
        if self._rollout is None or self._rollout.done():
            self._rollout = asyncio.create_task(self._reconcile())

    async def _reconcile(self) -> None:
        while not self.rolled_out:
            pods = self.pods
            fresh = [pod for pod in pods if pod.generation == self.generation]
            if len(pods) > self.desired:
                # The stale before the fresh, the broken before the ready, the young before the old.
                victim = min(pods, key=lambda pod: (pod in fresh, pod.ready.is_set(), -pods.index(pod)))
                await self._stop([victim], "action", drain=victim.ready.is_set())
            elif len(fresh) < self.desired:
                await self._add("action").ready.wait()
            else:
                await self.until_ready()

    def _add(self, cause: Cause) -> Pod:
        self._numbers += 1
        pod = Pod(f"{self.name}-{self._numbers}", self.generation, self._spec, self._host, self._client)
        self._all.append(pod)
        pod.begin(cause)
        return pod

    async def _stop(self, pods: list[Pod], cause: Cause, *, drain: bool) -> None:
        stopping: list[Awaitable[None]] = [pod.stop(cause, drain=drain) for pod in pods]
        await asyncio.gather(*stopping)
        self._all = [pod for pod in self._all if pod.running or not pod.leaving]
