"""Did anything change between two campaigns? A permutation test within scenarios (Fisher 1935, stratified).

If nothing changed, which of the two campaigns a trial of a cell belongs to is chance, so every exchange of labels
within the cell is as likely as the one that was found. p is the share of exchanges that make the new campaign as slow
as it was found, or slower. It assumes nothing of the times and is exact for every number of trials; it says that
something changed and in which direction, but not by how much. It knows these two campaigns only: a night on which the
whole cluster is slow looks like a change, but for what the baseline slows with it, and one at its horizon cannot slow.

Slowness is the log of (arm / baseline in NEW) / (arm / baseline in OLD), of weighted means over the scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

EXCHANGES = 20_000  # so many are drawn where there are more than that; up to then each is looked at
_TIE = 1e-9  # exchanges that come to the same, but for rounding


@dataclass(frozen=True, slots=True)
class CellPair:
    """The scored times of one scenario in one arm, in the old campaign and in the new one; each has at least one."""

    old: Floats
    new: Floats
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Direction:
    """One-sided p values of H0: nothing changed; twice the smaller one is the two-sided p."""

    p_slower: float
    p_faster: float
    exact: bool  # every exchange was looked at

    @property
    def p(self) -> float:
        return min(1.0, 2 * min(self.p_slower, self.p_faster))


def direction(arm: Sequence[CellPair], base: Sequence[CellPair], seed: int) -> Direction:
    """`base` in the order of `arm`'s scenarios, or empty to compare the arm's own times; `seed` draws the exchanges."""
    cells = [*arm, *base]
    exact = prod(comb(len(c.old) + len(c.new), len(c.new)) for c in cells) <= EXCHANGES
    means = list(_every(cells) if exact else _drawn(cells, np.random.default_rng(seed)))
    sides = (means[: len(arm)], arm), (means[len(arm) :], base)
    (new_arm, old_arm), (new_base, old_base) = (_weighted(found, of) for found, of in sides)
    slowness = _log(new_arm) - _log(old_arm) - (_log(new_base) - _log(old_base))
    as_found = slowness[0]
    slower, faster = (slowness >= as_found - _TIE).mean(), (slowness <= as_found + _TIE).mean()
    return Direction(float(slower), float(faster), exact)


def _weighted(means: Sequence[tuple[Floats, Floats]], cells: Sequence[CellPair]) -> tuple[Floats, Floats]:
    """The weighted sums of the new and of the old means; ones without cells, which change nothing."""
    if not cells:
        return np.ones(1), np.ones(1)
    new = sum((cell.weight * one for cell, (one, _) in zip(cells, means, strict=True)), np.zeros(1))
    old = sum((cell.weight * other for cell, (_, other) in zip(cells, means, strict=True)), np.zeros(1))
    return new, old


def _log(means: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(means, _TIE)))


def _every(cells: Sequence[CellPair]) -> Iterator[tuple[Floats, Floats]]:
    """For each cell the new and the old mean in every exchange of all cells; the first is the one that was found."""
    ways = [comb(len(c.old) + len(c.new), len(c.new)) for c in cells]
    before = 1
    for cell, own in zip(cells, ways, strict=True):
        times = np.concatenate([cell.new, cell.old])
        chosen = np.array(list(combinations(range(len(times)), len(cell.new))))
        new = times[chosen].sum(1)
        each = new / len(cell.new), (times.sum() - new) / len(cell.old)
        behind = prod(ways) // before // own
        yield tuple(np.tile(np.repeat(mean, behind), before) for mean in each)  # type: ignore[misc]
        before *= own


def _drawn(cells: Sequence[CellPair], rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """The same in exchanges drawn at random, with the one that was found as the first."""
    for cell in cells:
        times = np.concatenate([cell.new, cell.old])
        rows = rng.permuted(np.tile(times, (EXCHANGES, 1)), axis=1)
        rows[0] = times
        yield rows[:, : len(cell.new)].mean(1), rows[:, len(cell.new) :].mean(1)
