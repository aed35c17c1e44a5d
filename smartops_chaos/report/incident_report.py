"""Real incidents as a Report: how long they took, who ended them, and the newest of them seen closely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from smartops_chaos.analysis.incident_numbers import IncidentNumbers, scored_s
from smartops_chaos.analysis.load_incidents import IncidentData, same
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.analysis.words import (
    NONE,
    count,
    k_of_n,
    percent,
    percent_range,
    seconds,
    seconds_range,
    stated_seconds,
    with_range,
)
from smartops_chaos.model import MOMENTS, Arm, Interval, Outcome
from smartops_chaos.report.course import shown
from smartops_chaos.report.document import Block, Box, Facts, Figure, Paragraph, Report, Section, Table, col, table
from smartops_chaos.report.figures import trial_course, trial_picture
from smartops_chaos.report.figures.trial_course import Act, Course
from smartops_chaos.report.page import arm_name
from smartops_chaos.report.style import arm_styles
from smartops_chaos.timeline.incident import Incident, IncidentEvidence

_ENDED = {
    Outcome.HEALED: "the healer",
    Outcome.PLATFORM: "not the healer",
    Outcome.HARMED: "begun by an action of the healer",
    Outcome.UNRECOVERED: "nobody by the horizon",
}
_METHOD = (
    "An incident begins when the rate of bad answers rises and the service misses its objective, and it is over when "
    "health has lasted. The moments are dated as in a trial, by the same functions, from the monitor's own requests "
    "and the healer's lines and metrics. Times count from the impact, because nothing was injected; those of a "
    "campaign count from the injection.",
    "MTTR is the restricted mean: an incident that lasted beyond the horizon counts as the horizon. It is no mean of "
    "the recovered alone, as many dashboards show it. Its 95 % interval takes the incidents as independent draws from "
    "one law; several incidents with one cause make it too narrow.",
    "Who ended an incident is bookkeeping by time: an action on the service that ended before the recovery. That the "
    "healer shortens incidents follows from a campaign only, where its absence is tried too, in random order. "
    "Incidents and trials are shown side by side, and not compared: faults that come by themselves are other ones.",
)


_DRAWN = 6  # the newest incidents with evidence
_COURSE = (
    "Requests around the incident at the second at which they were sent. Dots: good ones; crosses: bad ones, and on "
    "the uppermost line those without a good answer. Dashed: the latency that the SLO allows; dotted: the horizon. "
    "Below: what users suffered, and the moments of the repair, in the middle of the interval in which they are known "
    "to lie (the thick line); pale: actions, from start to verification."
)


def build(data: IncidentData, campaign: Summary | None) -> Report:
    found, incidents = data.numbers, data.incidents
    known = [(one, evidence) for one in incidents if (evidence := data.evidence(one)) is not None]
    days = dict.fromkeys((_when(found.begun_ns)[:10], _when(found.ended_ns)[:10]))
    sections = [
        Section("answer", "The answer", tuple(_answer(found))),
        *(
            [Section("beside", f"Beside the campaign {campaign.campaign}", (_beside(found, campaign),))]
            if campaign
            else []
        ),
        Section("incidents", "Incident by incident", (_list(incidents), *_checked(known, len(incidents)))),
        *([Section("closely", "Seen closely", tuple(_course(*one) for one in known[-_DRAWN:]))] if known else []),
        Section("method", "How to read this", tuple(Paragraph(text) for text in _METHOD)),
    ]
    subtitle = f"{count(found.n, 'incident')}  ·  {found.namespace}  ·  {' to '.join(days)}"
    return Report(f"Incidents of {found.service}", subtitle, tuple(sections))


def sentences(found: IncidentNumbers) -> Iterable[str]:
    """The answer in words."""
    mean = with_range(seconds(found.mttr_s), seconds_range(*found.mttr))
    came = "itself" if found.n == 1 else "themselves"
    yield f"The service recovered after {mean} on average, over {count(found.n, 'incident')} that came by {came}."
    share = with_range(percent(found.by_healer), percent_range(*found.healer))
    yield f"The healer ended {share} of them, and detected {k_of_n(found.detected, found.n)}."


def _answer(found: IncidentNumbers) -> Iterable[Block]:
    yield from (Paragraph(text, "lead") for text in sentences(found))
    if found.in_campaigns:
        more = f"{count(found.in_campaigns, 'incident')} during faults of campaigns did not come by themselves."
        yield Box("Left out of all numbers", (more,), "none")
    yield Facts(
        (
            ("Horizon", stated_seconds(found.horizon_s)),
            ("Half recovered within", seconds(found.median_s)),
            ("Beyond the horizon", k_of_n(found.unrecovered, found.n)),
            ("Mean time to detect", f"{seconds(found.detection_s)} of those that were detected"),
            ("Bad seconds in all", seconds(found.bad_s)),
            ("Actions without an incident", ", ".join(f"{n} {kind}" for kind, n in found.needless.items()) or NONE),
            ("Outcomes", ", ".join(f"{n} {outcome}" for outcome, n in found.outcomes.items())),
        )
    )


def _beside(found: IncidentNumbers, campaign: Summary) -> Table:
    Line = tuple[str, int, str, str]
    lines: list[Line] = [
        (
            "incidents",
            found.n,
            with_range(seconds(found.mttr_s), seconds_range(*found.mttr)),
            with_range(percent(found.by_healer), percent_range(*found.healer)),
        )
    ]
    lines += [
        (
            f"trials: {arm_name(arm)}",
            arm.counted,
            with_range(seconds(arm.mttr.rmst_s), seconds_range(arm.mttr.lo, arm.mttr.hi)),
            percent(arm.auto_heal.by_healer),
        )
        for arm in campaign.arms
    ]
    horizons = {arm.mttr.horizon_s for arm in campaign.arms if arm.mttr.horizon_s is not None}
    told = " and ".join(stated_seconds(one) for one in sorted(horizons)) or NONE
    return table(
        "tab-beside",
        "Incidents and trials",
        lines,
        [
            col("Of", lambda line: line[0], grow=3),
            col("Number", lambda line: str(line[1])),
            col("MTTR (95 % interval)", lambda line: line[2]),
            col("Ended by the healer", lambda line: line[3]),
        ],
        f"Horizons: incidents {stated_seconds(found.horizon_s)} from the impact, trials {told} from the injection.",
    )


def _list(incidents: Sequence[Incident]) -> Table:
    return table(
        "tab-incidents",
        "All incidents on record",
        incidents,
        [
            col("Began, UTC", lambda one: _when(one.impacted.mid_ns), align="left"),
            col("Ended by", lambda one: _ENDED.get(one.outcome, str(one.outcome)), grow=2),
            col("Detected", lambda one: seconds(one.seconds_to("detected"))),
            col("Acted", lambda one: seconds(one.seconds_to("acted"))),
            col("Recovered", lambda one: seconds(one.seconds_to("recovered")) if one.recovered else NONE),
            col("Counts as", lambda one: seconds(scored_s(one, one.horizon_s))),
            col("Relapses", lambda one: str(one.timeline.health.relapses)),
            col("Actions", lambda one: ", ".join(f"{a.kind} {a.status}" for a in one.timeline.actions) or NONE, grow=2),
            col("Why", lambda one: "\n".join(filter(None, (one.reason, one.fault))) or NONE, grow=2),
        ],
        "Seconds from the impact. Why: the reason of an outcome, and the fault of a campaign during which it happened.",
        small=True,
    )


def _checked(known: Sequence[tuple[Incident, IncidentEvidence]], n: int) -> Iterable[Block]:
    """Whether whoever has the folder comes to the same."""
    if known:
        alike = sum(same(*one) for one in known)
        yield Paragraph(
            f"Of {count(n, 'incident')} the evidence of {len(known)} is kept: requests, lines and samples. Derived "
            f"again from it, {k_of_n(alike, len(known))} are as they are on record."
        )


def _course(incident: Incident, evidence: IncidentEvidence) -> Figure:
    """What users saw of one incident, and what the healer did."""
    zero_ns = incident.impacted.mid_ns

    def seconds_of(at: Interval) -> tuple[float, float]:
        return (at.lo_ns - zero_ns) / 1e9, (at.hi_ns - zero_ns) / 1e9

    told, arm, health = incident.timeline, Arm(incident.service, ""), incident.timeline.health
    moments = {name: seconds_of(told.events[name].at) for name in MOMENTS if name in told.events}
    reason = f" ({incident.reason})" if incident.reason else ""
    recovered_s = incident.seconds_to("recovered")
    picture = trial_picture.Picture(
        title=f"{incident.service} · {_when(zero_ns)} UTC",
        outcome=f"{incident.outcome}{reason}",
        arm=arm,
        moments=moments,
        fault_end_s=0.0,
        horizon_s=incident.horizon_s,
        latency_s=evidence.service.slo.latency_s,
        injected_ns=zero_ns,
        requests=shown(evidence.told),
    )
    ends = [(one, one.verified or one.end or one.start) for one in told.actions]
    acts = tuple(Act(a.kind, a.status, seconds_of(a.start)[0], seconds_of(end)[1]) for a, end in ends)
    users = f"{health.good_requests} of {health.requests} requests good until the recovery"
    course = Course(picture, users, bool(evidence.service.slo.query), (0.0, recovered_s), acts)
    figure_id = f"incident-{incident.id}"
    seen = ", ".join(f"{name} at {seconds(incident.seconds_to(name))}" for name in moments if name != "impacted")
    return Figure(
        figure_id,
        f"The incident of {_when(zero_ns)}",
        _COURSE,
        f"{incident.outcome}{reason}; {seen or 'nothing else was seen'}.",
        trial_course.courses(figure_id, [course], arm_styles([arm], arm), "time since the impact [s]"),
        ("tab-incidents",),
    )


def _when(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
