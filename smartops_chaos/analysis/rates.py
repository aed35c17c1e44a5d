"""Shares and their intervals: Wilson is shown, the exact test decides, Newcombe's interval compares.

A healer's rate must be above its target and above what the baseline does by itself. The first is Clopper and Pearson's
exact test, the second that of `analysis.likelihood_ratio` on two shares of failures; `HealTest.p` is the larger one.
With looks both are by the e value, so they hold at every look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smartops_chaos.analysis.distributions import beta_below, beta_quantile, normal_quantile
from smartops_chaos.analysis.likelihood_ratio import Trials, mean_interval, mean_p_above, mean_p_below, reduction_p
from smartops_chaos.analysis.summary import AutoHeal
from smartops_chaos.model import Outcome

if TYPE_CHECKING:  # cells are made by pandas, which a plan does not need
    from smartops_chaos.analysis.cells import Cell


def wilson(successes: int, n: int, alpha: float) -> tuple[float, float]:
    """The two-sided score interval (1 - 2 alpha) of a rate (Wilson 1927): what a report shows. n must be above 0."""
    z = -normal_quantile(alpha)
    share = successes / n
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    lo = 0.0 if successes == 0 else (centre - half) / scale
    hi = 1.0 if successes == n else (centre + half) / scale
    return float(lo), float(hi)


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """The exact one-sided lower bound of a rate (Clopper and Pearson 1934): what decides. n must be above 0."""
    return beta_quantile(alpha, successes, n - successes + 1) if successes else 0.0


def binomial_p(successes: int, n: int, share: float) -> float:
    """Exact one-sided p of H0: true share <= `share`. At most alpha exactly when Clopper-Pearson's bound reaches it."""
    return beta_below(share, successes, n - successes + 1) if successes else 1.0


def binomial_p_above(successes: int, n: int, share: float) -> float:
    """Exact one-sided p of H0: true share >= `share`."""
    return beta_below(1 - share, n - successes, successes + 1) if successes < n else 1.0


def newcombe(successes1: int, n1: int, successes2: int, n2: int, alpha: float) -> tuple[float, float]:
    """The two-sided interval (1 - 2 alpha) of rate 1 minus rate 2 (Newcombe 1998, no. 10: of two Wilson intervals)."""
    p1, p2 = successes1 / n1, successes2 / n2
    lo1, hi1 = wilson(successes1, n1, alpha)
    lo2, hi2 = wilson(successes2, n2, alpha)
    below = np.hypot(p1 - lo1, hi2 - p2)
    above = np.hypot(hi1 - p1, p2 - lo2)
    return float(p1 - p2 - below), float(p1 - p2 + above)


def incidents(cells: Sequence[Cell]) -> tuple[int, int, int]:
    """(n, ended without a person, healed or prevented): n = trials with an incident, and prevented ones."""
    n = sum(c.incidents + c.prevented for c in cells)
    by_healer, no_human = (_ended(cells, group) for group in (lambda o: o.by_healer, lambda o: o.no_human))
    return n, no_human, by_healer


def _ended(cells: Sequence[Cell], group: Callable[[Outcome], bool]) -> int:
    """Trials of a group of outcomes; of the prevented ones those in which there was something to prevent."""
    return sum(
        n if Outcome(outcome) is not Outcome.PREVENTED else cell.prevented
        for cell in cells
        for outcome, n in cell.outcomes.items()
        if group(Outcome(outcome))
    )


def auto_heal(cells: Sequence[Cell], baseline: Sequence[Cell], alpha: float, *, looks: bool = False) -> AutoHeal:
    """`baseline` is empty for the baseline itself. The uplift is taken over the scenarios that both arms have."""
    n, successes, by_healer = incidents(cells)
    lo, hi = (None, None) if not n else _at_looks(successes, n, alpha) if looks else wilson(successes, n, alpha)
    ours, theirs = common(cells, baseline)
    n1, _, healed = incidents(ours)
    n2, unaided, _ = incidents(theirs)
    both = n1 > 0 and n2 > 0
    uplift_lo, uplift_hi = newcombe(healed, n1, unaided, n2, alpha) if both else (None, None)
    return AutoHeal(
        no_human=successes / n if n else None,
        by_healer=by_healer / n if n else None,
        lo=lo,
        hi=hi,
        successes=successes,
        n=n,
        uplift=healed / n1 - unaided / n2 if both else None,
        uplift_lo=uplift_lo,
        uplift_hi=uplift_hi,
    )


@dataclass(frozen=True, slots=True)
class HealTest:
    """Is the rate above the target, and more than the baseline's? Both p also with the lost trials at their worst."""

    p_rate: float  # one-sided, H0: rate <= target
    p_uplift: float  # one-sided, H0: no more healed than the baseline ends by itself; 1 if it had no incident
    p_ruled_out: float  # one-sided, H0: rate >= target, with the lost trials at their best
    bound: float | None  # the one-sided lower bound of the rate; None without an incident
    at_worst: float | None  # the rate if every lost trial had failed
    at_best: float | None

    @property
    def p(self) -> float:
        """Of all that a `proven` needs."""
        return max(self.p_rate, self.p_uplift)


def heal_test(
    cells: Sequence[Cell], baseline: Sequence[Cell], target: float, alpha: float, *, looks: bool = False
) -> HealTest:
    """Decides the auto-heal target of an arm; `alpha` is the one-sided level of the bound."""
    n, successes, _ = incidents(cells)
    lost = sum(c.lost for c in cells)
    if not n:
        return HealTest(1.0, 1.0, 1.0, None, None, None)
    best = successes + lost
    return HealTest(
        p_rate=rate_p(successes, n + lost, target, looks=looks),
        p_uplift=_uplift_p(cells, baseline, looks),
        p_ruled_out=_rate_p_above(best, n + lost, target, looks),
        bound=_at_looks(successes, n, alpha)[0] if looks else clopper_pearson_lower(successes, n, alpha),
        at_worst=successes / (n + lost),
        at_best=best / (n + lost),
    )


def rate_p(successes: int, n: int, share: float, *, looks: bool = False) -> float:
    """One-sided p of H0: true share <= `share`; exact, or 1 / e."""
    if looks:
        return float(mean_p_below(_failures(successes, n), 1 - share, looks=True)[0])
    return binomial_p(successes, n, share)


def _rate_p_above(successes: int, n: int, share: float, looks: bool) -> float:
    if looks:
        return float(mean_p_above(_failures(successes, n), 1 - share, looks=True)[0])
    return binomial_p_above(successes, n, share)


def _uplift_p(cells: Sequence[Cell], baseline: Sequence[Cell], looks: bool) -> float:
    ours, theirs = common(cells, baseline)
    n1, _, healed = incidents(ours)
    n2, unaided, _ = incidents(theirs)
    if not n1 or not n2:
        return 1.0
    lost = [sum(c.lost for c in side) for side in (ours, theirs)]
    return uplift_p(healed, n1 + lost[0], unaided + lost[1], n2 + lost[1], looks=looks)


def uplift_p(healed: int, n1: int, unaided: int, n2: int, *, looks: bool = False) -> float:
    """One-sided p of H0: the share `healed` of `n1` is in truth at most the share `unaided` of `n2`; both above 0."""
    return float(reduction_p(_failures(healed, n1), _failures(unaided, n2), 0.0, looks=looks)[0])


def _failures(successes: int, n: int) -> list[Trials]:
    """As times: 1 where it failed, 0 where it did not."""
    return [Trials(np.repeat([0.0, 1.0], [successes, n - successes]), 1.0)]


def _at_looks(successes: int, n: int, alpha: float) -> tuple[float, float]:
    """The two-sided interval (1 - 2 alpha) that holds at every look."""
    lo, hi = mean_interval(_failures(successes, n), alpha, looks=True)
    return 1 - float(hi[0]), 1 - float(lo[0])


def common(cells: Sequence[Cell], others: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells of the scenarios that both sides have, in the same order."""
    theirs = {c.scenario: c for c in others}
    ours = [c for c in cells if c.scenario in theirs]
    return ours, [theirs[c.scenario] for c in ours]
