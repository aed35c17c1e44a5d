"""The course of chosen trials as a report of one figure: chaos against healing. Evidence and records in, Report out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from smartops_chaos.analysis.words import NONE, ended, k_of_n, number, plain, seconds, stated_seconds
from smartops_chaos.errors import UsageError
from smartops_chaos.model import MOMENTS, Action, Arm, Evidence, Plan, Record, Request
from smartops_chaos.report import spans
from smartops_chaos.report.document import Figure, Filling, Keys, Report, Section, Table, col, table
from smartops_chaos.report.figures import trial_course, trial_picture
from smartops_chaos.report.figures.trial_course import Act, Course
from smartops_chaos.report.figures.trial_picture import as_number
from smartops_chaos.report.style import Styles, both
from smartops_chaos.timeline.derive import fault_ends
from smartops_chaos.timeline.interval import Frame, frame

MOST = 2
_VALUES: Keys = (("Dot", "a value of the SLO's query, good or bad"),)
_LINES: Keys = (
    ("Upright line", "a moment, named below; the middle of its interval"),
    ("Pale bar", "an action, from its start to its verification"),
)
_SHADED: Keys = (("Shaded", "the fault is in force"),)
_SHOWS_S = 0.05  # a fault that is over sooner leaves no shade that can be seen


def report(plan: Plan, campaign: str, trials: Sequence[tuple[Evidence, Record]], styles: Styles) -> Report:
    """One or two trials on one time axis. Raises UsageError for one without any request."""
    names = [evidence.trial.id for evidence, _ in trials]
    drawn, numbers = figure(plan, trials, styles, f"timeline-{'-and-'.join(names)}")
    traced = tuple(spans.tables(plan, trials))
    drawn = replace(drawn, tables=(*drawn.tables, *(one.id for one in traced)))
    when = ", ".join(sorted({evidence.started_at[:10] for evidence, _ in trials}))
    subtitle = f"Plan {plan.digest}  ·  target {plan.target.get('kind', '')}  ·  measured {when}"
    return Report(
        f"Self-healing benchmark: {campaign}", subtitle, (Section("course", "Course", (drawn, numbers, *traced)),)
    )


def figure(
    plan: Plan, trials: Sequence[tuple[Evidence, Record]], styles: Styles, figure_id: str
) -> tuple[Figure, Table]:
    """The figure of `report`, and its numbers. Raises UsageError for a trial without any request."""
    shown = [_course(plan, evidence, record) for evidence, record in trials]
    names = [evidence.trial.id for evidence, _ in trials]
    zeros = dict.fromkeys(_zero(plan, evidence) for evidence, _ in trials)
    numbers = _table(trials, shown)
    axis = f"time since {' or '.join(zeros)} [s]"
    svg, narrow = both(lambda: trial_course.courses(figure_id, shown, styles, axis))
    drawn = Figure(
        figure_id,
        "Chaos against healing: " + " and ".join(names),
        _message(shown),
        " ".join(_alt(name, course) for name, course in zip(names, shown, strict=True)),
        svg,
        (numbers.id,),
        (
            *(_VALUES if plan.analysis.slo.query else trial_picture.REQUESTS),
            *(_SHADED if any(_shades(one) for one in shown) else ()),
            *(_LINES if any(course.acts for course in shown) else _LINES[:1]),
            *_pair([evidence for evidence, _ in trials]),
        ),
        narrow=narrow,
    )
    return drawn, numbers


def _shades(course: Course) -> bool:
    end_s = course.picture.fault_end_s
    return end_s is None or end_s > _SHOWS_S


def _message(shown: Sequence[Course]) -> str:
    """When the outages were over, and by whom."""
    told = "; ".join(map(_ended_told, shown))
    return f"{told[:1].upper()}{told[1:]}."


def _ended_told(course: Course) -> str:
    picture, hurt = course.picture, course.hurt
    if hurt is None:
        return f"with {picture.arm} no user is hurt"
    if hurt[1] is None:
        return f"with {picture.arm} users are still hurt at the horizon of {stated_seconds(picture.horizon_s)}"
    return f"with {picture.arm} users are hurt until {seconds(hurt[1])} ({picture.outcome.partition(', ')[0]})"


def _course(plan: Plan, evidence: Evidence, record: Record) -> Course:
    if not evidence.requests:
        raise UsageError(
            f"{evidence.trial.id} has no request on record", "its log.txt says why; choose a trial that was measured"
        )
    trial, row = evidence.trial, record.row
    at = frame(evidence, len(plan.chaos[trial.chaos].parts))
    zero_ns = at.zero.mid_ns if at else evidence.requests[0].sched_ns
    moments = trial_picture.moments(row)
    injected = at is not None and bool(plan.chaos[trial.chaos].parts)
    time_s = f", {seconds(row['time_s'])}" if isinstance(row["time_s"], float) else ""
    picture = trial_picture.Picture(
        title=("calibration: " if trial.phase == "calibrate" else "")
        + f"{Arm(trial.model, trial.policy)} · {trial.chaos} / {trial.workload} · {trial.repeat}",
        outcome=ended(str(row["outcome"]), str(row["reason"] or "")) + time_s,
        arm=trial.arm,
        moments={"injected": (0.0, 0.0), **moments} if injected else moments,
        fault_end_s=_fault_end(evidence, at) if at and injected else 0.0,
        horizon_s=evidence.horizon_s,
        latency_s=evidence.slo.latency_s,
        injected_ns=zero_ns,
        requests=shown(evidence),
    )
    acts = record.timeline.actions if record.timeline else ()
    users = _users(record, "values" if evidence.slo.query else "requests")
    return Course(picture, users, bool(evidence.slo.query), _hurt(moments), tuple(_act(act, zero_ns) for act in acts))


def _fault_end(evidence: Evidence, at: Frame) -> float | None:
    """When the fault was over, by the target's account; else, of a trial that failed, by our own revert."""
    ends = [end for end, _ in fault_ends(evidence)]
    if not evidence.faults:
        ends = [call.at for call in evidence.calls if call.what == "revert" and call.ok]
    return max(0.0, (max(end.mid_ns for end in ends) - at.zero.mid_ns) / 1e9) if ends else None


def _hurt(moments: dict[str, tuple[float, float]]) -> tuple[float, float | None] | None:
    if "impacted" not in moments:
        return None
    end = moments.get("recovered")
    return sum(moments["impacted"]) / 2, sum(end) / 2 if end else None


def _zero(plan: Plan, evidence: Evidence) -> str:
    parts = len(plan.chaos[evidence.trial.chaos].parts)
    if frame(evidence, parts) is None:
        return "the first request"
    return "injection" if parts else "observation began"


def shown(evidence: Evidence) -> tuple[Request, ...]:
    """The requests; the values of a query all at one height, since how long it took says nothing of the service."""
    if not evidence.slo.query:
        return evidence.requests
    return tuple(r._replace(latency_ns=round(trial_course.GOOD_MS * 1e6)) for r in evidence.requests)


def _users(record: Record, what: str) -> str:
    seen = record.timeline.health if record.timeline else None
    if seen is None or not seen.requests:
        return ""
    return f"{seen.requests - seen.good_requests} of {seen.requests} {what} bad"


def _act(action: Action, zero_ns: int) -> Act:
    end = action.verified or action.end or action.start
    start_s, end_s = ((at.mid_ns - zero_ns) / 1e9 for at in (action.start, end))
    return Act(action.kind, action.status, start_s, end_s)


def _pair(trials: Sequence[Evidence]) -> Keys:
    if len(trials) < MOST:
        return ()
    one, other = (evidence.trial for evidence in trials)
    if one.block and (one.chaos, one.workload, one.block) == (other.chaos, other.workload, other.block):
        return (("Twins", f"both of block {one.block}: the same scenario and repeat"),)
    return (("No twins", "they are not of one block, so they show two courses and no matched comparison"),)


def _alt(name: str, course: Course) -> str:
    moments = course.picture.moments.items()
    told = ", ".join(f"{moment} at {seconds((lo + hi) / 2)}" for moment, (lo, hi) in moments if moment != "injected")
    return f"{name}: {course.picture.outcome}; {told or 'no moment was seen'}."


def _table(trials: Sequence[tuple[Evidence, Record]], shown: Sequence[Course]) -> Table:
    """What the figure shows as numbers: a line for each of them, a column for each trial."""
    Trial = tuple[Evidence, Record, Course]
    Line = tuple[str, Callable[[Evidence, Record, Course], str]]

    def moment_line(moment: str) -> Line:
        return moment, lambda _, __, course: _moment(course, moment)

    lines: list[Line] = [
        *map(moment_line, MOMENTS[1:]),
        ("fault ended", lambda _, record, __: _ended(record)),
        ("actions", lambda _, __, course: _acts(course)),
        ("scored time (n = 1)", lambda _, record, __: seconds(as_number(record.row["time_s"]))),
        ("horizon", lambda evidence, _, __: stated_seconds(evidence.horizon_s)),
        ("bad seconds", lambda _, record, __: seconds(as_number(record.row["bad_seconds"]))),
        ("good requests", lambda _, record, __: _good(record)),
        ("relapses", lambda _, record, __: number(as_number(record.row["relapses"]), 0)),
        ("flags", lambda _, record, __: str(record.row["flags"] or NONE).replace(",", ", ")),
    ]

    def trial_column(trial: Trial) -> Filling[Line]:
        return col(trial[0].trial.id, lambda line: line[1](*trial))

    return table(
        "tab-course",
        "The numbers of the figure",
        lines,
        [
            col("Moment", lambda line: line[0], align="left"),
            *(trial_column((*trial, course)) for trial, course in zip(trials, shown, strict=True)),
        ],
        "Seconds since injection.",
        (
            ("From, to", "the interval in which a moment is known to lie"),
            ("–", "not seen, or does not count"),
            ("Requests, bad seconds", "from the injection to the end of the observation, at most to the horizon"),
            ("Actions", "from their start, by the clock of the healer's log"),
        ),
    )


def _moment(course: Course, moment: str) -> str:
    if moment not in course.picture.moments:
        return NONE
    lo, hi = course.picture.moments[moment]
    return f"{number(lo, 3)} to {number(hi, 3)}"


def _ended(record: Record) -> str:
    end_s = as_number(record.row["fault_end_s"])
    return NONE if end_s is None else f"{number(end_s, 3)}, by {record.row['fault_end_by'] or 'nobody known'}"


def _acts(course: Course) -> str:
    told = (f"{a.kind} from {number(a.start_s, 3)} to {number(a.end_s, 3)}: {plain(a.status)}" for a in course.acts)
    return "; ".join(told) or NONE


def _good(record: Record) -> str:
    good, sent = record.row["good_requests"], record.row["requests"]
    return k_of_n(good, sent) if isinstance(good, int) and isinstance(sent, int) else NONE
