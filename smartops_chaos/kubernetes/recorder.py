"""What a namespace does during a trial, recorded by a process of its own: pods, Deployments, events, container logs.

File format, NDJSON, `at` = the runner's clock when the line was known here, in nanoseconds:

    {"at", "pod": {...}, "gone": bool, "version"}   every change of a pod, reduced to what a record needs
    {"at", "deployment": name, "replicas", "generation", "by": who has set the number of replicas last, "version"}
                        `version` counts the changes of the whole cluster: each kind comes by a stream of its own, and
                        so the news of a pod may be here before that of the size which it was made for
    {"at", "event": {"reason", "object", "message", "count", "by", "type", "stamp", "cut"}}    the namespace's;
                        `stamp` is the latest time that it names, true to `cut` nanoseconds
    {"at", "object": name, "field", "was", "now"}   a change of a field that the healer file names, as text
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
import re
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes.apistream import ANSWER_S, ApiStream, StreamBroken
from smartops_chaos.kubernetes.cluster import Json, path
from smartops_chaos.kubernetes.collection import ObjectChange
from smartops_chaos.kubernetes.controller import (
    DEPLOYMENT,
    KINDS,
    REPLICA_SET,
    ROLLOUT,
    Controller,
    ControllerKind,
    is_leaving,
    owner_reference,
)
from smartops_chaos.kubernetes.victims import OURS
from smartops_chaos.schema.fieldpath import field_text
from smartops_chaos.schema.healer_kubernetes import WatchedObject
from smartops_chaos.store.request_log import Sink
from smartops_chaos.telemetry.connection import Connection
from smartops_chaos.trial import sidecar

_NAME = "smartops-chaos-recorder"
_PING_S = 1.0
_MARGIN_NS = 60 * 10**9  # a node's clock may be behind; what is too old is left out by whoever reads the file
_BACKLOG_NS = 10**9  # lines that come within this after a log is opened may be older ones
_PAUSE_S = 0.2  # before a log is opened again; of a pod on its way out the last lines can be read for a moment only
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Watched:
    """What to record."""

    server: Callable[[], Connection]  # the API server's root
    namespace: str
    components: tuple[str, ...]  # controllers whose containers' logs are followed
    kinds: tuple[str, ...] = (DEPLOYMENT.name,)  # of the system's controllers
    elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # namespace -> the same there
    objects: tuple[WatchedObject, ...] = ()
    logs_since_ns: int = 0  # lines from then on; 0: from a minute ago on


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


def running() -> bool:
    """Whether the recorder of this process lives; it ends by `stop` alone."""
    return sidecar.running(_NAME)


def _run(watched: Watched, file: Path, clock: Clock, ready: Pipe) -> None:
    with file.open("w", encoding="utf-8", buffering=1) as out:
        record(watched, out, clock, partial(_tell, ready))


def record(watched: Watched, out: Sink, clock: Clock, ready: Callable[[], None] = lambda: None) -> None:
    """Record in this process until it is told to stop; `ready` is called when the first lists are read."""
    asyncio.run(_Recorder(watched, out, clock, ready).run())


def _tell(ready: Pipe) -> None:
    with suppress(OSError):  # who started us waits no longer
        ready.send(None)


class _Recorder:
    def __init__(self, watched: Watched, out: Sink, clock: Clock, ready: Callable[[], None]) -> None:
        self._watched, self._out, self._clock, self._ready = watched, out, clock, ready
        self._since_ns = watched.logs_since_ns or clock.now_ns() - _MARGIN_NS
        self._listed: set[str] = set()
        self._known: dict[tuple[str, str, str], str | None] = {}  # fields of objects
        self._old: set[str] = set()  # pods that were on their way out before we began
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._readers: dict[tuple[str, str], LogReader] = {}

    async def run(self) -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        handlers: dict[str, Callable[[ObjectChange], None]] = {"pods": self._pod, "events": self._event}
        handlers |= {KINDS[kind].plural: partial(self._controller, KINDS[kind]) for kind in self._watched.kinds}
        seen = {path(self._watched.namespace, collection): handler for collection, handler in handlers.items()}
        for namespace, components in self._watched.elsewhere.items():
            if namespace != self._watched.namespace:
                seen[path(namespace, "pods")] = partial(self._pod_elsewhere, components)
        for one in self._watched.objects:
            where = one.path(self._watched.namespace)
            seen[where] = self._each(seen.get(where), partial(self._fields, one))
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

    def _pod(self, change: ObjectChange) -> None:
        pod = compact(change.object)
        self._write(pod=pod, gone=change.gone, **_order(change), **({"first": True} if change.first else {}))
        if change.first and pod["deleting"]:
            self._old.add(pod["uid"])
        if pod["deployment"] in self._watched.components and not change.gone and pod["uid"] not in self._old:
            for name, container in pod["containers"].items():
                if container["started"]:
                    self._follow(pod, name, container["restarts"])

    def _pod_elsewhere(self, components: tuple[str, ...], change: ObjectChange) -> None:
        """Of a pod in another namespace only the log is of interest."""
        pod = compact(change.object)
        if change.first and pod["deleting"]:
            self._old.add(pod["uid"])
        if pod["deployment"] in components and not change.gone and pod["uid"] not in self._old:
            for name, container in pod["containers"].items():
                if container["started"]:
                    self._follow(pod, name, container["restarts"])

    def _each(self, *handlers: Callable[[ObjectChange], None] | None) -> Callable[[ObjectChange], None]:
        def call(change: ObjectChange) -> None:
            for handler in handlers:
                if handler is not None:
                    handler(change)

        return call

    def _fields(self, watched: WatchedObject, change: ObjectChange) -> None:
        if change.object["metadata"]["name"] != watched.name:
            return
        for path_of in watched.fields:
            now = None if change.gone else field_text(change.object, path_of)
            key = (watched.resource, watched.name, path_of)
            if key in self._known and self._known[key] != now:
                name = f"{watched.resource}/{watched.name}"
                self._write(object=name, field=path_of, was=self._known[key], now=now)
            self._known[key] = now

    def _controller(self, kind: ControllerKind, change: ObjectChange) -> None:
        now = Controller(kind, change.object)
        replicas, generation = 0 if change.gone else now.replicas, now.found["metadata"]["generation"]
        entry = {"deployment": now.name, "replicas": replicas, "generation": generation, "by": sizer(change.object)}
        self._write(**entry, **_order(change), **({"first": True} if change.first else {}))

    def _event(self, change: ObjectChange) -> None:
        if change.gone or change.first:  # an event that expires, or that was there before: nothing happens now
            return
        event = change.object
        on = event.get("involvedObject", {})
        told = {
            "reason": event.get("reason", ""),
            "object": f"{on.get('kind', '')}/{on.get('name', '')}",
            "uid": on.get("uid", ""),
            "message": event.get("message", "")[:300],
            "count": event.get("count") or 1,
            "by": event.get("reportingComponent") or (event.get("source") or {}).get("component", ""),
            "type": event.get("type", ""),
        }
        told["stamp"], told["cut"] = event_time(event)
        self._write(event=told)

    # ---- logs ------------------------------------------------------------------------------------------------

    def _follow(self, pod: Json, container: str, restarts: int) -> None:
        key = (pod["uid"], container)
        if key not in self._readers:
            self._readers[key] = LogReader(self._since_ns)
        reader = self._readers[key]
        if reader.restarts == restarts:
            return
        previous = reader.restarts is not None and restarts > reader.restarts
        reader.restarts = restarts
        before = self._following.get(key)
        task = asyncio.create_task(self._log(pod, container, reader, previous=previous, before=before))
        task.add_done_callback(partial(self._over, pod["name"]))
        self._following[key] = task

    def _over(self, pod: str, task: asyncio.Task[None]) -> None:
        """A log that is no longer followed, for a reason that `_log` does not know."""
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._write(lost=f"the log of {pod} since then: {type(failure).__name__}: {failure}")

    async def _log(
        self,
        pod: Json,
        container: str,
        reader: LogReader,
        *,
        previous: bool,
        before: asyncio.Task[None] | None,
    ) -> None:
        """All lines of one container from here on, after what is left of the one that ran in its place before."""
        if before is not None:
            await asyncio.wait([before], timeout=ANSWER_S)
            before.cancel()
        log = path(pod["namespace"] or self._watched.namespace, "pods", pod["name"]) + "/log"
        generation = reader.restarts
        if previous:
            try:
                async for raw in self._api.lines(log, reader.query(container, follow=False) | {"previous": "true"}):
                    self._line(pod, reader.take(raw))
            except StreamBroken as broken:
                self._write(lost=f"the end of the log of {pod['name']} before its restart: {broken}")
        while reader.restarts == generation:
            try:
                live_ns = self._clock.now_ns() + _BACKLOG_NS
                async for raw in self._api.lines(log, reader.query(container, follow=True)):
                    self._line(pod, reader.take(raw), live=self._clock.now_ns() > live_ns)
            except StreamBroken as broken:
                if broken.status == 404:
                    return
                if broken.status == 403:
                    self._write(lost=f"the log of {pod['name']}: {broken}")
                    return
            await asyncio.sleep(_PAUSE_S)  # it has ended, or was cut off

    def _line(self, pod: Json, line: LogText | None, *, live: bool = False) -> None:
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
            except StreamBroken as broken:
                down_ns, why = down_ns or before, str(broken)
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


# ---- logs as the API server gives them ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogText:
    stamp_ns: int  # the container runtime's
    text: str


class LogReader:
    """Where the reading of one container's log stands: after a cut it goes on, and takes every line once.

    The API server can only be asked for lines since a whole second, so those of the overlap come again. Their stamps do
    not tell them apart: equal ones happen, and the two output streams of a container may be out of order by a little.
    """

    def __init__(self, since_ns: int) -> None:
        self._from_ns = since_ns
        self._recent: list[LogText] = []  # taken, and within the overlap of the next reading
        self._again: list[LogText] = []  # of those, the ones that have yet to come again
        self.restarts: int | None = None  # of the container that is read

    def query(self, container: str, *, follow: bool) -> dict[str, str]:
        """What to ask for: from a second before the last line on."""
        since = datetime.fromtimestamp(self._from_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._again = list(self._recent)
        asked = {"container": container, "timestamps": "true", "sinceTime": since}
        return asked | ({"follow": "true"} if follow else {})

    def take(self, raw: bytes) -> LogText | None:
        """The line, unless it was taken before or is no line of a log."""
        line = parse(raw)
        if line is None:
            return None
        if line in self._again:
            self._again.remove(line)
            return None
        self._recent.append(line)
        if line.stamp_ns - 10**9 > self._from_ns:
            self._from_ns = line.stamp_ns - 10**9
            keep_ns = self._from_ns // 10**9 * 10**9
            if self._recent[0].stamp_ns < keep_ns - 10**9:
                self._recent = [one for one in self._recent if one.stamp_ns >= keep_ns]
        return line


def parse(raw: bytes) -> LogText | None:
    """A line with its RFC 3339 stamp of nanoseconds; None for anything else."""
    match = _STAMPED.fullmatch(raw.decode("utf-8", errors="replace"))
    if match is None:
        return None
    second, fraction, zone, text = match.groups()
    whole = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    return LogText(round(whole.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0")), text)


# ---- pods, reduced to what a record needs ---------------------------------------------------------------------------


def _order(change: ObjectChange) -> dict[str, int]:
    """The version of a change, which is a number on every API server since Kubernetes 1.35, and was on etcd's before.

    What is gone may be told with the version of its last change, so it has none.
    """
    version = str(change.object["metadata"].get("resourceVersion", ""))
    return {} if change.gone or not version.isdecimal() else {"version": int(version)}


def compact(pod: Json) -> Json:
    """Identity, owner, readiness, and of every container: restarts, whether it has started, how it ended."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    ready, disruption = conditions.get("Ready", {}), conditions.get("DisruptionTarget", {})
    return {
        "uid": meta["uid"],
        "name": meta["name"],
        "namespace": meta.get("namespace", ""),
        "deployment": owner(pod),
        "hash": template(pod),
        "node": spec.get("nodeName", ""),
        "created": seconds(meta.get("creationTimestamp")),
        "deleting": is_leaving(pod),
        "phase": status.get("phase", ""),
        "why": disruption.get("reason") or status.get("reason") or "",
        "ready": ready.get("status") == "True",
        "ready_since": seconds(ready.get("lastTransitionTime")),
        "containers": {one["name"]: _container_state(one) for one in status.get("containerStatuses") or ()},
    }


def owner(pod: Json) -> str:
    """The name of the controller that a pod belongs to; empty for a bare pod, and for one that a fault brings with it.

    A Deployment's pods belong to a ReplicaSet, which has its name and the hash of its template. Names are as files have
    them: a Deployment's is bare, `statefulset/database` is none.
    """
    one = owner_reference(pod)
    labels = pod["metadata"].get("labels") or {}
    if not one or OURS in labels:
        return ""
    kind, name = str(one["kind"]).lower(), str(one["name"])
    for through in (ROLLOUT, DEPLOYMENT):
        version = labels.get(through.template_label)
        if kind == REPLICA_SET.name and version and name.endswith(f"-{version}"):
            kind, name = through.name, name.removesuffix(f"-{version}")
    return name if kind == DEPLOYMENT.name else f"{kind}/{name}"


def sizer(found: Json) -> str:
    """Who has set a controller's number of replicas last, as the API server notes it; empty if nothing says so."""
    last = ("", "")
    for one in found["metadata"].get("managedFields") or ():
        if "f:replicas" in ((one.get("fieldsV1") or {}).get("f:spec") or {}):
            last = max(last, (str(one.get("time") or ""), str(one.get("manager") or "")))
    return last[1]


def template(pod: Json) -> str:
    """Which version of its controller's template a pod was made from; empty if nothing says so."""
    labels = pod["metadata"].get("labels") or {}
    named = [kind.template_label for kind in KINDS.values() if kind.template_label]
    return next((labels[name] for name in named if name in labels), "")


def seconds(stamp: str | None) -> int:
    """A stamp of the API server (whole seconds, UTC) in nanoseconds since the epoch; 0 for none."""
    return int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()) * 10**9 if stamp else 0


def event_time(event: Json) -> tuple[int, int]:
    """The latest time that an event of Kubernetes names and how coarse that is, in nanoseconds; 0 for none.

    The old form has whole seconds, the new one microseconds, and in a series the time of its last.
    """
    fine = (event.get("series") or {}).get("lastObservedTime") or event.get("eventTime")
    coarse = event.get("lastTimestamp") or event.get("firstTimestamp")
    if coarse and seconds(coarse) > (seconds(fine) if fine else 0):
        return seconds(coarse), 10**9
    parsed = parse(f"{fine} ".encode()) if fine else None
    return (parsed.stamp_ns, 1000) if parsed else (0, 0)


def _container_state(status: Json) -> Json:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    return {
        "restarts": status.get("restartCount", 0),
        "started": "running" in state or "terminated" in state,
        "running_since": seconds((state.get("running") or {}).get("startedAt")),
        "waiting": (state.get("waiting") or {}).get("reason", ""),
        "ended": seconds(ended.get("finishedAt")),
        "ended_how": f"{ended.get('reason', '')} code {ended.get('exitCode')}".strip() if ended else "",
    }
