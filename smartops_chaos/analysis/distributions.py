"""The normal, beta, t, chi-squared and binomial distributions, as far as the tests and intervals need them.

A library that knows many more weighs as much as all figures together; tests/analysis holds these against it.
Quantiles are found by halving, so a quantile and its probability always agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

_TINY = 1e-300
_EPSILON = 1e-15
_MOST_TERMS = 100_000  # far more than are ever needed: of n trials a few times the root of n


def normal_below(z: float) -> float:
    """The probability that a standard normal value is below z."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """The value below which a standard normal one is with probability p."""
    return NormalDist().inv_cdf(p) if 0 < p < 1 else math.inf if p > 0.5 else -math.inf


def beta_below(x: float, a: float, b: float) -> float:
    """The probability that a value of the beta distribution (a, b) is below x: the regularised incomplete integral."""
    return _beta(x, 1 - x, a, b)


def beta_quantile(p: float, a: float, b: float) -> float:
    return _halved(lambda x: beta_below(x, a, b) < p, 0.0, 1.0)


def binomial_at_most(k: int, n: int, share: float) -> float:
    """The probability of at most k successes in n trials."""
    return 1.0 if k >= n else 0.0 if k < 0 else beta_below(1 - share, n - k, k + 1)


def t_tail(t: float, df: float) -> float:
    """The probability that Student's t exceeds `t`."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    beyond = 0.5 * _beta(df / (df + t * t), t * t / (df + t * t), df / 2, 0.5)
    return beyond if t >= 0 else 1 - beyond


def t_quantile(alpha: float, df: float) -> float:
    """The value that Student's t exceeds with probability alpha."""
    if alpha > 0.5:
        return -t_quantile(1 - alpha, df)
    most = 1.0
    while t_tail(most, df) > alpha:
        most *= 2
    return _halved(lambda t: t_tail(t, df) > alpha, 0.0, most)


def chi_squared_quantile(alpha: float, df: float) -> float:
    """The value that chi-squared with `df` degrees of freedom exceeds with probability alpha."""
    most = 1.0
    while 1 - _gamma_below(df / 2, most / 2) > alpha:
        most *= 2
    return _halved(lambda x: 1 - _gamma_below(df / 2, x / 2) > alpha, 0.0, most)


def _halved(too_low: Callable[[float], bool], lo: float, hi: float) -> float:
    while lo < (middle := (lo + hi) / 2) < hi:
        if too_low(middle):
            lo = middle
        else:
            hi = middle
    return middle


def _beta(x: float, y: float, a: float, b: float) -> float:
    """The regularised incomplete beta integral at x = 1 - y, both given since one may be too small to subtract."""
    if x <= 0 or y <= 0:
        return 0.0 if x <= 0 else 1.0
    if b == 1:  # all of n trials: exact, so that a p of just alpha proves
        return float(x**a)
    if x > (a + 1) / (a + b + 2):  # the fraction below is quick on the other side
        return 1 - _beta(y, x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    return math.exp(front) / a * _beta_fraction(x, a, b)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation of the continued fraction (Abramowitz and Stegun 26.5.8)."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            found *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return found


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _gamma_below(a: float, x: float) -> float:
    """The regularised lower incomplete gamma integral, by its series."""
    term = total = 1 / a
    for n in range(1, _MOST_TERMS):
        term *= x / (a + n)
        total += term
        if term < total * _EPSILON:
            break
    return total * math.exp(a * math.log(x) - x - math.lgamma(a)) if x > 0 else 0.0
