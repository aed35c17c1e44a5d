"""A namespace as a trial's child sees it: set, reset, watched and asked."""

from __future__ import annotations

import gzip
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import cluster, drivers, objects, recorder, recording, rollout
from smartops_chaos.kubernetes.autoscalers import AUTOSCALED
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects
from smartops_chaos.kubernetes.cluster import ClusterError, Gone, Json, NamespaceGone
from smartops_chaos.kubernetes.controller import Controller, is_over, kind_of
from smartops_chaos.kubernetes.identity import Identity
from smartops_chaos.kubernetes.recorder import seconds
from smartops_chaos.kubernetes.recording import PodHistory
from smartops_chaos.model import Call, ClockOffset, FaultFact, Interval, LogLine, PlatformEvent, Series, Span, Variant
from smartops_chaos.schema.clustertarget import kinds_of
from smartops_chaos.schema.healer_kubernetes import Change, KubernetesBlock
from smartops_chaos.schema.healerfile import LokiLogs
from smartops_chaos.targets.base import LaneAddress, LaneEnded, LaneLost, When
from smartops_chaos.telemetry import alerts, loki, prometheus, traces
from smartops_chaos.telemetry.connection import Connection, connection

T = TypeVar("T")
_RECORDING = "cluster.ndjson"
_SILENT_S = 30.0  # it asks the API server for its clock every second or two, and notes whatever comes of that
_SPANS_ARRIVE_S = 2.0  # a service and a collector keep a batch for a second each, at most
_BY_HAND = "by-hand"  # the campaign of `chaos run`, which takes no lock

logger = logging.getLogger("smartops_chaos")


class ClusterLane:
    """A lane by its address, from any process. Every call has a limit; what cannot be asked raises LaneLost."""

    def __init__(self, options: dict[str, Any], address: LaneAddress) -> None:
        given = address.environment
        self.address = address
        self._block = KubernetesBlock.from_plan(options)
        self._between = options["between"]
        self._namespace = given["SMARTOPS_NAMESPACE"]
        self._namespaces = (self._namespace, *self._block.elsewhere)
        self._through_api = given.get("SMARTOPS_WORKLOAD_URL", "").startswith("kubernetes:")
        self._prometheus_url = given.get("PROMETHEUS_BASE_URL", "")
        self._loki_url = given.get("LOKI_BASE_URL", "")
        self._traces_url = given.get("TRACES_BASE_URL", "")
        self._folder = Path(given.get("SMARTOPS_TRIAL_DIR", "by-hand")) / "samples"
        try:
            self._cluster = cluster.connect(given.get("SMARTOPS_CONTEXT", ""))
        except ClusterError as error:
            raise LaneLost(str(error)) from error
        ledger = Path(given["SMARTOPS_LANE"]) if given.get("SMARTOPS_LANE") else None
        campaign = given.get("SMARTOPS_CAMPAIGN", _BY_HAND)
        self._kinds = kinds_of(options)
        self._autoscaled = frozenset(given.get(AUTOSCALED, "").split())
        others = tuple(dict.fromkeys(kind for kind, _ in self._block.others()))
        self._objects = ChangedObjects(self._cluster, self._namespace, campaign, ledger, self._kinds, others)
        if given.get(cluster.IDENTITY):
            self._cluster.expect(Identity.parse(given[cluster.IDENTITY]))
        self._tail = recording.RecordingTail(self._folder / _RECORDING)
        self._changes: tuple[Change, ...] = ()
        self._calls: Sequence[Call] = ()
        self._hit: tuple[str, ...] = ()

    def apply(self, model: Variant, policy: Variant) -> None:
        """The arm is set by the `reset` that follows, so that an object changes, and rolls out, only once."""
        self._changes = self._block.changes(model.over(policy))

    def reset(self) -> None:
        self._guard(self._reset)

    def _reset(self) -> None:
        restarting = self._between == "reset"
        stamp = datetime.now(UTC).isoformat()  # with a fraction: a second reset within the second restarts too
        for name in dict.fromkeys(change.configmap for change in self._block.all_changes() if change.configmap):
            self._objects.set("configmap", name, partial(self._values, "configmap", name, ""))
        for kind_and_name in self._block.others():
            self._objects.set(*kind_and_name, partial(self._of_other, kind_and_name))
        there = Controller.listed(self._cluster, self._namespace, self._block.controllers())
        changed = []
        for name in self._block.controllers():
            if name in there:
                kind = there[name].kind
                values = partial(self._values, kind.name, name, stamp if restarting else "")
                changed.append(Controller(kind, self._objects.set(kind.name, there[name].plain, values)))
            elif name not in self._block.optional:
                raise ClusterError(f"{self._namespace} has no {kind_of(name).word} {name} any more")
        if late := rollout.settle(self._cluster, self._namespace, changed, self._block.limit_s):
            raise ClusterError(late)
        if not restarting:
            time.sleep(self._between["spacing"])

    def _values(self, kind: str, name: str, restart: str, found: Json) -> dict[str, Any]:
        """What to set on one object: the declared state, over it the arm; `restart` is a stamp, or empty for none."""
        values: dict[str, Any] = {}
        if kind != "configmap" and restart:
            reset = self._block.reset
            if name in reset.replicas and name not in self._autoscaled:
                values["replicas"] = reset.replicas[name]
            values |= {f"annotation/{key}": None for key in reset.remove.get(name, ())}
            if name in reset.restart:
                values[objects.RESTARTED] = restart
        for change in self._changes:
            if (change.configmap if kind == "configmap" else change.deployment) == name:
                values |= objects.wanted(change, found)
        return values

    def _of_other(self, kind_and_name: tuple[str, str], found: Json) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for change in self._changes:
            if change.other == kind_and_name:
                values |= objects.wanted(change, found)
        return values

    def armed(self) -> bool:
        return self._guard(lambda: self._armed() and not self._drifted())

    def _armed(self) -> bool:
        rule = self._block.armed
        if rule is None:
            return True
        try:
            controller = Controller.read(self._cluster, self._namespace, rule.deployment)
        except Gone:
            return True
        if controller.replicas == 0:
            return True
        if rule.query:
            try:
                query = rule.query.replace("${namespace}", self._namespace)
                result = prometheus.instant(self._prometheus(), query).get("result") or []
            except prometheus.PrometheusError:
                return False
            if not any(float(one["value"][1]) >= 1 for one in result):
                return False
        pods = self._cluster.items(cluster.path(self._namespace, "pods"))
        mine = [pod for pod in pods if controller.owns(pod) and not is_over(pod)]
        return all(_age_s(pod) >= rule.after_s for pod in mine)

    def _drifted(self) -> bool:
        """Whether somebody has changed what the reset had set; without a reset nothing is known of it."""
        if self._between != "reset":
            return False
        for name in dict.fromkeys([*self._block.reset.replicas, *self._block.reset.remove]):
            with suppress(Gone):
                found = Controller.read(self._cluster, self._namespace, name).found
                for field, one in objects.former(found).items():
                    if field == "replicas" and name in self._autoscaled:
                        continue
                    if field.startswith(("replicas", "annotation/")) and objects.get(found, field) != one["set"]:
                        logger.warning("%s: %s is no longer as it was reset to", name, field)
                        return True
        return False

    def watch(self, folder: Path, clock: Clock) -> None:
        block = self._block
        watched = recorder.Watched(
            self._cluster.connection,
            self._namespace,
            block.components,
            self._kinds,
            elsewhere=block.elsewhere,
            objects=block.watch,
        )
        recorder.start(watched, folder / _RECORDING, clock)

    def unwatch(self) -> None:
        recorder.stop()
        file = self._folder / _RECORDING
        if file.exists():
            packed = file.with_name(f"{file.name}.gz")
            packed.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
            file.unlink()

    def leaks(self) -> list[str]:
        return self._guard(lambda: drivers.leaks(self._cluster, self._namespace, self._kinds))

    def load(self) -> None:
        """A cluster's service is anybody's: how busy it is is not known."""

    def repairable(self) -> tuple[str, ...]:
        """The Deployments whose size the reset declares, but for the healer's own; none where there is no reset."""
        if self._between != "reset":
            return ()
        names = dict.fromkeys([self._block.service, *self._block.reset.replicas])
        return tuple(f"{self._namespace}/{name}" for name in names if name not in self._block.components)

    def repair(self, target: str, replicas: int | None) -> None:
        """As `kubectl rollout restart` and `kubectl scale` do it; the next reset puts back what was there."""
        name = target.rpartition("/")[2]
        stamp = datetime.now(UTC).isoformat()
        values: dict[str, Any] = {objects.RESTARTED: stamp} if replicas is None else {"replicas": replicas}

        def act() -> None:
            kind = Controller.read(self._cluster, self._namespace, name).kind
            self._objects.set(kind.name, name, lambda _: values)

        self._guard(act)

    def faults(self, ids: Sequence[str], calls: Sequence[Call]) -> tuple[FaultFact, ...]:
        """Of our own drivers' faults; an action of another extension leaves no receipt, and nobody to ask."""
        self._calls = calls
        receipts = {call.part: call.output for call in calls if call.what == "inject"}
        ours = {part for part, output in receipts.items() if isinstance(output, dict) and "objects" in output}
        self._hit = tuple(dict.fromkeys(one for part in ours for one in receipts[part]["objects"]))
        history = self._history(0)
        found = drivers.facts(ids, calls, history.events)
        mine = [fact for fact in found if fact.part in ours]
        return tuple(replace(fact, objects=history.with_successors(fact.objects)) for fact in mine)

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]:
        """Raises LaneLost if the API server was down while requests went through it, or the namespace was taken away:
        the requests say nothing of the service then."""
        self._guard(self._still_ours)
        silent = self._silences(since_ns)
        if silent and self._through_api:
            raise LaneLost(f"the requests go through the API server, and {silent[0]}")
        return tuple(self._history(since_ns).events)

    def _still_ours(self) -> None:
        if self._objects.campaign == _BY_HAND:
            return
        try:
            self._objects.read("configmap", LOCK)
        except Gone:
            raise ClusterError("the namespace was deleted during the trial, or somebody has reverted it") from None

    def lost(self, since_ns: int) -> tuple[str, ...]:
        """Raises LaneLost if the recorder has died: what it did not see would be missing without a word."""
        file = self._folder / _RECORDING
        if not recorder.running():
            raise LaneLost("the process that records the cluster has ended before the trial: was there no memory left?")
        if file.exists() and time.time() - file.stat().st_mtime > _SILENT_S:
            raise LaneLost(f"the process that records the cluster has written nothing for {_SILENT_S:.0f} s")
        return (*self._silences(since_ns), *recording.lost(self._recording()))

    def _silences(self, since_ns: int) -> list[str]:
        found = recording.down(self._recording(), since_ns)
        return [f"the API server was silent for {(at.hi_ns - at.lo_ns) / 1e9:.1f} s: {why}" for at, why in found]

    def logs(self, since_ns: int) -> tuple[LogLine, ...]:
        return recording.lines(self._recording(), since_ns)

    def series(self, names: Sequence[str], start_ns: int, end_ns: int) -> tuple[tuple[Series, ...], float]:
        return prometheus.fetch(self._prometheus(), names, start_ns, end_ns, namespaces=self._namespaces)

    def alerts(self, names: Sequence[str], start_ns: int, end_ns: int) -> alerts.Alerts:
        return alerts.fetch(self._prometheus(), names, start_ns, end_ns, namespaces=self._namespaces)

    def stored_logs(self, logs: LokiLogs, start_ns: int, end_ns: int) -> loki.Found | None:
        if not self._loki_url:
            return None
        where = self._guard(lambda: connection(self._loki_url))
        return loki.fetch(where, logs, start_ns, end_ns, values={"namespace": self._namespace})

    def traces(self, ids: Sequence[str]) -> tuple[Span, ...] | None:
        if not self._traces_url:
            return None
        return traces.fetch(self._guard(lambda: connection(self._traces_url)), ids, settle_s=_SPANS_ARRIVE_S)

    def clocks(self, when: When, clock: Clock) -> tuple[ClockOffset, ...]:
        """At the end also the nodes' clock, which the recording shows; see `recording.node_offset`."""
        bounds: dict[str, tuple[int, int]] = {}
        with suppress(prometheus.PrometheusError):
            bounds["prometheus"] = prometheus.offset_ns(self._prometheus(), clock)
        if when == "end" and (found := recording.node_offset(self._recording())) is not None:
            bounds["node"] = (found.lo_ns, found.hi_ns)
        return tuple(ClockOffset(source, when, *found) for source, found in bounds.items())

    def _history(self, since_ns: int) -> PodHistory:
        def brackets(*what: str) -> list[Interval]:
            return [call.at for call in self._calls if call.what in what]

        ends = brackets("revert", "end")
        return recording.history(self._recording(), since_ns, self._hit, brackets("inject"), ends)

    def _recording(self) -> list[Json]:
        return self._tail.read()

    def _prometheus(self) -> Connection:
        if not self._prometheus_url:
            raise prometheus.PrometheusError("no Prometheus is named: add `prometheus` to the matrix's target")
        return self._guard(lambda: connection(self._prometheus_url))

    def _guard(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except NamespaceGone as gone:
            raise LaneEnded(str(gone)) from gone
        except ClusterError as error:
            raise LaneLost(str(error)) from error


def _age_s(pod: Json) -> float:
    """How long the youngest container of a pod has run, by this machine's clock; 0 before that."""
    states = [one.get("state", {}).get("running", {}) for one in pod.get("status", {}).get("containerStatuses") or ()]
    begun = [seconds(one.get("startedAt")) for one in states]
    return (time.time_ns() - max(begun)) / 1e9 if begun and all(begun) else 0.0
