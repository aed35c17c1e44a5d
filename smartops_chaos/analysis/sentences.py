"""A campaign's answer in whole sentences. Page 1 of the report and the summary of a CI job say the same."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.summary import ArmSummary, Summary
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


def level(summary: Summary) -> str:
    """The confidence level of all two-sided intervals, such as "95 %"."""
    return percent(1 - 2 * summary.alpha)


def sentences(summary: Summary) -> Iterable[str]:
    """The answer for each arm, the one with the largest reduction first."""
    if summary.simulated:
        yield SIMULATED
    baseline = summary.baseline
    others = [a for a in summary.arms if not a.baseline]
    if baseline is None:
        return
    if not others:
        if baseline.mttr.rmst_s is not None:
            mean = with_range(seconds(baseline.mttr.rmst_s), seconds_range(baseline.mttr.lo, baseline.mttr.hi))
            yield f"With {baseline.arm} the service recovers after {mean} on average. {_healing(baseline)}"
        yield "Only one arm was measured, so nothing can be said about how much better another one is."
        return
    others.sort(key=lambda a: _estimate(summary, a.arm), reverse=True)
    for arm in others[:_ARMS_IN_WORDS]:
        yield f"{_recovery(summary, arm, baseline)} {_healing(arm)}"
    more = len(others) - _ARMS_IN_WORDS
    closing = f"The tables below hold {count(more, 'further arm')}. " if more > 0 else ""
    horizons = sorted({c.horizon_s for a in summary.arms for c in a.cells})
    if len(horizons) == 1:
        closing += f"In these means a trial that did not recover counts as {stated_seconds(horizons[0])}, the horizon."
    elif horizons:
        closing += "In these means a trial that did not recover counts as the horizon of its scenario."
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
        f"With {arm.arm} the service recovers after {seconds(arm.mttr.rmst_s)} on average, "
        f"with {baseline.arm} after {seconds(comparison.baseline_rmst_s)}: "
        + (f"{percent(abs(value))} {'less' if value > 0 else 'more'}" if value else "no difference")
    )
    if reduction.lo is not None and reduction.hi is not None:
        text += f" ({level(summary)} interval of the reduction: {percent_range(reduction.lo, reduction.hi)})"
    return f"{text}{_stop(summary, arm.arm)}."


def _stop(summary: Summary, arm: Arm) -> str:
    stop = summary.stop(arm)
    return f", decided at look {stop.look} after {stop.repeat} repeats" if stop else ""


def _healing(arm: ArmSummary) -> str:
    heal = arm.auto_heal
    if not heal.n or heal.no_human is None:
        return "No trial had an incident to heal."
    text = f"{k_of_n(heal.successes, heal.n)} incidents ended without a person"
    if heal.lo is not None and heal.hi is not None:
        text += f" ({percent(heal.no_human)}, {percent_range(heal.lo, heal.hi)})"
    if heal.by_healer is not None:
        text += f", {percent(heal.by_healer)} of all by an action of the healer"
    return text + "."
