"""What trials of a given number can prove: at all, in the best case, and likely, for a spread of times. Pure numbers.

The best case applies the tests of `analysis.verdicts` to results that no campaign can beat: if these prove nothing,
nothing will. Likely means in 80 % of the campaigns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev

from smartops_chaos.model import LEAST_TRIALS, PSEUDO_TRIAL

POWER = 0.8  # what counts as likely


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


@dataclass(frozen=True, slots=True)
class Spread:
    """What is supposed of one scenario, on the scale on which the horizon is 1: the baseline's times, the arm's spread.

    `base` stands for the distribution (any number of values), `widen` multiplies its standard deviation; `arm_cv` is
    the standard deviation of an arm's times as a multiple of their mean.
    """

    weight: float
    base: tuple[float, ...]
    widen: float
    arm_cv: float


def lognormal(mean: float, cv: float, n: int = 200) -> tuple[float, ...]:
    """Its quantiles in the middles of n equal shares, cut at 1."""
    sigma = math.sqrt(math.log1p(cv**2))
    mu = math.log(mean) - sigma**2 / 2
    return tuple(min(1.0, math.exp(mu + sigma * NormalDist().inv_cdf((i + 0.5) / n))) for i in range(n))


def likely(spreads: Sequence[Spread], reduction: float, trials: int, target: float, alpha: float) -> bool:
    """Is a reduction of `target` proven in 80 % of the campaigns with `trials` in each cell, if `reduction` is true?

    The test of `analysis.compare`, on the values to be expected, at the horizon and at half of it.
    """
    if trials < LEAST_TRIALS or not spreads or reduction >= 1:
        return False
    from scipy.special import stdtrit

    total = sum(s.weight for s in spreads)
    for tau in (0.5, 1.0):
        difference = variance = squares = 0.0
        for s in spreads:
            arm = lognormal((1 - reduction) * fmean(s.base), s.arm_cv)
            a, a_variance = _expected(arm, 1.0, tau, 1.0, trials)
            b, b_variance = _expected(s.base, s.widen, tau, 0.0, trials)
            b, b_variance = (1 - target) * b, (1 - target) ** 2 * b_variance
            share = s.weight / total
            difference += share * (b - a)
            variance += share**2 * (a_variance + b_variance)
            squares += share**4 * (a_variance**2 + b_variance**2) / (trials - 1)
        df = variance**2 / squares
        if difference < -float(stdtrit(df, alpha) + stdtrit(df, 1 - POWER)) * math.sqrt(variance):
            return False
    return True


def smallest_reduction(spreads: Sequence[Spread], trials: int, target: float, alpha: float) -> float | None:
    """In hundredths; None = not even a reduction of 99 % would do."""
    steps = (step / 100 for step in range(math.ceil(100 * target) + 1, 100))
    return next((r for r in steps if likely(spreads, r, trials, target, alpha)), None)


def trials_for(spreads: Sequence[Spread], reduction: float, target: float, alpha: float, most: int) -> int | None:
    """The fewest trials in a cell that are likely to prove `target` if `reduction` is true; None = more than `most`."""
    low, high = LEAST_TRIALS - 1, most
    if not likely(spreads, reduction, high, target, alpha):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if likely(spreads, reduction, middle, target, alpha) else (middle, high)
    return high


def smallest_uplift(base_share: float, arm_trials: int, base_trials: int, alpha: float) -> float | None:
    """The smallest difference of two shares, in hundredths, that is shown to be above 0 in 80 % of the campaigns."""
    if not arm_trials or not base_trials:
        return None
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)

    def variance(share: float, n: int) -> float:
        centre = (n * share + 2) / (n + 4)  # Agresti and Caffo (2000): shares of 0 and 1 vary too
        return centre * (1 - centre) / (n + 4)

    steps = (step / 100 for step in range(1, int(round(100 * (1 - base_share), 6)) + 1))
    base = variance(base_share, base_trials)
    return next((d for d in steps if d >= z * math.sqrt(variance(base_share + d, arm_trials) + base)), None)


def heals_needed(target: float, truth: float, alpha: float, most: int) -> int | None:
    """The fewest incidents that are likely to prove more than `target` if `truth` is the share; None = over `most`."""
    for n in range(trials_needed(target, alpha), most + 1):
        allowed = failures_allowed(n, target, alpha)
        chance = sum(math.comb(n, k) * (1 - truth) ** k * truth ** (n - k) for k in range(allowed + 1))
        if chance >= POWER:
            return n
    return None


def _expected(values: Sequence[float], widen: float, tau: float, pseudo: float, trials: int) -> tuple[float, float]:
    """Mean and its variance to expect of `trials` values cut at tau and a pseudo-trial; on the scale 1."""
    cut = [min(v, tau) for v in values]
    mean, deviation = fmean(cut), widen * pstdev(cut)
    worst, size = pseudo * tau, trials + PSEUDO_TRIAL
    prudent = (trials * mean + PSEUDO_TRIAL * worst) / size
    squares = (trials - 1) * deviation**2 + trials * (mean - prudent) ** 2 + PSEUDO_TRIAL * (worst - prudent) ** 2
    return prudent, squares / (size - 1) / size


def _mean_and_variance(value: float, pseudo: float, trials: int) -> tuple[float, float]:
    """Of `trials` equal values and a pseudo-trial: the mean and the variance of that mean."""
    size = trials + PSEUDO_TRIAL
    mean = (trials * value + PSEUDO_TRIAL * pseudo) / size
    squares = trials * (value - mean) ** 2 + PSEUDO_TRIAL * (pseudo - mean) ** 2
    return mean, squares / (size - 1) / size
