"""Did anything change between two campaigns, and by how much? A permutation test within scenarios (Fisher 1935).

If nothing changed, which of the two campaigns a trial of a cell belongs to is chance, so every exchange of labels
within the cell is as likely as the one that was found. p is the share of exchanges that make the new campaign as slow
as it was found, or slower. It assumes nothing of the times and is exact for every number of trials. It knows these two
campaigns only: a night on which the whole cluster is slow looks like a change, but for what the baseline slows with it,
and one at its horizon cannot slow.

How slow an exchange makes the arm is a distance in standard errors: the log of NEW over OLD, less the baseline's, by
the scatter within the two campaigns of this exchange. So the test is about right too if the baseline did change and the
arm as much (Chung and Romano 2013). Two distances are taken:

- of the weighted mean over the scenarios, which is the MTTR. One trial that never recovered hides what the others took;
- of the usual trial: the mean of the log times, where none is farther from its cell's median than `_FENCE` spreads
  (Maritz 1979). What rarely happens hardly moves it.

Whether anything changed is asked by the larger of the two, in every exchange: so both are paid for (Westfall and Young
1993).

The baseline's change is taken out as far as it stands out of its own scatter: all of it but the share
`_SHRINK` variance / change^2 (James and Stein 1961, the positive part). A quiet pair of nights then does not pay for
how unsteady the baseline is, and a machine that became twice as slow is taken out whole. What lies between is taken out
in part: a change of the machine about as large as the baseline's scatter is called one of the arm a little more often.

How much: the test of the mean after the old campaign's times of the arm were made a factor longer. It asks whether that
factor is the whole change; the factors that it does not reject are the interval (Lehmann 1963, on the log scale). What
had not recovered stays at the horizon. Exact where a change is a factor, as on a slower machine; else for the factor 1
only. The usual trial has no part in it: the gate and the interval are about the MTTR, which counts failures in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, log, prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

EXCHANGES = 10_000  # so many are drawn where there are more than that; up to then each is looked at
LARGEST = log(100.0)  # the interval is looked for up to a hundredfold change
_STEPS = 14  # of a bisection, the last of them a twentieth of a per cent wide
_FENCE = 1.5  # spreads from its cell's median that a log time counts at most; where the usual Huber estimator bends
_SHRINK = 0.5  # found by simulation (benchmarks/two_nights.py); at 0 the baseline's scatter counts in full
_NORMAL_SPREAD = 1.4826  # standard deviation of normal values / their median distance from the median
_LEAST = 1e-9  # of the longest time: so long counts what took none, since 0 has no log
_FLOOR = 1e-6  # variance of a log: times that are all the same still differ by a tenth of a per cent
_TIE = 1e-9  # exchanges that come to the same, but for rounding


@dataclass(frozen=True, slots=True)
class CellPair:
    """The scored times of one scenario in one arm, in the old campaign and in the new one; each has at least one."""

    old: Floats
    new: Floats
    weight: float = 1.0
    horizon_s: float = np.inf

    def slowed(self, factor: float) -> Floats:
        """The new times and then the old ones, as they were if the arm had become so much slower."""
        slowed = np.where(self.old < self.horizon_s, np.minimum(self.old * factor, self.horizon_s), self.old)
        return np.concatenate([self.new, slowed])


@dataclass(frozen=True, slots=True)
class Direction:
    """One-sided p values of H0: the slowdown is the one asked about; twice the smaller one is the two-sided p."""

    p_slower: float
    p_faster: float
    exact: bool  # every exchange was looked at

    @property
    def p(self) -> float:
        return min(1.0, 2 * min(self.p_slower, self.p_faster))


@dataclass(frozen=True, slots=True)
class _Change:
    """Log of NEW over OLD in each exchange, with the variance that the trials within both leave it."""

    log: Floats
    variance: Floats

    def __sub__(self, other: _Change) -> _Change:
        return _Change(self.log - other.log, self.variance + other.variance)

    @property
    def distance(self) -> Floats:
        return np.asarray(self.log / np.sqrt(self.variance + _FLOOR))


_Chosen: TypeAlias = Sequence[tuple[CellPair, Floats]]  # a cell, and for each exchange which of its trials are new


class Exchanges:
    """All exchanges of labels, or so many drawn; the first is the one that was found.

    `base` is in the order of `arm`'s scenarios, or empty to compare the arm's own times; `seed` draws the exchanges.
    """

    def __init__(self, arm: Sequence[CellPair], base: Sequence[CellPair], seed: int) -> None:
        cells = [*arm, *base]
        sizes = [(len(c.new), len(c.old)) for c in cells]
        self.exact = prod(comb(new + old, new) for new, old in sizes) <= EXCHANGES
        chosen = list(_every(sizes) if self.exact else _drawn(sizes, np.random.default_rng(seed)))
        self._arm = list(zip(arm, chosen, strict=False))
        nothing = _Change(np.zeros(1), np.zeros(1))
        self._baseline = _shrunk(_of_means(list(zip(base, chosen[len(arm) :], strict=True)))) if base else nothing
        self._means = _of_means(self._arm) - self._baseline

    @property
    def estimate(self) -> float:
        """The log slowdown of the means as they were found."""
        return float(self._means.log[0])

    def direction(self) -> Direction:
        """Of H0: nothing changed, neither the mean nor the usual trial."""
        means, usual = self._means.distance, (_of_usual_trials(self._arm) - self._baseline).distance
        return self._found(np.maximum(means, usual), np.minimum(means, usual))

    def slowdown_is(self, log_slowdown: float) -> Direction:
        """Of H0: the mean's slowdown is exp(`log_slowdown`) - 1. p_slower speaks for more, p_faster for less."""
        distance = (_of_means(self._arm, float(np.exp(log_slowdown))) - self._baseline).distance
        return self._found(distance, distance)

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """The log slowdowns that neither one-sided test at `alpha` rejects; None: no end up to `LARGEST`."""
        lo = _crossing(lambda s: self.slowdown_is(s).p_slower <= alpha)
        hi = _crossing(lambda s: self.slowdown_is(s).p_faster > alpha)
        return None if lo <= -LARGEST else lo, None if hi >= LARGEST else hi

    def _found(self, slower: Floats, faster: Floats) -> Direction:
        """The shares of exchanges as slow as the first of `slower`, and as fast as the first of `faster`."""
        as_slow = slower >= slower[0] - _TIE * max(1.0, abs(slower[0]))
        as_fast = faster <= faster[0] + _TIE * max(1.0, abs(faster[0]))
        return Direction(float(as_slow.mean()), float(as_fast.mean()), self.exact)


def _crossing(holds: Callable[[float], bool]) -> float:
    """The log slowdown up to which `holds`, which does not hold again above it."""
    lo, hi = -LARGEST, LARGEST
    if not holds(lo):
        return lo
    if holds(hi):
        return hi
    for _ in range(_STEPS):
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if holds(middle) else (lo, middle)
    return (lo + hi) / 2


def _shrunk(change: _Change) -> _Change:
    """As far as it stands out of its own scatter."""
    share = np.maximum(0.0, 1 - _SHRINK * change.variance / np.maximum(change.log**2, _FLOOR))
    return _Change(share * change.log, share * change.variance)


def _of_means(cells: _Chosen, factor: float = 1.0) -> _Change:
    """Of the weighted mean of the times, the old ones made a `factor` longer; its variance by the delta method."""
    new, old, new_variance, old_variance = _sums(cells, [cell.slowed(factor) for cell, _ in cells])
    least = _LEAST * (max(new.max(), old.max()) or 1.0)
    new, old = np.maximum(new, least), np.maximum(old, least)
    return _Change(np.log(new) - np.log(old), new_variance / new**2 + old_variance / old**2)


def _of_usual_trials(cells: _Chosen) -> _Change:
    """Of the weighted mean of log times, each within the fences of its cell, which no exchange of labels moves."""
    logs = []
    for cell, _ in cells:
        times = cell.slowed(1.0)
        log_times = np.log(np.maximum(times / (times.max() or 1.0), _LEAST))
        median = np.median(log_times)
        fence = _FENCE * _NORMAL_SPREAD * np.median(np.abs(log_times - median))
        logs.append(np.clip(log_times - median, -fence, fence))
    new, old, new_variance, old_variance = _sums(cells, logs)
    return _Change(new - old, new_variance + old_variance)


def _sums(cells: _Chosen, values: Sequence[Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    """For each exchange the weighted means over the cells in NEW and in OLD, and the variances of both."""
    means, variances = [np.zeros(1), np.zeros(1)], [np.zeros(1), np.zeros(1)]
    total = sum(cell.weight for cell, _ in cells)
    for (cell, chosen), mine in zip(cells, values, strict=True):
        middle = mine.mean()  # counted from there, less is rounded off
        squares = (mine - middle) ** 2
        of_new, squares_of_new = chosen @ (mine - middle), chosen @ squares
        for side, n, summed, squared in (
            (0, len(cell.new), of_new, squares_of_new),
            (1, len(cell.old), -of_new, squares.sum() - squares_of_new),
        ):
            weight, beyond = cell.weight / total, summed / n
            means[side] = means[side] + weight * (middle + beyond)
            within = np.maximum(squared / n - beyond**2, 0.0) / max(n - 1, 1)
            variances[side] = variances[side] + weight**2 * within
    return means[0], means[1], variances[0], variances[1]


def _every(sizes: Sequence[tuple[int, int]]) -> Iterator[Floats]:
    """For each cell which trials are new, 1 or 0, in every exchange of all cells: (exchanges, trials)."""
    ways = [comb(new + old, new) for new, old in sizes]
    before = 1
    for (new, old), own in zip(sizes, ways, strict=True):
        chosen = np.zeros((own, new + old))
        for row, those in enumerate(combinations(range(new + old), new)):
            chosen[row, list(those)] = 1.0
        behind = prod(ways) // before // own
        yield np.tile(np.repeat(chosen, behind, axis=0), (before, 1))
        before *= own


def _drawn(sizes: Sequence[tuple[int, int]], rng: np.random.Generator) -> Iterator[Floats]:
    """The same in exchanges drawn at random, with the one that was found as the first."""
    for new, old in sizes:
        found = np.concatenate([np.ones(new), np.zeros(old)])
        chosen = rng.permuted(np.tile(found, (EXCHANGES, 1)), axis=1)
        chosen[0] = found
        yield chosen
