"""What a number of trials can prove: in the best case, and in 80 % of the campaigns, for a spread of times.

The tests are those of `analysis`, applied to campaigns that are made up. No campaign can beat the best case: if that
proves nothing, nothing will. What is likely is found by making some hundred campaigns as they are to be expected, and
counting how many prove it. Times are on the scale on which the horizon is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smartops_chaos.analysis.distributions import binomial_at_most, normal_quantile
from smartops_chaos.analysis.likelihood_ratio import FEWEST_PAIRS, Floats, Trials, mean_p_below, reduction_p
from smartops_chaos.analysis.rates import rate_p

POWER = 0.8  # what counts as likely
CAMPAIGNS = 400  # made up for each answer: a share of 80 % then has a standard error of 2 points
_MOST_INCIDENTS = 100_000
_SEED = 1  # the same campaigns for every question, so that more trials or a larger effect never look worse by chance


def trials_needed(share: float, alpha: float, *, looks: bool = False) -> int:
    """The smallest n for which n successes of n prove more than `share`: without looks share^n <= alpha."""
    return _fewest(lambda n: rate_p(n, n, share, looks=looks) <= alpha, 1, _MOST_INCIDENTS) or _MOST_INCIDENTS


def failures_allowed(n: int, share: float, alpha: float, *, looks: bool = False) -> int:
    """The most failures of n with which more than `share` is still proven; -1 if even none would not do."""
    failures = 0
    while failures < n and rate_p(n - failures, n, share, looks=looks) <= alpha:
        failures += 1
    return failures - 1


def availability_provable(
    horizons_s: Sequence[float], weights: Sequence[float], trials: int, limit_s: float, alpha: float, *, looks: bool
) -> bool:
    """Do so many trials in each scenario prove a mean below `limit_s` if none of them had a bad second?"""
    cells = [Trials(np.zeros(trials), horizon_s, w) for horizon_s, w in zip(horizons_s, weights, strict=True)]
    return trials * len(cells) >= FEWEST_PAIRS and bool(mean_p_below(cells, limit_s, looks=looks)[0] <= alpha)


@dataclass(frozen=True, slots=True)
class Design:
    """What is tested: so many trials in a cell, one weight a scenario, the level, and whether there are looks."""

    trials: int
    weights: tuple[float, ...]
    alpha: float
    looks: bool = False

    @property
    def decides(self) -> bool:
        """There are as many trials as a verdict takes."""
        return self.trials * len(self.weights) >= FEWEST_PAIRS

    def proven(self, arm: Sequence[Floats], base: Sequence[Floats], target: float) -> np.ndarray:
        """For each campaign whether `target` is proven; one array (campaigns, trials) for each scenario."""
        ours, theirs = ([Trials(v, 1.0, w) for v, w in zip(s, self.weights, strict=True)] for s in (arm, base))
        return np.asarray(reduction_p(ours, theirs, target, looks=self.looks) <= self.alpha)


def slowest_provable(design: Design, target: float) -> float | None:
    """The largest share of the horizon, in hundredths, after which an arm may always recover so that `target` is proven
    against a baseline that never does; None = not even an immediate recovery is enough.
    """
    if not design.decides:
        return None
    shares = np.arange(100, -1, -1) / 100
    arm = np.repeat(shares[:, None], design.trials, axis=1)
    proven = design.proven([arm] * len(design.weights), [np.ones_like(arm)] * len(design.weights), target)
    return float(shares[int(np.argmax(proven))]) if proven.any() else None


def fewest_provable(design: Design, share: float, target: float, most: int) -> int | None:
    """The fewest trials in a cell that prove `target` if the arm always takes `share` of the horizon and the baseline
    never recovers; None = more than `most`.
    """

    def enough(trials: int) -> bool:
        slowest = slowest_provable(_with(design, trials), target)
        return slowest is not None and slowest >= share

    return _fewest(enough, 1, most)


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
    return tuple(
        np.minimum(1.0, np.exp(mu + sigma * np.array([normal_quantile((i + 0.5) / n) for i in range(n)]))).tolist()
    )


def power(spreads: Sequence[Spread], reduction: float, design: Design, target: float) -> float:
    """The share of campaigns in which a reduction of `target` is proven if `reduction` is true."""
    if not design.decides or reduction >= 1:
        return 0.0
    rng = np.random.default_rng(_SEED)
    shape = (CAMPAIGNS, design.trials)
    arms, bases = [], []
    for spread in spreads:
        mean = float(np.mean(spread.base))
        drawn = np.asarray(spread.base)[rng.integers(0, len(spread.base), shape)]
        bases.append(np.clip(mean + spread.widen * (drawn - mean), 0.0, 1.0))
        quantiles = np.array(lognormal((1 - reduction) * mean, spread.arm_cv))
        arms.append(quantiles[rng.integers(0, len(quantiles), shape)])
    return float(design.proven(arms, bases, target).mean())


def smallest_reduction(spreads: Sequence[Spread], design: Design, target: float) -> float | None:
    """The smallest true reduction that is likely to prove `target`, in hundredths; None = not even 99 % would."""

    def enough(hundredths: int) -> bool:
        return power(spreads, hundredths / 100, design, target) >= POWER

    found = _fewest(enough, math.ceil(100 * target) + 1, 99)
    return None if found is None else found / 100


def trials_for(spreads: Sequence[Spread], reduction: float, design: Design, target: float, most: int) -> int | None:
    """The fewest trials in a cell that are likely to prove `target` if `reduction` is true; None = more than `most`."""
    return _fewest(lambda n: power(spreads, reduction, _with(design, n), target) >= POWER, 1, most)


def smallest_uplift(
    base_share: float, arm_trials: int, base_trials: int, alpha: float, *, looks: bool = False
) -> float | None:
    """The smallest difference of two shares, in hundredths, that is likely to be shown to be above 0."""
    if not arm_trials or not base_trials:
        return None
    rng = np.random.default_rng(_SEED)
    arm, base = rng.random((CAMPAIGNS, arm_trials)), rng.random((CAMPAIGNS, base_trials)) >= base_share
    unaided = [Trials(base.astype(float), 1.0)]

    def enough(hundredths: int) -> bool:
        failed = [Trials((arm >= base_share + hundredths / 100).astype(float), 1.0)]
        return float((reduction_p(failed, unaided, 0.0, looks=looks) <= alpha).mean()) >= POWER

    found = _fewest(enough, 1, int(round(100 * (1 - base_share), 6)))
    return None if found is None else found / 100


def heals_needed(target: float, truth: float, alpha: float, most: int, *, looks: bool = False) -> int | None:
    """The fewest incidents that are likely to prove more than `target` if `truth` is the share; None = over `most`."""

    def enough(n: int) -> bool:
        return binomial_at_most(failures_allowed(n, target, alpha, looks=looks), n, 1 - truth) >= POWER

    return _fewest(enough, trials_needed(target, alpha, looks=looks), most)


def _with(design: Design, trials: int) -> Design:
    return Design(trials, design.weights, design.alpha, design.looks)


def _fewest(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number that is enough, where all larger ones are as well: by doubling, then by halves."""
    if least > most:
        return None
    low, high = least - 1, least
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
