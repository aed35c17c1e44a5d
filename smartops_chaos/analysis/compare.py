"""An arm against the baseline: by how much the mean time to recover is reduced.

reduction = 1 - sum(w RMST_arm) / sum(w RMST_baseline) over the scenarios that both arms have.

Two scopes. `these-scenarios`: the variance comes from the trials within each scenario; nothing is said about other
faults. `faults-like-these`: the fault family is the unit, so it speaks about faults that were not tried.

The p value and the lower end of the interval are computed with pseudo-trials (see analysis.estimate): one at the
horizon is added to the arm and one at 0 to the baseline in every scenario, and H0 is tested on the difference arm - (1
- target) baseline, in seconds. The same on the logarithm of the ratio would ask more trials of a healer the faster it
is. The estimate and the upper end are plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from smartops_chaos.analysis.estimate import (
    Estimate,
    Floats,
    Sample,
    log_ratio,
    margin,
    mean_over_scenarios,
    p_below,
    t_quantile,
    t_tail,
    weighted_difference,
)
from smartops_chaos.analysis.rates import common
from smartops_chaos.analysis.summary import Reduction
from smartops_chaos.model import LEAST_TRIALS, PSEUDO_TRIAL

if TYPE_CHECKING:  # cells are made by pandas, which a plan does not need
    from smartops_chaos.analysis.cells import Cell

Scope: TypeAlias = Literal["these-scenarios", "faults-like-these"]
HORIZONS = {"tau/4": 0.25, "tau/2": 0.5, "tau": 1.0}
DECIDING = ("tau/2", "tau")  # a `proven` must hold at both
LEAST_FAMILIES = 6
NOTHING = Reduction(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario's values in both arms, in the same order of scenarios everywhere."""

    family: str
    arm: Sample
    base: Sample


@dataclass(frozen=True, slots=True)
class Compared:
    """What one scope says, before the family of tests is known."""

    scope: Scope
    mttr_reduction: Reduction
    from_impact: Reduction
    at_horizons: dict[str, Reduction]
    by_scenario: dict[str, Reduction]
    undecidable: str  # why no verdict is possible; empty: it is
    worst_p: float | None  # the same p if every lost trial had failed in the arm and was never bad in the baseline

    @property
    def p(self) -> float:
        """The largest p of all that must hold: at tau/2, at tau, and with the lost trials. 1 if undecidable."""
        needed = [self.at_horizons[h].p for h in DECIDING] + [self.worst_p]
        return 1.0 if self.undecidable else max(1.0 if p is None else p for p in needed)


def compare(cells: Sequence[Cell], baseline: Sequence[Cell], target: float, alpha: float, scope: Scope) -> Compared:
    """Everything that one scope says of one arm against the baseline.

    `cells` and `baseline` are two arms' cells as `analysis.cells.build` makes them; only scenarios that both have are
    used. `target` is the wanted reduction, a fraction. Never raises: what cannot be compared is `undecidable`, with
    why.
    """
    ours, theirs = common(cells, baseline)
    test = these_scenarios if scope == "these-scenarios" else faults_like_these
    undecidable = _undecidable(ours, theirs, scope)
    worst_p = None if undecidable else _worst_p(ours, theirs, test, target, alpha)
    filled = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.n and b.n]
    ours, theirs = [a for a, _ in filled], [b for _, b in filled]
    timed = pairs(ours, theirs)
    at = {name: test(at_share(timed, share), target, alpha) for name, share in HORIZONS.items()}
    from_impact = NOTHING
    if all(c.impact_s is not None for c in (*ours, *theirs)):
        from_impact = test(pairs(ours, theirs, lambda c: c.time_s if c.impact_s is None else c.impact_s), target, alpha)
    by_scenario = {
        c.scenario: replace(these_scenarios([p], target, alpha), p=None) for c, p in zip(ours, timed, strict=True)
    }
    return Compared(
        scope=scope,
        mttr_reduction=at["tau"],
        from_impact=from_impact,
        at_horizons=at,
        by_scenario=by_scenario if scope == "these-scenarios" else {},
        undecidable=undecidable,
        worst_p=worst_p,
    )


def pairs(
    ours: Sequence[Cell], theirs: Sequence[Cell], values: Callable[[Cell], Floats] = lambda c: c.time_s
) -> list[Pair]:
    """The same scenarios of two arms as samples: the arm's unfavourable value is the horizon, the baseline's is 0."""
    return [
        Pair(a.family, Sample(values(a), a.weight, a.horizon_s), Sample(values(b), b.weight, 0.0))
        for a, b in zip(ours, theirs, strict=True)
    ]


def these_scenarios(scenarios: Sequence[Pair], target: float, alpha: float) -> Reduction:
    """The reduction over exactly these scenarios: the trials within each scenario are the unit of chance.

    p is one-sided, H0: reduction <= target, a t test on arm - (1 - target) baseline with pseudo-trials. The interval is
    two-sided (1 - 2 alpha): its lower end inverts that test (Fieller 1954; None = unbounded), its upper end is by the
    delta method on the logarithm. With a scenario of one trial there is only an estimate; nothing if the baseline's
    mean is 0.
    """
    arm = mean_over_scenarios([p.arm for p in scenarios])
    base = mean_over_scenarios([p.base for p in scenarios])
    if not base.mean > 0:
        return NOTHING
    estimate = 1 - arm.mean / base.mean
    above, below = _with_pseudo_trials(scenarios)
    difference = weighted_difference(above, below, 1 - target)
    if np.isnan(difference.variance):
        return Reduction(estimate, None, None, None, None)
    t = t_quantile(alpha, difference.df)
    ends = fieller(above.mean, below.mean, t**2 * above.variance, t**2 * below.variance, 0.0)
    lo, hi = (None, 1.0) if ends is None else ends
    plain = None if arm.mean == 0 else log_ratio(arm, base)
    if plain is not None and not plain.has_no_error:
        hi = 1 - float(np.exp(plain.mean - margin(plain, alpha)))
    return Reduction(estimate, lo, min(max(hi, estimate), 1.0), p_below(difference, 0.0), None)


def pseudo_difference(scenarios: Sequence[Pair], target: float) -> Estimate:
    """What the test looks at: arm - (1 - target) baseline in seconds, both with their unfavourable pseudo-trials."""
    above, below = _with_pseudo_trials(scenarios)
    return weighted_difference(above, below, 1 - target)


def _with_pseudo_trials(scenarios: Sequence[Pair]) -> tuple[Estimate, Estimate]:
    arm = mean_over_scenarios([p.arm for p in scenarios], pseudo=PSEUDO_TRIAL)
    return arm, mean_over_scenarios([p.base for p in scenarios], pseudo=PSEUDO_TRIAL)


def fieller(arm: float, base: float, arm_vv: float, base_vv: float, both: float) -> tuple[float, float] | None:
    """The reductions 1 - r at which (arm - r base)^2 = arm_vv - 2 r both + r^2 base_vv; None = unbounded.

    The last three are variances and covariance times t^2.
    """
    a, b, c = base**2 - base_vv, arm * base - both, arm**2 - arm_vv
    if a <= 0 or b**2 < a * c:
        return None
    root = float(np.sqrt(b**2 - a * c))
    return 1 - (b + root) / a, 1 - (b - root) / a


def faults_like_these(scenarios: Sequence[Pair], target: float, alpha: float) -> Reduction:
    """One value a fault family in each arm, workloads and levels averaged first; t test on arm - (1 - r) baseline.

    The two-sided interval (1 - 2 alpha) inverts the same test over r (Fieller 1954); unbounded = None. For p and the
    lower end the family that speaks most against the healer counts twice, as a pseudo-observation: few families rarely
    show what the worst of many does, and the t test takes their effects for symmetric. Under 6 families there is only
    an estimate.
    """
    families = sorted({p.family for p in scenarios})
    by_family = [[p for p in scenarios if p.family == f] for f in families]
    arm = np.array([mean_over_scenarios([p.arm for p in f]).mean for f in by_family])
    base = np.array([mean_over_scenarios([p.base for p in f]).mean for f in by_family])
    if not base.sum() > 0:
        return NOTHING
    estimate = float(1 - arm.mean() / base.mean())
    difference = arm - (1 - target) * base
    if len(families) < LEAST_FAMILIES or not difference.std() > 0:
        return Reduction(estimate, None, None, None, None)
    worst = int((arm - (1 - estimate) * base).argmax())
    twice = np.append(difference, difference[worst])
    deviation = twice.std(ddof=1) / np.sqrt(len(twice))
    p = t_tail(-float(twice.mean() / deviation), len(families) - 1)
    plain = _ends_over_families(arm, base, alpha, len(families) - 1)
    careful = _ends_over_families(np.append(arm, arm[worst]), np.append(base, base[worst]), alpha, len(families) - 1)
    lo = None if careful is None else careful[0]
    hi = None if plain is None else min(plain[1], 1.0)
    return Reduction(estimate, lo, None if hi is None else max(hi, estimate), p, None)


def _ends_over_families(arm: Floats, base: Floats, alpha: float, df: int) -> tuple[float, float] | None:
    spread = np.cov(arm, base) * t_quantile(alpha, df) ** 2 / len(arm)
    return fieller(float(arm.mean()), float(base.mean()), spread[0, 0], spread[1, 1], spread[0, 1])


def at_share(scenarios: Sequence[Pair], share: float) -> list[Pair]:
    """The same pairs with the horizon moved to `share` of it."""

    def cut(sample: Sample, tau: float) -> Sample:
        return replace(sample, values=np.minimum(sample.values, tau), worst=min(sample.worst, tau))

    return [Pair(p.family, cut(p.arm, share * p.arm.worst), cut(p.base, share * p.arm.worst)) for p in scenarios]


def _worst_p(
    ours: Sequence[Cell],
    theirs: Sequence[Cell],
    test: Callable[[Sequence[Pair], float, float], Reduction],
    target: float,
    alpha: float,
) -> float:
    worst = [
        replace(
            p,
            arm=replace(p.arm, values=np.append(p.arm.values, np.full(a.lost, a.horizon_s))),
            base=replace(p.base, values=np.append(p.base.values, np.zeros(b.lost))),
        )
        for p, a, b in zip(pairs(ours, theirs), ours, theirs, strict=True)
    ]
    found = [test(at_share(worst, HORIZONS[h]), target, alpha).p for h in DECIDING]
    return max(1.0 if p is None else p for p in found)


def _undecidable(ours: Sequence[Cell], theirs: Sequence[Cell], scope: Scope) -> str:
    if not ours:
        return "no fault scenario was run in both this arm and the baseline"
    short = [c for c in (*ours, *theirs) if c.n < LEAST_TRIALS]
    if short:
        c = short[0]
        more = f" ({len(short)} such cells)" if len(short) > 1 else ""
        return f"{c.scenario} has {c.n} counted trials in {c.arm}, {LEAST_TRIALS} are needed in each{more}"
    if not any(c.time_s.any() for c in theirs):
        return "the service was never bad in the baseline: there is no time to reduce"
    if all((c.time_s >= c.horizon_s).all() for c in (*ours, *theirs)):
        return "no trial of either arm recovered by the horizon: there is nothing to compare"
    families = {c.family for c in ours}
    if scope == "faults-like-these" and len(families) < LEAST_FAMILIES:
        return f"{len(families)} fault families, {LEAST_FAMILIES} are needed to speak about others like them"
    return ""
