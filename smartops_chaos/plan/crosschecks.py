"""What in a matrix refers to something else in it, and what has to fit together: names, windows, sizes, cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import RootModel

from smartops_chaos.errors import Problem
from smartops_chaos.model import LEAST_TRIALS_AT_LOOK, Arm
from smartops_chaos.plan.levels import Levels, names
from smartops_chaos.plan.looks import ends, fewest_repeats
from smartops_chaos.schema.matrix import FACTORS, BaselineSpec, Matrix, Selector
from smartops_chaos.schema.slospec import QuerySpec, SloSpec
from smartops_chaos.schema.units import Duration, format_duration, format_fraction, format_rate
from smartops_chaos.schema.yamlfile import Document, did_you_mean
from smartops_chaos.schema.yamlnodes import Loc

MOST_TRIALS = 50_000


class _Stop(RootModel[Duration]):
    """`stop_after_good` alone."""


class Cell(NamedTuple):
    """Names of the levels, as in matrix.FACTORS."""

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


def problems(document: Document, levels: Levels) -> list[Problem]:
    """Every reference to a level that does not exist, and every window that does not fit."""
    return [*_baseline(document), *_selectors(document), *_weights(document), *_windows(document, levels)]


def size_problems(document: Document, matrix: Matrix) -> list[Problem]:
    """A matrix that is too large to be meant; its cells must not even be listed."""
    product = math.prod(len(getattr(matrix.factors, factor)) for factor in FACTORS)
    if product * matrix.repeats <= MOST_TRIALS:
        return []
    what = f"the factors make {product} cells, with {matrix.repeats} repeats {product * matrix.repeats} trials"
    return [document.problem(("repeats",), what, f"stay below {MOST_TRIALS}")]


def cell_problems(document: Document, matrix: Matrix, left: Sequence[Cell]) -> list[Problem]:
    """Levels, or the baseline, of which `exclude` has left nothing."""
    if not left:
        return [document.problem(("exclude",), "every cell is excluded", "remove an entry", at_key=True)]
    found = []
    for factor in FACTORS:
        used = {getattr(cell, factor) for cell in left}
        for name in getattr(matrix.factors, factor):
            if name not in used:
                what = f"`{name}` has no trial: `exclude` removes all its cells"
                found.append(document.problem(("factors", factor, name), what, "remove the level", at_key=True))
    arm = baseline(matrix)
    if not any((cell.model, cell.policy) == (arm.model, arm.policy) for cell in left):
        what = "the baseline has no trial: `exclude` removes all its cells"
        found.append(document.problem(("baseline",), what, "name another baseline", at_key=True))
    return found


def look_problems(document: Document, matrix: Matrix) -> list[Problem]:
    """Too few repeats for a decision before the end; `--repeats` counts."""
    fewest, looks = fewest_repeats(matrix.looks), matrix.looks
    if matrix.repeats >= fewest:
        return []
    what = (
        f"with {matrix.repeats} repeats the first of {looks} looks comes after {ends(matrix.repeats, looks)[0]} trials "
        f"of a cell, {LEAST_TRIALS_AT_LOOK} are needed"
    )
    return [document.problem(("looks",), what, f"use {fewest} repeats at least, or `looks: 1`")]


def _known(document: Document, loc: Loc, factor: str, name: str) -> Iterator[Problem]:
    known = names(document, factor)
    if name and known is not None and name not in known:
        yield document.problem((*loc, factor), f"no {factor} level is named `{name}`", did_you_mean(name, known))


def _baseline(document: Document) -> Iterator[Problem]:
    spec = document.part(BaselineSpec, "baseline")
    if spec is None:
        return
    for factor, name in (("model", spec.model), ("policy", spec.policy)):
        yield from _known(document, ("baseline",), factor, name)
        known = names(document, factor) or ()
        if not name and len(known) > 1:
            what = f"`{factor}` is missing: it has {len(known)} levels"
            yield document.problem(("baseline",), what, f"name one of {', '.join(known)}")


def _selectors(document: Document) -> Iterator[Problem]:
    for key in ("exclude", "include"):
        entries = document.data.get(key, [])
        for i in range(len(entries) if isinstance(entries, list) else 0):
            spec = document.part(Selector, key, i)
            if spec is None:
                continue
            if spec == Selector() and key == "exclude":
                yield document.problem((key, i), "an empty entry excludes every cell", "name levels or remove it")
            for factor in FACTORS:
                name = getattr(spec, factor)
                yield from _known(document, (key, i), factor, name)
                known = names(document, factor) or ()
                if key == "include" and not name and len(known) > 1:
                    what = f"`{factor}` is missing: `include` adds single cells"
                    yield document.problem((key, i), what, f"name one of {', '.join(known)}")


def _weights(document: Document) -> Iterator[Problem]:
    weights, known = document.data.get("weights"), names(document, "chaos")
    if not isinstance(weights, dict) or known is None:
        return
    for name in weights:
        if name not in known:
            what, hint = f"no chaos level is named `{name}`", did_you_mean(name, known)
            yield document.problem(("weights", name), what, hint, at_key=True)


def _windows(document: Document, levels: Levels) -> Iterator[Problem]:
    requests, query = document.part(SloSpec, "slo"), document.part(QuerySpec, "slo")
    if requests is not None:
        yield from _too_few(document, levels, requests)
    if query is not None:
        yield from _query(document, query)
    slo = requests or query
    if slo is None:
        return
    for level in levels.chaos.values():
        if 0 < level.horizon_s <= slo.hold:
            own: Loc = ("factors", "chaos", level.name, "horizon", "after")
            what = f"the horizon of {format_duration(level.horizon_s)} is not longer than `hold`"
            hint = f"use more than {format_duration(slo.hold)}"
            yield document.problem(own if own in document.places else ("horizon", "after"), what, hint)
    stop = document.part(_Stop, "stop_after_good")
    if stop is not None and stop.root < slo.hold:
        what = f"`stop_after_good` of {format_duration(stop.root)} is shorter than `hold`"
        yield document.problem(("stop_after_good",), what, f"use {format_duration(slo.hold)} at least")


def _too_few(document: Document, levels: Levels, slo: SloSpec) -> Iterator[Problem]:
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
            yield document.problem(("slo", "hold"), what, hint)


def _query(document: Document, slo: QuerySpec) -> Iterator[Problem]:
    if ("factors", "workload") in document.places:
        what, hint = "`workload` is what we send, and with `slo.query` that is nothing", "remove it: your own load runs"
        yield document.problem(("factors", "workload"), what, hint, at_key=True)
    if slo.hold < 2 * slo.every:
        what = f"`hold` of {format_duration(slo.hold)} holds fewer than two values, one {format_duration(slo.every)}"
        yield document.problem(("slo", "hold"), what, f"make hold {format_duration(2 * slo.every)} or more")
