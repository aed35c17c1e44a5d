"""What the healer tells, from wherever monitor.yaml says: followed files, Loki, Prometheus, a cluster's pods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from smartops_chaos.clock import Clock
from smartops_chaos.model import ClockOffset, Evidence, LogLine, Series
from smartops_chaos.monitor.lines import FollowedLines
from smartops_chaos.monitor.pods import FollowedPods
from smartops_chaos.schema.healerfile import HealerFile, LokiLogs
from smartops_chaos.schema.monitorfile import MonitorFile
from smartops_chaos.telemetry import alerts, loki, prometheus
from smartops_chaos.telemetry.connection import connection
from smartops_chaos.timeline.incident import ACTED_EARLIER_S, nothing_told
from smartops_chaos.timeline.rules import METRICS_CLOCK, NODE_CLOCK
from smartops_chaos.trial.evidence import HealerSources, collect


class StandingSources(HealerSources):
    """`pods` is None where no cluster is followed."""

    def __init__(
        self,
        file: MonitorFile,
        healer: HealerFile,
        lines: FollowedLines,
        pods: FollowedPods | None,
        clock: Clock,
    ) -> None:
        self._file, self._healer, self._lines, self._pods, self._clock = file, healer, lines, pods, clock
        self._namespaces = (file.namespace, *(healer.kubernetes.elsewhere if healer.kubernetes else ()))

    def told(self, since_ns: int, needed_ns: int) -> Evidence:
        """The healer's side of what has happened since then; what cannot be read is noted in `missing`."""
        since_ns -= round(ACTED_EARLIER_S * 1e9)
        clocks = self._clocks()
        found = collect(self, self._healer, clocks, since_ns, needed_ns, self._clock)
        platform = self._pods.platform(since_ns) if self._pods else ()
        return replace(nothing_told(), clocks=clocks, platform=platform, **found)

    def unreached(self, since_ns: int) -> Iterator[str]:
        """What has not answered since then, with the key to look at."""
        for note in dict.fromkeys(self.lost(since_ns)):
            yield f"{note}: check `{'logs' if self._file.logs else 'cluster'}`"
        now_ns = self._clock.now_ns()
        prom, logs = self._file.prometheus, self._healer.loki
        try:
            if prom is not None:
                prometheus.instant(replace(connection(prom), retries=0), "vector(1)")
        except RuntimeError as error:
            yield f"{error}: check `prometheus`"
        try:
            if logs is not None:
                self.stored_logs(logs, now_ns - 1, now_ns)
        except RuntimeError as error:
            yield f"{error}: check `loki`"

    def logs(self, since_ns: int, /) -> tuple[LogLine, ...]:
        return (*self._lines.since(since_ns), *(self._pods.lines(since_ns) if self._pods else ()))

    def lost(self, since_ns: int, /) -> tuple[str, ...]:
        return (*self._lines.lost(since_ns), *(self._pods.lost(since_ns) if self._pods else ()))

    def series(self, names: Sequence[str], start_ns: int, end_ns: int, /) -> tuple[tuple[Series, ...], float]:
        if self._file.prometheus is None:
            return (), 0.0
        return prometheus.fetch(self._file.prometheus, names, start_ns, end_ns, namespaces=self._namespaces)

    def alerts(self, names: Sequence[str], start_ns: int, end_ns: int, /) -> alerts.Alerts:
        if self._file.prometheus is None:
            return alerts.Alerts((), ())
        return alerts.fetch(self._file.prometheus, names, start_ns, end_ns, namespaces=self._namespaces)

    def stored_logs(self, logs: LokiLogs, start_ns: int, end_ns: int, /) -> loki.Found | None:
        if self._file.loki is None:
            return None
        values = {"namespace": self._file.namespace}
        return loki.fetch(self._file.loki, logs, start_ns, end_ns, values=values, settle_s=0.0)

    def _clocks(self) -> tuple[ClockOffset, ...]:
        """Lines of files are on this machine's wall clock, those of a cluster on its nodes'."""
        found = (
            [ClockOffset(NODE_CLOCK, "end", *self._clock.wall_bounds_ns())] if self._file.logs or not self._pods else []
        )
        if self._pods and (nodes := self._pods.offset()) is not None:
            found.append(ClockOffset(NODE_CLOCK, "end", nodes.lo_ns, nodes.hi_ns))
        if self._file.prometheus is not None:
            with suppress(prometheus.PrometheusError):  # `collect` notes it
                bounds = prometheus.offset_ns(self._file.prometheus, self._clock)
                found.append(ClockOffset(METRICS_CLOCK, "end", *bounds))
        return tuple(found)
