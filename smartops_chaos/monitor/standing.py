"""One turn of the monitor: raw evidence in, incidents on record and numbers out. Everything it knows is on disk.

After any end, a new monitor of the folder goes on: what is on record stays, and what was not is found again in the raw
requests. An incident on record begins or ends where the record says; so none is lost, and none is there twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.kubernetes.recorder import Watched
from smartops_chaos.model import Action, Event, Evidence, Request
from smartops_chaos.monitor import lines, pods, probe, segments
from smartops_chaos.monitor.agents import AgentNumbers
from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.monitor.finder import Ended, IncidentFinder
from smartops_chaos.monitor.lines import FollowedLines
from smartops_chaos.monitor.numbers import Numbers
from smartops_chaos.monitor.pods import FollowedPods
from smartops_chaos.monitor.sources import StandingSources
from smartops_chaos.monitor.state import GoodShares, recent
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.schema.monitorfile import MonitorFile
from smartops_chaos.store.incident_book import IncidentBook
from smartops_chaos.timeline.health import is_good
from smartops_chaos.timeline.incident import (
    ACTED_EARLIER_S,
    Incident,
    IncidentEvidence,
    Seen,
    StandingService,
    actions,
    derive,
)
from smartops_chaos.timeline.rulecheck import rules_of
from smartops_chaos.trial.workload import Load

_ON_RECORD_S = 0.3  # from a request's time limit until its line is in the file
_ASKED_EVERY_S = 5.0  # remote sources, while an incident goes on
_REQUEST_BYTES, _LINE_BYTES, _CLUSTER_BYTES = 80_000_000, 20_000_000, 40_000_000  # raw evidence that is kept
_EVIDENCE_BYTES = 30_000_000  # that incidents on record keep of it
_TIDIED_EVERY_S = 60.0
_SILENT_S = 30.0
_PATIENCE_S = 60.0  # with a source that does not answer when an incident is over
_MARGIN_S = 60.0  # a node's clock may be behind

logger = logging.getLogger("smartops_chaos")


@dataclass(slots=True)
class _Unrecorded:
    """An incident that is over and not on record yet, since a source may tell more of it."""

    seen: Seen
    after_ns: int
    fault: str
    since_s: float
    asked: bool = False


class StandingMonitor:
    """`marks` tell which faults of campaigns are in force."""

    def __init__(self, file: MonitorFile, base: Path, book: IncidentBook, clock: Clock, marks: CampaignMarks) -> None:
        self._file, self._book, self._clock, self._marks = file, book, clock, marks
        named = file.healer if "/" not in file.healer and "." not in file.healer else str(base / file.healer)
        self._healer = healerfile.load(named)
        _check(file, self._healer)
        slo = file.slo.slo()
        self.service = StandingService(file.namespace, file.service, slo, file.horizon)
        self.numbers = Numbers(file.namespace, file.service)
        self.incidents = book.read()
        if not book.exists():
            book.write([])
        self.current: Incident | None = None
        for one in self.incidents:
            self.numbers.incident(one)
        last = self.incidents[-1] if self.incidents else None
        self._alive = self._alive_ns()
        begin_ns = self._begin_ns(last)
        lasting = last is not None and not last.over
        self._finder = IncidentFinder(self.service, file.settle, begin_ns=begin_ns, lasting=lasting)
        self._after_ns = last.until_ns if last and last.over else 0
        if last is not None and lasting:
            self._show(last)
        self._requests = probe.RequestReader(book.raw, begin_ns)
        self.agents = AgentNumbers(
            self.numbers.registry, self._healer, file.signals or "", file.policy or "", book.path
        )
        self.good = GoodShares(slo)
        logs = {component: base / path for component, path in file.logs.items()}
        self._lines = FollowedLines(book.raw, logs, self._healer, self._alive, self.agents.line)
        self._pods = FollowedPods(book.raw, self._lines.take) if file.cluster else None
        self._sources = StandingSources(file, self._healer, self._lines, self._pods, clock)
        self._told_in_lines = StandingSources(
            file.model_copy(update={"prometheus": None}),
            self._healer.model_copy(update={"metrics": (), "alerts": ()}),
            self._lines,
            self._pods,
            clock,
        )
        self.needless = book.read_needless()
        for action in self.needless:
            self.numbers.needless(action.kind)
        self._acts_read_ns = max([begin_ns, *(one.start.hi_ns + 1 for one in self.needless)])
        self._asked_s = 0.0
        self._tidied_ns = 0
        self._seen_fault = ""
        self._unrecorded: list[_Unrecorded] = []
        self._started_ns = clock.now_ns()
        self._answered = False

    @property
    def load(self) -> Load:
        """What the probe sends, or asks."""
        asked, slo = self._healer.workload, self.service.slo
        return Load(
            url=(self._file.prometheus if slo.query else self._file.url) or "",
            method=asked.method,
            body=asked.body,
            timeout_s=self._timeout_s,
            good_within_s=slo.latency_s,
            rate_per_s=1 / slo.every_s if slo.query else self._file.rate,
            limit_s=probe.FOR_EVER_S,
            query=slo.query.replace("${namespace}", self._file.namespace),
            at_least=slo.at_least,
            path=asked.path,
        )

    @property
    def _timeout_s(self) -> float:
        """No longer than it takes to know that an answer is too late to be good."""
        slo = self.service.slo
        return slo.latency_s if slo.query else min(self._healer.workload.timeout_s, 2 * slo.latency_s + 1)

    @property
    def watched(self) -> Watched | None:
        """What of a cluster is recorded; None where none is followed. Raises FileProblems, PreflightFailed."""
        if self._file.cluster is None:
            return None
        before_ns = self._alive - round(_MARGIN_S * 1e9) if self._alive else 0
        return pods.watched(
            self._healer, self._file.healer, self._file.namespace, self._file.cluster.context, before_ns
        )

    def turn(self, now_ns: int) -> None:
        """Read what is new and judge it."""
        fresh = list(self._requests.read())
        self._count(fresh)
        self.good.add(fresh)
        self._finder.add(fresh)
        self._lines.poll()
        if self._pods:
            self._pods.poll()
        self._judge(self._finder.look(now_ns - round((self._timeout_s + _ON_RECORD_S) * 1e9)))
        self._record_what_is_over()
        if now_ns - self._tidied_ns > _TIDIED_EVERY_S * 1e9:
            self._tidied_ns = now_ns
            self._look_for_needless(now_ns)
            self._prune(now_ns)

    def follows(self) -> Iterator[str]:
        """What it asks and reads, for whoever has started it."""
        file, slo = self._file, self.service.slo
        if slo.query:
            yield f"asks {file.prometheus} every {slo.every_s:g} s"
        else:
            yield f"sends {file.rate:g} requests a second to {file.url}{self._healer.workload.path}"
        yield from (f"reads the lines of {component} in {path}" for component, path in file.logs.items())
        if file.cluster:
            yield f"follows the pods of {file.namespace}, and its healer's lines"
        servers = {"Prometheus": file.prometheus, "Loki": file.loki, "signals": file.signals, "policy": file.policy}
        yield from (f"reads {what} at {where.partition('#')[0]}" for what, where in servers.items() if where)

    def unreached(self) -> Iterator[str]:
        """What has not answered since the start, with the key to look at."""
        if not self._answered:
            asked = self._file.prometheus if self.service.slo.query else self._file.url
            yield f"{asked} has not answered yet: check `url`, or the service is down"
        yield from self._sources.unreached(self._started_ns)

    def state(self) -> dict[str, Any]:
        """What the page shows, but for what a campaign does."""
        now_s = self._clock.now_ns() / 1e9
        shares = self.good.shares()
        return {
            "now": now_s,
            "namespace": self._file.namespace,
            "service": self._file.service,
            "objective": self.service.slo.objective,
            "asked": bool(shares) and now_s - shares[-1][0] < _SILENT_S,
            "sli": shares,
            "incidents": recent(self.incidents, self.current, now_s),
        }

    # ---- incidents -----------------------------------------------------------------------------------------------

    def _judge(self, found: Seen | Ended | None) -> None:
        if isinstance(found, Ended):
            self._end(found)
        elif found is not None:
            self._follow(found)
        elif not self._finder.lasting:
            self._show(None)

    def _follow(self, seen: Seen) -> None:
        horizon_ns = seen.impacted.mid_ns + round(self.service.horizon_s * 1e9)
        in_time = seen.recovered is not None and seen.recovered.mid_ns <= horizon_ns
        late_ns = seen.until_ns - horizon_ns - round(self.service.slo.hold_s * 1e9)
        given_up = not (seen.over or in_time) and late_ns > 0
        in_force = self._marks.in_force(self._file.namespace, seen.impacted.lo_ns, seen.until_ns)
        self._seen_fault = in_force or self._seen_fault
        one = _Unrecorded(seen, self._after_ns, self._seen_fault, time.monotonic())
        if seen.over:
            self._unrecorded.append(one)
            self._after_ns, self._seen_fault = seen.until_ns, ""
            self._show(None)
        elif given_up:
            self._finder.give_up()
            self._record_what_is_over(patience_s=0)
            incident, told = self._derive(one, 0)
            self._show(incident)
            self._record(incident, one, told)
        elif self.current is None or time.monotonic() - self._asked_s > _ASKED_EVERY_S:
            self._show(self._derive(one, 0)[0])

    def _derive(self, one: _Unrecorded, needed_ns: int) -> tuple[Incident, Evidence]:
        """The incident as it is known by now, and what the sources have told of it; asks them all."""
        self._asked_s = time.monotonic()
        told = self._sources.told(max(one.after_ns, one.seen.impacted.lo_ns), needed_ns)
        found = derive(one.seen, told, self._healer, self.service, after_ns=one.after_ns, fault=one.fault)
        return found, told

    def _record_what_is_over(self, patience_s: float = _PATIENCE_S) -> None:
        """In order, each when every source has told of it; one that is silent for long is gone for good.

        Until then an incident is nowhere but in the raw requests, where another monitor finds it again.
        """
        while self._unrecorded:
            one = self._unrecorded[0]
            waited_s = time.monotonic() - one.since_s
            if one.asked and waited_s < patience_s and time.monotonic() - self._asked_s < _ASKED_EVERY_S:
                return
            one.asked = True
            recovered = one.seen.recovered
            incident, told = self._derive(one, recovered.hi_ns if recovered else 0)
            if told.missing and waited_s < patience_s:
                return
            del self._unrecorded[0]
            self._record(incident, one, told)

    def _record(self, incident: Incident, one: _Unrecorded, told: Evidence) -> None:
        evidence = IncidentEvidence(
            told=replace(
                told,
                requests=one.seen.requests,
                slo=self.service.slo,
                horizon_s=self.service.horizon_s,
                stop_after_good_s=self._file.settle,
            ),
            healer=self._healer.model_dump(mode="json"),
            service=self.service,
            settle_s=self._file.settle,
            begin_ns=one.seen.begin_ns,
            looked_ns=one.seen.looked_ns,
            after_ns=one.after_ns,
            fault=one.fault,
        )
        self._book.write_evidence(incident.id, evidence, _EVIDENCE_BYTES)
        self.incidents.append(incident)
        self._book.write(self.incidents)
        self.numbers.incident(incident)
        logger.info("incident %s: %s %s", incident.id, incident.outcome, incident.reason)

    def _end(self, found: Ended) -> None:
        """The last incident was on record while it lasted; its outcome stays."""
        last = self.incidents[-1]
        recovered = replace(found.recovered, hi_ns=max(found.recovered.hi_ns, last.impacted.hi_ns))
        events = {**last.timeline.events, "recovered": Event("recovered", recovered, ("requests",), "")}
        bad_s = (recovered.mid_ns - last.impacted.mid_ns) / 1e9
        health = replace(last.timeline.health, recovered=recovered, bad_s=bad_s)
        timeline = replace(last.timeline, events=events, health=health)
        self.incidents[-1] = replace(last, timeline=timeline, until_ns=found.until_ns, over=True)
        self._book.write(self.incidents)
        self.numbers.ended(self.incidents[-1])
        self._after_ns, self._seen_fault = found.until_ns, ""
        self._show(None)

    def _show(self, incident: Incident | None) -> None:
        self.current = incident
        recovered = incident is not None and incident.timeline.health.recovered is not None
        self.numbers.active(now=incident is not None and not recovered)

    def _look_for_needless(self, now_ns: int) -> None:
        """What the healer has done while all was well, as late as an incident that it belongs to would be known."""
        if self.current is not None or self._unrecorded:
            return  # an incident may be its reason, or its effect
        slo = self.service.slo
        known_s = ACTED_EARLIER_S + 3 * slo.hold_s + self._timeout_s + _TIDIED_EVERY_S / 2
        begin_ns, end_ns = self._acts_read_ns, now_ns - round(known_s * 1e9)
        if end_ns <= begin_ns:
            return
        told = self._told_in_lines.told(begin_ns, 0)
        found = [
            one
            for one in actions(told, self._healer, begin_ns, end_ns)
            if not self._has_an_incident(one)
            and not self._marks.in_force(self._file.namespace, one.start.lo_ns, one.start.hi_ns)
        ]
        if found:
            self._book.write_needless([*self.needless, *found])
        self.needless += found
        for one in found:
            self.numbers.needless(one.kind)
            logger.info("the healer acted without an incident: %s on %s", one.kind, one.target)
        self._acts_read_ns = end_ns

    def _has_an_incident(self, action: Action) -> bool:
        earlier_ns = round(ACTED_EARLIER_S * 1e9)
        return any(
            one.impacted.lo_ns - earlier_ns <= action.start.hi_ns and action.start.lo_ns <= one.until_ns
            for one in self.incidents
        )

    # ---- raw evidence --------------------------------------------------------------------------------------------

    def _begin_ns(self, last: Incident | None) -> int:
        """From where on the raw requests are judged: after the last incident, and not before one that was not on record
        when the monitor ended can have begun."""
        recorded_ns = 0
        if last is not None:
            recorded_ns = last.until_ns if last.recovered is None else last.recovered.hi_ns
        alive_ns = self._alive
        if not alive_ns:
            return recorded_ns or self._clock.now_ns()
        slo = self.service.slo
        longest_s = self.service.horizon_s + self._file.settle + 10 * slo.hold_s + _PATIENCE_S + 60
        return max(recorded_ns, alive_ns - round(longest_s * 1e9))

    def _alive_ns(self) -> int:
        """When an earlier monitor last wrote anything; 0 without one."""
        there = segments.files(self._book.raw, probe.KIND)
        return max((one.stat().st_mtime_ns for one in there), default=0)

    def _count(self, requests: list[Request]) -> None:
        latency_ns = round(self.service.slo.latency_s * 1e9)
        for one in requests:
            if one.sched_ns >= self._started_ns:  # those before were counted by the monitor before
                self.numbers.request(good=is_good(one, latency_ns))
                self._answered |= one.status > 0

    def _prune(self, now_ns: int) -> None:
        needed_ns = min([self._finder.begin_ns, *(one.seen.impacted.lo_ns for one in self._unrecorded)])
        segments.prune(self._book.raw, probe.KIND, needed_ns, _REQUEST_BYTES)
        segments.prune(self._book.raw, lines.KIND, needed_ns, _LINE_BYTES)
        segments.prune(self._book.raw, pods.KIND, needed_ns, _CLUSTER_BYTES)
        self._lines.forget(min(needed_ns - round(300e9), self._acts_read_ns))
        if self._pods:
            self._pods.forget(now_ns)


def _check(file: MonitorFile, healer: HealerFile) -> None:
    """Raises FileProblems for a source of lines that no rule of the healer file would read."""
    found = []
    if file.loki and healer.loki is None:
        found.append(
            Problem(file.healer, 0, 0, "has no `loki`", "add its query, or remove `loki` from the monitor's file")
        )
    rules = [rule for _, rule in rules_of(healer) if rule.reads_lines]
    for component in file.logs:
        if not any(rule.concerns(component) for rule in rules):
            known = ", ".join(sorted({rule.component for rule in rules if rule.component})) or "none"
            found.append(
                Problem(file.healer, 0, 0, f"no rule is about `{component}`, which `logs` names", f"known: {known}")
            )
    if found:
        raise FileProblems(found)
