"""A campaign's answer in whole sentences. Page 1 of the report and the summary of a CI job say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from smartops_chaos.analysis.summary import ArmSummary, Decision, Reduction, Summary
from smartops_chaos.analysis.words import (
    count,
    k_of_n,
    percent,
    percent_range,
    seconds,
    seconds_range,
    stated_seconds,
    with_range,
)
from smartops_chaos.model import Arm

SIMULATED = "SIMULATED: nothing was measured, every time is drawn from a truth file."
_ARMS_IN_WORDS = 3
_VERDICTS: Mapping[Decision, str] = {
    "proven": "The target of at least {} less is proven.",
    "observed above": "That meets the target of {}, but it is not proven: more trials are needed.",
    "observed below": "That is short of the target of {}, though more trials might still show it met.",
    "missed": "The target of {} is missed: that it is met is ruled out.",
}


def level(summary: Summary) -> str:
    """The confidence level of all two-sided intervals, such as "95 %"."""
    return percent(1 - 2 * summary.alpha)


def sentences(summary: Summary) -> Iterable[str]:
    """The answer for each arm, the one with the largest reduction first."""
    if summary.simulated:
        yield SIMULATED
    baseline = summary.baseline
    others = [a for a in summary.arms if not (a.baseline or a.reference)]
    if baseline is None:
        return
    if not others:
        if baseline.mttr.rmst_s is not None:
            mean = with_range(seconds(baseline.mttr.rmst_s), seconds_range(baseline.mttr.lo, baseline.mttr.hi))
            yield f"With {baseline.arm} the service recovers after {mean} on average. {_healing(baseline)}"
        yield "Only one arm was measured, so nothing can be said about how much better another one is."
        return
    others.sort(key=lambda a: _estimate(summary, a.arm), reverse=True)
    told = others if len(others) <= _ARMS_IN_WORDS else others[:1]
    for arm in told:
        yield f"{_healing(arm)} {_recovery(summary, arm, baseline)}"
    more = len(others) - len(told)
    closing = f"That is the fastest; {count(more, 'further arm')} below. " if more > 0 else ""
    horizons = sorted({c.horizon_s for a in summary.arms for c in a.cells})
    if len(horizons) == 1:
        closing += f"A trial that did not recover counts in these means as {stated_seconds(horizons[0])}, the horizon."
    elif horizons:
        closing += "A trial that did not recover counts in these means as the horizon of its scenario."
    if closing:
        yield closing.strip()


def _estimate(summary: Summary, arm: Arm) -> float:
    comparison = summary.deciding(arm)
    value = comparison.mttr_reduction.estimate if comparison else None
    return float("-inf") if value is None else value


def _recovery(summary: Summary, arm: ArmSummary, baseline: ArmSummary) -> str:
    comparison = summary.deciding(arm.arm)
    if comparison is None or comparison.mttr_reduction.estimate is None:
        why = f": {comparison.why}" if comparison and comparison.why else ""
        text = f"How much {arm.arm} changes the time to recover against {baseline.arm} cannot be said{why}"
        return text.rstrip(".") + "."
    reduction = comparison.mttr_reduction
    value = reduction.estimate or 0.0
    text = (
        f"On average the service recovers after {seconds(arm.mttr.rmst_s)} with {arm.arm} and after "
        f"{seconds(comparison.baseline_rmst_s)} in the baseline ({baseline.arm}): "
        + (f"{percent(abs(value))} {'less' if value > 0 else 'more'} time" if value else "no difference")
    )
    return f"{text}{_room(summary, reduction)}{_stop(summary, arm.arm)}.{_verdict(summary, arm.arm)}"


def _room(summary: Summary, reduction: Reduction) -> str:
    """What the trials leave open."""
    if reduction.lo is None or reduction.hi is None:
        return ""
    if reduction.lo >= 0:
        return f" ({level(summary)} interval: {percent_range(reduction.lo, reduction.hi)})"
    return f", but the trials leave everything from {_less(reduction.lo)} to {_less(reduction.hi)} open"


def _less(reduction: float) -> str:
    return f"{percent(abs(reduction))} {'less' if reduction > 0 else 'more'}"


def _verdict(summary: Summary, arm: Arm) -> str:
    """How that stands to the target."""
    verdict = next((v for v in summary.verdicts if (v.arm, v.target) == (arm, "mttr_reduction")), None)
    if verdict is None or verdict.verdict not in _VERDICTS:
        return ""
    return f" {_VERDICTS[verdict.verdict].format(percent(verdict.wanted))}"


def _stop(summary: Summary, arm: Arm) -> str:
    stop = summary.stop(arm)
    return f", decided at look {stop.look} after {stop.repeat} repeats" if stop else ""


def _healing(arm: ArmSummary) -> str:
    """Such as "With zscore the healer repaired every fault (60 of 60). 12 trials were watched on, ..."."""
    heal = arm.auto_heal
    if not heal.n or heal.no_human is None:
        return f"With {arm.arm} no trial had an incident to heal."
    if heal.by_healer is None or arm.baseline:
        return f"With {arm.arm} {k_of_n(heal.successes, heal.n)} incidents ended without a person."
    own = round(heal.by_healer * heal.n)
    if own == heal.n:
        return f"With {arm.arm} the healer repaired every fault ({k_of_n(own, heal.n)}).{_watched(arm)}"
    alone = f"; {heal.successes - own} more ended without it and without a person" if heal.successes > own else ""
    return f"With {arm.arm} the healer repaired {k_of_n(own, heal.n)} faults{alone}.{_watched(arm)}"


def _watched(arm: ArmSummary) -> str:
    """How many repairs were watched on, though health had lasted long enough to end the trial, and what came of it."""
    late = arm.operations.late_relapses
    if not late or not late.n:
        return ""
    watched = f"{count(late.n, 'trial')} {'was' if late.n == 1 else 'were'} watched on, to the horizon"
    return f" {watched}: {late.successes or 'none'} went bad again."
