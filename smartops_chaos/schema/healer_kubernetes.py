"""The `kubernetes` block of a healer file: which objects the system is made of, how to set, reset and read them.

A setting lists changes of objects by its values; what no setting of an arm names stays as it was found:

    settings:
      healer:
        on: []
        off: [{deployment: my-healer, replicas: 0}]
      detector: [{deployment: my-healer, env: {DETECTOR: "{value}"}}]   # for every value; {value} is the value
      file: [{configmap: my-policies, data: {default.policy: "{value}"}}]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from smartops_chaos.schema.names import (
    AnyContainerName,
    AnyControllerName,
    AnyNamespace,
    AnyObjectName,
    AnyServiceName,
    ControllerName,
    Namespace,
    ObjectName,
    Port,
)
from smartops_chaos.schema.units import DURATION_SCHEMA, parse_duration

FROM_DUMP = "from_dump"


def _seconds(value: object, info: ValidationInfo) -> float:
    """A duration with its unit; from a dump also plain seconds."""
    if info.context == FROM_DUMP and isinstance(value, int | float):
        return float(value)
    return parse_duration(value)


Seconds = Annotated[float, BeforeValidator(_seconds), DURATION_SCHEMA]


class HealerPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    added: ClassVar[frozenset[str]] = frozenset()  # keys of later versions, which are not stored while at their default

    @model_serializer(mode="wrap")
    def _as_before(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A plan that uses none of the later keys has the digest that it had: its campaign can be resumed."""
        dumped: dict[str, Any] = whole(self)
        return {
            name: value
            for name, value in dumped.items()
            if name not in self.added or getattr(self, name) != type(self).model_fields[name].default
        }


class Address(HealerPart):
    """A URL, or a Service that is reached through the API server's proxy, so that a kubeconfig is enough."""

    url: str = Field(default="", description="Its address.", examples=["https://prometheus.example.com"])
    service: AnyServiceName = Field(default="", description="Instead of `url`.", examples=["prometheus"])
    namespace: AnyNamespace = Field(default="", description="Of the Service; the lane's own unless said.")
    port: Port = Field(default=80, description="Of the Service: number or name.", examples=[9090])

    @model_validator(mode="after")
    def _one(self) -> Address:
        if bool(self.url) == bool(self.service):
            raise ValueError("either `url` or `service`: write for example {service: prometheus, port: 9090}")
        if "@" in urlsplit(self.url).netloc or "?" in self.url or "#" in self.url:
            raise ValueError("an address has no user, password or query in it: see the keys beside `url`")
        return self


class Source(Address):
    """Where telemetry is. What a URL needs to be reached is said here; for secrets only where they are."""

    token_file: str = Field(default="", description="Of a bearer token; read again for every request.")
    token_env: str = Field(default="", description="Environment variable of a bearer token.")
    user: str = Field(default="", description="For basic authentication.")
    password_file: str = Field(default="", description="With `user`.")
    password_env: str = Field(default="", description="With `user`.")
    ca_file: str = Field(default="", description="Authority of the server's certificate, PEM.")
    client_cert: str = Field(default="", description="PEM.")
    client_key: str = Field(default="", description="PEM; in the same file as the certificate unless said.")
    verify: bool = Field(default=True, description="Whether the server's certificate is checked.")
    tenant: str = Field(default="", description="Of Loki or Tempo: one, or several as a|b.", examples=["team-a"])

    @model_validator(mode="after")
    def _reached(self) -> Source:
        token, password = (self.token_file, self.token_env), (self.password_file, self.password_env)
        if all(token) or all(password):
            raise ValueError("a secret is named by either its file or its variable: keep one")
        if any(token) and self.user:
            raise ValueError("a token and a user exclude each other: keep one")
        if bool(self.user) != any(password):
            raise ValueError("`user` needs `password_file` or `password_env`, and they need `user`: give both")
        if self.service and len(self.keys()) > bool(self.tenant):
            raise ValueError("a Service is reached with the kubeconfig's credentials: keys such as these go with `url`")
        return self

    def keys(self) -> dict[str, str]:
        """What is said beside the place, as text."""
        texts = self.model_dump(exclude={"url", "service", "namespace", "port", "verify"})
        return {name: value for name, value in texts.items() if value} | ({} if self.verify else {"verify": "no"})


class ObjectRef(HealerPart):
    """An object of any kind. `api` and `resource` are the columns APIVERSION and NAME of `kubectl api-resources`."""

    api: str = Field(
        description="Group and version.", pattern=r"^([a-z0-9.-]+/)?v[a-z0-9]+$", examples=["autoscaling/v2"]
    )
    resource: str = Field(
        description="The kind, in the plural.", pattern=r"^[a-z0-9]+$", examples=["horizontalpodautoscalers"]
    )
    name: ObjectName = Field(description="Of the object.", examples=["my-service"])
    namespace: AnyNamespace = Field(default="", description="Of the object; the lane's own unless said.")

    @property
    def group(self) -> str:
        return self.api.rpartition("/")[0]

    @property
    def kind(self) -> str:
        """What ledgers have: where the object is, without its name."""
        return f"{self.namespace}:{self.api}:{self.resource}"

    @staticmethod
    def collection(kind: str, lane: str) -> str:
        """The API's path of a kind in a lane."""
        namespace, api, resource = kind.split(":")
        return f"/{'apis' if '/' in api else 'api'}/{api}/namespaces/{namespace or lane}/{resource}"

    def path(self, lane: str) -> str:
        """Of the collection that it is in."""
        return self.collection(self.kind, lane)


class Change(HealerPart):
    """What to set on one object. In texts `{value}` stands for the setting's value."""

    added: ClassVar[frozenset[str]] = frozenset({"secret", "object", "patch"})

    deployment: AnyControllerName = Field(
        default="", description="A Deployment, or statefulset/NAME and the like.", examples=["agent-detect"]
    )
    configmap: AnyObjectName = Field(default="", description="A ConfigMap, with `data`.", examples=["policies"])
    secret: AnyObjectName = Field(default="", description="A Secret, with `data`.", examples=["playbooks"])
    object: ObjectRef | None = Field(
        default=None,
        description="An object of any kind, with `patch`.",
        examples=["{api: autoscaling/v2, resource: horizontalpodautoscalers, name: a}"],
    )
    patch: dict[str, Any] = Field(
        default={}, description="Merged into the object; null removes a key.", examples=["{spec: {minReplicas: 2}}"]
    )
    container: AnyContainerName = Field(default="", description="Of the Deployment; its first unless said.")
    env: dict[str, str] = Field(default={}, description="Environment variables.")
    image: str = Field(default="", description="Of the container.")
    args: tuple[str, ...] | None = Field(default=None, description="Of the container.")
    replicas: int | None = Field(default=None, description="Size of the Deployment.", ge=0)
    files: dict[str, str] = Field(default={}, description="Path in the container -> text over the image's.")
    data: dict[str, str] = Field(default={}, description="Of a ConfigMap or a Secret: file -> text.")

    @model_validator(mode="after")
    def _one_object(self) -> Change:
        named = [self.deployment, self.configmap, self.secret, self.object]
        if sum(map(bool, named)) != 1:
            raise ValueError("one of `deployment`, `configmap`, `secret` and `object`: write one of them")
        of_pods = self.env or self.image or self.args is not None or self.files
        of_deployment = of_pods or self.replicas is not None
        if not self.deployment and (of_deployment or self.container):
            raise ValueError("of a Deployment alone: env, image, args, files, replicas and container")
        if self.data and not (self.configmap or self.secret):
            raise ValueError("`data` belongs to a `configmap` or a `secret`")
        if self.patch and not (self.deployment or self.object):
            raise ValueError("`patch` belongs to a `deployment` or an `object`")
        if not (of_deployment or self.data or self.patch):
            raise ValueError("nothing is changed: add env, image, args, files, replicas, data or patch")
        return self

    @property
    def other(self) -> tuple[str, str] | None:
        """Kind and name of an object that is neither a controller nor a ConfigMap."""
        if self.secret:
            return ":v1:secrets", self.secret
        return (self.object.kind, self.object.name) if self.object else None

    def with_value(self, value: str) -> Change:
        """The change for one value of its setting."""

        def put(text: str) -> str:
            return text.replace("{value}", value)

        return self.model_copy(
            update={
                "env": {name: put(text) for name, text in self.env.items()},
                "files": {path: put(text) for path, text in self.files.items()},
                "data": {name: put(text) for name, text in self.data.items()},
                "patch": _with_value(self.patch, value),
                "image": put(self.image),
                "args": None if self.args is None else tuple(map(put, self.args)),
            }
        )


def _with_value(patch: Any, value: str) -> Any:
    """A text that is `{value}` alone becomes the number or the truth that the value says."""
    if isinstance(patch, dict):
        return {key: _with_value(one, value) for key, one in patch.items()}
    if isinstance(patch, list):
        return [_with_value(one, value) for one in patch]
    if patch == "{value}":
        words: dict[str, Any] = {"true": True, "false": False, "null": None}
        return words[value] if value in words else int(value) if re.fullmatch("-?[0-9]{1,15}", value) else value
    return patch.replace("{value}", value) if isinstance(patch, str) else patch


class Reset(HealerPart):
    """What is put back before every trial, the same in all arms; then all of it must be ready and its old pods gone."""

    replicas: dict[ControllerName, Annotated[int, Field(ge=0)]] = Field(
        default={}, description="Deployment -> its declared size."
    )
    remove: dict[ControllerName, tuple[str, ...]] = Field(
        default={}, description="Deployment -> annotations that an earlier trial may have left."
    )
    restart: tuple[ControllerName, ...] = Field(
        default=(), description="Deployments whose processes keep a state in memory."
    )


class Armed(HealerPart):
    """When the detector can detect: `after` so long a life of its pod, or as soon as a query gives 1 or more.

    Without a pod of `deployment` wanted (the healer is off) there is nothing to wait for.
    """

    deployment: ControllerName = Field(description="The detector's.", examples=["agent-detect"])
    after_s: Seconds = Field(default=0.0, alias="after", description="So long a life of its pod.", examples=["40s"])
    query: str = Field(
        default="",
        description="PromQL that gives 1 or more then; `${namespace}` is the lane's.",
        examples=['min(detector_armed{namespace="${namespace}"})'],
    )


class WatchedObject(ObjectRef):
    """An object whose fields tell something: each change of one is a line of the component `kubernetes/objects`."""

    fields: tuple[str, ...] = Field(
        description="Paths such as status.conditions[type=Ready].status.",
        min_length=1,
        examples=["[status.desiredReplicas]"],
    )


class KubernetesBlock(HealerPart):
    added: ClassVar[frozenset[str]] = frozenset({"elsewhere", "watch", "traces"})

    service: ControllerName = Field(description="The Deployment under attack.", examples=["my-service"])
    workload: Address = Field(description="Where requests go.")
    prometheus: Source | None = Field(default=None, description="Where metrics are.")
    loki: Source | None = Field(default=None, description="Where log lines are, beside those of the pods.")
    traces: Source | None = Field(
        default=None, description="Where spans are, by the ID that `trace` finds: Jaeger's query API, or Tempo's."
    )
    components: tuple[ControllerName, ...] = Field(
        description="Deployments whose logs the rules read; a rule's `component` is one of these names."
    )
    elsewhere: dict[Namespace, tuple[ControllerName, ...]] = Field(
        default={}, description="Namespace -> further components, read there."
    )
    watch: tuple[WatchedObject, ...] = Field(default=(), description="Objects whose fields tell something.")
    optional: tuple[ControllerName, ...] = Field(
        default=(), description="Of all named Deployments, those that need not be there."
    )
    settings: dict[str, tuple[Change, ...] | dict[str, tuple[Change, ...]]] = Field(
        default={},
        description="Setting -> value -> changes; without values they are for each, which is `{value}` in them.",
    )
    reset: Reset = Field(default=Reset(), description="What is put back before every trial.")
    armed: Armed | None = Field(default=None, description="When the detector can detect; at once unless said.")
    limit_s: Seconds = Field(
        default=180.0, alias="limit", description="How long a reset with its rollouts may take.", examples=["180s"]
    )

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, given: Any, info: ValidationInfo) -> Any:
        """Stored plans have a key that is no longer there."""
        if info.context == FROM_DUMP and isinstance(given, dict):
            return {name: value for name, value in given.items() if name != "alertmanager"}
        return given

    @classmethod
    def from_plan(cls, target: Mapping[str, Any]) -> KubernetesBlock:
        """The block as a plan's target has it, with the matrix's own values in it."""
        return cls.model_validate(target["system"], context=FROM_DUMP)

    @property
    def read_from(self) -> tuple[str, ...]:
        """The Deployments whose lines are read, here and in other namespaces."""
        return (*self.components, *(name for names in self.elsewhere.values() for name in names))

    def changes(self, settings: dict[str, Any]) -> tuple[Change, ...]:
        """The changes of an arm, in the order of the file."""
        found: list[Change] = []
        for name, by_value in self.settings.items():
            if name in settings:
                value = str(settings["policy" if name == "file" else name])  # of a file its text counts
                listed = by_value.get(value, ()) if isinstance(by_value, dict) else by_value
                found += [change.with_value(value) for change in listed]
        return tuple(found)

    def all_changes(self) -> tuple[Change, ...]:
        """Those of every value, as they stand in the file."""
        lists = [
            by_value.values() if isinstance(by_value, dict) else (by_value,) for by_value in self.settings.values()
        ]
        return tuple(change for changes in lists for one in changes for change in one)

    def others(self) -> tuple[tuple[str, str], ...]:
        """Kind and name of every object that settings change and that is neither a controller nor a ConfigMap."""
        return tuple(dict.fromkeys(change.other for change in self.all_changes() if change.other is not None))

    def controllers(self) -> tuple[str, ...]:
        """Every Deployment that is named, once, the attacked one first."""
        changed = [change.deployment for change in self.all_changes() if change.deployment]
        armed = [self.armed.deployment] if self.armed else []
        reset = [*self.reset.replicas, *self.reset.remove, *self.reset.restart]
        return tuple(dict.fromkeys([self.service, *self.components, *changed, *reset, *armed]))
