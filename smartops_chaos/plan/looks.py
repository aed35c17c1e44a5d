"""When a campaign may decide before its end, and how much of the error rate each decision may use.

The shares add up to 1, so the chance of a false `proven` at any look is at most the plan's alpha (Bonferroni), at any
number of trials and whatever the looks have to do with each other. Most is kept for the last, where most trials are.
"""

from __future__ import annotations

SHARES: dict[int, tuple[float, ...]] = {1: (1.0,), 2: (0.2, 0.8), 3: (0.1, 0.2, 0.7)}


def ends(repeats: int, looks: int) -> tuple[int, ...]:
    """The repeat after which each look is; the last one is the end of the campaign."""
    return tuple(round(repeats * k / looks) for k in range(1, looks + 1))
