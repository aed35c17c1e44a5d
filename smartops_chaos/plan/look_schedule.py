"""Interim looks: when a campaign may decide before its end, and what that spares.

A plan with looks is decided by e values, at each look and at the end (analysis.likelihood_ratio): these hold however
often one looks, after any complete repeat, so the number of looks costs no power. What costs is that there are any.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartops_chaos.model import Plan, Stop


def ends(repeats: int, looks: int) -> tuple[int, ...]:
    """The repeat after which each look is, at equal shares of them; the last one is the end of the campaign."""
    return tuple(round(repeats * k / looks) for k in range(1, looks + 1))


def before_end(plan: Plan) -> tuple[int, ...]:
    """The repeats after which the plan's looks are, without the last one: that is the report."""
    repeats = max((trial.repeat for trial in plan.measured), default=0)
    return ends(repeats, plan.analysis.looks)[:-1]


def judged_by(plan: Plan, stops: Sequence[Stop]) -> frozenset[str]:
    """IDs of the trials by which stopped arms were decided: theirs, and the baseline's up to the same look."""
    until = {stop.arm: stop.repeat for stop in stops}
    until[plan.analysis.baseline] = max(until.values(), default=0)
    return frozenset(trial.id for trial in plan.measured if trial.repeat <= until.get(trial.arm, 0))


def spared(plan: Plan, stops: Sequence[Stop]) -> frozenset[str]:
    """IDs of the trials that nobody needs: a stopped arm's after its look; when no competitor is left, all others'."""
    until = {stop.arm: stop.repeat for stop in stops}
    others = {plan.analysis.baseline, *plan.references}
    compared = {trial.arm for trial in plan.measured if plan.chaos[trial.chaos].parts} - others
    if stops and compared <= set(until):
        until |= dict.fromkeys(others, max(until.values()))
    return frozenset(trial.id for trial in plan.measured if trial.repeat > until.get(trial.arm, trial.repeat))
