"""What happens by itself: an outage of a standing service and what the healer did about it -> Incident. Pure.

Nothing was injected, so an incident's time counts from its impact. All else is as in a trial: the rules of the healer
file tell the moments and actions (timeline.rules), and timeline.outcome says how it ended:

    healed       an action of the healer on the service ended before the recovery began
    platform     recovered otherwise: by the platform, by a person, or by itself
    harmed       it began within an action of the healer or its rollout
    unrecovered  not recovered by the horizon, the time after which a person has to step in; it may recover later

Spells with less than `settle` of health between them are one incident; all but the first are its relapses. A moment
counts from `EARLIER_S` before the impact on, since a healer may see what users do not feel yet, and an action, which
may be the reason of the impact, from `ACTED_EARLIER_S` before it on. One that belongs to no incident was needless.

`derive_again` makes the same incident of its evidence alone: requests, lines and samples, nothing that was derived.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from smartops_chaos.model import (
    SCHEMA_VERSION,
    Action,
    Call,
    ChaosLevel,
    Event,
    Evidence,
    FaultFact,
    FaultPart,
    Health,
    Interval,
    Outcome,
    Request,
    Slo,
    Timeline,
    Trial,
)
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.timeline.health import Spell, is_good, spells
from smartops_chaos.timeline.interval import Frame
from smartops_chaos.timeline.outcome import flags, judge
from smartops_chaos.timeline.rules import hits, read

EARLIER_S = 15.0
ACTED_EARLIER_S = 60.0

# An incident in the place of a trial's plan: one part of a fault that nobody has defined.
_UNKNOWN = ChaosLevel("by itself", (FaultPart("unknown", "unknown", True, {}, {}),), "unknown", math.inf, "")
_TRIAL = Trial("incident", "measure", "by itself", "", "", "", 1, 0, 0)


@dataclass(frozen=True, slots=True)
class Incident:
    """One line of incidents.ndjson. `events` of its timeline are on the monitor's clock, nanoseconds since 1970."""

    id: str  # the moment of its impact, which no other incident of the service has
    namespace: str
    service: str
    outcome: Outcome
    reason: str
    flags: tuple[str, ...]
    timeline: Timeline
    horizon_s: float
    until_ns: int  # what it was derived from ends here
    over: bool  # recovered, and health has lasted
    fault: str = ""  # "<campaign>/<trial>" of a fault that was in force: then it did not come by itself
    schema_version: int = SCHEMA_VERSION

    @property
    def impacted(self) -> Interval:
        return self.timeline.events["impacted"].at

    @property
    def recovered(self) -> Interval | None:
        event = self.timeline.events.get("recovered")
        return event.at if event else None

    def seconds_to(self, moment: str) -> float | None:
        """From the middle of the impact's interval to that of a moment, at least 0; None if it was not seen."""
        event = self.timeline.events.get(moment)
        return None if event is None else max(0.0, (event.at.mid_ns - self.impacted.mid_ns) / 1e9)


@dataclass(frozen=True, slots=True)
class StandingService:
    """What is observed, and for how long an outage may last."""

    namespace: str
    service: str  # what an action has to hit: a Deployment's name
    slo: Slo
    horizon_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What the requests say of an incident so far; its beginning is fixed, its end may not be known yet."""

    spells: tuple[Spell, ...]  # the first began it
    requests: tuple[Request, ...]
    begin_ns: int  # nothing before it was judged
    looked_ns: int  # all requests due before it were there
    until_ns: int  # of the incident itself: a later one may have been seen already
    over: bool

    @property
    def impacted(self) -> Interval:
        return self.spells[0].impacted

    @property
    def recovered(self) -> Interval | None:
        return self.spells[-1].recovered


@dataclass(frozen=True, slots=True)
class IncidentEvidence:
    """All that an incident is derived from. `told` has the requests too; `healer` is the healer file's `model_dump`."""

    told: Evidence
    healer: Mapping[str, Any]
    service: StandingService
    settle_s: float
    begin_ns: int
    looked_ns: int
    after_ns: int
    fault: str
    schema_version: int = SCHEMA_VERSION


def see(requests: Sequence[Request], slo: Slo, settle_s: float, begin_ns: int, looked_ns: int) -> Seen | None:
    """The first incident in the requests of a time before which all was well; None where nothing was bad."""
    found = spells(requests, slo, begin_ns, looked_ns)
    if not found.found:
        return None
    group, more = first_group(found.found, settle_s)
    last = group[-1].recovered
    quiet_ns = looked_ns - round(slo.hold_s * 1e9) - last.hi_ns if last else 0
    over = last is not None and (more or (found.good_now and quiet_ns >= round(settle_s * 1e9)))
    until_ns = last.hi_ns if more and last else looked_ns
    return Seen(group, tuple(requests), begin_ns, looked_ns, until_ns, over)


def first_group(found: tuple[Spell, ...], settle_s: float) -> tuple[tuple[Spell, ...], bool]:
    """The spells of one incident, and whether a later one follows."""
    for number, (one, following) in enumerate(pairwise(found), 1):
        if one.recovered and following.impacted.lo_ns - one.recovered.hi_ns >= round(settle_s * 1e9):
            return found[:number], True
    return found, False


def derive_again(evidence: IncidentEvidence, healer: HealerFile) -> Incident | None:
    """The incident as it was when it came on record; None where the requests show none."""
    slo, told = evidence.service.slo, evidence.told
    seen = see(told.requests, slo, evidence.settle_s, evidence.begin_ns, evidence.looked_ns)
    if seen is None:
        return None
    return derive(seen, told, healer, evidence.service, after_ns=evidence.after_ns, fault=evidence.fault)


def actions(told: Evidence, healer: HealerFile, begin_ns: int, end_ns: int) -> tuple[Action, ...]:
    """What the healer has begun to do between two moments, whatever happened to the service."""
    begin = Interval(begin_ns, begin_ns)
    found = read(told, healer, Frame(begin, begin, end_ns)).actions
    return tuple(one for one in found if begin_ns <= one.start.lo_ns < end_ns)


def derive(
    seen: Seen, told: Evidence, healer: HealerFile, service: StandingService, *, after_ns: int = 0, fault: str = ""
) -> Incident:
    """The incident. `told` has the healer's side: lines, samples, clocks, what happened to the service's replicas.

    Nothing before `after_ns` is read, where an earlier incident may have ended. The same evidence gives the same
    incident.
    """
    impacted, slo = seen.impacted, service.slo
    frames = [
        Frame(
            Interval(max(after_ns, impacted.lo_ns - round(earlier * 1e9)), impacted.hi_ns),
            impacted,
            seen.until_ns,
        )
        for earlier in (EARLIER_S, ACTED_EARLIER_S)
    ]
    objects = {service.service, *(one.object for one in told.platform if hits(service.service, (one.object,)))}
    evidence = replace(
        told,
        slo=slo,
        horizon_s=service.horizon_s,
        requests=seen.requests,
        observed_until_ns=seen.until_ns,
        stopped_early=seen.over,
        gate_passed=True,
        calls=(Call("inject", 0, impacted, True),),
        faults=(FaultFact(0, "", True, "", tuple(sorted(objects)), None, ""),),
    )
    reading, acted = (read(evidence, healer, frame) for frame in frames)
    events = dict(reading.events)
    events["impacted"] = Event("impacted", impacted, ("requests",), "")
    within_ns = impacted.mid_ns + round(service.horizon_s * 1e9)
    recovered = seen.recovered if seen.over else None
    if recovered is not None:
        events["recovered"] = Event("recovered", recovered, ("requests",), "")
    timeline = replace(reading.timeline(events, _health(seen, slo)), actions=acted.actions)
    by_horizon = timeline
    if recovered is None or recovered.mid_ns > within_ns:
        by_horizon = replace(timeline, events={k: v for k, v in timeline.events.items() if k != "recovered"})
        evidence = replace(evidence, stopped_early=False)
    judged = judge(evidence, _UNKNOWN, frames[0], by_horizon, reading.blocks["denied"])
    outcome, reason = judged.outcome, judged.reason
    if not outcome.incident:  # nothing was asked around the horizon; before and after it the service was bad
        outcome, reason = Outcome.UNRECOVERED, "gap"
    return Incident(
        id=f"{impacted.mid_ns // 1_000_000}",
        namespace=service.namespace,
        service=service.service,
        outcome=outcome,
        reason=reason,
        flags=flags(evidence, timeline, judged),
        timeline=timeline,
        horizon_s=service.horizon_s,
        until_ns=seen.until_ns,
        over=seen.over,
        fault=fault,
    )


def nothing_told() -> Evidence:
    """Evidence of a healer that nobody reads."""
    return Evidence(_TRIAL, 1, "", "", Slo(1, 1, 1), math.inf, math.inf)


def _health(seen: Seen, slo: Slo) -> Health:
    """Bad seconds are those of all spells; requests are those from the impact to the recovery."""
    latency_ns = round(slo.latency_s * 1e9)
    end_ns = seen.recovered.hi_ns if seen.recovered else seen.until_ns
    within = [r for r in seen.requests if seen.impacted.lo_ns <= r.sched_ns <= end_ns]
    ends = [one.recovered.mid_ns if one.recovered else seen.until_ns for one in seen.spells]
    bad_ns = sum(end - one.impacted.mid_ns for one, end in zip(seen.spells, ends, strict=True))
    return Health(
        impacted=seen.impacted,
        recovered=seen.recovered if seen.over else None,
        relapses=len(seen.spells) - 1,
        bad_s=bad_ns / 1e9,
        unknown_s=_unasked_s(within, slo),
        requests=len(within),
        good_requests=sum(is_good(r, latency_ns) for r in within),
        lateness_p99_s=0.0,  # what was sent late is left out before
    )


def _unasked_s(requests: Sequence[Request], slo: Slo) -> float:
    """Seconds within an incident for which nothing was asked: gaps longer than the window that judges."""
    stamps = [r.sched_ns for r in requests]
    gaps = (later - earlier for earlier, later in pairwise(stamps))
    return sum(gap for gap in gaps if gap > slo.hold_s * 1e9) / 1e9
