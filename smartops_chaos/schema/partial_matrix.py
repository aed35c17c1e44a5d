"""A matrix file as far as it is in order: each part of it is parsed here, once, and all later checks get the values.

Pydantic gives a whole matrix or none, but a person wants to hear of all mistakes at once, also of those that only show
when two parts are compared. So each part is parsed for itself: the checks in `plan` work on what is in order, and
leave out what the schema has refused already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.schema.matrix import (
    FACTORS,
    BaselineSpec,
    ChaosSpec,
    Horizon,
    Matrix,
    Selector,
    SettingsSpec,
    WorkloadSpec,
)
from smartops_chaos.schema.slospec import AnySlo, QuerySpec, SloSpec
from smartops_chaos.schema.targetspec import KubernetesTargetSpec, LabTargetSpec, OtherTargetSpec, TargetSpec
from smartops_chaos.schema.units import Duration
from smartops_chaos.schema.yamlfile import Document
from smartops_chaos.schema.yamlnodes import Loc

_LEVELS = {"chaos": ChaosSpec, "workload": WorkloadSpec, "model": SettingsSpec, "policy": SettingsSpec}


@dataclass(frozen=True)
class PartialMatrix:
    """The parts of a matrix: None, or left out, is what is wrong (its problem is among `problems`) or not there.

    `problems` grows with every check that refuses something. A level's name is in `names` also where its content is
    wrong; a factor whose levels cannot even be named is not in `names`.
    """

    document: Document
    matrix: Matrix | None
    target: LabTargetSpec | KubernetesTargetSpec | OtherTargetSpec | None
    names: dict[str, tuple[str, ...]]  # factor -> names of its levels, in the order of the file
    chaos: dict[str, ChaosSpec]
    workload: dict[str, WorkloadSpec]
    model: dict[str, SettingsSpec]
    policy: dict[str, SettingsSpec]
    exclude: dict[int, Selector]  # place in the list -> entry
    include: dict[int, Selector]
    weights: tuple[str, ...]  # the chaos levels that are weighted
    baseline: BaselineSpec | None
    slo: SloSpec | QuerySpec | None
    horizon: Horizon | None
    stop_after_good_s: float | None
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, loc: Loc, what: str, hint: str = "", *, at_key: bool = False) -> None:
        """Note a problem at the value, or at the key, of that place in the file."""
        self.problems.append(self.document.problem(loc, what, hint, at_key=at_key))

    def whole(self) -> Matrix:
        """The matrix. Raises FileProblems with everything that was refused until now."""
        if self.problems or self.matrix is None:
            raise FileProblems(list(dict.fromkeys(self.problems)))
        return self.matrix


def parse(document: Document) -> PartialMatrix:
    """Parse each part of a matrix once; what the schema refuses is in the result's `problems`."""
    matrix, problems = document.check(Matrix)
    data = document.data
    names = _names(data.get("factors"))
    levels: dict[str, Any] = {factor: _levels(data.get("factors"), factor, names) for factor in FACTORS}
    weights = data.get("weights")
    return PartialMatrix(
        document=document,
        matrix=matrix,
        target=_valid(TargetSpec, data.get("target")),
        names=names,
        **levels,
        exclude=_entries(data.get("exclude")),
        include=_entries(data.get("include")),
        weights=tuple(weights) if isinstance(weights, dict) else (),
        baseline=_valid(BaselineSpec, data.get("baseline")),
        slo=_valid(AnySlo, data.get("slo")),
        horizon=_valid(Horizon, data.get("horizon")),
        stop_after_good_s=_valid(Duration, data.get("stop_after_good")),
        problems=problems,
    )


def _names(factors: object) -> dict[str, tuple[str, ...]]:
    """A factor that is left out has one level, `default`."""
    if not isinstance(factors, dict):
        return {}
    found = {factor: factors.get(factor, {"default": None}) for factor in FACTORS}
    return {factor: tuple(levels) for factor, levels in found.items() if isinstance(levels, dict)}


def _levels(factors: Any, factor: str, names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    kind = _LEVELS[factor]
    given = factors.get(factor, {"default": {}} if factor != "chaos" else {}) if factor in names else {}
    parsed = {name: _valid(kind, value) for name, value in given.items()}
    return {name: level for name, level in parsed.items() if level is not None}


def _entries(found: object) -> dict[int, Selector]:
    parsed = {i: _valid(Selector, entry) for i, entry in enumerate(found if isinstance(found, list) else ())}
    return {i: selector for i, selector in parsed.items() if selector is not None}


def _valid(kind: Any, value: object) -> Any:
    """`value` as a `kind`; None if it is not there or wrong."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None
