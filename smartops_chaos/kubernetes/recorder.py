"""What a namespace does during a trial, recorded by a process of its own: pods, Deployments, events, container logs.

File format, NDJSON, `at` = the runner's clock when the line was known here, in nanoseconds:

    {"at", "pod": {...}, "gone": bool}              every change of a pod, reduced to what a record needs
    {"at", "deployment": name, "replicas", "generation"}
    {"at", "event": {"reason", "object", "message", "count"}}          the namespace's own events
    {"at", "log": component, "uid", "stamp": ns, "text"}     `stamp` is the container runtime's; "live"
                        if it was written while we read
    {"at", "server": [before, after, second]}       the API server's clock: `second` was its Date between the two
    {"at", "down": [from, until], "why"}            the API server did not answer
    {"at", "lost": what}                            lines or changes that can no longer be read

A watch or a log that is cut off goes on where it was. Reading is asynchronous in one thread: some streams, no polling.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import podlogs
from smartops_chaos.kubernetes.apistream import ANSWER_S, PAUSE_S, ApiStream, Trouble
from smartops_chaos.kubernetes.cluster import Endpoint, path
from smartops_chaos.kubernetes.objects import Json
from smartops_chaos.kubernetes.podlogs import Line
from smartops_chaos.kubernetes.recorded_pods import compact
from smartops_chaos.trial import sidecar

_NAME = "smartops-chaos-recorder"
_PING_S = 1.0
_MARGIN_NS = 60 * 10**9  # a node's clock may be behind; what is too old is left out by whoever reads the file
_BACKLOG_NS = 10**9  # lines that come within this after a log is opened may be older ones


@dataclass(frozen=True, slots=True)
class Watched:
    """What to record."""

    server: Callable[[], Endpoint]  # the API server's root
    namespace: str
    components: tuple[str, ...]  # Deployments whose containers' logs are followed


def start(watched: Watched, file: Path, clock: Clock) -> None:
    """Fork the recorder; one that runs already is stopped. It writes `file` anew and dies with this process."""
    stop()
    file.unlink(missing_ok=True)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    sidecar.start(_NAME, _run, watched, file, clock, theirs)
    theirs.close()
    ours.poll(ANSWER_S)  # its first lists are read: what happens from now on is seen
    ours.close()


def stop() -> None:
    """End the recorder of this process, if there is one."""
    sidecar.stop(_NAME)


def _run(watched: Watched, file: Path, clock: Clock, ready: Connection) -> None:
    with file.open("w", encoding="utf-8", buffering=1) as out:
        asyncio.run(_Recorder(watched, out, clock, partial(_tell, ready)).run())


def _tell(ready: Connection) -> None:
    with suppress(OSError):  # who started us waits no longer
        ready.send(None)


class _Recorder:
    def __init__(self, watched: Watched, out: IO[str], clock: Clock, ready: Callable[[], None]) -> None:
        self._watched, self._out, self._clock, self._ready = watched, out, clock, ready
        self._since_ns = clock.now_ns() - _MARGIN_NS
        self._listed: set[str] = set()
        self._old: set[str] = set()  # pods that were on their way out before we began
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._readers: dict[tuple[str, str], podlogs.Reader] = {}

    async def run(self) -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        handlers = {"pods": self._pod, "deployments": self._deployment, "events": self._event}
        seen = {path(self._watched.namespace, kind): handler for kind, handler in handlers.items()}
        async with ApiStream(self._watched.server) as self._api:
            watches = [
                self._api.watch(where, one, partial(self._begun, where, len(seen))) for where, one in seen.items()
            ]
            tasks = [asyncio.create_task(one) for one in (*watches, self._ping())]
            until = asyncio.create_task(stopping.wait())
            await asyncio.wait([until, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:  # none of them ends by itself
                if task.done() and (failure := task.exception()) is not None:
                    self._write(lost=f"what happened since then: {type(failure).__name__}: {failure}")
            await until
            for task in (*tasks, *self._following.values()):
                task.cancel()
            await asyncio.gather(*tasks, *self._following.values(), return_exceptions=True)

    def _write(self, **entry: Any) -> None:
        self._out.write(json.dumps({"at": self._clock.now_ns(), **entry}) + "\n")

    # ---- what is seen ------------------------------------------------------------------------------------------

    def _begun(self, collection: str, of: int) -> None:
        self._listed.add(collection)
        if len(self._listed) == of:
            self._listed.add("")  # said once
            self._ready()

    def _pod(self, one: Json, gone: bool, first: bool) -> None:
        pod = compact(one)
        self._write(pod=pod, gone=gone, **({"first": True} if first else {}))
        if first and pod["deleting"]:
            self._old.add(pod["uid"])
        if pod["deployment"] in self._watched.components and not gone and pod["uid"] not in self._old:
            for name, container in pod["containers"].items():
                if container["started"]:
                    self._follow(pod, name, container["restarts"])

    def _deployment(self, one: Json, gone: bool, first: bool) -> None:
        name, generation = one["metadata"]["name"], one["metadata"]["generation"]
        replicas = 0 if gone else one["spec"]["replicas"]
        self._write(deployment=name, replicas=replicas, generation=generation, **({"first": True} if first else {}))

    def _event(self, one: Json, gone: bool, first: bool) -> None:
        if gone or first:  # an event that expires, or that was there before: nothing happens now
            return
        on = one.get("involvedObject", {})
        told = {
            "reason": one.get("reason", ""),
            "object": f"{on.get('kind', '')}/{on.get('name', '')}",
            "uid": on.get("uid", ""),
            "message": one.get("message", "")[:300],
            "count": one.get("count") or 1,
        }
        self._write(event=told)

    # ---- logs ------------------------------------------------------------------------------------------------

    def _follow(self, pod: Json, container: str, restarts: int) -> None:
        key = (pod["uid"], container)
        if key not in self._readers:
            self._readers[key] = podlogs.Reader(self._since_ns)
        reader = self._readers[key]
        if reader.restarts == restarts:
            return
        previous = reader.restarts is not None and restarts > reader.restarts
        reader.restarts = restarts
        before = self._following.get(key)
        task = self._log(pod, container, reader, previous=previous, before=before)
        self._following[key] = asyncio.create_task(task)

    async def _log(
        self,
        pod: Json,
        container: str,
        reader: podlogs.Reader,
        *,
        previous: bool,
        before: asyncio.Task[None] | None,
    ) -> None:
        """All lines of one container from here on, after what is left of the one that ran in its place before."""
        if before is not None:
            await asyncio.wait([before], timeout=ANSWER_S)
            before.cancel()
        log = path(self._watched.namespace, "pods", pod["name"]) + "/log"
        generation = reader.restarts
        if previous:
            try:
                async for raw in self._api.lines(log, reader.query(container, follow=False) | {"previous": "true"}):
                    self._line(pod, reader.take(raw))
            except Trouble as trouble:
                self._write(lost=f"the end of the log of {pod['name']} before its restart: {trouble}")
        while reader.restarts == generation:
            try:
                live_ns = self._clock.now_ns() + _BACKLOG_NS
                async for raw in self._api.lines(log, reader.query(container, follow=True)):
                    self._line(pod, reader.take(raw), live=self._clock.now_ns() > live_ns)
            except Trouble as trouble:
                if trouble.status == 404:
                    return
                if trouble.status == 403:
                    self._write(lost=f"the log of {pod['name']}: {trouble}")
                    return
            await asyncio.sleep(PAUSE_S)  # it has ended, or was cut off

    def _line(self, pod: Json, line: Line | None, *, live: bool = False) -> None:
        if line is not None:
            told = {"log": pod["deployment"], "uid": pod["uid"], "stamp": line.stamp_ns, "text": line.text}
            self._write(**told, **({"live": True} if live else {}))

    # ---- the server ------------------------------------------------------------------------------------------

    async def _ping(self) -> None:
        """Note the server's clock. Its Date has no fraction, so we ask when the answer will halve the bounds."""
        low, high, asked = -(10**18), 10**18, 0
        down_ns, why = 0, ""
        while True:
            before = self._clock.now_ns()
            try:
                second = await self._api.second()
            except Trouble as trouble:
                down_ns, why = down_ns or before, str(trouble)
                self._write(down=[down_ns, self._clock.now_ns()], why=why)
                await asyncio.sleep(_PING_S)
                continue
            after = self._clock.now_ns()
            if down_ns:
                self._write(down=[down_ns, before], why=why)
                down_ns = 0
            self._write(server=[before, after, second])
            if asked == 0:  # every dozen of seconds
                await self._api.renew()
            low, high, asked = max(low, second - after), min(high, second + 10**9 - before), asked + 1
            if asked > 12 or high - low < 4 * (after - before) + 10**6 or low > high:
                low, high, asked = -(10**18), 10**18, 0  # begin anew: it may drift, or be stepped
            wait_s = _PING_S
            if high - low < 10**10:
                server = self._clock.now_ns() + (low + high) // 2 + (after - before) // 2
                wait_s = 1 - server % 10**9 / 1e9
                wait_s += 1.0 if wait_s < 0.3 else 0.0
            await asyncio.sleep(wait_s)
