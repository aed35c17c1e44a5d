"""An arm against the baseline: by how much the mean time to recover is reduced.

reduction = 1 - sum(w RMST_arm) / sum(w RMST_baseline) over the scenarios that both arms have.

Two scopes. `these-scenarios`: the trials within each scenario are the unit of chance; nothing is said about other
faults. `faults-like-these`: the fault family is the unit, so it speaks about faults that were not tried.

Both are decided by the test of `analysis.likelihood_ratio`, and the interval inverts the test that decides. Whatever a
`proven` needs is in `Compared.p`, and what a `missed` needs in `Compared.p_ruled_out`, before either is corrected for
the number of arms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from smartops_chaos.analysis import likelihood_ratio
from smartops_chaos.analysis.likelihood_ratio import FEWEST_PAIRS, Floats, Trials
from smartops_chaos.analysis.rates import common
from smartops_chaos.analysis.summary import Reduction

if TYPE_CHECKING:  # cells are made by pandas, which a plan does not need
    from smartops_chaos.analysis.cells import Cell

Scope: TypeAlias = Literal["these-scenarios", "faults-like-these"]
HORIZONS = {"tau/4": 0.25, "tau/2": 0.5, "tau": 1.0}
LEAST_FAMILIES = 6
NOTHING = Reduction(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Compared:
    """What one scope says, before the other arms are known."""

    scope: Scope
    mttr_reduction: Reduction
    from_impact: Reduction  # estimate only
    at_horizons: dict[str, Reduction]  # estimates only, but for the whole horizon
    by_scenario: dict[str, Reduction]
    shares: dict[str, float]  # "chaos / workload" -> its share of the baseline's weighted seconds
    block_correlation: float | None  # of arm and baseline in the same block; None: not known
    blocks: int  # that both arms have
    undecidable: str  # why no verdict is possible; empty: it is
    p: float  # one-sided, H0: reduction <= target, also with the lost trials at their worst; 1 if undecidable
    p_ruled_out: float  # one-sided, H0: reduction >= target, also with the lost trials at their best


def compare(
    cells: Sequence[Cell],
    baseline: Sequence[Cell],
    target: float,
    alpha: float,
    scope: Scope,
    *,
    looks: bool = False,
) -> Compared:
    """Everything that one scope says of one arm against the baseline.

    `cells` and `baseline` are two arms' cells as `analysis.cells.build` makes them; only scenarios that both have are
    used. `target` is the wanted reduction, a fraction. With `looks` all of it holds at every look. Never raises: what
    cannot be compared is `undecidable`, with why.
    """
    ours, theirs = common(cells, baseline)
    undecidable = _undecidable(ours, theirs, scope)
    ours, theirs = filled(ours, theirs)
    found = _these_scenarios if scope == "these-scenarios" else _faults_like_these
    reduction, p, p_ruled_out = found(ours, theirs, target, alpha, looks)
    by_scenario, here = {}, scope == "these-scenarios"
    for a, b in zip(ours, theirs, strict=True) if here else ():
        part = reduction if len(ours) == 1 else _these_scenarios([a], [b], target, alpha, looks)[0]
        by_scenario[a.scenario] = replace(part, p=None)
    correlation, blocks = block_correlation(ours, theirs)
    at = {name: _estimated(ours, theirs, _cut(share)) for name, share in HORIZONS.items()}
    from_impact = NOTHING
    if all(c.impact_s is not None for c in (*ours, *theirs)):
        from_impact = _estimated(ours, theirs, lambda c: c.time_s if c.impact_s is None else c.impact_s)
    return Compared(
        scope=scope,
        mttr_reduction=reduction,
        from_impact=from_impact,
        at_horizons=at | {"tau": reduction},
        by_scenario=by_scenario,
        shares=_shares(theirs),
        block_correlation=correlation,
        blocks=blocks,
        undecidable=undecidable,
        p=1.0 if undecidable else p,
        p_ruled_out=1.0 if undecidable else p_ruled_out,
    )


def filled(ours: Sequence[Cell], theirs: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Without the scenarios in which one side has no counted trial."""
    kept = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.n and b.n]
    return [a for a, _ in kept], [b for _, b in kept]


def trials_of(cells: Sequence[Cell]) -> list[Trials]:
    """The scored times, with what was lost."""
    return [Trials(c.time_s, c.horizon_s, c.weight, c.lost) for c in cells]


def estimate(
    ours: Sequence[Cell], theirs: Sequence[Cell], values: Callable[[Cell], Floats] = lambda c: c.time_s
) -> float | None:
    """The reduction over the same scenarios in the same order; None if the baseline's mean is 0, or without any."""
    above, below = (sum(c.weight * float(values(c).mean()) for c in side) for side in (ours, theirs))
    return 1 - above / below if below > 0 else None


def _cut(share: float) -> Callable[[Cell], Floats]:
    return lambda c: np.minimum(c.time_s, share * c.horizon_s)


def _estimated(ours: Sequence[Cell], theirs: Sequence[Cell], values: Callable[[Cell], Floats]) -> Reduction:
    return Reduction(estimate(ours, theirs, values), None, None, None, None)


def _these_scenarios(
    ours: Sequence[Cell], theirs: Sequence[Cell], target: float, alpha: float, looks: bool
) -> tuple[Reduction, float, float]:
    """The reduction over exactly these scenarios, and both p."""
    arm, base = trials_of(ours), trials_of(theirs)
    if not any(t.values.any() for t in base):
        return NOTHING, 1.0, 1.0
    found = likelihood_ratio.reduction(arm, base, target, alpha, looks=looks)
    worst, best = likelihood_ratio.lost_range(arm, base)
    lo = found.lo if np.isfinite(found.lo) else None
    told = Reduction(found.estimate, lo, found.hi, found.p, None, at_worst=worst, at_best=best)
    return told, found.p, found.p_ruled_out


def _faults_like_these(
    ours: Sequence[Cell], theirs: Sequence[Cell], target: float, alpha: float, looks: bool
) -> tuple[Reduction, float, float]:
    """The same with one pair of values a fault family, workloads and levels averaged first.

    The pair is the unit, since what makes a fault hard makes it hard for both arms; one family that was not tried may
    be the worst: the arm never recovers from it, the baseline at once. Seconds are taken in the longest horizon. Under
    6 families, and with looks, there is only an estimate: more repeats bring no further family.
    """
    value = estimate(ours, theirs)
    if value is None or looks or len({c.family for c in ours}) < LEAST_FAMILIES:
        return Reduction(value, None, None, None, None), 1.0, 1.0
    longest_s = max(c.horizon_s for c in ours)
    arm, base = trials_of(ours), trials_of(theirs)

    def pairs(above: Sequence[Trials], below: Sequence[Trials]) -> tuple[Floats, Floats]:
        return _by_family(ours, above) / longest_s, _by_family(ours, below) / longest_s

    found, worst = pairs(arm, base), pairs(*likelihood_ratio.at_worst(arm, base))
    best = pairs(*likelihood_ratio.at_best(arm, base))
    lo, hi = likelihood_ratio.paired_interval(*found, alpha)
    p = max(likelihood_ratio.paired_p(*sides, target) for sides in (found, worst))
    p_ruled_out = max(likelihood_ratio.paired_p(b, a, 1 - 1 / (1 - target)) for a, b in (found, best))
    return Reduction(value, lo, hi, p, None), p, p_ruled_out


def _by_family(cells: Sequence[Cell], trials: Sequence[Trials]) -> Floats:
    """The weighted mean of each family, in seconds."""
    means = {}
    for family in sorted({c.family for c in cells}):
        of = [t for c, t in zip(cells, trials, strict=True) if c.family == family]
        means[family] = sum(t.weight * float(t.values.mean()) for t in of) / sum(t.weight for t in of)
    return np.array(list(means.values()))


def _shares(theirs: Sequence[Cell]) -> dict[str, float]:
    """How much of the denominator each scenario makes: a long horizon weighs more than a short one."""
    seconds = {c.scenario: c.weight * float(c.time_s.mean()) for c in theirs}
    total = sum(seconds.values())
    return {scenario: one / total for scenario, one in seconds.items()} if total > 0 else {}


def block_correlation(ours: Sequence[Cell], theirs: Sequence[Cell]) -> tuple[float | None, int]:
    """Pearson's correlation of both arms' times in the same block, scenarios' means taken off; and the blocks."""
    above, below = [], []
    for a, b in zip(ours, theirs, strict=True):
        if a.repeat is None or b.repeat is None:
            continue
        _, i, j = np.intersect1d(a.repeat, b.repeat, return_indices=True)
        if len(i):
            above.append(a.time_s[i] - a.time_s[i].mean())
            below.append(b.time_s[j] - b.time_s[j].mean())
    if not above:
        return None, 0
    x, y = np.concatenate(above), np.concatenate(below)
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return (float(x @ y) / spread if spread > 1e-9 * len(x) else None), len(x)


def _undecidable(ours: Sequence[Cell], theirs: Sequence[Cell], scope: Scope) -> str:
    if not ours:
        return "no fault scenario was run in both this arm and the baseline"
    if empty := next((c for c in (*ours, *theirs) if not c.n), None):
        return f"{empty.scenario} has no counted trial in {empty.arm}"
    trials = [sum(c.n for c in side) for side in (ours, theirs)]
    if min(trials) < FEWEST_PAIRS:
        return f"{trials[0]} counted trials here and {trials[1]} in the baseline: {FEWEST_PAIRS} of each are needed"
    if not any(c.time_s.any() for c in theirs):
        return "the service was never bad in the baseline: there is no time to reduce"
    families = {c.family for c in ours}
    if scope == "faults-like-these" and len(families) < LEAST_FAMILIES:
        return f"{len(families)} fault families, {LEAST_FAMILIES} are needed to speak about others like them"
    return ""
