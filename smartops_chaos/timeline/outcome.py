"""How a trial ended: the first line of the table that fits.

    aborted      a person ended it before injection (or before anything at all could be told)
    error        the harness failed, there is no request record, or it ends before the outcome is decided
    unrecovered, false_alarm    the healer's false alarms spoiled the trial before the injection: a failure of its arm
    invalid      gate missed otherwise; fault not injected, not confirmed, or ended early other than through the system
                 under test
    clean, false_alarm          no fault: the healer was silent; it signalled or acted
    prevented    never bad by the horizon, and an action removed every part of the fault
    no_effect    never bad by the horizon otherwise
    harmed       the impact began between the start of an action and the end of its rollout
    unrecovered  no recovery begins by the horizon
    healed       an executed action on an affected object ended before the recovery began, and the platform alone made
                 no affected replica Ready in between that did not leave again before the outage was over
    platform     recovered otherwise

What spoils a trial is the arm's own fault only in the first of these lines: three times the healer signalled or acted
while nothing was wrong. Nobody knows what it would have made of the fault, and in service it would have had that chance
no more; so it counts as unrecovered, undetected and undiagnosed (reason false-alarms), and without a fault as a false
alarm. In a calibration trial, where the healer is off, it is invalid.

Order in time is taken as certain only where intervals do not overlap; where overlaps leave healed possible, the outcome
is platform and flagged `contested`. The moment of the recovery is the dated one, with its width (timeline.health): an
action comes too late only if it ends after all of it. "In between" counts from the action's start, as it can work from
then on, until the last bad answer was due. A replica that became Ready less than that width, an answer's time and the
drain of the scenario's calibration trials before the start contests, because requests feel it only after that.
An action is executed if it was neither dry-run, skipped nor blocked; one whose call succeeded counts for healing even
if its own verification failed, because what heals is the action and not the healer's opinion of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from smartops_chaos.model import (
    FALSE_ALARMS,
    MOST_FALSE_ALARMS,
    Action,
    ChaosLevel,
    Evidence,
    Interval,
    Outcome,
    Timeline,
)
from smartops_chaos.timeline.interval import Frame, offset_of, shift, stepped, uncertain
from smartops_chaos.timeline.rules import NODE_CLOCK, hits

_LATE = 0.25  # of the SLO's latency: a generator that sends later than this spoils what it measures


@dataclass(frozen=True, slots=True)
class Judgement:
    outcome: Outcome
    reason: str = ""
    contested: bool = False


def judge(
    evidence: Evidence, chaos: ChaosLevel, frame: Frame | None, timeline: Timeline | None, denied: int
) -> Judgement:
    """The outcome; `denied` counts the policy's refusals. Without injection `frame` is None, without observation
    `timeline`."""
    if timeline is None and evidence.aborted:
        return Judgement(Outcome.ABORTED, "by-hand")
    if evidence.error:
        return Judgement(Outcome.ERROR, "harness")
    if not evidence.requests:
        return Judgement(Outcome.ERROR, "no-requests")
    if not evidence.gate_passed and evidence.gate_false_alarms >= MOST_FALSE_ALARMS:
        return Judgement(_spoiled(evidence, chaos), FALSE_ALARMS)
    if reason := _invalid(evidence, chaos, frame):
        return Judgement(Outcome.INVALID, reason)
    if frame is None or timeline is None:
        return Judgement(Outcome.ERROR, "not-observed")
    if not chaos.parts:
        if timeline.health.requests == 0:
            return Judgement(Outcome.ERROR, "no-requests")
        alarm = "detected" in timeline.events or executed(timeline.actions)
        return Judgement(Outcome.FALSE_ALARM if alarm else Outcome.CLEAN)
    return _Trial(evidence, frame, timeline, denied).judge()


def flags(evidence: Evidence, timeline: Timeline | None, judgement: Judgement) -> tuple[str, ...]:
    """What makes a trial worth a second look, in a fixed order."""
    health = timeline.health if timeline else None
    late = health is not None and (health.unknown_s > 0 or health.lateness_p99_s > _LATE * evidence.slo.latency_s)
    found = {
        "contested": judgement.contested,
        "conflict": bool(timeline and timeline.conflicts),
        "telemetry_missing": bool(evidence.missing),
        "relapsed": health is not None and health.relapses > 0,
        "late_generator": late,
        "clock_step": bool(stepped(evidence.clocks)),
        "clock_uncertain": bool(uncertain(evidence.clocks)),
        "false_alarm_before": evidence.gate_false_alarms > 0,
        "perhaps_before": bool(timeline and timeline.perhaps_before),
        "cut_short": evidence.aborted and timeline is not None,
    }
    return tuple(flag for flag, holds in found.items() if holds)


def executed(actions: Iterable[Action]) -> list[Action]:
    return [action for action in actions if action.status in ("success", "failed", "running")]


def _spoiled(evidence: Evidence, chaos: ChaosLevel) -> Outcome:
    if evidence.trial.phase == "calibrate":
        return Outcome.INVALID
    return Outcome.UNRECOVERED if chaos.parts else Outcome.FALSE_ALARM


def _invalid(evidence: Evidence, chaos: ChaosLevel, frame: Frame | None) -> str:
    """Why the trial does not count: facts from before the injection, or the injector's own failure."""
    if not evidence.gate_passed:
        return "gate"
    injected = {call.part for call in evidence.calls if call.what == "inject" and call.ok}
    if chaos.parts and (frame is None or len(injected) < len(chaos.parts)):
        return "not-injected"
    facts = {fact.part: fact for fact in evidence.faults}
    if not all(part in facts and facts[part].confirmed for part in range(len(chaos.parts))):
        return "not-confirmed"
    for fact in evidence.faults:
        if frame is None or fact.ended is None or on_runner(evidence, fact.ended, fact.clock).hi_ns >= frame.until_ns:
            continue
        if fact.ended_by == "injector":
            return "injector-ended"
        if fact.ended_by == "expiry":
            return "expired"
        if fact.ended_by == "harness" and evidence.trial.phase == "measure":
            return "reverted-early"
    return ""


def on_runner(evidence: Evidence, at: Interval, clock: str) -> Interval:
    """A stamp of a fault or of the platform on the runner's clock."""
    return at if clock == "runner" else shift(at, offset_of(evidence.clocks, NODE_CLOCK))


class _Trial:
    """A trial with a confirmed fault."""

    def __init__(self, evidence: Evidence, frame: Frame, timeline: Timeline, denied: int) -> None:
        self._evidence, self._frame, self._timeline, self._denied = evidence, frame, timeline, denied
        self._horizon_ns = frame.zero.mid_ns + round(evidence.horizon_s * 1e9)
        self._impacted = timeline.events["impacted"].at if "impacted" in timeline.events else None
        self._recovered = timeline.events["recovered"].at if "recovered" in timeline.events else None
        self._executed = executed(timeline.actions)
        self._objects = {name for fact in evidence.faults for name in fact.objects}

    def judge(self) -> Judgement:
        impacted, recovered = self._impacted, self._recovered
        if recovered is None and (undecided := self._undecided()):
            return undecided
        if impacted is None:
            return Judgement(Outcome.PREVENTED if self._removed_by_action() else Outcome.NO_EFFECT)
        if any(self._under_way(action, impacted) for action in self._executed):
            return Judgement(Outcome.HARMED, "" if recovered else "unrecovered")
        if recovered is None:
            return Judgement(Outcome.UNRECOVERED, self._why_unrecovered())
        return self._attribute(recovered)

    def _undecided(self) -> Judgement | None:
        """An end of the observation, or of the requests in it, before anything was decided."""
        hold_ns = round(self._evidence.slo.hold_s * 1e9)
        end_ns = min(self._frame.until_ns, self._horizon_ns + hold_ns)
        last_ns = max((r.sched_ns for r in self._evidence.requests if r.sched_ns < end_ns), default=0)
        if last_ns < max(self._frame.injected.lo_ns, end_ns - hold_ns):
            return Judgement(Outcome.ERROR, "no-requests")
        if self._frame.until_ns >= self._horizon_ns or self._evidence.stopped_early:
            return None
        if not self._evidence.aborted:
            return Judgement(Outcome.ERROR, "not-observed")
        return Judgement(Outcome.ABORTED, "by-hand") if self._impacted is None else None

    def _removed_by_action(self) -> bool:
        """Whether the target itself says that every part is gone through the system, after an action on its object."""
        return all(
            fact.ended_by == "system"
            and (ended := fact.ended and on_runner(self._evidence, fact.ended, fact.clock)) is not None
            and ended.lo_ns <= self._horizon_ns
            and any(
                action.end is not None and hits(action.target, fact.objects) and action.start.lo_ns <= ended.hi_ns
                for action in self._executed
            )
            for fact in self._evidence.faults
        )

    def _under_way(self, action: Action, impacted: Interval) -> bool:
        """Whether the impact certainly began within the action or its rollout."""
        return action.start.hi_ns <= impacted.lo_ns and impacted.hi_ns <= self._rolled_out_ns(action)

    def _rolled_out_ns(self, action: Action) -> int:
        """The end of an action's rollout: its verification, or the last thing that it is seen to do to its pods."""
        if action.verified or not action.end:
            return action.verified.hi_ns if action.verified else self._frame.until_ns
        later = [one.start.lo_ns for one in self._executed if one.start.lo_ns > action.start.lo_ns]
        next_ns = min(later, default=self._frame.until_ns)
        seen = [
            on_runner(self._evidence, event.at, event.clock).hi_ns
            for event in self._evidence.platform
            if event.cause == "action" and hits(action.target, (event.object,))
        ]
        return max(at_ns for at_ns in (*seen, action.end.hi_ns) if at_ns <= max(next_ns, action.end.hi_ns))

    def _silence_says_nothing(self) -> bool:
        """Whether the healer may have acted without our knowing."""
        return bool(self._evidence.missing) and not self._evidence.logs and not self._timeline.actions

    def _why_unrecovered(self) -> str:
        timeline = self._timeline
        if self._silence_says_nothing():
            return "no-evidence"
        if not self._executed:
            # An action that was carried out is itself the reason; what was refused after it is not.
            blocked = timeline.guardrail_blocks or any(action.status == "blocked" for action in timeline.actions)
            went_on = "decided" in timeline.events or self._denied or timeline.cooldown_skips or blocked
            if "detected" not in timeline.events and not went_on:
                return "undetected"
            if "diagnosed" not in timeline.events and not went_on:
                return "undiagnosed"
            if self._denied:
                return "denied"
            if timeline.cooldown_skips:
                return "cooldown"
            if blocked:
                return "guardrail"
            return "action-failed" if "decided" in timeline.events else "undecided"
        successes = [action for action in self._executed if action.status == "success"]
        if not successes:
            return "action-failed"
        return "insufficient" if any(hits(action.target, self._objects) for action in successes) else "off-target"

    def _attribute(self, recovered: Interval) -> Judgement:
        """healed or platform."""
        if self._silence_says_nothing():
            return Judgement(Outcome.PLATFORM, "no-evidence")
        if not self._executed:
            return Judgement(Outcome.PLATFORM, "no-action")
        on_target = [action for action in self._executed if hits(action.target, self._objects)]
        if not on_target:
            return Judgement(Outcome.PLATFORM, "off-target")
        ready = self._made_ready(recovered)
        latency_ns = round(self._evidence.slo.latency_s * 1e9)
        drain_ns = round(self._evidence.drain_s * 1e9)
        answered_ns, felt_ns = recovered.lo_ns + latency_ns, recovered.hi_ns - recovered.lo_ns + latency_ns + drain_ns
        possible = False
        for action in on_target:
            if action.end is None or action.end.lo_ns > recovered.hi_ns:
                continue
            start = action.start
            if any(start.hi_ns < at.lo_ns and at.hi_ns < recovered.lo_ns for at in ready):
                continue
            overlaps = any(at.hi_ns >= start.lo_ns - felt_ns and at.lo_ns <= answered_ns for at in ready)
            if action.end.hi_ns <= recovered.lo_ns and not overlaps:
                return Judgement(Outcome.HEALED)
            possible = True
        if possible:
            return Judgement(Outcome.PLATFORM, "concurrent", contested=True)
        after = all(action.start.lo_ns > recovered.hi_ns for action in on_target)
        return Judgement(Outcome.PLATFORM, "after" if after else "concurrent")

    def _made_ready(self, recovered: Interval) -> list[Interval]:
        """When the platform made an affected replica ready that was not certainly lost again within the outage."""
        events = [
            (event, on_runner(self._evidence, event.at, event.clock))
            for event in self._evidence.platform
            if event.object in self._objects
        ]
        lost = [(event.object, at) for event, at in events if event.kind in ("exited", "not_ready")]
        return [
            at
            for event, at in events
            if event.kind == "ready"
            and event.cause == "platform"
            and not any(
                of == event.object and at.hi_ns <= gone.lo_ns and gone.hi_ns < recovered.lo_ns for of, gone in lost
            )
        ]
