"""The levels of a matrix with everything they refer to read in: fault files and policy files.

Every problem is noted at its place in the file it stands in. Levels that the schema refuses are not among the parsed
ones: their problems are known already.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smartops_chaos.errors import FileProblems
from smartops_chaos.model import REFERENCE_HEALERS, ChaosLevel, FaultPart, Variant, WorkloadLevel
from smartops_chaos.schema import faultfile, yamlfile
from smartops_chaos.schema.faultfile import FaultFile
from smartops_chaos.schema.matrix import ChaosSpec, SettingsSpec, check_level
from smartops_chaos.schema.partial_matrix import PartialMatrix
from smartops_chaos.schema.slospec import QuerySpec
from smartops_chaos.schema.yamlfile import did_you_mean
from smartops_chaos.schema.yamlnodes import Loc

Settings = Mapping[str, list[str] | str]  # of a healer file: the values that may be set, or "text"


@dataclass(frozen=True)
class Levels:
    chaos: dict[str, ChaosLevel]
    models: dict[str, Variant]
    policies: dict[str, Variant]
    workloads: dict[str, WorkloadLevel]


def resolve(found: PartialMatrix, driver: str, settings: Settings, folder: Path) -> Levels:
    """Every level that is in order; the others are refused. `folder` is where relative paths begin."""
    for factor, names in found.names.items():
        _check_names(found, factor, names)
    chaos = _Chaos(found, driver, folder)
    levels = Levels(
        chaos=chaos.levels(),
        models=_variants(found, "model", found.model, settings, folder),
        policies=_variants(found, "policy", found.policy, settings, folder),
        workloads=_workloads(found),
    )
    _refuse_same(found, "chaos", {name: _meaning(level) for name, level in levels.chaos.items()})
    _refuse_same(found, "workload", {name: level.rate_per_s for name, level in levels.workloads.items()})
    return levels


def _check_names(found: PartialMatrix, factor: str, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        loc = ("factors", factor, name)
        try:
            check_level(name)
        except ValueError as error:
            found.refuse(loc, str(error), at_key=True)
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            what = f"`{name}` and `{other}` differ in case only"
            found.refuse(loc, what, "rename one: they become names of folders", at_key=True)


def _meaning(level: ChaosLevel) -> Hashable:
    """What a chaos level does, in whatever order its faults are written."""
    return frozenset((part.fault, frozenset(part.params.items())) for part in level.parts), level.horizon_s


def _refuse_same(found: PartialMatrix, factor: str, meanings: Mapping[str, Hashable]) -> None:
    seen: dict[Hashable, str] = {}
    for name, meaning in meanings.items():
        other = seen.setdefault(meaning, name)
        if other != name:
            what = f"`{name}` is the same as `{other}`"
            found.refuse(("factors", factor, name), what, "change or remove one", at_key=True)


@dataclass
class _Chaos:
    """Chaos levels with their fault files, each of which is read once."""

    found: PartialMatrix
    driver: str
    folder: Path
    files: dict[Path, FaultFile | None] = field(default_factory=dict)

    def levels(self) -> dict[str, ChaosLevel]:
        resolved: dict[str, ChaosLevel] = {}
        for name, spec in self.found.chaos.items():
            parts = self._parts(spec, ("factors", "chaos", name))
            if parts is not None:
                family = "+".join(sorted({part.family for part in parts})) or "none"
                horizon = spec.horizon or self.found.horizon
                after_s, because = (horizon.after, horizon.because) if horizon is not None else (0.0, "")
                resolved[name] = ChaosLevel(name, parts, family, after_s, because)
        return resolved

    def _parts(self, spec: ChaosSpec, loc: Loc) -> tuple[FaultPart, ...] | None:
        """The faults of a level; None if one of them was refused."""
        before = len(self.found.problems)
        parts: list[FaultPart | None] = []
        if spec.fault and spec.faults:
            self._refuse((*loc, "faults"), "both `fault` and `faults`", "put all of them under `faults`")
        elif spec.fault or "fault" in spec.model_fields_set:
            parts = [self._part(spec.fault, spec.params, loc)]
        elif spec.params:
            self._refuse_keys(spec, loc)
        else:
            for i, one in enumerate(spec.faults):
                part = self._part(one.fault, one.params, (*loc, "faults", i))
                if part is not None and part in parts:
                    self._refuse((*loc, "faults", i), f"`{one.fault}` stands here twice", "change or remove one")
                parts.append(part)
        good = tuple(part for part in parts if part is not None)
        return good if len(good) == len(parts) and len(self.found.problems) == before else None

    def _refuse_keys(self, spec: ChaosSpec, loc: Loc) -> None:
        """Parameters that no fault stands beside: misspelt keys, or parameters at the wrong level."""
        for key in spec.params:
            near = did_you_mean(key, ("fault", "faults", "horizon"))
            if near.startswith("known"):
                hint = "name each fault with its own parameters" if spec.faults else "add `fault:`"
                self._refuse((*loc, key), f"`{key}` without a fault", hint)
            else:
                self._refuse((*loc, key), f"unknown key `{key}`", near)

    def _part(self, fault: str, params: Mapping[str, faultfile.Value], loc: Loc) -> FaultPart | None:
        try:
            path = faultfile.find(fault, self.driver, self.folder)
        except ValueError as error:
            self.found.refuse((*loc, "fault"), str(error))
            return None
        file = self._file(path, (*loc, "fault"))
        if file is None:
            return None
        parsed: dict[str, faultfile.Value] = {}
        before = len(self.found.problems)
        for name, value in params.items():
            if name not in file.parameters:
                hint = did_you_mean(name, [*file.parameters, *(["horizon"] if len(loc) == 3 else [])])
                self._refuse((*loc, name), f"`{fault}` has no parameter `{name}`", hint)
                continue
            try:
                parsed[name] = file.parameters[name].parse(value)
            except ValueError as error:
                self.found.refuse((*loc, name), f"{name}: {error}")
        for name in file.parameters:
            if name not in file.defaults and name not in params and name not in file.from_environment:
                self._refuse(loc, f"`{name}` is missing", f"add it, since `{fault}` has no default")
        return file.part(fault, parsed) if len(self.found.problems) == before else None

    def _file(self, path: Path, loc: Loc) -> FaultFile | None:
        if path not in self.files:
            self.files[path] = None
            try:
                self.files[path] = faultfile.load(path)
            except FileProblems as error:
                _add(self.found, loc, error)
        return self.files[path]

    def _refuse(self, loc: Loc, what: str, hint: str) -> None:
        self.found.refuse(loc, what, hint, at_key=True)


def _add(found: PartialMatrix, loc: Loc, error: FileProblems) -> None:
    """The problems of another file; one of that file as a whole is shown where the matrix names it."""
    for problem in error.problems:
        if problem.line:
            found.problems.append(problem)
        else:
            found.refuse(loc, f"{problem.file}: {problem.what}", problem.hint)


def _variants(
    found: PartialMatrix, factor: str, specs: Mapping[str, SettingsSpec], settings: Settings, folder: Path
) -> dict[str, Variant]:
    """The levels of `model` or `policy`, with the texts of their policy files; refuses settings that do not exist."""
    given = {
        name: Variant(name, _given(found, ("factors", factor, name), spec, settings, folder))
        for name, spec in specs.items()
        if not spec.same_as
    }
    again = {
        name: Variant(name, given[spec.same_as].settings, spec.same_as)
        for name, spec in specs.items()
        if spec.same_as and _repeats_another(found, ("factors", factor, name), spec, given)
    }
    variants = given | again
    return {name: variants[name] for name in specs if name in variants}


def _repeats_another(found: PartialMatrix, loc: Loc, spec: SettingsSpec, others: Mapping[str, Variant]) -> bool:
    if spec.settings or spec.file:
        found.refuse((*loc, "same_as"), "`same_as` stands beside other settings", "leave them out: they are the same")
    elif spec.same_as not in others:
        what = f"`same_as` names `{spec.same_as}`, which is no level with settings of its own"
        found.refuse((*loc, "same_as"), what, did_you_mean(spec.same_as, list(others)))
    else:
        return True
    return False


def _given(found: PartialMatrix, loc: Loc, spec: SettingsSpec, settings: Settings, folder: Path) -> dict[str, object]:
    given: dict[str, object] = {}
    for key, value in {**spec.settings, **({"file": spec.file} if "file" in spec.model_fields_set else {})}.items():
        allowed = settings.get(key)
        if key == "healer" and not isinstance(allowed, str):
            allowed = [*(allowed or ()), *REFERENCE_HEALERS]
        written = str(value).lower() if isinstance(value, bool) else value
        if allowed is None:
            what, hint = f"the healer has no setting `{key}`", did_you_mean(key, settings)
            found.refuse((*loc, key), what, hint, at_key=True)
        elif key == "file":
            given |= {"policy": _policy(found, (*loc, key), spec.file, folder), "file": spec.file}
        elif not isinstance(allowed, str) and str(written) not in allowed:
            found.refuse((*loc, key), f"{key}: `{written}` is not allowed", did_you_mean(str(written), allowed))
        else:
            given[key] = written
    return given


def _policy(found: PartialMatrix, loc: Loc, written: str, folder: Path) -> str:
    if not written:
        found.refuse(loc, "`file` is empty", "name a policy file")
        return ""
    try:
        text = yamlfile.read_text(folder / written)
    except FileProblems as error:
        _add(found, loc, error)
        return ""
    if not text.strip():
        found.refuse(loc, f"{folder / written}: the policy file is empty", "write a policy in it")
    return text


def _workloads(found: PartialMatrix) -> dict[str, WorkloadLevel]:
    """What we send; of a query, how often it is asked."""
    if isinstance(found.slo, QuerySpec):
        return {"default": WorkloadLevel("default", 1 / found.slo.every)}
    return {name: WorkloadLevel(name, spec.rate) for name, spec in found.workload.items()}
