"""A fault file: a Chaos Toolkit experiment with activities `inject` and `confirm`, rollbacks and a block that says
what the fault is and which parameters a matrix may set.

The name of a fault means a shipped file, `experiments/<driver>/<name>.yaml`; `<driver>/<name>` is allowed too. Any
other value that ends in .yaml or holds a / is a path, taken from the matrix's own folder unless it is absolute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.model import FaultPart
from smartops_chaos.resources import shipped
from smartops_chaos.schema import names, yamlfile
from smartops_chaos.schema.experimentfile import ExperimentFile
from smartops_chaos.schema.matrix import Name
from smartops_chaos.schema.units import Unit, check_range, parse
from smartops_chaos.schema.yamlfile import Document, did_you_mean
from smartops_chaos.schema.yamlnodes import At, Loc

Value = float | int | str | bool

NAME = "smartops-chaos"
# The drivers, each a folder of experiments/, that reach a kind of target.
DRIVERS: dict[str, tuple[str, ...]] = {
    "lab": ("lab",),
    "kubernetes": ("kubernetes", "exec", "app", "proxy", "chaos_mesh"),
}
_LANE = "SMARTOPS_"  # environment variables that a lane gives
_OURS = ("lane", "fault_id", "seed", "expires_s")  # set by the harness for every trial


class Parameter(BaseModel):
    """One parameter: `min` and `max` in SI units, as `configuration` holds its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    unit: Literal[Unit, "choice", "text", "controller", "container"] = Field(
        description="What is written in a matrix.", examples=["duration"]
    )
    min: float | None = Field(default=None, description="The least, in SI units.")
    max: float | None = Field(default=None, description="The most, in SI units.")
    choices: list[str] = Field(default=[], description="Of a choice: what may be written.")
    help: str = Field(default="", description="What it does, in a sentence.")

    def parse(self, value: object) -> Value:
        """`value` as a person wrote it, in SI units. Raises ValueError."""
        if self.unit == "text":
            return str(value)
        if self.unit == "controller":
            return names.controller(str(value))
        if self.unit == "container":
            return names.container(str(value)) if value != "" else ""
        if self.unit == "choice":
            if value not in self.choices:
                raise ValueError(f"{value} is not a choice: {did_you_mean(str(value), self.choices)}")
            return str(value)
        parsed = parse(self.unit, value)
        check_range(self.unit, parsed, self.min, self.max)
        return parsed

    def default(self, value: object) -> Value:
        """The same for the value in `configuration`, which is in SI units already. Raises ValueError."""
        if self.unit == "text" or self.unit == "choice" or self.unit == "controller" or self.unit == "container":
            return self.parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value} is not a number: write it in SI units (seconds, 0 to 1, bytes, per second)")
        check_range(self.unit, value, self.min, self.max)
        return value


class BlockSpec(BaseModel):
    """The block `smartops-chaos` under `extensions`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(description="`smartops-chaos`: whose block it is.")
    family: Name = Field(description="Faults of one kind; what `causes` of a healer file name.", examples=["cpu"])
    lasting: bool = Field(description="Whether it stays until it is undone; a kill is over at once.", examples=[True])
    limit_s: float = Field(
        default=30.0, description="Seconds; an activity that does not return by then has failed.", gt=0, le=600
    )
    hits: list[str] = Field(default=[], description="Deployments that it touches, where the target itself cannot know.")
    leaks: list[str] = Field(
        default=[], description="Metrics by which the fault itself gives away that it is in force."
    )
    untouched: str = Field(default="", description="What goes on as if there were no fault; the report says it.")
    parameters: dict[str, Parameter] = Field(default={}, description="What a matrix may set.")


@dataclass(frozen=True)
class FaultFile:
    """A fault file that is in order. `defaults` has the parameters for which `configuration` gives a value."""

    family: str
    lasting: bool
    parameters: dict[str, Parameter]
    defaults: dict[str, Value]
    definition: dict[str, Any]
    from_environment: frozenset[str] = frozenset()  # parameters that the lane gives unless a matrix does

    def part(self, fault: str, params: Mapping[str, Value]) -> FaultPart:
        """The fault with the parsed `params`."""
        return FaultPart(fault, self.family, self.lasting, {**self.defaults, **params}, self.definition)


def find(fault: str, target: str, folder: Path) -> Path:
    """The path of a fault's file; raises ValueError if no fault of that name is shipped for the kind of target."""
    known = shipped_faults(target)
    qualified = {f"{path.parent.name}/{name}": path for name, path in known.items()}
    if found := known.get(fault) or qualified.get(fault):
        return found
    if "/" in fault or fault.endswith(".yaml"):
        return folder / fault
    raise ValueError(f"no fault is named `{fault}`: {did_you_mean(fault, known)}")


def shipped_faults(target: str) -> dict[str, Path]:
    """Name -> file of every shipped fault for a kind of target; names are unique over its drivers."""
    folders = [shipped("experiments", driver) for driver in DRIVERS.get(target, ())]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def load(path: Path) -> FaultFile:
    """Read and check a fault file. Raises FileProblems."""
    document = yamlfile.read(path)
    experiment, problems = document.check(ExperimentFile)
    if experiment is None:
        raise FileProblems(_with_references(document, problems))
    index = next((i for i, e in enumerate(experiment.extensions) if e.name == NAME), None)
    if index is None:
        what, hint = f"no extension is named {NAME}", f"add `- {{name: {NAME}, family: cpu, lasting: true}}`"
        raise FileProblems([document.problem(("extensions",), what, hint, at_key=True)])
    extension_only = Document(document.name, document.data["extensions"][index], _below(document, index))
    extension, problems = extension_only.check(BlockSpec)
    problems += [*_method_problems(document, experiment), *_unknown_secrets(document, experiment)]
    if extension is None:
        raise FileProblems(problems)
    defaults: dict[str, Value] = {}
    from_environment: set[str] = set()
    for name, parameter in extension.parameters.items():
        at = ("extensions", index, "parameters", name)
        problems += _parameter_problems(document, at, name, parameter)
        given = document.data.get("configuration", {}).get(name)
        if isinstance(given, dict):  # Chaos Toolkit's form for a value from the environment
            if str(given.get("key", "")).startswith(_LANE):
                from_environment.add(name)
            given = given.get("default")
        if given is not None:
            try:
                defaults[name] = parameter.default(given)
            except ValueError as error:
                problems.append(document.problem(("configuration", name), f"{name}: {error}"))
    if problems:
        raise FileProblems(problems)
    return FaultFile(
        extension.family, extension.lasting, extension.parameters, defaults, document.data, frozenset(from_environment)
    )


def _below(document: Document, index: int) -> dict[Loc, At]:
    top = ("extensions", index)
    return {loc[2:]: at for loc, at in document.places.items() if loc[:2] == top}


def _with_references(document: Document, problems: list[Problem]) -> list[Problem]:
    """Of an activity that only refers to another one that alone is told, and not all that it lacks."""
    found, places = [], set()
    for part in ("method", "rollbacks"):
        listed = document.data.get(part)
        for index, activity in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(activity, dict) and "ref" in activity:
                what, hint = "a `ref` is not followed", "write the activity out, or use a YAML alias (&name and *name)"
                found.append(document.problem((part, index, "ref"), what, hint, at_key=True))
                places.add(document.places[part, index].key)
                places.add(document.places[part, index, "ref"].key)
    return [*found, *(one for one in problems if (one.line, one.column) not in places)]


def _method_problems(document: Document, experiment: ExperimentFile) -> Iterator[Problem]:
    """An activity that would never run, or run in another order than the file says."""
    names = [activity.name for activity in experiment.method]
    for needed, kind in (("inject", "an action that injects the fault"), ("confirm", "a probe that it took effect")):
        if needed not in names:
            yield document.problem(("method",), f"the method has no activity `{needed}`", f"add {kind}", at_key=True)
    for index, name in enumerate(names):
        at = ("method", index, "name")
        if name not in ("prepare", "inject", "confirm"):
            hint = "name it prepare, inject or confirm, as often as needed"
            what = f"the activity `{name}` would not run"
            yield document.problem(at, what, hint)
        elif name == "confirm" and "inject" in names[index + 1 :]:
            yield document.problem(at, "a `confirm` stands before an `inject`", "put it behind: that is when it runs")
        elif name == "prepare" and {"inject", "confirm"} & set(names[:index]):
            yield document.problem(at, "a `prepare` stands behind an `inject`", "put it in front: that is when it runs")


def _unknown_secrets(document: Document, experiment: ExperimentFile) -> Iterator[Problem]:
    for part, activities in (("method", experiment.method), ("rollbacks", experiment.rollbacks)):
        for index, activity in enumerate(activities):
            for number, name in enumerate(activity.provider.secrets):
                if name not in experiment.secrets:
                    at = (part, index, "provider", "secrets", number)
                    hint = did_you_mean(name, experiment.secrets) if experiment.secrets else f"add `{name}:` there"
                    yield document.problem(at, f"`{name}` is not in `secrets`", hint)


def _parameter_problems(
    document: Document, at: tuple[str | int, ...], name: str, parameter: Parameter
) -> Iterator[Problem]:
    if name in _OURS:
        yield document.problem(at, f"`{name}` is set by the harness", "remove it from the parameters", at_key=True)
    if name not in document.data.get("configuration", {}):
        yield document.problem(at, f"`{name}` is not in `configuration`", f"add `{name}:` there", at_key=True)
    if parameter.unit == "choice" and not parameter.choices:
        yield document.problem(at, f"`{name}` has no choices", "add `choices: [a, b]`", at_key=True)
