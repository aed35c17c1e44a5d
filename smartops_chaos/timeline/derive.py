"""Evidence + healer file -> Record, and the explanation of what each rule matched.

`time_s`, the scored time: the middle of the recovery's interval for healed and platform; 0 for prevented and
no_effect; the horizon for unrecovered, also if the healer's false alarms kept the fault from being injected. Harm
counts like any other impact: its recovery, or the horizon. Empty where nothing counts: invalid, error, aborted, clean,
false_alarm. `ttr_impact_s` is the same from the impact on, with what is left of the horizon for unrecovered.
"""

from __future__ import annotations

from collections.abc import Iterator

from smartops_chaos.model import (
    COLUMNS,
    FALSE_ALARMS,
    MOMENTS,
    Action,
    Call,
    ChaosLevel,
    Event,
    Evidence,
    Interval,
    Outcome,
    Record,
    Timeline,
)
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.timeline import before, calibration, health, waterfall
from smartops_chaos.timeline.interval import Frame, frame
from smartops_chaos.timeline.outcome import Judgement, executed, flags, judge, on_runner
from smartops_chaos.timeline.rules import Match, Reading, read
from smartops_chaos.timeline.tracing import trace_id, traces_of

Cell = str | int | float | None

_SHOWN = 5  # matches of a rule in an explanation
_LONGEST_DETAIL = 300  # letters of a failure of the harness


def derive(evidence: Evidence, healer: HealerFile, campaign: str, chaos: ChaosLevel) -> Record:
    """The record of a trial. Pure: the same evidence gives the same record."""
    at, _, timeline, judgement = _read(evidence, healer, chaos)
    trial = evidence.trial
    expected = tuple(dict.fromkeys(cause for part in chaos.parts for cause in healer.causes.get(part.family, ())))
    row: dict[str, Cell] = dict.fromkeys(COLUMNS)
    row |= {
        "campaign": campaign,
        "phase": trial.phase,
        "trial": trial.id,
        "chaos": trial.chaos,
        "family": chaos.family,
        "workload": trial.workload,
        "model": trial.model,
        "policy": trial.policy,
        "repeat": trial.repeat,
        "block": trial.block,
        "lane": evidence.lane,
        "attempt": evidence.attempt,
        "started_at": evidence.started_at,
        "outcome": str(judgement.outcome),
        "reason": judgement.reason,
        "flags": ",".join(flags(evidence, timeline, judgement)),
        "horizon_s": evidence.horizon_s,
        "hold_s": evidence.slo.hold_s,
        "rca_expected": "|".join(expected) or None,
        "work_ms": evidence.work_ms,
        "utilisation": evidence.utilisation,
        "detail": _detail(evidence, judgement) or None,
    }
    row["service_ms"], row["service_from"] = before.service(evidence) or (None, None)
    if judgement.outcome == Outcome.UNRECOVERED:  # also where it was spoiled and nothing is observed
        row["time_s"] = row["ttr_impact_s"] = evidence.horizon_s
    if at is not None and timeline is not None:
        row |= _observed(evidence, at, timeline, judgement)
        if timeline.causes:
            row["rca_top1"] = timeline.causes[0]
            row["rca_rank"] = next((n for n, cause in enumerate(timeline.causes, 1) if cause in expected), None)
    return Record({name: round(v, 6) if isinstance(v, float) else v for name, v in row.items()}, timeline)


def _detail(evidence: Evidence, judgement: Judgement) -> str:
    """What the reason of a trial that does not count means, in words; empty where the reason says it all."""
    if judgement.outcome == Outcome.ERROR:
        return " ".join(evidence.error.split())[:_LONGEST_DETAIL]
    if judgement.reason == "gate":
        return before.not_begun(evidence)
    if judgement.reason == FALSE_ALARMS:
        return (
            f"the healer signalled or acted {evidence.gate_false_alarms} times before anything was injected. It takes "
            "a healthy service for a broken one: its detector is too sensitive, or the service is not quiet."
        )
    return ""


def traces(evidence: Evidence, healer: HealerFile, chaos: ChaosLevel) -> tuple[str, ...]:
    """IDs of the traces that the timeline names."""
    at, _, timeline, _ = _read(evidence, healer, chaos)
    return tuple(waterfall.named(evidence, at, timeline.events)) if at and timeline else ()


def explain(evidence: Evidence, healer: HealerFile, chaos: ChaosLevel) -> str:
    """For each rule what it matched and what it did not, and what came of it; seconds since injection."""
    at, reading, timeline, judgement = _read(evidence, healer, chaos)
    return "\n".join(_told(evidence, at, reading, timeline, judgement)) + "\n"


def _read(
    evidence: Evidence, healer: HealerFile, chaos: ChaosLevel
) -> tuple[Frame | None, Reading | None, Timeline | None, Judgement]:
    at = frame(evidence, len(chaos.parts))
    if at is None or at.until_ns <= at.injected.lo_ns:
        return at, None, None, judge(evidence, chaos, at, None, 0)
    reading = read(evidence, healer, at)
    seen = health.measure(
        evidence.requests,
        evidence.slo,
        injected=at.injected,
        zero_ns=at.zero.mid_ns,
        horizon_s=evidence.horizon_s,
        until_ns=at.until_ns,
        stopped_early=evidence.stopped_early,
        stop_after_good_s=evidence.stop_after_good_s,
    )
    events = dict(reading.events)
    if chaos.parts:
        events["injected"] = Event("injected", at.zero, ("own call",), "")
    horizon_ns = at.zero.mid_ns + round(evidence.horizon_s * 1e9)
    for moment, interval in (("impacted", seen.impacted), ("recovered", seen.recovered)):
        if interval is not None and interval.mid_ns <= horizon_ns:
            events[moment] = Event(moment, interval, ("requests",), "")
    timeline = reading.timeline(events, seen)
    return at, reading, timeline, judge(evidence, chaos, at, timeline, reading.blocks["denied"])


def _observed(evidence: Evidence, at: Frame, timeline: Timeline, judgement: Judgement) -> dict[str, Cell]:
    """The columns of a trial in which something was injected (or, without a fault, observed)."""
    seen = timeline.health
    row: dict[str, Cell] = {}
    for moment, event in timeline.events.items():
        if moment != "injected":
            row[f"{moment}_lo_s"], row[f"{moment}_hi_s"] = at.seconds(event.at)
    row["time_s"], row["ttr_impact_s"] = _scored(evidence.horizon_s, at, timeline, judgement)
    row["fault_end_s"], row["fault_end_width_s"], row["fault_end_by"] = _fault_end(evidence, at)
    if evidence.trial.phase == "calibrate" and row["fault_end_by"] == "harness":
        ended = max((when for when, _ in fault_ends(evidence)), key=lambda when: when.hi_ns)
        recovered = timeline.events["recovered"].at if "recovered" in timeline.events else None
        row["drain_s"], row["dating_error_s"] = calibration.split(
            evidence, at.injected.lo_ns, ended, recovered, seen.relapses
        )
    carried_out = executed(timeline.actions)
    return row | {
        "observed_s": max(0.0, (at.until_ns - at.zero.mid_ns) / 1e9),
        "relapses": seen.relapses,
        "late_relapses": seen.late_relapses,
        "actions": len(carried_out),
        "actions_failed": sum(action.status == "failed" for action in carried_out),
        "needless_actions": sum(_needless(action, timeline, judgement) for action in carried_out),
        "guardrail_blocks": timeline.guardrail_blocks,
        "cooldown_skips": timeline.cooldown_skips,
        "policy_rule": timeline.policy_rule or None,
        "requests": seen.requests,
        "good_requests": seen.good_requests,
        "bad_seconds": seen.bad_s,
        "unknown_seconds": seen.unknown_s,
        "lateness_p99_s": seen.lateness_p99_s,
    }


def _scored(horizon_s: float, at: Frame, timeline: Timeline, judgement: Judgement) -> tuple[float | None, float | None]:
    """time_s and ttr_impact_s; see the top of this module."""
    if not judgement.outcome.counted:
        return None, None
    if judgement.outcome in (Outcome.PREVENTED, Outcome.NO_EFFECT):
        return 0.0, 0.0
    recovered, impacted = timeline.health.recovered, timeline.health.impacted
    end_s = (recovered.mid_ns - at.zero.mid_ns) / 1e9 if recovered else horizon_s
    time_s = min(max(0.0, end_s), horizon_s)
    impact_s = (impacted.mid_ns - at.zero.mid_ns) / 1e9 if impacted else 0.0
    return time_s, max(0.0, time_s - max(0.0, impact_s))


def _needless(action: Action, timeline: Timeline, judgement: Judgement) -> bool:
    """Whether there was nothing to repair: no fault, no effect of it, or the outage was over when the action began."""
    if judgement.outcome in (Outcome.CLEAN, Outcome.FALSE_ALARM, Outcome.NO_EFFECT):
        return True
    recovered = timeline.health.recovered
    return recovered is not None and action.start.lo_ns > recovered.hi_ns


def fault_ends(evidence: Evidence) -> tuple[tuple[Interval, str], ...]:
    """When each part of the fault was gone, and who ended it; empty while a part is in force, or without a fault.

    In a calibration trial a part that is over at once (a killed pod) ends within our revert, which has its pod back
    when it returns; on a cluster there is nothing to revert, and the platform brings it back when it will.
    """
    ends: list[tuple[Interval, str]] = []
    reverts = [call for call in evidence.calls if call.what == "revert" and call.ok and not _in_vain(call)]
    for fact in evidence.faults:
        if evidence.trial.phase == "calibrate" and fact.ended_by == "momentary" and reverts:
            ends.append((min((call.at for call in reverts), key=lambda when: when.hi_ns), "harness"))
        elif fact.ended is not None:
            ends.append((on_runner(evidence, fact.ended, fact.clock), fact.ended_by))
    return tuple(ends) if len(ends) == len(evidence.faults) else ()


def _fault_end(evidence: Evidence, at: Frame) -> tuple[float | None, float | None, str | None]:
    """When the last part of the fault was gone, how wide that interval is, and who ended it; None while in force."""
    ends = fault_ends(evidence)
    if not ends:
        return None, None, None
    last, by = max(ends, key=lambda end: end[0].hi_ns)
    return max(0.0, (last.mid_ns - at.zero.mid_ns) / 1e9), (last.hi_ns - last.lo_ns) / 1e9, by or None


def _in_vain(revert: Call) -> bool:
    """Whether it says itself that there was nothing to end."""
    return isinstance(revert.output, dict) and revert.output.get("in_force") is False


def _told(
    evidence: Evidence, at: Frame | None, reading: Reading | None, timeline: Timeline | None, judgement: Judgement
) -> Iterator[str]:
    noted = ", ".join(flags(evidence, timeline, judgement))
    yield f"{evidence.trial.id}: {judgement.outcome}" + (f", {judgement.reason}" if judgement.reason else "")
    if noted:
        yield f"flags: {noted}"
    if (detail := _detail(evidence, judgement)) and not evidence.error:
        yield f"not begun: {detail}"
    for what in (evidence.error, *evidence.missing):
        if what:
            yield f"not read or failed: {what}"
    if at is None or reading is None or timeline is None:
        yield "nothing was injected and observed, so no rule was applied"
        return
    yield "\nTimeline (seconds since injection)"
    for moment in MOMENTS[1:]:
        event = timeline.events.get(moment)
        yield f"  {moment:<10}" + (f"{_span(at, event.at)}  from {'; '.join(event.sources)}" if event else "not seen")
        if event and "trace" in event.detail:
            yield f"  {'':<10}trace {event.detail['trace']}"
    for conflict in timeline.conflicts:
        yield f"  sources disagree: {conflict}"
    if bad := waterfall.first_bad(evidence, at):
        when_s, ours = (bad.sched_ns - at.zero.mid_ns) / 1e9, traces_of(evidence.trial.id, evidence.attempt)
        yield f"  first bad request, due at {when_s:.3f}: trace {trace_id(ours, bad.sched_ns)}"
    yield from _traced(evidence, at, timeline)
    yield "\nActions"
    for action in timeline.actions:
        end, verified = (_span(at, i) if i else "not seen" for i in (action.end, action.verified))
        begun = _span(at, action.start)
        yield f"  {action.kind} on {action.target}: {action.status}, begun {begun}, done {end}, verified {verified}"
    if not timeline.actions:
        yield "  none"
    yield "\nRules"
    for rule in reading.matches:
        yield f"  {rule.what}: {rule.rule}"
        for match in rule.matches[:_SHOWN]:
            yield f"    {_when(at, match)}  {match.raw}" + (f"  {match.samples}" if match.samples else "")
        if len(rule.matches) > _SHOWN:
            yield f"    and {len(rule.matches) - _SHOWN} more"
        if not rule.matches:
            yield "    matched nothing"


def _traced(evidence: Evidence, at: Frame, timeline: Timeline) -> Iterator[str]:
    """The spans that were fetched, each below the one that has asked for it."""
    if evidence.untraced:
        yield f"\nTraces: not read, since {evidence.untraced}"
    if evidence.traces:
        yield "\nTraces (start in seconds since injection, duration in seconds)"
    for trace in waterfall.waterfall(evidence, at, timeline.events):
        yield f"  {trace.id}, of {', '.join(trace.named_by)}" + ("" if trace.rows else ": its store has no span of it")
        for row in trace.rows:
            took = f"{row.start_s:+8.3f} {row.duration_s:7.3f} {row.status:<5}"
            yield f"    {took} {'  ' * row.depth}{row.service}: {row.name}"
        if trace.left_out:
            yield f"    and {trace.left_out} more"


def _span(at: Frame, when: Interval) -> str:
    lo, hi = at.seconds(when)
    return f"{lo:.3f} to {hi:.3f}"


def _when(at: Frame, match: Match) -> str:
    """Unlike a duration this may be negative: what a rule matched before the injection is shown, but not used."""
    return f"{(match.at.mid_ns - at.zero.mid_ns) / 1e9:+.3f}"
