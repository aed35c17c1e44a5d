"""The healer file: how to find, read and set a self-healing system, as data.

    healer = load("lab")                 # shipped: healers/lab.yaml
    healer = load("ours/healer.yaml")    # a user's own
    healer = restore(plan.healer)        # from what `healer.model_dump()` gave

Patterns are Python regular expressions that are searched anywhere in a line; their named groups carry what was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from smartops_chaos.errors import FileProblems, Problem, UsageError
from smartops_chaos.resources import shipped
from smartops_chaos.schema import yamlfile
from smartops_chaos.schema.fieldpath import field_text
from smartops_chaos.schema.healer_kubernetes import FROM_DUMP, HealerPart, KubernetesBlock, Seconds
from smartops_chaos.schema.names import ServerPath
from smartops_chaos.schema.yamlfile import did_you_mean

OF_KUBERNETES = "kubernetes/"  # components that are none: events of a namespace, and fields of objects
# Labels by which collectors name a line's writer. Of a pod's name its controller's is taken.
WRITERS = (
    *("app", "app_kubernetes_io_name", "container", "service_name"),
    *("k8s_deployment_name", "k8s_container_name", "kubernetes_container_name"),
    *("pod", "k8s_pod_name", "kubernetes_pod_name"),
)
_JSON = json.JSONDecoder()
_compiled = lru_cache(maxsize=1024)(re.compile)  # `re.search` looks its pattern up more slowly than it searches


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error}): mend it or escape the special character") from None
    return text


def _has_time(text: str) -> str:
    if "time" not in re.compile(text).groupindex:
        raise ValueError("the pattern has no group time: put (?P<time>...) around the time")
    return text


def _setting(value: object) -> object:
    """A number is the text that a level's number becomes, so that `[0.6, 0.9]` needs no quotes."""
    if value == "text":
        return value
    if isinstance(value, list) and value and all(isinstance(word, str | int | float) for word in value):
        return [str(word).lower() if isinstance(word, bool) else str(word) for word in value]
    raise ValueError("neither a list of the values allowed, such as [on, off] or [0.6, 0.9], nor `text` for any value")


def _json_in(text: str) -> Any:
    """The JSON object that a line holds, also behind a prefix; None if there is none."""
    try:
        return _JSON.raw_decode(text, text.index("{"))[0]
    except (ValueError, RecursionError):
        return None


def _has_trace(text: str) -> str:
    if "trace" not in re.compile(text).groupindex:
        raise ValueError("the pattern has no group trace: put (?P<trace>...) around the ID")
    return text


def _groups(*needed: str) -> AfterValidator:
    def check(rules: tuple[LogRule, ...]) -> tuple[LogRule, ...]:
        for rule in rules:
            missing = [name for name in needed if name not in rule.groups()]
            if missing:
                raise ValueError(
                    f"the pattern has no group {missing[0]}: put (?P<{missing[0]}>...) around that part, or say it: "
                    f"means: {{{missing[0]}: ...}}"
                )
        return rules

    return AfterValidator(check)


Setting = Annotated[Literal["text"] | list[str], BeforeValidator(_setting)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class LogRule(HealerPart):
    """Lines in which `log` is found and, of lines that hold JSON, each field of `json`; `component` limits it to one
    writer."""

    added: ClassVar[frozenset[str]] = frozenset({"fields", "means"})

    log: Pattern | None = Field(
        default=None, description="Searched anywhere in a line.", examples=["'POST /v1/signals/anomaly'"]
    )
    fields: dict[str, Pattern] = Field(
        default={},
        alias="json",
        description="Of lines with a JSON object: path of a field -> pattern, searched in its value. Anchor it: "
        "`restart` is also found in `restart_failed`.",
        examples=["{event: '^restart_started$', pod: '(?P<target>.+)'}"],
    )
    means: dict[str, str] = Field(
        default={},
        description="Groups that no line names.",
        examples=["{kind: restart, target: my-service, status: success}"],
    )
    component: str | None = Field(default=None, description="Only lines of this Deployment; any unless said.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.log is None and not self.fields:
            raise ValueError("a rule has a pattern: write `log: '...'`, or `json: {field: '...'}` for lines of JSON")
        return self

    def concerns(self, component: str) -> bool:
        """Whether it is about lines of a component. Lines of Kubernetes itself are meant only where that is said."""
        return self.component == component or (self.component is None and not component.startswith(OF_KUBERNETES))

    @property
    def reads_lines(self) -> bool:
        return self.log is not None or bool(self.fields)

    def groups(self) -> frozenset[str]:
        """The names of the groups that a match can have."""
        patterns = [one for one in (self.log, *self.fields.values()) if one is not None]
        return frozenset(name for one in patterns for name in re.compile(one).groupindex) | self.means.keys()

    def match(self, text: str) -> dict[str, str] | None:
        """What the groups have read in a line; None if the line is not meant."""
        whole = None if self.log is None else _compiled(self.log).search(text)
        if self.log is not None and whole is None:
            return None  # as most lines: asked before anything else
        found: dict[str, str | None] = {**self.means, **(whole.groupdict() if whole else {})}
        if self.fields:
            told = _json_in(text)
            for field, pattern in self.fields.items():
                value = field_text(told, field)
                part = None if value is None else _compiled(pattern).search(value)
                if part is None:
                    return None
                found |= part.groupdict()
        return {name: value for name, value in found.items() if value is not None}


class Rule(LogRule):
    """A pattern of lines, the increase of a counter, or the firing of an alert whose labels include `labels`."""

    increase: str | None = Field(
        default=None,
        description="Instead of a pattern: the name of a counter that stands in `metrics`, its labels under `labels`.",
    )
    alert: str | None = Field(default=None, description="That fires, instead of a pattern.", examples=["HighErrorRate"])
    labels: dict[str, str] = Field(default={}, description="That the counter or the alert has.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum((self.reads_lines, self.increase is not None, self.alert is not None)) != 1:
            raise ValueError("a rule has one of `log`, `increase` and `alert`: write one of them")
        if not self.reads_lines and self.component is not None:
            raise ValueError("`component` belongs to `log`: use `labels` with `increase` and `alert`")
        if self.reads_lines and self.labels:
            raise ValueError("`labels` belongs to `increase` and `alert`: use `component` with `log`")
        return self


class LineTime(HealerPart):
    """The time that a line itself names, in the group `time`: better than the stamp of whoever shipped it.

    `form` is iso (a date and time, UTC where it names no zone), s, ms, us or ns (since the epoch), or a pattern of
    Python's strptime.
    """

    pattern: Annotated[Pattern, AfterValidator(_has_time)] = Field(
        description="With the group `time`.", examples=['\'"ts_utc": "(?P<time>[^"]+)"\'']
    )
    form: str = Field(default="iso", description="iso, s, ms, us, ns, or a pattern of Python's strptime.")


class LokiLogs(HealerPart):
    """What Loki is asked where the target has one. `${namespace}` in `query` is the lane's.

    Its lines count for components of which the target itself has none.
    """

    query: str = Field(
        description="LogQL; `${namespace}` is the lane's.",
        examples=['\'{namespace="${namespace}", container=~"agent.*"}\''],
    )
    component: tuple[str, ...] = Field(
        default=WRITERS, description="Labels that name the writer; the first that a line has."
    )
    time: LineTime | None = Field(default=None, description="The time that a line itself names.")


class HttpRequest(HealerPart):
    """The request of the workload, relative to the target's address."""

    method: str = Field(default="GET", description="Of HTTP.")
    path: ServerPath = Field(description="Below the target's address.", examples=["/simulate/load"])
    body: dict[str, Any] | None = Field(default=None, alias="json", description="The body, sent as JSON.")
    timeout_s: Seconds = Field(
        alias="timeout", description="A request without an answer by then has failed.", examples=["2s"]
    )


class MomentRules(HealerPart):
    """Every rule of a moment that matches contributes an interval; `acted` and `verified` also come from actions."""

    detected: tuple[Rule, ...] = Field(default=(), description="The healer has seen that something is wrong.")
    diagnosed: tuple[Rule, ...] = Field(default=(), description="It has named a cause.")
    decided: tuple[Rule, ...] = Field(default=(), description="Its policy has chosen what to do.")
    acted: tuple[Rule, ...] = Field(default=(), description="It has done something to an object.")
    verified: tuple[Rule, ...] = Field(default=(), description="It has seen that this is in effect.")


class ActionRules(HealerPart):
    """The lines of an action's life. `start` and `end` are the bounds of the call, `verified` ends its rollout.

    `target` names the Deployment, with its namespace before it or without: `my-service` and `shop/my-service` are the
    same. `status` is how the call ended: success, failed, skipped, blocked or dry_run. A line of `failed` or `blocked`
    means the action that is under way, or the last one.
    """

    start: Annotated[tuple[LogRule, ...], _groups("kind", "target")] = Field(
        default=(), description="The call begins; groups `kind` and `target`."
    )
    end: Annotated[tuple[LogRule, ...], _groups("kind", "target", "status")] = Field(
        default=(), description="The call ends; also the group `status`."
    )
    verified: Annotated[tuple[LogRule, ...], _groups("kind", "target")] = Field(
        default=(), description="Its rollout is done; groups `kind` and `target`."
    )
    failed: tuple[LogRule, ...] = Field(default=(), description="It failed.")
    blocked: tuple[LogRule, ...] = Field(default=(), description="A guardrail did not let it happen.")


class DiagnosisRule(LogRule):
    """A line with the diagnosis; every match of `causes` in it is a cause, the most likely first."""

    causes: Pattern = Field(
        description="With the group `cause`. It is searched in the raw line, whatever found the line: in one of JSON, "
        "too, as it was written. Every match is a cause, the most likely first.",
        examples=["""'"cause":\\s*"(?P<cause>[^"]+)"'"""],
    )

    @model_validator(mode="after")
    def _cause_group(self) -> DiagnosisRule:
        if "cause" not in re.compile(self.causes).groupindex:
            raise ValueError("`causes` has no group cause: put (?P<cause>...) around the name of the cause")
        return self

    def causes_in(self, line: str) -> tuple[str, ...]:
        """Each cause once, in the order of the line."""
        return tuple(dict.fromkeys(found["cause"] for found in _compiled(self.causes).finditer(line)))


class BlockRules(HealerPart):
    """Lines that say why no action followed."""

    guardrail: tuple[LogRule, ...] = Field(default=(), description="A limit of the healer's own forbade it.")
    cooldown: tuple[LogRule, ...] = Field(default=(), description="It had acted not long ago.")
    denied: tuple[LogRule, ...] = Field(default=(), description="The policy said no.")


class HealerFile(HealerPart):
    added: ClassVar[frozenset[str]] = frozenset({"trace"})

    version: Literal[1] = Field(description="Of this format.", examples=[1])
    name: str = Field(description="What reports call it.")
    poll_s: Seconds = Field(
        alias="poll", description="Its own period: a trial begins at a random point of it.", examples=["500ms"]
    )
    warm_up_s: Seconds = Field(
        alias="warm_up",
        description="How long it must see a healthy service under load before a fault; the same in all arms.",
        examples=["4s"],
    )
    warm_up_for: dict[str, dict[str, Seconds]] = Field(
        default={},
        description="Setting -> value -> the longer warm-up that it needs; all arms of a matrix wait for the longest.",
    )
    workload: HttpRequest = Field(description="The request that is sent.")
    settings: dict[str, Setting] = Field(
        description="What a model or policy level may set: a list of the values, such as [on, off] or [0.6, 0.9], or "
        "`text` for any value. The setting `file` is what a policy level's `file:` gives: its value is the file's text."
    )
    steady: str = Field(
        default="",
        description="PromQL: at least 1 while the service is up and watched; an experiment's steady state. "
        "`${namespace}` is the lane's.",
    )
    metrics: tuple[str, ...] = Field(
        default=(),
        description="Series that are stored with every trial: bare names, without labels. A series whose label "
        "`namespace` names neither the lane's namespace nor one of `elsewhere` is left out.",
    )
    moments: MomentRules = Field(
        default=MomentRules(), description="Which lines, counters and alerts tell of which moment."
    )
    actions: ActionRules = Field(default=ActionRules(), description="Which lines tell of an action's life.")
    diagnosis: DiagnosisRule | None = Field(default=None, description="Which line tells the diagnosis.")
    blocks: BlockRules = Field(default=BlockRules(), description="Which lines say why nothing was done.")
    trace: Annotated[Pattern, AfterValidator(_has_trace)] | None = Field(
        default=None,
        description="Where a line names its trace, in the group `trace`: moments keep it.",
        examples=["'trace_id=(?P<trace>[0-9a-f]{32})'"],
    )
    loki: LokiLogs | None = Field(default=None, description="Lines from Loki, beside those of the target.")
    causes: dict[str, tuple[str, ...]] = Field(
        default={}, description="Fault family -> right answers of the diagnosis."
    )
    kubernetes: KubernetesBlock | None = Field(
        default=None, description="Where and how on a cluster; without it the file is for the lab."
    )

    @property
    def alerts(self) -> tuple[str, ...]:
        """The alerts that rules name."""
        named = (rule.alert for _, rules in self.moments for rule in rules if rule.alert is not None)
        return tuple(dict.fromkeys(named))

    @property
    def components(self) -> frozenset[str]:
        """Whose lines can be read; empty if a rule is for lines of any writer and only the target knows them all."""
        if self.kubernetes is not None and self.loki is None:
            return frozenset(self.kubernetes.read_from)
        named = {rule.component for rule in _log_rules(dict(self))}
        return frozenset() if None in named else frozenset(name for name in named if name)

    @field_validator("moments")
    @classmethod
    def _stored(cls, moments: MomentRules, info: ValidationInfo) -> MomentRules:
        for moment, rules in moments:
            for rule in rules:
                metrics = info.data.get("metrics", (rule.increase,))
                if rule.increase is not None and rule.increase not in metrics:
                    labelled = next((one for one in metrics if one.startswith(f"{rule.increase}{{")), None)
                    hint = f"write it bare there, not `{labelled}`" if labelled else "add it to `metrics`"
                    raise ValueError(f"`{moment}` uses {rule.increase}, which is not stored: {hint}")
        return moments

    @field_validator("kubernetes")
    @classmethod
    def _read_there(cls, block: KubernetesBlock | None, info: ValidationInfo) -> KubernetesBlock | None:
        """A rule for a component that nothing reads would match nothing, and nobody would be told."""
        if block is None or info.context == FROM_DUMP or info.data.get("loki") or "blocks" not in info.data:
            return block
        known = block.read_from
        for one in sorted({rule.component for rule in _log_rules(info.data) if rule.component}):
            if one not in known and not one.startswith(OF_KUBERNETES):
                raise ValueError(
                    f"a rule is for the component {one}, but `components` has none: {did_you_mean(one, known)}"
                )
        return block


def _log_rules(parts: Mapping[str, Any]) -> Iterator[LogRule]:
    """Of the parts of a healer file, as far as they are right."""
    for name in ("moments", "actions", "blocks"):
        for _, rules in parts.get(name, ()):
            yield from rules
    if parts.get("diagnosis") is not None:
        yield parts["diagnosis"]


def load(name_or_path: str) -> HealerFile:
    """A shipped healer by its bare name, or a healer file by its path. Raises FileProblems."""
    path = Path(name_or_path)
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", name_or_path)
    by_name = bare and (name_or_path in shipped_names() or not path.exists())
    return yamlfile.load(shipped_file(name_or_path) if by_name else path, HealerFile)


def shipped_names() -> list[str]:
    return sorted(path.stem for path in shipped("healers").glob("*.yaml"))


def shipped_file(name: str) -> Path:
    """Of a shipped healer. Raises FileProblems."""
    if name not in shipped_names():
        what = f"no healer named {name} is shipped"
        raise FileProblems([Problem(name, 0, 0, what, did_you_mean(name, shipped_names()))])
    return shipped("healers", f"{name}.yaml")


@dataclass(frozen=True, slots=True)
class ShippedSetting:
    name: str
    takes: str  # as it is written: `[on, off]` or `text`
    means: str  # its comment


def shipped_settings(name: str) -> tuple[str, list[ShippedSetting]]:
    """What a shipped healer file says of itself, and each of its settings with the comment beside it."""
    text = shipped_file(name).read_text(encoding="utf-8")
    head, _, rest = text.partition("version:")
    block = rest.partition("\nsettings:")[2].partition("\n")[2]
    lines = re.findall(r"^(?:  (\w+): (\[.*?\]|text)(?: # (.*))?$|\w)", block, re.MULTILINE)
    own = takewhile(lambda found: found[0], lines)
    return head.replace("\n# ", " ").strip("# \n"), [ShippedSetting(*found) for found in own]


def restore(dump: Mapping[str, Any]) -> HealerFile:
    """The healer file of a campaign, from `model_dump()`. Raises UsageError if it is not one."""
    try:
        return HealerFile.model_validate(dump, context=FROM_DUMP)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UsageError(f"campaign.json: plan.healer is damaged: {what}", "take the campaign from a copy") from None
