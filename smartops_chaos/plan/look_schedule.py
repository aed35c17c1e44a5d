"""Interim looks: when a campaign may decide before its end, how much of alpha each decision may use, what it spares.

The fractions of alpha add up to 1, so the chance of a false `proven` at any look is at most the plan's alpha
(Bonferroni), at any number of trials and whatever the looks have to do with each other. Most is kept for the last,
where most trials are.
"""

from __future__ import annotations

from collections.abc import Sequence

from smartops_chaos.model import LEAST_TRIALS_AT_LOOK, Plan, Stop

# looks -> the fraction of alpha that each of them may spend
ALPHA_SPENDING: dict[int, tuple[float, ...]] = {1: (1.0,), 2: (0.2, 0.8), 3: (0.1, 0.2, 0.7)}


def ends(repeats: int, looks: int) -> tuple[int, ...]:
    """The repeat after which each look is; the last one is the end of the campaign."""
    return tuple(round(repeats * k / looks) for k in range(1, looks + 1))


def fewest_repeats(looks: int) -> int:
    """The fewest repeats that give the first of so many looks its trials; 1 without any look before the end."""
    return 1 if looks == 1 else next(n for n in range(looks, 1000) if ends(n, looks)[0] >= LEAST_TRIALS_AT_LOOK)


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
