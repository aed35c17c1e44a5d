"""A trial's recording (recorder) read: log lines, the node's clock, and who did what to which pod. Pure.

A pod is `<controller>/<uid>`, with the controller as files name it. When it leaves and its ReplicaSet makes another
one, that one has taken its place.
Who made a pod ready:

    platform   the kubelet restarted its container, a pod that went without anybody's order was replaced, or an
               autoscaler changed the size
    action     it belongs to a new template, or the Deployment's size was changed, or somebody deleted the pod before it
    harness    the same within a call of ours that ends the fault
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smartops_chaos.kubernetes.cluster import Json
from smartops_chaos.model import Cause, Interval, LogLine, PlatformEvent
from smartops_chaos.schema.healerfile import OF_KUBERNETES

_STAMP = len(b'{"at": 1795532330809352249')
EVENTS, OBJECTS = f"{OF_KUBERNETES}events", f"{OF_KUBERNETES}objects"  # components of such lines
# Who sets sizes for an autoscaler, as managed fields name it: the controller of a HorizontalPodAutoscaler, and KEDA.
_AUTOSCALERS = ("kube-controller-manager", "horizontal-pod-autoscaler", "keda", "keda-operator")
_LIVE_NS = 500_000_000  # a line that is followed is here within this after it was stamped


class RecordingTail:
    """Reads a recording while it grows; a new one in its place from the beginning."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._first = b""  # the beginning of its first line: a stamp, so no two recordings have the same
        self._at = 0
        self._entries: list[Json] = []

    def read(self) -> list[Json]:
        """All whole lines so far; none if there is no file."""
        try:
            with self._file.open("rb") as stream:
                first = stream.read(_STAMP)
                if not self._at or first != self._first:
                    self._first, self._at, self._entries = first, 0, []
                stream.seek(self._at)
                whole, end, _ = stream.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._at += len(whole + end)
        self._entries += [json.loads(line) for line in whole.split(b"\n") if line]
        return self._entries


def node_offset(entries: Iterable[Json]) -> Interval | None:
    """Bounds of the nodes' clock minus the runner's; None before anything is known.

    A line that is followed live is here milliseconds after its stamp, so the latest stamps give the offset to within
    `_LIVE_NS`. The API server's clock is known better, and counts where it agrees, or where there are no lines: it
    usually is the same machine, or both are kept by NTP.
    """
    first: dict[str, int] = {}  # pod -> its latest stamp as seen from here
    for entry in entries:
        if entry.get("live"):
            first[entry["uid"]] = max(first.get(entry["uid"], -(10**18)), entry["stamp"] - entry["at"])
    server = server_offset(entries)
    found: list[Interval] = []
    for low in first.values():
        lines = Interval(low, low + _LIVE_NS)
        if server is not None and server.lo_ns <= lines.hi_ns and lines.lo_ns <= server.hi_ns:
            lines = Interval(max(lines.lo_ns, server.lo_ns), min(lines.hi_ns, server.hi_ns))
        found.append(lines)
    if not found:
        return server
    return Interval(min(one.lo_ns for one in found), max(one.hi_ns for one in found))


def server_offset(entries: Iterable[Json]) -> Interval | None:
    """Bounds of the API server's clock minus the runner's: its Date was `second` between two readings of ours."""
    low, high = -(10**18), 10**18
    for entry in entries:
        if "server" in entry:
            before, after, second = entry["server"]
            at = Interval(second - after, second + 10**9 - before)
            if at.lo_ns > high or at.hi_ns < low:  # it was stepped: what held before holds no more
                low, high = at.lo_ns, at.hi_ns
            else:
                low, high = max(low, at.lo_ns), min(high, at.hi_ns)
    return Interval(low, high) if high < 10**18 else None


def lines(entries: Sequence[Json], since_ns: int) -> tuple[LogLine, ...]:
    """Log lines since then on the nodes' clock, in order of their stamps; events and changed fields are lines too."""
    offset = node_offset(entries) or Interval(0, 0)
    from_ns = since_ns + offset.lo_ns
    found = [LogLine(one["stamp"], one["log"], one["text"]) for one in entries if "log" in one]
    found += [line for one in entries if (line := _of_kubernetes(one, offset)) is not None]
    return tuple(sorted((line for line in found if line.at_ns + line.cut_ns >= from_ns), key=lambda line: line.at_ns))


def _of_kubernetes(entry: Json, offset: Interval) -> LogLine | None:
    """An event or a changed field as a line; it was written before it was known here, and not long before."""
    latest_ns = entry["at"] + offset.hi_ns
    if "object" in entry:
        earliest_ns = entry["at"] - _LIVE_NS + offset.lo_ns
        text = f"{entry['object']} {entry['field']}: {entry['was']} -> {entry['now']}"
        return LogLine(earliest_ns, OBJECTS, text, cut_ns=latest_ns - earliest_ns + 1)
    event = entry.get("event")
    if event is None or not event.get("stamp"):
        return None
    stamp_ns = event["stamp"]
    text = f"reason={event['reason']} object={event['object']} by={event['by']} type={event['type']} {event['message']}"
    return LogLine(stamp_ns, EVENTS, text, cut_ns=max(1, min(event["cut"], latest_ns - stamp_ns)))


def down(entries: Iterable[Json], since_ns: int) -> list[tuple[Interval, str]]:
    """When the API server did not answer, and why."""
    longest: dict[int, tuple[Interval, str]] = {}
    for entry in entries:
        if "down" in entry and entry["down"][1] >= since_ns:
            longest[entry["down"][0]] = (Interval(*entry["down"]), entry["why"])
    return list(longest.values())


def lost(entries: Iterable[Json]) -> tuple[str, ...]:
    """What the recorder could not read."""
    return tuple(dict.fromkeys(entry["lost"] for entry in entries if "lost" in entry))


def namespace_events(entries: Iterable[Json], uid: str, at_ns: int, within_ns: int) -> list[str]:
    """What the namespace's events say of an object around then."""
    told = [
        f"{entry['event']['reason']}: {entry['event']['message']}"
        for entry in entries
        if "event" in entry and entry["event"]["uid"] == uid and abs(entry["at"] - at_ns) <= within_ns
    ]
    return list(dict.fromkeys(told))


@dataclass
class PodHistory:
    """All that happened to pods, and for each pod which one's place it took."""

    events: list[PlatformEvent] = field(default_factory=list)
    replaces: dict[str, str] = field(default_factory=dict)  # object -> object

    def with_successors(self, objects: Iterable[str]) -> tuple[str, ...]:
        """The objects, and those that took their place, and so on."""
        found = list(dict.fromkeys(objects))
        for one in found:  # grows while it is read
            found += [new for new, old in self.replaces.items() if old == one and new not in found]
        return tuple(found)


def history(
    entries: Sequence[Json],
    since_ns: int,
    hit: Iterable[str] = (),
    injections: Sequence[Interval] = (),
    ends: Sequence[Interval] = (),
) -> PodHistory:
    """Who did what to which pod. `hit` are objects of the fault, the others brackets of our calls."""
    return _Reading(entries, frozenset(hit), injections, min((end.lo_ns for end in ends), default=None)).read(since_ns)


def _in_order(entries: Sequence[Json]) -> list[Json]:
    """In the order in which the cluster changed; what has no version stays behind what was known before it."""
    newest, keys = 0, list[int]()
    for entry in entries:
        newest = max(newest, entry.get("version", 0))
        keys.append(entry.get("version", newest))
    return [entry for _, entry in sorted(zip(keys, entries, strict=True), key=lambda one: one[0])]


@dataclass
class _Size:
    replicas: int
    hash: str = ""  # of the template, as its pods have it
    generation: int = 0
    changed: Cause | None = None  # who has changed its spec last, but for its size
    made: list[Cause] = field(default_factory=list)  # pods that a change of size will make
    ended: list[Cause] = field(default_factory=list)  # pods that a change of size will end
    vacancies: list[tuple[str, Cause]] = field(default_factory=list)
    """Pods that are gone and whose replacement has not appeared yet, each with why it went."""


class _Reading:
    def __init__(
        self, entries: Sequence[Json], hit: frozenset[str], injections: Sequence[Interval], ended_ns: int | None
    ) -> None:
        self._entries, self._hit, self._injections, self._ended_ns = entries, hit, injections, ended_ns
        self._offset = node_offset(entries) or Interval(0, 0)
        self._pods: dict[str, Json] = {}
        self._sizes: dict[str, _Size] = {}
        self._born: dict[str, Cause] = {}  # object -> the cause of its life
        self._left: set[str] = set()
        self._found = PodHistory()

    def read(self, since_ns: int) -> PodHistory:
        for entry in _in_order(self._entries):
            if "deployment" in entry:
                self._deployment(entry)
            elif "pod" in entry:
                self._pod(entry)
        self._found.events = [event for event in self._found.events if event.at.hi_ns >= since_ns]
        return self._found

    def _deployment(self, entry: Json) -> None:
        size = self._sizes.setdefault(entry["deployment"], _Size(0))
        if entry.get("first"):
            size.replicas, size.generation = entry["replicas"], entry["generation"]
        change = entry["replicas"] - size.replicas
        cause: Cause = "platform" if entry.get("by") in _AUTOSCALERS else self._by_whom(entry["at"])
        if entry["generation"] > size.generation and not change:
            size.changed = self._by_whom(entry["at"])
        size.generation = entry["generation"]
        size.made += [cause] * max(0, change)
        size.ended += [cause] * max(0, -change)
        size.replicas = entry["replicas"]

    def _pod(self, entry: Json) -> None:
        pod, at_ns = entry["pod"], entry["at"]
        if not pod["deployment"]:
            return
        name = f"{pod['deployment']}/{pod['uid']}"
        before = self._pods.get(name)
        size = self._sizes.setdefault(pod["deployment"], _Size(0))
        self._pods[name] = pod
        if before is None:
            if entry.get("first"):
                if pod["deleting"] or pod["phase"] in ("Failed", "Succeeded"):
                    self._left.add(name)  # before our time: of an older template, and no pod of the Deployment any more
                else:
                    size.hash = pod["hash"]
                return
            self._born[name] = self._birth(name, pod, size, at_ns)
        leaving = entry["gone"] or pod["deleting"] or pod["phase"] == "Failed"
        if leaving and name not in self._left:
            self._left.add(name)
            self._leave(name, pod, size, at_ns)
        for container, now in pod["containers"].items():
            self._container(name, container, now, (before or {}).get("containers", {}).get(container), at_ns)
        was_ready = bool(before and before["ready"])
        if pod["ready"] and not was_ready and not leaving:
            self._tell(name, "ready", self._ready_by(name, pod, at_ns), pod["ready_since"], at_ns)
        elif was_ready and not pod["ready"]:
            self._tell(name, "not_ready", self._fault_or(name, "platform"), pod["ready_since"], at_ns, pod["why"])

    def _birth(self, name: str, pod: Json, size: _Size, at_ns: int) -> Cause:
        """Why a new pod is there."""
        if pod["hash"] != size.hash:
            size.hash = pod["hash"]  # a new template: its further pods are part of the same rollout
            size.made = [size.changed or self._by_whom(at_ns)] * max(size.replicas, 1)
            size.vacancies = []  # where an old pod goes before a new one comes, these are the places that it takes
        if size.made:
            return size.made.pop(0)
        if size.vacancies:
            old, cause = size.vacancies.pop(0)
            self._found.replaces[name] = old
            return cause
        return "platform"

    def _leave(self, name: str, pod: Json, size: _Size, at_ns: int) -> None:
        """A pod goes for good: by the fault, by the platform, by a change of size or template, or by an order."""
        cause: Cause
        if size.ended:
            cause = size.ended.pop(0)
        elif pod["hash"] != size.hash:
            cause = self._born_of(size)
        else:
            evicted = bool(pod["why"]) or pod["phase"] == "Failed"
            cause = self._fault_or(name, "platform") if evicted else self._by_whom(at_ns)
            size.vacancies.append((name, "platform" if cause == "fault" else cause))
        self._tell(name, "exited", cause, 0, at_ns, pod["why"] or "deleted")

    def _born_of(self, size: _Size) -> Cause:
        """The cause of a rollout under way: that of the newest pod of its template."""
        newest = [born for name, born in self._born.items() if self._pods[name]["hash"] == size.hash]
        return newest[-1] if newest else "action"

    def _container(self, name: str, container: str, now: Json, before: Json | None, at_ns: int) -> None:
        restarted = before is not None and now["restarts"] > before["restarts"]
        ended = before is not None and now["ended"] > before["ended"]
        if (ended or restarted) and name not in self._left:
            said = namespace_events(self._entries, name.rpartition("/")[2], at_ns, 5 * 10**9)
            detail = "; ".join([now["ended_how"], *(one for one in said if one.startswith(("Unhealthy", "Killing")))])
            self._tell(name, "exited", self._fault_or(name, "platform"), now["ended"], at_ns, f"{container}: {detail}")
        since = before["running_since"] if before else 0
        if now["running_since"] and now["running_since"] != since and (before is not None or name in self._born):
            cause = "platform" if restarted else self._born.get(name, "platform")
            self._tell(name, "started", cause, now["running_since"], at_ns, container)

    def _ready_by(self, name: str, pod: Json, at_ns: int) -> Cause:
        """The kubelet's restart, or the cause of its life; a pod that only was slow has not been made ready by anybody,
        unless the size or the template was changed in between: less load for each."""
        restarts = sum(one["restarts"] for one in pod["containers"].values())
        last = [event for event in self._found.events if event.object == name and event.kind in ("exited", "not_ready")]
        if any(event.kind == "exited" for event in last) and restarts:
            return "platform"
        if name in self._born and not any(event.kind == "ready" for event in self._events_of(name)):
            return self._born[name]
        since_ns = last[-1].at.lo_ns if last else 0
        relieved = [
            event
            for event in self._found.events
            if event.kind == "ready" and event.cause in ("action", "harness") and event.at.hi_ns >= since_ns
        ]
        if relieved:
            return relieved[-1].cause
        return "harness" if self._after_end(at_ns) else "platform"

    def _events_of(self, name: str) -> Iterator[PlatformEvent]:
        return (event for event in self._found.events if event.object == name)

    def _fault_or(self, name: str, other: Cause) -> Cause:
        return "fault" if name in self._hit else other

    def _by_whom(self, at_ns: int) -> Cause:
        """Who ordered a change: we by our own calls, else the healer (or a person, which comes to the same)."""
        if self._after_end(at_ns):
            return "harness"
        return "fault" if any(one.lo_ns <= at_ns <= one.hi_ns + _LIVE_NS for one in self._injections) else "action"

    def _after_end(self, at_ns: int) -> bool:
        return self._ended_ns is not None and at_ns >= self._ended_ns

    def _tell(self, name: str, kind: str, cause: Cause, second_ns: int, at_ns: int, detail: str = "") -> None:
        """An event known at `at_ns`; `second_ns` is the node's own stamp, cut to whole seconds."""
        low = min(at_ns, second_ns - self._offset.hi_ns) if second_ns else at_ns
        high = min(at_ns, second_ns + 10**9 - self._offset.lo_ns) if second_ns else at_ns
        self._found.events.append(PlatformEvent(Interval(low, max(low, high)), name, kind, cause, detail, "runner"))
