"""Shares and their intervals: Wilson is shown, Clopper-Pearson decides, Newcombe compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from smartops_chaos.analysis.summary import AutoHeal
from smartops_chaos.model import Outcome

if TYPE_CHECKING:  # cells are made by pandas, which a plan does not need
    from smartops_chaos.analysis.cells import Cell


def wilson(successes: int, n: int, alpha: float) -> tuple[float, float]:
    """The two-sided score interval (1 - 2 alpha) of a rate (Wilson 1927): what a report shows. n must be above 0."""
    z = -float(special.ndtri(alpha))
    share = successes / n
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    lo = 0.0 if successes == 0 else (centre - half) / scale
    hi = 1.0 if successes == n else (centre + half) / scale
    return float(lo), float(hi)


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """The exact one-sided lower bound of a rate (Clopper and Pearson 1934): what decides. n must be above 0."""
    return float(special.betaincinv(successes, n - successes + 1, alpha)) if successes else 0.0


def binomial_p(successes: int, n: int, share: float) -> float:
    """Exact one-sided p of H0: true share <= `share`. At most alpha exactly when Clopper-Pearson's bound reaches it."""
    return float(special.betainc(successes, n - successes + 1, share)) if successes else 1.0


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
    by_healer = sum(c.outcomes.get(Outcome.HEALED, 0) + c.prevented for c in cells)
    return n, by_healer + sum(c.outcomes.get(Outcome.PLATFORM, 0) for c in cells), by_healer


def auto_heal(cells: Sequence[Cell], baseline: Sequence[Cell], alpha: float) -> AutoHeal:
    """`baseline` is empty for the baseline itself. The uplift is taken over the scenarios that both arms have."""
    n, successes, by_healer = incidents(cells)
    lo, hi = wilson(successes, n, alpha) if n else (None, None)
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


def worst_uplift_lower(cells: Sequence[Cell], baseline: Sequence[Cell], alpha: float) -> float | None:
    """Newcombe's lower bound if every lost trial had failed in the arm and had ended by itself in the baseline."""
    ours, theirs = common(cells, baseline)
    n1, _, healed = incidents(ours)
    n2, unaided, _ = incidents(theirs)
    n1 += sum(c.lost for c in ours)
    lost = sum(c.lost for c in theirs)
    return newcombe(healed, n1, unaided + lost, n2 + lost, alpha)[0] if n1 and n2 + lost else None


def common(cells: Sequence[Cell], others: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells of the scenarios that both sides have, in the same order."""
    theirs = {c.scenario: c for c in others}
    ours = [c for c in cells if c.scenario in theirs]
    return ours, [theirs[c.scenario] for c in ours]
