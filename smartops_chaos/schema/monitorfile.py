"""monitor.yaml: which standing system `smartops-chaos monitor` observes, and what healthy means there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from smartops_chaos.schema import yamlfile
from smartops_chaos.schema.slospec import AnySlo, QuerySpec
from smartops_chaos.schema.targetspec import MatrixPart, Present
from smartops_chaos.schema.units import Duration, Rate, between

_ADDRESS = re.compile(r"(https?|kubernetes)://[^\s/]+\S*")
_MOST = 150_000  # requests of one incident, in memory
_LISTEN = re.compile(r"(.*):(\d{1,5})")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("not an address: write http://host:port, or kubernetes://context@namespace/service:port")
    return text


def listen_address(text: str) -> str:
    """The same text. Raises ValueError if it is none."""
    found = _LISTEN.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        raise ValueError("not an address to listen on: write host:port, such as 127.0.0.1:9109")
    return text


def listened(text: str) -> tuple[str, int]:
    """Host and port of `listen`."""
    host, _, port = text.rpartition(":")
    return host or "0.0.0.0", int(port)


Server = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, Field(min_length=1)]


class ClusterPart(MatrixPart):
    """A cluster, found by KUBECONFIG: there pods, and the logs of the healer's, are read through its API server."""

    context: str = Field(default="", description="Of the kubeconfig; its current one unless said.")


class MonitorFile(MatrixPart):
    version: Literal[1] = Field(examples=[1])
    namespace: Text = Field(description="Where the service runs: a label of every metric.", examples=["smartops-dev"])
    service: Text = Field(
        description="Its Deployment: a label of every metric, and what an action has to hit to count as healing.",
        examples=["smartops-erp-simulator"],
    )
    healer: Text = Field(
        default="smartops", description="A shipped healer file's name, or the path of one.", examples=["smartops"]
    )
    url: Annotated[Server | None, Present] = Field(
        default=None,
        description="Where requests go, as the healer file's `workload` says; not with a query as `slo`.",
        examples=["http://erp.example.com:8000"],
    )
    rate: Annotated[Rate, between("rate", 0.1, 100)] = Field(
        default=5.0, description="Requests that are sent, evenly spaced.", examples=["5/s"]
    )
    slo: AnySlo = Field(description="What healthy means, as in a matrix.")
    settle: Annotated[Duration, between("duration", 0.5, 3600)] = Field(
        default=30.0,
        description="How long health lasts until an incident is over; what is bad before that is a relapse of it.",
        examples=["30s"],
    )
    horizon: Annotated[Duration, between("duration", 1, 86400)] = Field(
        default=900.0,
        description="A person steps in after this: what has not recovered is unrecovered.",
        examples=["15m"],
    )
    prometheus: Annotated[Server | None, Present] = Field(
        default=None,
        description="For the healer's counters and alerts, and for a query.",
        examples=["http://prometheus:9090"],
    )
    loki: Annotated[Server | None, Present] = Field(
        default=None,
        description="For the healer's lines, as its file's `loki` says, which it must have.",
        examples=["http://loki:3100"],
    )
    logs: dict[str, Text] = Field(
        default={},
        description="Component -> a file of its lines, which is followed.",
        examples=["{smartops-orchestrator: /var/log/orchestrator.log}"],
    )
    cluster: Annotated[ClusterPart | None, Present] = Field(
        default=None, description="Follow the pods of `namespace` and the healer's logs.", examples=["{}"]
    )
    signals: Annotated[Server | None, Present] = Field(
        default=None, description="Of the orchestrator, for /v1/signals/recent.", examples=["http://orchestrator:8001"]
    )
    policy: Annotated[Server | None, Present] = Field(
        default=None, description="Of the policy engine, for /v1/policy/audit/latest.", examples=["http://policy:5051"]
    )
    results: str = Field(
        default="",
        description="Folder of campaigns: their faults in force and the last one's MTTR.",
        examples=["results"],
    )
    listen: Annotated[str, AfterValidator(listen_address)] = Field(
        default="127.0.0.1:9109", description="Where /metrics and the page are.", examples=["127.0.0.1:9109"]
    )

    @model_validator(mode="after")
    def _fits(self) -> MonitorFile:
        if isinstance(self.slo, QuerySpec):
            if self.prometheus is None:
                raise ValueError("`slo` is a query, and nobody to ask it: add `prometheus`")
            if self.url is not None:
                raise ValueError("`slo` is a query, so nothing is sent: remove `url`, or give `slo` a latency")
            return self
        if self.url is None:
            raise ValueError("nothing says where requests go: add `url`, or write `slo` as a query")
        slo = self.slo.slo()
        if self.rate * (self.horizon + self.settle) > _MOST:
            what = f"{self.rate:g} requests a second for `horizon` and `settle` are too many"
            raise ValueError(f"{what}, {_MOST} can be kept: lower one")
        if self.rate * slo.hold_s < slo.fewest:
            raise ValueError(
                f"{self.rate * slo.hold_s:g} requests in `hold` are too few to judge an objective of "
                f"{100 * slo.objective:g} %: {slo.fewest} are needed, so raise `rate` or `hold`"
            )
        return self


def load(path: Path) -> MonitorFile:
    """Raises FileProblems."""
    return yamlfile.load(path, MonitorFile)


def schema_text() -> str:
    """The JSON Schema of a monitor.yaml."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **MonitorFile.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
