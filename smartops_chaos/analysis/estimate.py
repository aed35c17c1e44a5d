"""Means over scenarios, with their sampling error.

A mean over scenarios is sum(w m) / sum(w) of the scenarios' means, its variance sum(w^2 s^2 / n) / sum(w)^2 with the
trial as unit (stratified sampling), its degrees of freedom Satterthwaite's (1946). Few trials do not show that one in
fifty fails, so no verdict rests on that variance: see analysis.likelihood_ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smartops_chaos.analysis.likelihood_ratio import Trials, mean_interval

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its sampling error. All three are NaN if there was nothing to take a mean of."""

    mean: float
    variance: float  # of the mean, not of the trials; NaN = unknown, since a scenario has one trial only
    df: float  # degrees of freedom of the variance; inf if it is 0

    @property
    def has_no_error(self) -> bool:
        """No standard error exists: the variance is zero, or unknown because a scenario has one trial."""
        return not self.variance > 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The trials of one scenario in one arm."""

    values: Floats  # one for each trial: shape (n,)
    weight: float  # of the scenario, relative to the others
    worst: float  # the value of a pseudo-trial: the horizon for an arm, 0 for the baseline that it is compared with


def mean_over_scenarios(samples: Sequence[Sample], *, pseudo: float = 0.0) -> Estimate:
    """The weighted mean of the scenarios' means (stratified sampling, Cochran 1977, chapter 5).

    `pseudo` is the weight, in trials, of a pseudo-trial at `worst` in each scenario; 0 = none. All NaN without samples
    or with an empty one. Degrees of freedom: Satterthwaite (1946).
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


def interval(samples: Sequence[Sample], alpha: float, *, looks: bool = False) -> tuple[float | None, float | None]:
    """The two-sided interval (1 - 2 alpha) of a mean over scenarios of times between 0 and `worst`.

    By inversion of the test of `analysis.likelihood_ratio`; with `looks` it holds at every look. (None, None) without
    samples.
    """
    if not samples or any(not len(s.values) for s in samples):
        return None, None
    lo, hi = mean_interval([Trials(s.values, s.worst, s.weight) for s in samples], alpha, looks=looks)
    return float(lo[0]), float(hi[0])


def t_quantile(alpha: float, df: float) -> float:
    """The value that Student's t exceeds with probability alpha. `scipy.stats.t.isf` says the same, 40 times slower."""
    return -float(special.stdtrit(df, alpha))


def t_tail(t: float, df: float) -> float:
    """The probability that Student's t exceeds `t`."""
    return float(special.stdtr(df, -t))
