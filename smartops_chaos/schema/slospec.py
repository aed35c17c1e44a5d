"""`slo` in matrix.yaml: what good means, of our requests or of a query about a load of the team's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from smartops_chaos.model import Slo
from smartops_chaos.schema import promql
from smartops_chaos.schema.targetspec import MatrixPart, Present
from smartops_chaos.schema.units import Duration, Fraction, between, parse_fraction

_ANSWERED_S = 2.0  # how long Prometheus may take to answer the query


def _number(value: object) -> object:
    return parse_fraction(value) if isinstance(value, str) else value


Hold = Annotated[Duration, between("duration", 0.1, 3600)]
_HOLD = "Length of the window: how long health must last to count."


class SloSpec(MatrixPart):
    """Of the requests that we send."""

    latency: Annotated[Duration, between("duration", 0.001, 60)] = Field(
        description="A good answer arrives within this, from its scheduled time.", examples=["250ms"]
    )
    objective: Annotated[Fraction, between("fraction", 0.5, 0.9999)] = Field(
        description="Share of good requests that a healthy window has.", examples=["95%"]
    )
    hold: Hold = Field(description=_HOLD, examples=["2s"])

    def slo(self) -> Slo:
        return Slo(self.latency, self.objective, self.hold)


class QuerySpec(MatrixPart):
    """Of a load of your own, by what Prometheus says of it: nothing is sent. Every value in a window must be good."""

    query: str = Field(
        description="PromQL; `${namespace}` is the lane's. No value counts as a bad one.",
        examples=["\"sum(rate(http_requests_total{code!~'5..'}[10s])) / sum(rate(http_requests_total[10s]))\""],
        min_length=1,
        max_length=4000,
    )
    at_least: Annotated[
        float,
        BeforeValidator(_number),
        WithJsonSchema({"type": ["number", "string"]}),
        Field(allow_inf_nan=False),
    ] = Field(description="What a good value is.", examples=["95%"])
    every: Annotated[Duration, between("duration", 0.1, 60)] = Field(
        default=1.0, description="How often it is asked: its scrape interval is often enough.", examples=["1s"]
    )
    lag: Annotated[Annotated[Duration, between("duration", 0, 86400)] | None, Present] = Field(
        default=None,
        description="How late its values can show a change; its ranges and `every` unless said.",
        examples=["15s"],
    )
    hold: Hold = Field(description=_HOLD, examples=["10s"])

    @model_validator(mode="after")
    def _known(self) -> QuerySpec:
        """How late a recorded series is depends on its rule, which no query tells."""
        if self.lag is None and (names := promql.recorded(self.query)):
            raise ValueError(
                f"how late {names[0]} is depends on its recording rule: add `lag:`, the range that the rule looks back "
                "with its evaluation and scrape intervals, such as 330s; `doctor` asks Prometheus whether it is enough"
            )
        return self

    def slo(self) -> Slo:
        # A sample is as old as its scrape interval, which `every` is advised to be; `doctor` asks Prometheus for it.
        lag_s = promql.looks_back_s(self.query) + self.every if self.lag is None else self.lag
        return Slo(_ANSWERED_S, 1.0, self.hold, self.query, self.at_least, self.every, lag_s)


def _kind(slo: object) -> str:
    asks = "query" in slo if isinstance(slo, dict) else hasattr(slo, "query")
    return "of a query" if asks else "of requests"


AnySlo = Annotated[
    Annotated[SloSpec, Tag("of requests")] | Annotated[QuerySpec, Tag("of a query")],
    Discriminator(_kind),
]
