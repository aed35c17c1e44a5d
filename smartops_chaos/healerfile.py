"""The healer file: how to find, read and set a self-healing system, as data.

    healer = load("lab")                 # shipped: healers/lab.yaml
    healer = load("ours/healer.yaml")    # a user's own
    healer = restore(plan.healer)        # from what `healer.model_dump()` gave

Patterns are Python regular expressions that are searched anywhere in a line; their named groups carry what was read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from smartops_chaos import yamlfile
from smartops_chaos.errors import FileProblems, Problem
from smartops_chaos.resources import shipped
from smartops_chaos.units import parse_duration
from smartops_chaos.yamlfile import did_you_mean

_FROM_DUMP = "from_dump"


def _seconds(value: object, info: ValidationInfo) -> float:
    """A duration with its unit; from a dump also plain seconds."""
    if info.context == _FROM_DUMP and isinstance(value, int | float):
        return float(value)
    return parse_duration(value)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error}): mend it or escape the special character") from None
    return text


def _setting(value: object) -> object:
    if value == "text" or (isinstance(value, list) and value and all(isinstance(word, str) for word in value)):
        return value
    raise ValueError("neither a list of the values allowed nor `text`: write for example [on, off]")


def _groups(*needed: str) -> AfterValidator:
    def check(rules: tuple[LogRule, ...]) -> tuple[LogRule, ...]:
        for rule in rules:
            missing = [name for name in needed if name not in re.compile(rule.log).groupindex]
            if missing:
                raise ValueError(f"the pattern has no group {missing[0]}: put (?P<{missing[0]}>...) around that part")
        return rules

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(_seconds)]
Setting = Annotated[Literal["text"] | list[str], BeforeValidator(_setting)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class LogRule(_Part):
    """Lines in which `log` is found; `component` limits it to one writer."""

    log: Pattern = Field(examples=["'POST /v1/signals/anomaly'"])
    component: str | None = None


class Rule(_Part):
    """Either a log pattern, or the increase of a counter whose labels include `labels`."""

    log: Pattern | None = None
    component: str | None = None
    increase: str | None = None
    labels: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Rule:
        if (self.log is None) == (self.increase is None):
            raise ValueError("a rule has either `log` or `increase`: write one of them")
        if self.log is None and self.component is not None:
            raise ValueError("`component` belongs to `log`: use `labels` with `increase`")
        if self.increase is None and self.labels:
            raise ValueError("`labels` belongs to `increase`: use `component` with `log`")
        return self


class HttpRequest(_Part):
    """The request of the workload, relative to the target's address."""

    method: str = "GET"
    path: str = Field(examples=["/simulate/load"])
    body: dict[str, Any] | None = Field(None, alias="json")
    timeout_s: Seconds = Field(alias="timeout", examples=["2s"])


class MomentRules(_Part):
    """Every rule of a moment that matches contributes an interval; `acted` and `verified` also come from actions."""

    detected: tuple[Rule, ...] = ()
    diagnosed: tuple[Rule, ...] = ()
    decided: tuple[Rule, ...] = ()
    acted: tuple[Rule, ...] = ()
    verified: tuple[Rule, ...] = ()


class ActionRules(_Part):
    """The lines of an action's life. `start` and `end` are the bounds of the call, `verified` ends its rollout.

    `target` is "<namespace>/<deployment>", `status` how the call ended: success, failed, skipped, blocked or dry_run.
    A line of `failed` or `blocked` means the action that is under way, or the last one.
    """

    start: Annotated[tuple[LogRule, ...], _groups("kind", "target")] = ()
    end: Annotated[tuple[LogRule, ...], _groups("kind", "target", "status")] = ()
    verified: Annotated[tuple[LogRule, ...], _groups("kind", "target")] = ()
    failed: tuple[LogRule, ...] = ()
    blocked: tuple[LogRule, ...] = ()


class DiagnosisRule(LogRule):
    """A line with the diagnosis; every match of `causes` in it is a cause, the most likely first."""

    causes: Pattern

    @model_validator(mode="after")
    def _cause_group(self) -> DiagnosisRule:
        if "cause" not in re.compile(self.causes).groupindex:
            raise ValueError("`causes` has no group cause: put (?P<cause>...) around the name of the cause")
        return self


class BlockRules(_Part):
    """Lines that say why no action followed."""

    guardrail: tuple[LogRule, ...] = ()
    cooldown: tuple[LogRule, ...] = ()
    denied: tuple[LogRule, ...] = ()


class HealerFile(_Part):
    version: Literal[1] = Field(examples=[1])
    name: str
    poll_s: Seconds = Field(alias="poll", examples=["500ms"])  # its own period: the random wait is one of these
    warm_up_s: Seconds = Field(alias="warm_up", examples=["4s"])  # under load, the same in all arms
    workload: HttpRequest
    settings: dict[str, Setting]  # what a model or policy level may set
    steady: str  # PromQL: at least 1 while the service is up and watched; an experiment's steady state
    metrics: tuple[str, ...]  # series that are stored with every trial
    moments: MomentRules = MomentRules()
    actions: ActionRules = ActionRules()
    diagnosis: DiagnosisRule | None = None
    blocks: BlockRules = BlockRules()
    causes: dict[str, tuple[str, ...]] = {}  # fault family -> right answers of the diagnosis

    @field_validator("moments")
    @classmethod
    def _stored(cls, moments: MomentRules, info: ValidationInfo) -> MomentRules:
        for moment, rules in moments:
            for rule in rules:
                if rule.increase is not None and rule.increase not in info.data.get("metrics", (rule.increase,)):
                    raise ValueError(f"`{moment}` uses {rule.increase}, which is not stored: add it to `metrics`")
        return moments


def load(name_or_path: str) -> HealerFile:
    """A shipped healer by its bare name, or a healer file by its path. Raises FileProblems."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path):
        folder = shipped("healers")
        names = sorted(path.stem for path in folder.glob("*.yaml"))
        if name_or_path not in names:
            what = f"no healer named {name_or_path} is shipped"
            raise FileProblems([Problem(name_or_path, 0, 0, what, did_you_mean(name_or_path, names))])
        return yamlfile.load(folder / f"{name_or_path}.yaml", HealerFile)
    return yamlfile.load(Path(name_or_path), HealerFile)


def restore(dump: Mapping[str, Any]) -> HealerFile:
    """The healer file of a campaign, from `model_dump()`. Raises pydantic.ValidationError if it is not one."""
    return HealerFile.model_validate(dump, context=_FROM_DUMP)
