"""Means over scenarios of times between 0 and the horizon, with intervals that stay true where failures are rare.

A mean over scenarios is sum(w m) / sum(w) of the scenarios' means (stratified sampling, Cochran 1977, chapter 5). Its
interval does not rest on a variance, since few trials do not show that one in fifty fails: analysis.likelihood_ratio.
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
class Sample:
    """The trials of one scenario in one arm."""

    values: Floats  # one for each trial: shape (n,)
    weight: float  # of the scenario, relative to the others
    worst: float  # the horizon: no time is above it


def mean_over_scenarios(samples: Sequence[Sample]) -> float:
    """The weighted mean of the scenarios' means; NaN without samples, or with an empty one."""
    total = sum(s.weight for s in samples)
    if not total or any(len(s.values) == 0 for s in samples):
        return float("nan")
    return sum(s.weight / total * float(s.values.mean()) for s in samples)


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
