"""Which model, which policy, and do they go together? Cells of several arms -> numbers, on which no verdict rests.

A main effect is the mean time of a level over all levels of the other factor and all scenarios, so that each level has
met the same company. What is left of an arm's mean when both main effects are taken off is the interaction: how much
better or worse the two go together than each of them lets expect. Only arms that form a complete grid, models x
policies, can be split up so; the baseline and arms of reference stay outside.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from smartops_chaos.analysis import likelihood_ratio
from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.compare import trials_of
from smartops_chaos.analysis.distributions import t_quantile
from smartops_chaos.analysis.likelihood_ratio import interval, mean_over_scenarios
from smartops_chaos.analysis.rates import common
from smartops_chaos.model import Arm


@dataclass(frozen=True, slots=True)
class LevelMean:
    """One level of a factor, over all levels of the other one and all scenarios."""

    factor: Literal["model", "policy"]
    level: str
    mean_s: float
    lo_s: float  # two-sided, 1 - 2 alpha
    hi_s: float
    trials: int


@dataclass(frozen=True, slots=True)
class Departure:
    """How far an arm's mean is from what its model and its policy alone let expect; below 0: they go well together."""

    arm: Arm
    seconds: float
    lo_s: float  # two-sided, for all arms together, by the variances of the cells' means, so only approximate
    hi_s: float


@dataclass(frozen=True, slots=True)
class FactorEffects:
    models: tuple[LevelMean, ...]  # the fastest first
    policies: tuple[LevelMean, ...]
    departures: tuple[Departure, ...]  # the largest first


@dataclass(frozen=True, slots=True)
class BestAndSecond:
    """The two arms with the shortest mean times. They are chosen by their results, so this decides nothing."""

    best: Arm
    second: Arm
    best_s: float
    second_s: float
    reduction: float  # of the second's mean time
    lo: float | None  # two-sided, 1 - 2 alpha; None: not bounded
    hi: float


def effects(cells: Sequence[Cell], arms: Collection[Arm], alpha: float, *, looks: bool = False) -> FactorEffects | None:
    """None unless two models and two policies of `arms` form a complete grid with a trial in each cell of it."""
    models = list(dict.fromkeys(c.arm.model for c in cells if c.arm in arms))
    policies = list(dict.fromkeys(c.arm.policy for c in cells if c.arm in arms))
    scenarios = list(dict.fromkeys(c.scenario for c in cells if c.arm in arms))
    if min(len(models), len(policies)) < 2:
        return None
    found = {(c.arm.model, c.arm.policy, c.scenario): c for c in cells if c.arm in arms and c.n}
    if len(found) != len(models) * len(policies) * len(scenarios):
        return None

    def level(factor: Literal["model", "policy"], name: str) -> LevelMean:
        own = [c for c in found.values() if (c.arm.model if factor == "model" else c.arm.policy) == name]
        samples = [c.sample(c.time_s) for c in own]
        lo, hi = interval(samples, alpha, looks=looks)
        mean = mean_over_scenarios(samples)
        return LevelMean(
            factor, name, mean, mean if lo is None else lo, mean if hi is None else hi, sum(c.n for c in own)
        )

    departures = [
        _departure(found, Arm(model, policy), models, policies, scenarios, alpha / (len(models) * len(policies)))
        for model, policy in product(models, policies)
    ]
    return FactorEffects(
        tuple(sorted((level("model", m) for m in models), key=lambda one: one.mean_s)),
        tuple(sorted((level("policy", p) for p in policies), key=lambda one: one.mean_s)),
        tuple(sorted(departures, key=lambda one: -abs(one.seconds))),
    )


def _departure(
    found: dict[tuple[str, str, str], Cell],
    arm: Arm,
    models: Sequence[str],
    policies: Sequence[str],
    scenarios: Sequence[str],
    alpha: float,
) -> Departure:
    """A sum of the cells' means with known factors, so its variance is the sum of theirs with the factors squared."""
    weights = {s: found[arm.model, arm.policy, s].weight for s in scenarios}
    total = sum(weights.values())
    value = variance = 0.0
    for model, policy, scenario in product(models, policies, scenarios):
        cell = found[model, policy, scenario]
        factor = ((model == arm.model) - 1 / len(models)) * ((policy == arm.policy) - 1 / len(policies))
        factor *= weights[scenario] / total
        value += factor * float(cell.time_s.mean())
        if cell.n > 1:
            variance += factor**2 * float(cell.time_s.var(ddof=1)) / cell.n
    freedom = max(sum(c.n - 1 for c in found.values()), 1)
    half = t_quantile(alpha, freedom) * float(np.sqrt(variance))
    return Departure(arm, value, value - half, value + half)


def best_and_second(
    cells: Sequence[Cell], arms: Sequence[Arm], alpha: float, *, looks: bool = False
) -> BestAndSecond | None:
    """The best of `arms` against the second over the scenarios of both; None if two cannot be compared."""
    by_arm = {arm: [c for c in cells if c.arm == arm and c.n] for arm in arms}
    means = {arm: mean_over_scenarios([c.sample(c.time_s) for c in own]) for arm, own in by_arm.items() if own}
    if len(means) < 2:
        return None
    best, second = sorted(means, key=lambda arm: means[arm])[:2]
    ours, theirs = common(by_arm[best], by_arm[second])
    kept = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.n and b.n]
    above, below = trials_of([a for a, _ in kept]), trials_of([b for _, b in kept])
    if not kept or not mean_over_scenarios(below) > 0:
        return None
    found = likelihood_ratio.reduction(above, below, 0.0, alpha, looks=looks)
    if found.estimate is None:
        return None
    lo = found.lo if np.isfinite(found.lo) else None
    return BestAndSecond(
        best, second, mean_over_scenarios(above), mean_over_scenarios(below), found.estimate, lo, found.hi
    )
