"""`platform/gates.yaml`: the rules by which an environment may be promoted, as data.

Queries are selectors of Prometheus (`up{job="erp"}`), which the gate itself puts into a question with a grid of time;
`${namespace}` in them is the environment's. A section that is left out is not judged; the witness cannot be left out.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from smartops_chaos.schema import yamlfile
from smartops_chaos.schema.names import Namespace
from smartops_chaos.schema.units import Duration, Fraction, between, format_duration

_MOST_SLOTS = 11_000  # points of an answer that Prometheus gives at most
_ABSENT = (
    "A counter that was never there counts 0: one with labels is absent until its first use. Else nothing is said."
)
_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"

LabelName = Annotated[str, Field(pattern=_LABEL, max_length=100)]
Selector = Annotated[str, Field(min_length=1, max_length=4000)]
Positive = between("duration", 1, 90 * 86400)
Span = Annotated[Duration, Positive]


class GatePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WitnessRule(GatePart):
    """What proves that somebody was watching: without it everything else would be green for want of data."""

    watchdog: Selector = Field(
        description="An alert that always fires: that rules were evaluated.",
        examples=['\'ALERTS{alertname="Watchdog", alertstate="firing"}\''],
    )
    targets: Selector = Field(description="What was scraped.", examples=["'up{namespace=\"${namespace}\"}'"])
    by: LabelName = Field(default="job", description="The label by which targets are told apart.")
    wanted: list[str] = Field(
        default=[], description="Its values that must be there, also if they never were.", examples=["[erp-simulator]"]
    )
    groups: list[str] = Field(
        default=[], description="Rule groups that must be loaded and healthy now.", examples=["[smartops]"]
    )
    evaluated: Selector | None = Field(
        default=None,
        description="Prometheus' own metric of its rule groups: `groups` were evaluated in the whole window.",
        examples=["prometheus_rule_group_last_evaluation_timestamp_seconds"],
    )
    coverage: Fraction = Field(default=0.95, description="Share of the window that each of them covers.")
    longest_gap: Span = Field(default=600.0, description="No stretch without data is longer.", examples=["10m"])
    clock: Span = Field(default=60.0, description="Prometheus' clock may be off by so much.", examples=["60s"])


class AlertsRule(GatePart):
    firing: Selector = Field(
        description="Alerts that fire.", examples=['\'ALERTS{alertstate="firing", namespace="${namespace}"}\'']
    )
    now: list[str] = Field(default=["critical", "warning"], description="Severities of which none may fire now.")
    never: list[str] = Field(default=["critical"], description="Severities of which none may have fired.")
    persistent: Span = Field(default=1800.0, description="None fired for longer in one stretch.", examples=["30m"])


class SloRule(GatePart):
    """1 - errors / total over the window, from counters."""

    total: Selector = Field(
        description="A counter of all requests.",
        examples=["'erp_simulator_requests_total{namespace=\"${namespace}\"}'"],
    )
    errors: Selector = Field(
        description="A counter of those that were not good.",
        examples=["'erp_simulator_errors_total{namespace=\"${namespace}\"}'"],
    )
    at_least: Fraction = Field(default=0.98, description="Share of good requests.", examples=["98%"])
    min_requests: int = Field(default=1000, ge=1, description="With fewer nothing can be said.")
    absent_is_zero: bool = Field(default=False, description=_ABSENT)


class SpikesRule(GatePart):
    """Anomalies that the healer saw: never more than so many within any stretch of that length."""

    counter: Selector = Field(
        description="A counter of anomalies.", examples=['\'signals_total{kind="anomaly", namespace="${namespace}"}\'']
    )
    within: Span = Field(default=3600.0, description="The stretch in which they are counted.", examples=["1h"])
    at_most: int = Field(ge=0, description="So many are no spike.", examples=[20])
    absent_is_zero: bool = Field(default=False, description=_ABSENT)


class VersionSeries(GatePart):
    """A series whose labels say what runs: `of` what, in which `version`."""

    series: Selector = Field(
        description="It is there for each thing that runs.",
        examples=["'kube_pod_container_info{namespace=\"${namespace}\"}'"],
    )
    of: LabelName = Field(description="The label that says what runs.", examples=["container"])
    version: LabelName = Field(description="The label that says in which version.", examples=["image_id"])


class GoldenRule(GatePart):
    """The whole window lies after the last change of a digest or of a value."""

    versions: list[VersionSeries] = Field(default=[], description="Of images, as kube-state-metrics has them.")
    release: str = Field(
        default="",
        description="Of Helm: its history tells of changed values.",
        examples=["'${namespace}'"],
        max_length=53,
    )

    @model_validator(mode="after")
    def _tells(self) -> GoldenRule:
        if not self.versions and not self.release:
            raise ValueError("nothing tells when something has changed: add `versions` or `release`")
        return self


class ArmRule(GatePart):
    model: str = Field(description="A level of the matrix.", examples=["zscore"])
    policy: str = Field(description="A level of the matrix.", examples=["default"])


class MttrRule(GatePart):
    """From the newest campaign of the digests that run now; without one from the monitor's gauge."""

    at_most: Span = Field(description="The MTTR has to be shorter.", examples=["60s"])
    require: Literal["upper bound", "estimate"] = Field(
        default="upper bound", description="Which number of it.", examples=["upper bound"]
    )
    max_age: Span = Field(default=14 * 86400.0, description="An older campaign says nothing.", examples=["14d"])
    campaigns: str = Field(default="results", description="Folder of the campaigns.")
    arm: ArmRule | None = Field(default=None, description="Every arm beside the baseline unless said.")
    gauge: Selector | None = Field(
        default=None,
        description="Of the monitor: asked if no campaign counts.",
        examples=["'smartops_chaos_campaign_mttr_seconds{namespace=\"${namespace}\"}'"],
    )
    registered: bool = Field(
        default=False, description="Only a campaign counts whose plan was registered before its first trial."
    )
    public_key: str = Field(default="", description="PEM file: the campaign's statement must be signed by its owner.")


class WorkloadsRule(GatePart):
    """Asked of the API server: every Deployment, StatefulSet and DaemonSet is as its spec says."""

    quiet: Span = Field(default=900.0, description="No container has restarted within it.", examples=["15m"])


class EnvironmentRules(GatePart):
    namespace: Namespace = Field(description="Of the environment.", examples=["smartops-stage"])
    prometheus: str = Field(default="", description="Its address; --prometheus goes before.")
    window: Span = Field(description="What is judged.", examples=["72h"])
    step: Span = Field(
        default=60.0,
        description="The grain of time: two scrape and evaluation intervals at least.",
        examples=["1m"],
    )
    replicas: list[LabelName] = Field(
        default=["prometheus_replica", "replica"], description="Labels by which doubled Prometheus servers differ."
    )
    witness: WitnessRule = Field(description="What proves that data were there.")
    tests: Selector | None = Field(
        default=None,
        description="Above 0 while a fault is injected on purpose: that time is taken out.",
        examples=["'smartops_chaos_fault_active{namespace=\"${namespace}\"}'"],
    )
    after_test: Span = Field(default=300.0, description="So long after a test is taken out too.", examples=["5m"])
    max_tested: Fraction = Field(default=0.25, description="With more taken out nothing can be said.")
    workloads: WorkloadsRule | None = Field(default=None, description="All of the namespace is rolled out.")
    alerts: AlertsRule | None = Field(default=None, description="None fires now, none has fired badly.")
    mttr: MttrRule | None = Field(default=None, description="The healer was fast enough on these very digests.")
    slo: SloRule | None = Field(default=None, description="Users were served.")
    golden: GoldenRule | None = Field(default=None, description="Nothing has changed for the whole window.")
    spikes: SpikesRule | None = Field(default=None, description="No burst of anomalies.")
    override: bool = Field(default=False, description="Whether --override may open it.")

    @model_validator(mode="after")
    def _fits(self) -> EnvironmentRules:
        if self.window / self.step > _MOST_SLOTS:
            least = format_duration(float(-(-self.window // _MOST_SLOTS)))
            raise ValueError(f"`window` has more than {_MOST_SLOTS} steps: write `step: {least}` or longer")
        if self.window % self.step:
            raise ValueError("`window` is no whole number of steps: change one of them")
        if self.witness.longest_gap < self.step:
            raise ValueError("`longest_gap` is shorter than a step: no gap so short can be seen")
        for text in self._selectors():
            unknown = {name for name in string.Template(text).get_identifiers() if name != "namespace"}
            if unknown or not string.Template(text).is_valid():
                raise ValueError(f"`{text}`: only ${{namespace}} is put in; write $$ for a dollar sign")
        return self

    @property
    def release(self) -> str:
        """The name of Helm's release whose history is judged; empty if none is."""
        return string.Template(self.golden.release).substitute(namespace=self.namespace) if self.golden else ""

    def _selectors(self) -> list[str]:
        found = [self.witness.watchdog, self.witness.targets, self.witness.evaluated, self.tests]
        found += [self.alerts.firing] if self.alerts else []
        found += [self.slo.total, self.slo.errors] if self.slo else []
        found += [self.spikes.counter] if self.spikes else []
        found += [one.series for one in self.golden.versions] + [self.golden.release] if self.golden else []
        found += [self.mttr.gauge] if self.mttr else []
        return [one for one in found if one is not None]


class GateFile(GatePart):
    version: Literal[1] = Field(description="Of this format.", examples=[1])
    environments: dict[str, EnvironmentRules] = Field(min_length=1, description="By name.")


def load(path: Path) -> GateFile:
    """Raises FileProblems with every problem at its file:line:col."""
    return yamlfile.load(path, GateFile)
