"""What the monitor exports at /metrics. A series that nobody tells is absent, never zero.

What comes from incidents is counted again from the file when the monitor starts, so a restart changes no counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from smartops_chaos.model import Outcome
from smartops_chaos.timeline.incident import Incident

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DETECTION_BUCKETS_S = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
RECOVERY_BUCKETS_S = (2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)
_WHERE = ("namespace", "service")


class Numbers:
    def __init__(self, namespace: str, service: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        where = (namespace, service)

        def gauge(name: str, told: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(name, told, list(labels), registry=self.registry)

        def histogram(name: str, told: str, labels: Iterable[str], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, told, list(labels), buckets=buckets, registry=self.registry)

        gauge("smartops_chaos_monitor_up", "The monitor runs.").set(1)
        self._active = gauge("smartops_chaos_incident_active", "1 while the service misses its SLO.", _WHERE)
        self._active.labels(*where).set(0)
        total = Counter(
            "smartops_chaos_incidents", "Incidents by how they ended.", [*_WHERE, "outcome"], registry=self.registry
        )
        self._incidents = {one: total.labels(*where, one.value) for one in Outcome if one.incident}
        self._detection = histogram(
            "smartops_chaos_detection_seconds", "From the impact to the detection.", _WHERE, DETECTION_BUCKETS_S
        ).labels(*where)
        self._recovery = histogram(
            "smartops_chaos_recovery_seconds",
            "From the impact to the recovery.",
            [*_WHERE, "outcome"],
            RECOVERY_BUCKETS_S,
        )
        for one in self._incidents:  # there from the beginning: the first incident is an increase
            self._recovery.labels(*where, one.value)
        answers = Counter(
            "smartops_chaos_requests", "Requests sent by the monitor.", [*_WHERE, "answer"], registry=self.registry
        )
        self._good, self._bad = answers.labels(*where, "good"), answers.labels(*where, "bad")
        self._faults = gauge(
            "smartops_chaos_fault_active",
            "1 while a fault of a campaign may be in force.",
            ("namespace", "fault", "campaign"),
        )
        self._mttr = gauge(
            "smartops_chaos_campaign_mttr_seconds",
            "Mean time to recover in the last campaign, restricted to its horizon.",
            ("arm", "bound"),
        )
        self._needless = Counter(
            "smartops_chaos_needless_actions",
            "Actions of the healer that belong to no incident.",
            [*_WHERE, "kind"],
            registry=self.registry,
        )
        self._where = where
        self._shown: dict[Gauge, set[tuple[str, ...]]] = {}

    def request(self, *, good: bool) -> None:
        (self._good if good else self._bad).inc()

    def active(self, *, now: bool) -> None:
        self._active.labels(*self._where).set(int(now))

    def incident(self, incident: Incident) -> None:
        """One that is on record now."""
        self._incidents[incident.outcome].inc()
        if (detected_s := incident.seconds_to("detected")) is not None:
            self._detection.observe(detected_s)
        self.ended(incident)

    def ended(self, incident: Incident) -> None:
        """One that is over; told again only where it was not yet."""
        if (recovered_s := incident.seconds_to("recovered")) is not None:
            self._recovery.labels(*self._where, incident.outcome.value).observe(recovered_s)

    def needless(self, kind: str) -> None:
        """An action without an incident."""
        self._needless.labels(*self._where, kind).inc()

    def faults(self, found: Mapping[tuple[str, str, str], bool]) -> None:
        """By namespace, fault and campaign whether it is in force; what is not named has no series."""
        self._only(self._faults, {labels: float(active) for labels, active in found.items()})

    def mttr(self, found: Mapping[str, Mapping[str, float]]) -> None:
        """Of the arms of the last campaign."""
        told: dict[tuple[str, ...], float] = {
            (arm, bound): seconds for arm, bounds in found.items() for bound, seconds in bounds.items()
        }
        self._only(self._mttr, told)

    def _only(self, gauge: Gauge, values: Mapping[tuple[str, ...], float]) -> None:
        """These values and no others; a scrape in between sees each series as it was or as it is, and none missing."""
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        for labels in self._shown.get(gauge, set()) - values.keys():
            gauge.remove(*labels)
        self._shown[gauge] = set(values)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
