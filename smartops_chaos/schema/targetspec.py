"""The schema of a matrix' `target`, and what every part of the matrix is made of."""

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

from smartops_chaos.schema.healer_kubernetes import Source
from smartops_chaos.schema.names import AnyNamespace, AnyServiceName, ControllerName, Namespace, Port
from smartops_chaos.schema.units import Duration, between

OTHER_KIND = "package.module:Class"


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float | bool):
        kind = "a list" if isinstance(value, list) else "a mapping"
        raise ValueError(f"{kind} does not fit here: write one text, number, true or false")
    return value


def _present(value: object) -> object:
    if value is None:
        raise ValueError("no value: write one or remove the key")
    return value


Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Present = BeforeValidator(_present)


class MatrixPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LabTargetSpec(MatrixPart):
    """The embedded lab: real processes on this machine."""

    kind: Literal["lab"] = Field(description="The embedded lab.", examples=["lab"])
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Isolated copies of the target; each runs one trial at a time.", examples=[2]
    )
    replicas: Annotated[int, Field(ge=1, le=16)] = Field(
        default=2, description="Replicas of the service.", examples=[2]
    )


class LaneSpec(MatrixPart):
    namespace: Namespace = Field(description="Has a copy of the whole system.", examples=["smartops-dev"])


class AddressSpec(MatrixPart):
    """A URL, or a Service that is reached through the API server's proxy: then a kubeconfig is enough."""

    url: str = Field(default="", description="Its address.", examples=["https://prometheus.example.com"])
    service: AnyServiceName = Field(default="", description="Instead of `url`.", examples=["prometheus"])
    namespace: AnyNamespace = Field(default="", description="Of the Service; the lane's own unless said.")
    port: Port = Field(default=80, description="Number or name.", examples=[9090])

    @model_validator(mode="after")
    def _one(self) -> AddressSpec:
        if bool(self.url) == bool(self.service):
            raise ValueError("either `url` or `service`: write for example {service: prometheus, port: 9090}")
        return self


class SpacingSpec(MatrixPart):
    spacing: Annotated[Duration, between("duration", 0, 86400)] = Field(
        description="Instead of a reset: nothing is restarted, this much time passes.", examples=["10m"]
    )


class KubernetesTargetSpec(MatrixPart):
    """A cluster, found by KUBECONFIG."""

    kind: Literal["kubernetes"] = Field(description="A cluster.", examples=["kubernetes"])
    healer: str = Field(default="smartops", description="A shipped healer file's name, or the path of one.")
    context: str = Field(default="", description="Of the kubeconfig; its current one unless said.")
    lanes: list[LaneSpec] = Field(
        description="One namespace a lane.", examples=["[{namespace: smartops-dev}]"], min_length=1
    )
    allow: list[Namespace] = Field(
        description="The only namespaces that may be touched.", examples=["[smartops-dev]"], min_length=1
    )
    production: list[Namespace] = Field(
        default=[], description="Namespaces that may be touched although their name or a label says production."
    )
    workload: Annotated[AddressSpec | None, Present] = Field(
        default=None,
        description="Where requests go; the healer file says where unless said here.",
        examples=["{service: my-service, port: 8000}"],
    )
    prometheus: Annotated[Source | None, Present] = Field(
        default=None, description="As `workload`.", examples=["{service: prometheus, port: 9090}"]
    )
    loki: Annotated[Source | None, Present] = Field(
        default=None, description="As `workload`.", examples=["{service: loki, port: 3100}"]
    )
    traces: Annotated[Source | None, Present] = Field(
        default=None,
        description="As `workload`: Jaeger's query API, or Tempo's.",
        examples=["{service: traces, port: 16686}"],
    )
    replicas: dict[ControllerName, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default={},
        description="Size of a Deployment before every trial, instead of the healer file's.",
        examples=["{my-service: 2}"],
    )
    between: Literal["reset"] | SpacingSpec = Field(
        default="reset", description="What happens between trials.", examples=["{spacing: 10m}"]
    )


def _class(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        raise ValueError(f"{name} is not a class: write it as {OTHER_KIND}")
    return name


class OtherTargetSpec(BaseModel):
    """A target of your own: a class that Python can import, as `targets.base.Kind` says. All other keys are its."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Scalar] = Field(init=False)

    kind: Annotated[str, AfterValidator(_class)] = Field(description="Module and class.", examples=["ours.target:Ours"])
    healer: str = Field(description="A shipped healer file's name, or the path of one.", examples=["healer.yaml"])
    lanes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="How many trials it can run at a time.", examples=[2]
    )
    protocol: str = Field(
        default="", description="A module with its own gate and observation, in place of smartops_chaos.trial.protocol."
    )


def kind(target: object) -> str | None:
    """Which of the targets is meant; any kind with a colon is somebody's own."""
    found = target.get("kind") if isinstance(target, dict) else getattr(target, "kind", None)
    return OTHER_KIND if isinstance(found, str) and ":" in found else found


TargetSpec = Annotated[
    Annotated[LabTargetSpec, Tag("lab")]
    | Annotated[KubernetesTargetSpec, Tag("kubernetes")]
    | Annotated[OtherTargetSpec, Tag(OTHER_KIND)],
    Discriminator(kind),
]
