"""What a number of trials can prove: in the best case, and in 80 % of the campaigns, for a spread of times.

The tests are those of `analysis`, applied to campaigns that are made up. No campaign can beat the best case: if that
proves nothing, nothing will. A likely one has the means and deviations to be expected. Times are on the scale on which
the horizon is 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy import special

from smartops_chaos.analysis.compare import DECIDING, HORIZONS, Pair, at_share, pseudo_difference
from smartops_chaos.analysis.estimate import Floats, Sample, p_below, t_quantile
from smartops_chaos.analysis.rates import binomial_p
from smartops_chaos.model import LEAST_TRIALS

POWER = 0.8  # what counts as likely


def trials_needed(share: float, alpha: float) -> int:
    """The smallest n for which n successes of n prove more than `share`: share^n <= alpha."""
    n = max(1, math.ceil(math.log(alpha) / math.log(share)))
    return n if share**n <= alpha else n + 1  # the logarithms may round across a whole number


def failures_allowed(n: int, share: float, alpha: float) -> int:
    """The most failures of n with which more than `share` is still proven; -1 if even none would not do."""
    failures = 0
    while failures < n and binomial_p(n - failures, n, share) <= alpha:
        failures += 1
    return failures - 1


def provable(share: float, trials: int, weights: Sequence[float], target: float, alpha: float) -> bool:
    """Is a reduction of `target` proven if the arm always recovers after `share` of the horizon, the baseline never?

    `trials` in each cell, one weight a scenario.
    """
    if trials < LEAST_TRIALS or not weights:
        return False
    arm, base = np.full(trials, share), np.ones(trials)
    pairs = [Pair("", Sample(arm, weight, 1.0), Sample(base, weight, 0.0)) for weight in weights]
    return all(p_below(pseudo_difference(at_share(pairs, HORIZONS[h]), target), 0.0) <= alpha for h in DECIDING)


def slowest_provable(trials: int, weights: Sequence[float], target: float, alpha: float) -> float | None:
    """The largest `share`, in hundredths, with which it is provable; None = not even an immediate recovery is."""
    shares = (step / 100 for step in range(100, -1, -1))
    return next((share for share in shares if provable(share, trials, weights, target, alpha)), None)


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
    return tuple(np.minimum(1.0, np.exp(mu + sigma * special.ndtri((np.arange(n) + 0.5) / n))).tolist())


def likely(spreads: Sequence[Spread], reduction: float, trials: int, target: float, alpha: float) -> bool:
    """Is a reduction of `target` proven in 80 % of the campaigns with `trials` in each cell, if `reduction` is true?

    The difference that the test looks at is taken as normal: then its power is 80 % if its expected value is as many
    deviations from 0 as the quantiles of Student's t at alpha and at 80 % are apart.
    """
    if trials < LEAST_TRIALS or not spreads or reduction >= 1:
        return False
    for tau in (HORIZONS[h] for h in DECIDING):
        pairs = []
        for s in spreads:
            arm = np.array(lognormal((1 - reduction) * float(np.mean(s.base)), s.arm_cv))
            pairs.append(
                Pair(
                    "",
                    Sample(_typical(np.minimum(arm, tau), 1.0, trials), s.weight, tau),
                    Sample(_typical(np.minimum(s.base, tau), s.widen, trials), s.weight, 0.0),
                )
            )
        difference = pseudo_difference(pairs, target)
        quantiles = t_quantile(alpha, difference.df) + t_quantile(1 - POWER, difference.df)
        if difference.mean > -quantiles * math.sqrt(difference.variance):
            return False
    return True


def _typical(values: Floats, widen: float, trials: int) -> Floats:
    """So many trials with the mean of the values and `widen` times their deviation: the test looks at nothing else."""
    ramp = np.linspace(-1, 1, trials)
    typical: Floats = values.mean() + widen * values.std() / ramp.std(ddof=1) * ramp
    return typical


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
        if special.bdtr(failures_allowed(n, target, alpha), n, 1 - truth) >= POWER:
            return n
    return None
