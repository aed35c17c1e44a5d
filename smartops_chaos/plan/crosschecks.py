"""Checks that span several keys of a matrix: names that must exist, durations that must fit, limits, cells that
`exclude` emptied.

Each refuses what it finds and goes on, so that a person reads all mistakes at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from smartops_chaos.model import Arm
from smartops_chaos.plan.levels import Levels
from smartops_chaos.schema.matrix import FACTORS, Matrix, Selector
from smartops_chaos.schema.partial_matrix import PartialMatrix
from smartops_chaos.schema.slospec import QuerySpec, SloSpec
from smartops_chaos.schema.units import format_duration, format_fraction, format_rate
from smartops_chaos.schema.yamlfile import did_you_mean
from smartops_chaos.schema.yamlnodes import Loc

MOST_TRIALS = 50_000


class CellNames(NamedTuple):
    """A cell by the names of its levels, in the order of matrix.FACTORS."""

    chaos: str
    workload: str
    model: str
    policy: str


def baseline(matrix: Matrix) -> Arm:
    """The baseline arm; a factor with one level need not be named."""
    return Arm(
        matrix.baseline.model or next(iter(matrix.factors.model)),
        matrix.baseline.policy or next(iter(matrix.factors.policy)),
    )


def check(found: PartialMatrix, levels: Levels) -> None:
    """Refuse references to levels that do not exist, windows that do not fit, and too large a product."""
    _baseline(found)
    _selectors(found)
    for name in found.weights:
        _known(found, ("weights", name), "chaos", name, at_key=True)
    _windows(found, levels)
    if found.matrix is not None:
        _size(found, found.matrix)


def check_cells(found: PartialMatrix, matrix: Matrix, left: Sequence[CellNames]) -> None:
    """Refuse levels, or a baseline, of which `exclude` has left nothing, and more looks than repeats.

    `matrix` has the repeats of the command line, if they were given.
    """
    if left:
        _emptied(found, matrix, left)
    else:
        found.refuse(("exclude",), "every cell is excluded", "remove an entry", at_key=True)
    _looks(found, matrix)


def _size(found: PartialMatrix, matrix: Matrix) -> None:
    """A matrix that is too large to be meant; its cells must not even be listed."""
    product = math.prod(len(getattr(matrix.factors, factor)) for factor in FACTORS)
    if product * matrix.repeats > MOST_TRIALS:
        what = f"the factors make {product} cells, with {matrix.repeats} repeats {product * matrix.repeats} trials"
        found.refuse(("repeats",), what, f"stay below {MOST_TRIALS}")


def _emptied(found: PartialMatrix, matrix: Matrix, left: Sequence[CellNames]) -> None:
    for factor in FACTORS:
        used = {getattr(cell, factor) for cell in left}
        for name in getattr(matrix.factors, factor):
            if name not in used:
                what = f"`{name}` has no trial: `exclude` removes all its cells"
                found.refuse(("factors", factor, name), what, "remove the level", at_key=True)
    arm = baseline(matrix)
    if not any((cell.model, cell.policy) == (arm.model, arm.policy) for cell in left):
        what = "the baseline has no trial: `exclude` removes all its cells"
        found.refuse(("baseline",), what, "name another baseline", at_key=True)


def _looks(found: PartialMatrix, matrix: Matrix) -> None:
    if matrix.looks > matrix.repeats:
        what = f"{matrix.looks} looks are more than the {matrix.repeats} repeats after which they could be"
        found.refuse(("looks",), what, f"use at most `looks: {matrix.repeats}`: one after every repeat")


def _known(found: PartialMatrix, loc: Loc, factor: str, name: str, *, at_key: bool = False) -> None:
    known = found.names.get(factor)
    if name and known is not None and name not in known:
        found.refuse(loc, f"no {factor} level is named `{name}`", did_you_mean(name, known), at_key=at_key)


def _chosen(found: PartialMatrix, loc: Loc, factor: str, name: str, why: str) -> None:
    """Where one level is meant, one of several has to be named."""
    known = found.names.get(factor, ())
    if not name and len(known) > 1:
        what = f"`{factor}` is missing: {why.format(count=len(known))}"
        found.refuse(loc, what, f"name one of {', '.join(known)}")


def _baseline(found: PartialMatrix) -> None:
    if found.baseline is not None:
        for factor, name in (("model", found.baseline.model), ("policy", found.baseline.policy)):
            _known(found, ("baseline", factor), factor, name)
            _chosen(found, ("baseline",), factor, name, "it has {count} levels")


def _selectors(found: PartialMatrix) -> None:
    for i, selector in found.exclude.items():
        if selector == Selector():
            found.refuse(("exclude", i), "an empty entry excludes every cell", "name levels or remove it")
    for key, entries in (("exclude", found.exclude), ("include", found.include)):
        for i, selector in entries.items():
            for factor in FACTORS:
                _known(found, (key, i, factor), factor, getattr(selector, factor))
    for i, selector in found.include.items():
        for factor in FACTORS:
            _chosen(found, ("include", i), factor, getattr(selector, factor), "`include` adds single cells")


def _windows(found: PartialMatrix, levels: Levels) -> None:
    slo, stop_s = found.slo, found.stop_after_good_s
    if slo is None:
        return
    if isinstance(slo, QuerySpec):
        _query(found, slo)
    else:
        _too_few(found, levels, slo)
    for level in levels.chaos.values():
        if 0 < level.horizon_s <= slo.hold:
            own: Loc = ("factors", "chaos", level.name, "horizon", "after")
            what = f"the horizon of {format_duration(level.horizon_s)} is not longer than `hold`"
            hint = f"use more than {format_duration(slo.hold)}"
            found.refuse(own if own in found.document.places else ("horizon", "after"), what, hint)
    if stop_s is not None and stop_s < slo.hold:
        what = f"`stop_after_good` of {format_duration(stop_s)} is shorter than `hold`"
        found.refuse(("stop_after_good",), what, f"use {format_duration(slo.hold)} at least")


def _too_few(found: PartialMatrix, levels: Levels, slo: SloSpec) -> None:
    needed = slo.slo().fewest
    for workload in levels.workloads.values():
        fit = math.floor(round(slo.hold * workload.rate_per_s, 6))
        if fit < needed:
            what = (
                f"`hold` of {format_duration(slo.hold)} holds {fit} requests of `{workload.name}`, an objective of "
                f"{format_fraction(slo.objective)} needs {needed}"
            )
            longer = math.ceil(needed / workload.rate_per_s * 10) / 10
            faster = math.ceil(needed / slo.hold)
            hint = f"make hold {format_duration(longer)} or the rate {format_rate(faster)}"
            found.refuse(("slo", "hold"), what, hint)


def _query(found: PartialMatrix, slo: QuerySpec) -> None:
    if ("factors", "workload") in found.document.places:
        what, hint = "`workload` is what we send, and with `slo.query` that is nothing", "remove it: your own load runs"
        found.refuse(("factors", "workload"), what, hint, at_key=True)
    if slo.hold < 2 * slo.every:
        what = f"`hold` of {format_duration(slo.hold)} holds fewer than two values, one {format_duration(slo.every)}"
        found.refuse(("slo", "hold"), what, f"make hold {format_duration(2 * slo.every)} or more")
