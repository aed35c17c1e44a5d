"""Means over scenarios, with their sampling error: the one estimator behind MTTR, its reduction and the SLA.

A mean over scenarios is sum(w m) / sum(w) of the scenarios' means, its variance sum(w^2 s^2 / n) / sum(w)^2 with the
trial as unit (stratified sampling), its degrees of freedom Satterthwaite's (1946).

Prudence: few trials do not show what happens in one trial of 50, and then their variance is far too small. So the
unfavourable end of every interval, and every p value, allows for a pseudo-trial with the worst value in each scenario.
With 5 % of failures and n = 20 the plain interval covers in about 70 % of simulated campaigns, this one in more than
95 %. Half a pseudo-trial would not do: where 2 to 5 % of the trials fail and none of 45 to 100 shows it, it lets 8 to
13 % of the campaigns on the border prove what is not so, and covers in 91 %; a whole one lets at most 5 %
(benchmarks/statistics.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smartops_chaos.model import PSEUDO_TRIAL

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, the variance of that mean and its degrees of freedom; variance NaN = a scenario with one trial only."""

    mean: float
    variance: float
    df: float

    @property
    def certain(self) -> bool:
        """No error can be given: the trials do not vary, or are too few."""
        return not self.variance > 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The trials of one scenario in one arm; `worst` is the unfavourable value for the pseudo-trial."""

    values: Floats
    weight: float
    worst: float


def mean_over_scenarios(samples: Sequence[Sample], *, pseudo: float = 0.0) -> Estimate:
    """`pseudo` is the weight of a pseudo-trial at `worst` in each scenario: few trials without a failure prove little.

    NaN without samples or with an empty one.
    """
    total = sum(s.weight for s in samples)
    if not total or any(len(s.values) == 0 for s in samples):
        return Estimate(np.nan, np.nan, np.nan)
    mean = variance = squares = 0.0
    for sample in samples:
        m, v = _mean_and_variance(sample.values, sample.worst, pseudo)
        share = sample.weight / total
        mean += share * m
        variance += share**2 * v
        squares += (share**2 * v) ** 2 / max(len(sample.values) - 1, 1)
    return Estimate(mean, variance, variance**2 / squares if squares > 0 else np.inf)


def _mean_and_variance(values: Floats, worst: float, pseudo: float) -> tuple[float, float]:
    n = len(values)
    if not pseudo:
        if n > 1 and values.min() == values.max():  # exactly no variance, where rounding would leave a trace of one
            return float(values[0]), 0.0
        return float(values.mean()), float(values.var(ddof=1)) / n if n > 1 else np.nan
    size = n + pseudo
    mean = (float(values.sum()) + pseudo * worst) / size
    squares = float(((values - mean) ** 2).sum()) + pseudo * (worst - mean) ** 2
    return mean, squares / (size - 1) / size if n > 1 else np.nan


def interval(samples: Sequence[Sample], alpha: float) -> tuple[float | None, float | None]:
    """Two-sided interval at 2 alpha for the mean of times between 0 and `worst`.

    Each end is the farther one of the plain log-delta interval and of the prudent t interval. None without samples or
    with a scenario of one trial.
    """
    plain = mean_over_scenarios(samples)
    if np.isnan(plain.variance):
        return None, None
    low = mean_over_scenarios([replace(s, worst=0.0) for s in samples], pseudo=PSEUDO_TRIAL)
    high = mean_over_scenarios(samples, pseudo=PSEUDO_TRIAL)
    longest = mean_over_scenarios([replace(s, values=np.array([s.worst])) for s in samples]).mean
    spread = float(np.exp(step(plain, alpha) / plain.mean)) if plain.mean > 0 else 1.0
    lowest = min(plain.mean / spread, low.mean - step(low, alpha))
    highest = max(plain.mean * spread, high.mean + step(high, alpha))
    return max(lowest, 0.0), min(highest, longest)


def step(estimate: Estimate, alpha: float) -> float:
    """Half the width of the two-sided t interval at 2 alpha."""
    return 0.0 if estimate.certain else t_quantile(alpha, estimate.df) * float(np.sqrt(estimate.variance))


def log_ratio(above: Estimate, below: Estimate) -> Estimate:
    """ln(above / below) with its variance by the delta method; both means must be positive."""
    a = (above.variance**0.5 / above.mean) ** 2
    b = (below.variance**0.5 / below.mean) ** 2
    squares = a**2 / above.df + b**2 / below.df
    return Estimate(float(np.log(above.mean / below.mean)), a + b, (a + b) ** 2 / squares if squares > 0 else np.inf)


def weighted_difference(first: Estimate, second: Estimate, factor: float) -> Estimate:
    """first - factor x second."""
    a, b = first.variance, factor**2 * second.variance
    squares = a**2 / first.df + b**2 / second.df
    df = (a + b) ** 2 / squares if squares > 0 else np.inf
    return Estimate(first.mean - factor * second.mean, a + b, df)


def p_below(estimate: Estimate, limit: float) -> float:
    """One-sided p of H0: true mean >= limit. Without sampling error: 1, since nothing can be rejected."""
    if estimate.certain:
        return 1.0
    return t_tail((limit - estimate.mean) / float(np.sqrt(estimate.variance)), estimate.df)


def t_quantile(alpha: float, df: float) -> float:
    """What Student's t exceeds with probability alpha. scipy.stats says the same, 40 times slower."""
    return -float(special.stdtrit(df, alpha))


def t_tail(t: float, df: float) -> float:
    """How often Student's t exceeds `t`."""
    return float(special.stdtr(df, -t))
