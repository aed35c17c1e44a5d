"""The schema of matrix.yaml; its `target` is in `schema.targetspec`, its `slo` in `schema.slospec`.

What a schema cannot say is checked in `plan.levels` (files that a matrix names) and `plan.crosschecks` (keys that have
to fit together).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from smartops_chaos.model import GOALS, Goal
from smartops_chaos.schema.slospec import AnySlo
from smartops_chaos.schema.targetspec import MatrixPart, Present, Scalar, TargetSpec
from smartops_chaos.schema.units import Count, Duration, Fraction, Rate, between

MOST_REPEATS = 10_000
FACTORS = ("chaos", "workload", "model", "policy")  # in the order of a trial's id

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_LEVEL = re.compile(r"(?=.{1,41}\Z)[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


def check_name(name: str) -> str:
    """Names of matrices and campaigns become folder names. Raises ValueError."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 50 else name[:50] + "..."
        raise ValueError(f"`{shown}` is not a name: use letters, digits, - and _, at most 41, first a letter or digit")
    return name


def check_level(name: str) -> str:
    """As a name, but with single dots in it: a model's version is its name. Raises ValueError."""
    if not _LEVEL.fullmatch(name):
        shown = name if len(name) <= 50 else name[:50] + "..."
        raise ValueError(
            f"`{shown}` is not a name: use letters, digits, -, _ and single dots, at most 41, first a letter or digit"
        )
    return name


Name = Annotated[str, AfterValidator(check_name)]


class Horizon(MatrixPart):
    after: Annotated[Duration, between("duration", 0.5, 86400)] = Field(
        description="The moment at which a person would have to step in; unrecovered by then = failed.",
        examples=["30s"],
    )
    because: str = Field(
        default="",
        description="Why then; without a reason nothing can be proven, only observed.",
        examples=["on-call answers in 30 s"],
    )


class FaultSpec(BaseModel):
    """A fault and its parameters, as its fault file declares them."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    fault: str = Field(description="A shipped fault's name, or the path of a fault file.", examples=["pod-kill"])

    @property
    def params(self) -> dict[str, str | int | float | bool]:
        return dict(self.__pydantic_extra__ or {})


class ChaosSpec(BaseModel):
    """One fault with its parameters, several under `faults`, or {} for a control without a fault."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    fault: str = Field(
        default="", description="A shipped fault's name, or the path of a fault file.", examples=["pod-kill"]
    )
    faults: list[FaultSpec] = Field(default=[], description="Faults that are injected together.", min_length=1)
    horizon: Annotated[Horizon | None, Present] = Field(default=None, description="Instead of the matrix's horizon.")

    @property
    def params(self) -> dict[str, str | int | float | bool]:
        return dict(self.__pydantic_extra__ or {})


class SettingsSpec(BaseModel):
    """What to set on the healer, by the names in the healer file's `settings`."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    file: str = Field(
        default="", description="A policy file; its path is relative to the matrix.", examples=["my.policy"]
    )
    same_as: str = Field(
        default="",
        description="Another level whose settings these are: an arm once more, which shows what chance alone does.",
        examples=["zscore"],
    )

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        return dict(self.__pydantic_extra__ or {})


class WorkloadSpec(MatrixPart):
    rate: Annotated[Rate, between("rate", 0.1, 10_000)] = Field(
        default=40.0, description="Requests per second, evenly spaced, whatever the answers.", examples=["40/s"]
    )


class Factors(MatrixPart):
    """The dimensions of the matrix: named levels, each with what it means."""

    chaos: dict[str, ChaosSpec] = Field(
        description="What is injected.", examples=["{pod-kill: {fault: pod-kill}}"], min_length=1
    )
    model: dict[str, SettingsSpec] = Field(
        default={"default": SettingsSpec()},
        description="Variants of detection.",
        examples=["{off: {healer: off}}"],
        min_length=1,
    )
    policy: dict[str, SettingsSpec] = Field(
        default={"default": SettingsSpec()},
        description="Policy sets.",
        examples=["{default: {file: policies/default.policy}}"],
        min_length=1,
    )
    workload: dict[str, WorkloadSpec] = Field(
        default={"default": WorkloadSpec()}, description="Load.", examples=["{steady: {rate: 40/s}}"], min_length=1
    )


class Selector(MatrixPart):
    """Level names; a factor that is not named stands for all its levels."""

    chaos: str = Field(default="", description="A level of it.", examples=["none"])
    workload: str = Field(default="", description="A level of it.", examples=["steady"])
    model: str = Field(default="", description="A level of it.", examples=["off"])
    policy: str = Field(default="", description="A level of it.", examples=["default"])


class BaselineSpec(MatrixPart):
    """The arm that all others are compared with. A factor with one level need not be named."""

    model: str = Field(default="", description="A level of it.", examples=["off"])
    policy: str = Field(default="", description="A level of it.", examples=["default"])


class SlaSpec(MatrixPart):
    window: Annotated[Duration, between("duration", 60, 3650 * 86400)] = Field(
        description="The time in which so many faults are expected.", examples=["30d"]
    )
    faults: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = Field(
        description="Faults to expect in one window.", examples=[4]
    )
    repair: Annotated[Duration, between("duration", 0, 30 * 86400)] = Field(
        default=0.0,
        description="How long a person needs after the horizon to repair what has not recovered by then.",
        examples=["30m"],
    )


class TargetsSpec(MatrixPart):
    """What the healer should reach, the most important first: a target is decided if those before it are proven."""

    _order: tuple[Goal, ...] = PrivateAttr(GOALS)

    mttr_reduction: Annotated[Fraction, between("fraction", 0, 0.99)] = Field(
        default=0.40, description="Against the baseline.", examples=["40%"]
    )
    auto_heal: Annotated[Fraction, between("fraction", 0.01, 0.999)] = Field(
        default=0.90, description="Share of incidents that end without a person.", examples=["90%"]
    )
    sla: Annotated[Fraction, between("fraction", 0.01, 0.999999)] = Field(
        default=0.99, description="Availability in one `sla.window`.", examples=["99%"]
    )

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, data: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        found = check(data)
        if isinstance(data, Mapping):
            found._order = tuple(dict.fromkeys([*(key for key in data if key in GOALS), *GOALS]))
        return found

    @property
    def order(self) -> tuple[Goal, ...]:
        """As they are written, then those that are not written."""
        return self._order


class Matrix(MatrixPart):
    """What is tried, how often, and what the result is held against."""

    version: Literal[1] = Field(description="Of this format.", examples=[1])
    name: Name = Field(description="Names the campaigns: results/<name>-<n>.", examples=["quick"])
    target: TargetSpec = Field(description="What is attacked.", examples=["{kind: lab}"])
    factors: Factors = Field(description="The dimensions.", examples=["{chaos: {pod-kill: {fault: pod-kill}}}"])
    exclude: list[Selector] = Field(
        default=[], description="Cells to leave out.", examples=["[{model: off, chaos: none}]"]
    )
    include: list[Selector] = Field(
        default=[],
        description="Single cells to put back; a factor with one level need not be named.",
        examples=["[{chaos: none, model: off}]"],
    )
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS)] = Field(description="Trials of each cell.", examples=[3])
    looks: Annotated[int, Field(ge=1, le=MOST_REPEATS)] = Field(
        default=1,
        description="Decisions at equal shares of the repeats, the end included: an arm stops when all is decided. "
        "As many as repeats: after each of them, which saves most.",
        examples=[30],
    )
    calibrate: Annotated[Count, between("count", 0, 20)] = Field(
        default=1,
        description="Trials of each scenario in which the harness itself ends the fault. A control without a fault has "
        "none; nor has, on a cluster, a fault that is over at once, such as a killed pod.",
        examples=[1],
    )
    baseline: BaselineSpec = Field(description="What the others are compared with.", examples=["{model: off}"])
    slo: AnySlo = Field(description="What good means.", examples=["{latency: 250ms, objective: 95%, hold: 2s}"])
    horizon: Horizon = Field(
        description="One value for all, or also in a chaos level.",
        examples=['{after: 30s, because: "on-call answers in 30 s"}'],
    )
    stop_after_good: Annotated[Annotated[Duration, between("duration", 0.1, 86400)] | None, Present] = Field(
        default=None,
        description="End a trial when health has lasted this long. Without it every trial is observed to the end.",
        examples=["4s"],
    )
    sla: Annotated[SlaSpec | None, Present] = Field(
        default=None, description="What turns trials into an availability.", examples=["{window: 1h, faults: 5}"]
    )
    targets: TargetsSpec = Field(
        default=TargetsSpec(),
        description="What the healer should reach. All three are judged: one that is not written has its default.",
        examples=["{mttr_reduction: 40%}"],
    )
    weights: dict[str, Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]] = Field(
        default={}, description="Weight of a chaos level in the means; 1 unless said.", examples=["{pod-kill: 2}"]
    )
    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] = Field(
        default=1, description="Decides the order of trials, the victims and the waits.", examples=[20261124]
    )


def json_schema() -> dict[str, Any]:
    """The schema for editors, as in matrix/matrix.schema.json."""
    schema = Matrix.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "smartops-chaos matrix"}
