"""The levels of a matrix with everything they refer to read in: fault files and policy files.

Every problem is collected, at its place in the file it stands in. Levels that the schema refuses are left out here:
their problems are known already.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.model import ChaosLevel, FaultPart, Variant, WorkloadLevel
from smartops_chaos.schema import faultfile, yamlfile
from smartops_chaos.schema.faultfile import FaultFile
from smartops_chaos.schema.matrix import (
    FACTORS,
    ChaosSpec,
    Horizon,
    SettingsSpec,
    WorkloadSpec,
    check_name,
)
from smartops_chaos.schema.slospec import QuerySpec
from smartops_chaos.schema.yamlfile import Document, did_you_mean
from smartops_chaos.schema.yamlnodes import Loc

Settings = Mapping[str, list[str] | str]  # of a healer file: the values that may be set, or "text"


@dataclass(frozen=True)
class Levels:
    chaos: dict[str, ChaosLevel]
    models: dict[str, Variant]
    policies: dict[str, Variant]
    workloads: dict[str, WorkloadLevel]


def resolve(document: Document, driver: str, settings: Settings, folder: Path) -> tuple[Levels, list[Problem]]:
    """Every level that is in order, and all problems of the others. `folder` is where relative paths begin."""
    problems: list[Problem] = []
    for factor in FACTORS:
        problems += _name_problems(document, factor)
    chaos = _Chaos(document, driver, folder, problems)
    levels = Levels(
        chaos=chaos.levels(),
        models=_variants(document, "model", settings, folder, problems),
        policies=_variants(document, "policy", settings, folder, problems),
        workloads=_workloads(document),
    )
    problems += _same(document, "chaos", {name: _meaning(level) for name, level in levels.chaos.items()})
    problems += _same(document, "workload", {name: w.rate_per_s for name, w in levels.workloads.items()})
    return levels, problems


def names(document: Document, factor: str) -> list[str] | None:
    """The names of a factor's levels as they stand in the file; None if that part of the file is wrong."""
    factors = document.data.get("factors")
    if not isinstance(factors, dict) or not isinstance(factors.get(factor, {}), dict):
        return None
    found = list(factors.get(factor, {}))
    return found if factor in factors else ["default"]


def _name_problems(document: Document, factor: str) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in names(document, factor) or ():
        loc = ("factors", factor, name)
        try:
            check_name(name)
        except ValueError as error:
            yield document.problem(loc, str(error), at_key=True)
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            what = f"`{name}` and `{other}` differ in case only"
            yield document.problem(loc, what, "rename one: they become names of folders", at_key=True)


def _meaning(level: ChaosLevel) -> Hashable:
    """What a chaos level does, in whatever order its faults are written."""
    return frozenset((part.fault, frozenset(part.params.items())) for part in level.parts), level.horizon_s


def _same(document: Document, factor: str, meanings: Mapping[str, Hashable]) -> Iterator[Problem]:
    seen: dict[Hashable, str] = {}
    for name, meaning in meanings.items():
        other = seen.setdefault(meaning, name)
        if other != name:
            said = f"`{name}` is the same as `{other}`"
            yield document.problem(("factors", factor, name), said, "change or remove one", at_key=True)


@dataclass
class _Chaos:
    document: Document
    driver: str
    folder: Path
    problems: list[Problem]
    files: dict[Path, FaultFile | None] = field(default_factory=dict)

    def levels(self) -> dict[str, ChaosLevel]:
        common = self.document.part(Horizon, "horizon")
        found: dict[str, ChaosLevel] = {}
        for name in names(self.document, "chaos") or ():
            loc = ("factors", "chaos", name)
            spec = self.document.part(ChaosSpec, *loc)
            parts = self._parts(spec, loc) if spec is not None else None
            if spec is not None and parts is not None:
                family = "+".join(sorted({part.family for part in parts})) or "none"
                horizon = spec.horizon or common
                after_s, because = (horizon.after, horizon.because) if horizon is not None else (0.0, "")
                found[name] = ChaosLevel(name, parts, family, after_s, because)
        return found

    def _parts(self, spec: ChaosSpec, loc: Loc) -> tuple[FaultPart, ...] | None:
        if spec.fault and spec.faults:
            self._refuse((*loc, "faults"), "both `fault` and `faults`", "put all of them under `faults`")
            return None
        if spec.fault or "fault" in spec.model_fields_set:
            part = self._part(spec.fault, spec.params, loc)
            return None if part is None else (part,)
        for key in spec.params:
            near = did_you_mean(key, ("fault", "faults", "horizon"))
            if near.startswith("known"):
                hint = "name each fault with its own parameters" if spec.faults else "add `fault:`"
                self._refuse((*loc, key), f"`{key}` without a fault", hint)
            else:
                self._refuse((*loc, key), f"unknown key `{key}`", near)
        if spec.params:
            return None
        parts: list[FaultPart] = []
        for i, one in enumerate(spec.faults):
            part = self._part(one.fault, one.params, (*loc, "faults", i))
            if part in parts:
                self._refuse((*loc, "faults", i), f"`{one.fault}` stands here twice", "change or remove one")
            elif part is not None:
                parts.append(part)
        return tuple(parts) if len(parts) == len(spec.faults) else None

    def _part(self, fault: str, params: Mapping[str, faultfile.Value], loc: Loc) -> FaultPart | None:
        try:
            path = faultfile.find(fault, self.driver, self.folder)
        except ValueError as error:
            self.problems.append(self.document.problem((*loc, "fault"), str(error)))
            return None
        file = self._file(path, (*loc, "fault"))
        if file is None:
            return None
        parsed: dict[str, faultfile.Value] = {}
        before = len(self.problems)
        for name, value in params.items():
            if name not in file.parameters:
                hint = did_you_mean(name, [*file.parameters, *(["horizon"] if len(loc) == 3 else [])])
                self._refuse((*loc, name), f"`{fault}` has no parameter `{name}`", hint)
                continue
            try:
                parsed[name] = file.parameters[name].parse(value)
            except ValueError as error:
                self.problems.append(self.document.problem((*loc, name), f"{name}: {error}"))
        for name in file.parameters:
            if name not in file.defaults and name not in params and name not in file.from_environment:
                self._refuse(loc, f"`{name}` is missing", f"add it, since `{fault}` has no default")
        return file.part(fault, parsed) if len(self.problems) == before else None

    def _file(self, path: Path, loc: Loc) -> FaultFile | None:
        if path not in self.files:
            self.files[path] = None
            try:
                self.files[path] = faultfile.load(path)
            except FileProblems as error:
                self.problems += [_located(self.document, loc, problem) for problem in error.problems]
        return self.files[path]

    def _refuse(self, loc: Loc, what: str, hint: str) -> None:
        self.problems.append(self.document.problem(loc, what, hint, at_key=True))


def _located(document: Document, loc: Loc, problem: Problem) -> Problem:
    """A problem of a whole other file is shown where the matrix names it."""
    return problem if problem.line else document.problem(loc, f"{problem.file}: {problem.what}", problem.hint)


def _variants(
    document: Document, factor: str, settings: Settings, folder: Path, problems: list[Problem]
) -> dict[str, Variant]:
    found: dict[str, Variant] = {}
    for name in names(document, factor) or ():
        loc = ("factors", factor, name)
        spec = document.part(SettingsSpec, *loc) if loc in document.places else SettingsSpec()
        if spec is None:
            continue
        given: dict[str, object] = {}
        for key, value in {**spec.settings, **({"file": spec.file} if "file" in spec.model_fields_set else {})}.items():
            allowed = settings.get(key)
            written = str(value).lower() if isinstance(value, bool) else value
            if allowed is None:
                what, hint = f"the healer has no setting `{key}`", did_you_mean(key, settings)
                problems.append(document.problem((*loc, key), what, hint, at_key=True))
            elif key == "file":
                given |= {"policy": _policy(document, (*loc, key), spec.file, folder, problems), "file": spec.file}
            elif not isinstance(allowed, str) and str(written) not in allowed:
                what = f"{key}: `{written}` is not allowed"
                problems.append(document.problem((*loc, key), what, did_you_mean(str(written), allowed)))
            else:
                given[key] = written
        found[name] = Variant(name, given)
    return found


def _policy(document: Document, loc: Loc, written: str, folder: Path, problems: list[Problem]) -> str:
    if not written:
        problems.append(document.problem(loc, "`file` is empty", "name a policy file"))
        return ""
    try:
        text = yamlfile.read_text(folder / written)
    except FileProblems as error:
        problems += [_located(document, loc, problem) for problem in error.problems]
        return ""
    if not text.strip():
        problems.append(document.problem(loc, f"{folder / written}: the policy file is empty", "write a policy in it"))
    return text


def _workloads(document: Document) -> dict[str, WorkloadLevel]:
    """What we send; of a query, how often it is asked."""
    found: dict[str, WorkloadLevel] = {}
    asked = document.part(QuerySpec, "slo")
    if asked is not None:
        return {"default": WorkloadLevel("default", 1 / asked.every)}
    for name in names(document, "workload") or ():
        loc = ("factors", "workload", name)
        spec = document.part(WorkloadSpec, *loc) if loc in document.places else WorkloadSpec()
        if spec is not None:
            found[name] = WorkloadLevel(name, spec.rate)
    return found
