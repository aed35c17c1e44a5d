"""The fewest trials with which a target could be proven, in the best case. Pure numbers.

The same tests as in `analysis.verdicts`, applied to results that no campaign can beat: if these prove nothing, nothing
will.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_TRIALS = 3  # in a cell; with fewer the reduction is undecidable
_PRUDENCE = 0.5  # weight of the pseudo-trial that analysis.estimate adds to each cell


def trials_needed(share: float, alpha: float) -> int:
    """The smallest n for which n successes of n prove more than `share`.

    share^n <= alpha: the exact binomial test, which inverts the interval of Clopper and Pearson (1934).
    """
    n = max(1, math.ceil(math.log(alpha) / math.log(share)))
    return n if share**n <= alpha else n + 1  # the logarithms may round across a whole number


def failures_allowed(n: int, share: float, alpha: float) -> int:
    """The most failures of n with which more than `share` is still proven; -1 if even none would not do."""
    tail, failures = 0.0, 0
    while failures < n:  # tail = P(at most `failures` failures | share)
        log_term = math.lgamma(n + 1) - math.lgamma(failures + 1) - math.lgamma(n - failures + 1)
        tail += math.exp(log_term + (n - failures) * math.log(share) + failures * math.log1p(-share))
        if tail > alpha:
            break
        failures += 1
    return failures - 1


def provable(share: float, trials: int, weights: Sequence[float], target: float, alpha: float) -> bool:
    """Is a reduction of `target` proven if the arm always recovers after `share` of the horizon, the baseline never?

    `trials` in each cell, one weight a scenario. It must hold at the horizon and at half of it.
    """
    if trials < LEAST_TRIALS or not weights:
        return False
    return all(_p(min(share / tau, 1.0), trials, weights, target) <= alpha for tau in (0.5, 1.0))


def slowest_provable(trials: int, weights: Sequence[float], target: float, alpha: float) -> float | None:
    """The largest `share`, in hundredths, with which it is provable; None = not even an immediate recovery is."""
    shares = (step / 100 for step in range(100, -1, -1))
    return next((share for share in shares if provable(share, trials, weights, target, alpha)), None)


def _p(time: float, trials: int, weights: Sequence[float], target: float) -> float:
    """One-sided p of H0: reduction <= target, on the scale on which the horizon is 1 (Welch-Satterthwaite)."""
    from scipy.special import stdtr  # a large import that no other part of planning needs

    arm, arm_variance = _mean_and_variance(time, 1.0, trials)
    base, base_variance = _mean_and_variance(1.0, 0.0, trials)
    shares = sum((w / sum(weights)) ** 2 for w in weights)
    squares = sum((w / sum(weights)) ** 4 for w in weights) / (trials - 1)
    a, b = arm_variance, (1 - target) ** 2 * base_variance
    df = (shares * (a + b)) ** 2 / (squares * (a**2 + b**2))
    return float(stdtr(df, (arm - (1 - target) * base) / math.sqrt(shares * (a + b))))


def _mean_and_variance(value: float, pseudo: float, trials: int) -> tuple[float, float]:
    """Of `trials` equal values and half a pseudo-trial: the mean and the variance of that mean."""
    size = trials + _PRUDENCE
    mean = (trials * value + _PRUDENCE * pseudo) / size
    squares = trials * (value - mean) ** 2 + _PRUDENCE * (pseudo - mean) ** 2
    return mean, squares / (size - 1) / size
