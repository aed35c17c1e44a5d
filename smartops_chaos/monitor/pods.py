"""A cluster's side, followed: the healer's log lines, and who did what to the pods of the namespace.

The recorder of a trial runs in a process of its own and writes raw evidence; here it is read. What a history needs is
kept for two hours: all changes in them, and of everything older how it was last.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path

from smartops_chaos.clock import Clock
from smartops_chaos.errors import FileProblems, PreflightFailed, Problem
from smartops_chaos.kubernetes import cluster, recorder, recording
from smartops_chaos.kubernetes.cluster import ClusterError, Json
from smartops_chaos.model import Interval, LogLine, PlatformEvent
from smartops_chaos.monitor.segments import SegmentReader, SegmentWriter, begun_ns, files
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.schema.names import DEPLOYMENT, split_controller

KIND = "cluster"
PROCESS = "smartops-chaos-follower"
_KEPT_NS = 7_200 * 10**9
_MOST = 5_000  # readings of clocks


def watched(healer: HealerFile, healer_name: str, namespace: str, context: str, logs_since_ns: int) -> recorder.Watched:
    """What to record. Raises FileProblems without a `kubernetes` block, PreflightFailed without a cluster."""
    block = healer.kubernetes
    if block is None:
        what, hint = "has no `kubernetes` block, which says whose lines to read", "add one, or use `logs` or `loki`"
        raise FileProblems([Problem(healer_name, 0, 0, what, hint)])
    try:
        server = cluster.connect(context)
    except ClusterError as error:
        raise PreflightFailed(
            str(error), "or leave `cluster` out of the file: then pods and the healer's logs there are not watched"
        ) from None
    kinds = dict.fromkeys([DEPLOYMENT, *(split_controller(one)[0] for one in (block.service, *block.components))])
    return recorder.Watched(
        server.connection,
        namespace,
        block.components,
        tuple(kinds),
        elsewhere=block.elsewhere,
        objects=block.watch,
        logs_since_ns=logs_since_ns,
    )


def run(what: recorder.Watched, folder: Path, clock: Clock) -> None:
    recorder.record(what, SegmentWriter(folder, KIND, "ndjson"), clock)


class FollowedPods:
    """`take` gets every log line, which an earlier monitor of the folder may have had already."""

    def __init__(self, folder: Path, take: Callable[[LogLine], None]) -> None:
        recent = files(folder, KIND)[-3:]
        self._lines = SegmentReader(folder, KIND, begun_ns(recent[0]) if recent else 0)
        self._take = take
        self._changes: list[Json] = []
        self._clocks: deque[Json] = deque(maxlen=_MOST)
        self._lost: deque[Json] = deque(maxlen=100)

    def poll(self) -> None:
        """Read what is new."""
        for text in self._lines.read():
            try:
                self._entry(json.loads(text))
            except (ValueError, KeyError, TypeError):  # torn
                continue

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]:
        return tuple(recording.history([*self._clocks, *self._changes], since_ns).events)

    def lines(self, since_ns: int) -> tuple[LogLine, ...]:
        """Events of Kubernetes and changed fields of objects, as lines."""
        return recording.lines([*self._clocks, *self._changes], since_ns)

    def offset(self) -> Interval | None:
        """Bounds of the nodes' clock minus ours."""
        return recording.node_offset(self._clocks)

    def lost(self, since_ns: int) -> tuple[str, ...]:
        silent = [
            f"the API server was silent for {(at.hi_ns - at.lo_ns) / 1e9:.1f} s: {why}"
            for at, why in recording.down(self._lost, since_ns)
        ]
        return (*silent, *recording.lost(one for one in self._lost if one["at"] >= since_ns))

    def forget(self, now_ns: int) -> None:
        """What is older than two hours, but for how everything was last."""
        since_ns = now_ns - _KEPT_NS
        last: dict[tuple[str, str], Json] = {}
        for one in self._changes:
            if one["at"] < since_ns and (name := _what(one)):
                last[name] = {**one, "first": True}
        kept = [one for one in last.values() if not one.get("gone")]
        self._changes = [*kept, *(one for one in self._changes if one["at"] >= since_ns)]

    def _entry(self, entry: Json) -> None:
        if "log" in entry:
            if entry.get("live"):
                self._clocks.append({key: entry[key] for key in ("at", "live", "uid", "stamp")})
            self._take(LogLine(entry["stamp"], entry["log"], entry["text"]))
        elif "server" in entry:
            self._clocks.append(entry)
        elif "down" in entry or "lost" in entry:
            self._lost.append(entry)
        else:
            self._changes.append(entry)


def _what(entry: Json) -> tuple[str, str] | None:
    """The pod or Deployment that a change is about; None for what happens once."""
    if "pod" in entry:
        return "pod", str(entry["pod"]["uid"])
    return ("deployment", str(entry["deployment"])) if "deployment" in entry else None
