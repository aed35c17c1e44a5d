"""Did anything change between two campaigns, and by how much? A permutation test within scenarios (Fisher 1935).

If nothing changed, which of the two campaigns a trial of a cell belongs to is chance, so every exchange of labels
within the cell is as likely as the one that was found. p is the share of exchanges that make the new campaign as slow
as it was found, or slower. It assumes nothing of the times and is exact for every number of trials. It knows these two
campaigns only: a night on which the whole cluster is slow looks like a change, but for what the baseline slows with it,
and one at its horizon cannot slow.

Slowness is the log of (arm / baseline in NEW) / (arm / baseline in OLD), of weighted means over the scenarios.

How much: the same test after the old campaign's times of the arm were made a factor longer. It asks whether that factor
is the whole change; the factors that it does not reject are the interval (Lehmann 1963, on the log scale). What had not
recovered stays at the horizon. Exact where a change is a factor, as on a slower machine; else for the factor 1 only.
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
_STEPS = 16  # of a bisection, the last of them a ten-thousandth wide
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


def direction(arm: Sequence[CellPair], base: Sequence[CellPair], seed: int) -> Direction:
    """`base` in the order of `arm`'s scenarios, or empty to compare the arm's own times; `seed` draws the exchanges."""
    return Exchanges(arm, base, seed).direction()


class Exchanges:
    """All exchanges of labels, or so many drawn; the first is the one that was found."""

    def __init__(self, arm: Sequence[CellPair], base: Sequence[CellPair], seed: int) -> None:
        cells = [*arm, *base]
        sizes = [(len(c.new), len(c.old)) for c in cells]
        self.exact = prod(comb(new + old, new) for new, old in sizes) <= EXCHANGES
        chosen = list(_every(sizes) if self.exact else _drawn(sizes, np.random.default_rng(seed)))
        self._arm = list(zip(arm, chosen, strict=False))
        self._baseline = _slowness(list(zip(base, chosen[len(arm) :], strict=True)), 1.0) if base else np.zeros(1)

    def direction(self, log_slowdown: float = 0.0) -> Direction:
        """Of H0: the slowdown is exp(`log_slowdown`) - 1. p_slower speaks for more than that, p_faster for less."""
        slowness = _slowness(self._arm, float(np.exp(log_slowdown))) - self._baseline
        slower, faster = (slowness >= slowness[0] - _TIE).mean(), (slowness <= slowness[0] + _TIE).mean()
        return Direction(float(slower), float(faster), self.exact)

    def interval(self, alpha: float) -> tuple[float | None, float | None]:
        """The log slowdowns that neither one-sided test at `alpha` rejects; None: no end up to `LARGEST`."""
        lo = _crossing(lambda s: self.direction(s).p_slower <= alpha)
        hi = _crossing(lambda s: self.direction(s).p_faster > alpha)
        return None if lo <= -LARGEST else lo, None if hi >= LARGEST else hi


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


def _slowness(cells: Sequence[tuple[CellPair, Floats]], factor: float) -> Floats:
    """Log of the weighted mean in NEW over that in OLD, for each exchange."""
    new = old = np.zeros(1)
    for cell, chosen in cells:
        times = cell.slowed(factor)
        sums = chosen @ times
        new = new + cell.weight * sums / len(cell.new)
        old = old + cell.weight * (times.sum() - sums) / len(cell.old)
    return np.asarray(np.log(np.maximum(new, _TIE)) - np.log(np.maximum(old, _TIE)))


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
