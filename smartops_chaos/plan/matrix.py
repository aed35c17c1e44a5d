"""The schema of matrix.yaml. What a schema cannot say is checked in `plan.levels` and `plan.references`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from smartops_chaos.healercluster import Source
from smartops_chaos.units import Count, Duration, Fraction, Rate, between

FACTORS = ("chaos", "workload", "model", "policy")  # in the order of a trial's id

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")


def check_name(name: str) -> str:
    """Names become folder names and parts of trial ids. Raises ValueError."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 50 else name[:50] + "..."
        raise ValueError(f"`{shown}` is not a name: use letters, digits, - and _, at most 41, first a letter or digit")
    return name


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        kind = "a list" if isinstance(value, list) else "a mapping"
        raise ValueError(f"{kind} does not fit here: write one text, number, true or false")
    return value


def _present(value: object) -> object:
    if value is None:
        raise ValueError("no value: write one or remove the key")
    return value


Name = Annotated[str, AfterValidator(check_name)]
Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
_Present = BeforeValidator(_present)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LabTarget(_Part):
    """The embedded lab: real processes on this machine."""

    kind: Literal["lab"] = Field(examples=["lab"])
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Isolated copies of the target; each runs one trial at a time.", examples=[2]
    )
    replicas: Annotated[int, Field(ge=1, le=16)] = Field(
        default=2, description="Replicas of the service.", examples=[2]
    )


class KubernetesLane(_Part):
    namespace: str = Field(description="Has a copy of the whole system.", examples=["smartops-dev"])


class AddressSpec(_Part):
    """A URL, or a Service that is reached through the API server's proxy: then a kubeconfig is enough."""

    url: str = Field(default="", examples=["https://prometheus.example.com"])
    service: str = Field(default="", examples=["prometheus"])
    namespace: str = Field(default="", description="Of the Service; the lane's own unless said.")
    port: int | str = Field(default=80, description="Number or name.", examples=[9090])

    @model_validator(mode="after")
    def _one(self) -> AddressSpec:
        if bool(self.url) == bool(self.service):
            raise ValueError("either `url` or `service`: write for example {service: prometheus, port: 9090}")
        return self


class SpacingSpec(_Part):
    spacing: Annotated[Duration, between("duration", 0, 86400)] = Field(
        description="Instead of a reset: nothing is restarted, this much time passes.", examples=["10m"]
    )


class KubernetesTarget(_Part):
    """A cluster, found by KUBECONFIG."""

    kind: Literal["kubernetes"] = Field(examples=["kubernetes"])
    healer: str = Field(default="smartops", description="A shipped healer file's name, or the path of one.")
    context: str = Field(default="", description="Of the kubeconfig; its current one unless said.")
    lanes: list[KubernetesLane] = Field(
        description="One namespace a lane.", examples=["[{namespace: smartops-dev}]"], min_length=1
    )
    allow: list[str] = Field(
        description="The only namespaces that may be touched.", examples=["[smartops-dev]"], min_length=1
    )
    production: list[str] = Field(
        default=[], description="Namespaces that may be touched although their name or a label says production."
    )
    workload: Annotated[AddressSpec | None, _Present] = Field(
        default=None,
        description="Where requests go; the healer file says where unless said here.",
        examples=["{service: my-service, port: 8000}"],
    )
    prometheus: Annotated[Source | None, _Present] = Field(
        default=None, description="As `workload`.", examples=["{service: prometheus, port: 9090}"]
    )
    loki: Annotated[Source | None, _Present] = Field(
        default=None, description="As `workload`.", examples=["{service: loki, port: 3100}"]
    )
    alertmanager: Annotated[Source | None, _Present] = Field(
        default=None,
        description="Compared with Prometheus about the alerts that the healer file names.",
        examples=["{service: alertmanager, port: 9093}"],
    )
    replicas: dict[str, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default={},
        description="Size of a Deployment before every trial, instead of the healer file's.",
        examples=["{my-service: 2}"],
    )
    between: Literal["reset"] | SpacingSpec = Field(
        default="reset", description="What happens between trials.", examples=["{spacing: 10m}"]
    )


OTHER_KIND = "package.module:Class"


def _class(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        raise ValueError(f"{name} is not a class: write it as {OTHER_KIND}")
    return name


class OtherTarget(BaseModel):
    """A target of your own: a class that Python can import, as `targets.base.Kind` says. All other keys are its."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    kind: Annotated[str, AfterValidator(_class)] = Field(examples=["ours.target:Ours"])
    healer: str = Field(description="A shipped healer file's name, or the path of one.", examples=["healer.yaml"])
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(default=1, examples=[2])
    protocol: str = Field(
        default="", description="A module with its own gate and observation, in place of smartops_chaos.protocol."
    )


def kind(target: object) -> str | None:
    """Which of the targets is meant; any kind with a colon is somebody's own."""
    found = target.get("kind") if isinstance(target, dict) else getattr(target, "kind", None)
    return OTHER_KIND if isinstance(found, str) and ":" in found else found


Target = Annotated[
    Annotated[LabTarget, Tag("lab")]
    | Annotated[KubernetesTarget, Tag("kubernetes")]
    | Annotated[OtherTarget, Tag(OTHER_KIND)],
    Discriminator(kind),
]


class Horizon(_Part):
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
    horizon: Annotated[Horizon | None, _Present] = Field(default=None, description="Instead of the matrix's horizon.")

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

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        return dict(self.__pydantic_extra__ or {})


class WorkloadSpec(_Part):
    rate: Annotated[Rate, between("rate", 0.1, 10_000)] = Field(
        default=40.0, description="Requests per second, evenly spaced, whatever the answers.", examples=["40/s"]
    )


class Factors(_Part):
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


class Selector(_Part):
    """Level names; a factor that is not named stands for all its levels."""

    chaos: str = Field(default="", examples=["none"])
    workload: str = Field(default="", examples=["steady"])
    model: str = Field(default="", examples=["off"])
    policy: str = Field(default="", examples=["default"])


class BaselineSpec(_Part):
    """The arm that all others are compared with. A factor with one level need not be named."""

    model: str = Field(default="", examples=["off"])
    policy: str = Field(default="", examples=["default"])


class SloSpec(_Part):
    latency: Annotated[Duration, between("duration", 0.001, 60)] = Field(
        description="A good answer arrives within this, from its scheduled time.", examples=["250ms"]
    )
    objective: Annotated[Fraction, between("fraction", 0.5, 0.9999)] = Field(
        description="Share of good requests that a healthy window has.", examples=["95%"]
    )
    hold: Annotated[Duration, between("duration", 0.1, 3600)] = Field(
        description="Length of the window: how long health must last to count.", examples=["2s"]
    )


class SlaSpec(_Part):
    window: Annotated[Duration, between("duration", 60, 3650 * 86400)] = Field(examples=["30d"])
    faults: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = Field(
        description="Faults to expect in one window.", examples=[4]
    )


class TargetsSpec(_Part):
    """What the healer should reach. Each is decided against the trials' uncertainty."""

    mttr_reduction: Annotated[Fraction, between("fraction", 0, 0.99)] = Field(
        default=0.40, description="Against the baseline.", examples=["40%"]
    )
    auto_heal: Annotated[Fraction, between("fraction", 0.01, 0.999)] = Field(
        default=0.90, description="Share of incidents that end without a person.", examples=["90%"]
    )
    sla: Annotated[Fraction, between("fraction", 0.01, 0.999999)] = Field(
        default=0.99, description="Availability in one `sla.window`.", examples=["99%"]
    )


class Matrix(_Part):
    """What is tried, how often, and what the result is held against."""

    version: Literal[1] = Field(examples=[1])
    name: Name = Field(description="Names the campaigns: results/<name>-<n>.", examples=["quick"])
    target: Target = Field(description="What is attacked.", examples=["{kind: lab}"])
    factors: Factors = Field(description="The dimensions.", examples=["{chaos: {pod-kill: {fault: pod-kill}}}"])
    exclude: list[Selector] = Field(
        default=[], description="Cells to leave out.", examples=["[{model: off, chaos: none}]"]
    )
    include: list[Selector] = Field(
        default=[],
        description="Single cells to put back; a factor with one level need not be named.",
        examples=["[{chaos: none, model: off}]"],
    )
    repeats: Annotated[int, Field(ge=1, le=10_000)] = Field(description="Trials of each cell.", examples=[3])
    calibrate: Annotated[Count, between("count", 0, 20)] = Field(
        default=1, description="Trials of each scenario in which the harness itself ends the fault.", examples=[1]
    )
    baseline: BaselineSpec = Field(examples=["{model: off}"])
    slo: SloSpec = Field(description="What good means.", examples=["{latency: 250ms, objective: 95%, hold: 2s}"])
    horizon: Horizon = Field(
        description="One value for all, or also in a chaos level.",
        examples=['{after: 30s, because: "on-call answers in 30 s"}'],
    )
    stop_after_good: Annotated[Annotated[Duration, between("duration", 0.1, 86400)] | None, _Present] = Field(
        default=None,
        description="End a trial when health has lasted this long. Without it every trial is observed to the end.",
        examples=["4s"],
    )
    sla: Annotated[SlaSpec | None, _Present] = Field(
        default=None, description="What turns trials into an availability.", examples=["{window: 30d, faults: 4}"]
    )
    targets: TargetsSpec = Field(default=TargetsSpec(), examples=["{mttr_reduction: 40%}"])
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
