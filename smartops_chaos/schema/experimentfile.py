"""What of Chaos Toolkit's format a fault file may hold. Every key is carried over into a trial's experiment or refused.

Chaos Toolkit itself ignores a key that it does not know. Here that would be a part of somebody's file which is silently
left out: a cluster's context in `secrets`, or an activity that never runs.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

_EMPTY: tuple[object, ...] = (None, False, [], {})


def _refused(why: str) -> BeforeValidator:
    """Of a key that is known and may only be empty; `why` says what to do instead."""

    def refuse(value: object) -> object:
        if value in _EMPTY:
            return None
        raise ValueError(why)

    return BeforeValidator(refuse)


def _always(runtime: object) -> object:
    """Rollbacks always run here, so a file may say so, and nothing else."""
    if runtime in (*_EMPTY, {"rollbacks": {"strategy": "always"}}):
        return runtime
    raise ValueError("rollbacks always run, and the gate takes the hypothesis' place: remove it")


def _regular(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error}): mend it or escape the special character") from None
    return pattern


def _json_path(path: str) -> str:
    try:
        from jsonpath2.path import Path as JsonPath  # here: it takes longer to load than a plan
    except ImportError:
        raise ValueError("needs a library that is missing: `pip install 'chaostoolkit-lib[jsonpath]'`") from None
    try:
        JsonPath.parse_str(path.strip())
    except ValueError:
        raise ValueError(f"{path} is not a JSON path: write for example $.status.ready") from None
    return path


def _bounds(bounds: list[float]) -> list[float]:
    if len(bounds) != 2 or bounds[0] > bounds[1]:
        raise ValueError("a range has its lowest and its highest value: write for example [0, 1.5]")
    return bounds


def _plain(value: object) -> object:
    if not isinstance(value, bool | int | str | list):
        raise ValueError("Chaos Toolkit compares nothing with this: for a number write {type: range, range: [0, 1.5]}")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Python(_Part):
    type: Literal["python"]
    module: str = Field(examples=["chaosk8s.pod.actions"])
    func: str = Field(examples=["terminate_pods"])
    arguments: dict[str, Any] = {}
    secrets: list[str] = []


class _Process(_Part):
    type: Literal["process"]
    path: str = Field(examples=["sh"])
    arguments: dict[str, Any] | list[Any] | str = []
    timeout: float | str | None = None
    secrets: list[str] = []


class _Http(_Part):
    type: Literal["http"]
    url: str = Field(examples=["http://127.0.0.1:8474/proxies"])
    method: str = "GET"
    headers: dict[str, Any] | None = None
    timeout: float | list[float] | str | None = None
    arguments: Any = None
    verify_tls: bool | str = True
    max_retries: int = 0
    secrets: list[str] = []


_Provider = Annotated[_Python | _Process | _Http, Discriminator("type")]


class _Regex(_Part):
    type: Literal["regex"]
    pattern: Annotated[str, AfterValidator(_regular)] = Field(examples=["'^ok'"])
    target: str | None = None


class _JsonPath(_Part):
    type: Literal["jsonpath"]
    path: Annotated[str, AfterValidator(_json_path)] = Field(examples=["$.status.ready"])
    count: int | None = None
    expect: Any = None
    target: str | None = None


class _Range(_Part):
    type: Literal["range"]
    range: Annotated[list[float], AfterValidator(_bounds)] = Field(examples=["[0, 1.5]"])
    target: str | None = None


class _Probe(_Part):
    """A function that is given the answer as its argument `value`."""

    type: Literal["probe"]
    name: str = ""
    provider: _Provider = Field(examples=["{type: python, module: m, func: f}"])


def type(tolerance: object) -> str:  # its name is the key in messages
    return str(tolerance.get("type", "")) if isinstance(tolerance, dict) else "value"


_Tolerance = Annotated[
    Annotated[Annotated[Any, BeforeValidator(_plain)], Tag("value")]
    | Annotated[_Regex, Tag("regex")]
    | Annotated[_JsonPath, Tag("jsonpath")]
    | Annotated[_Range, Tag("range")]
    | Annotated[_Probe, Tag("probe")],
    Discriminator(type),
]


class Pauses(_Part):
    before: float | str = 0
    after: float | str = 0


class Activity(_Part):
    name: str = Field(examples=["inject"])
    type: Literal["action", "probe"] = Field(examples=["action"])
    provider: _Provider = Field(examples=["{type: python, module: m, func: f}"])
    tolerance: _Tolerance = True
    pauses: Pauses = Pauses()
    controls: list[dict[str, Any]] = []  # around this activity alone
    background: Annotated[
        Any,
        _refused(
            "nobody would know when the fault was injected: let the activity return at once, and end it in `rollbacks`"
        ),
    ] = None
    dry: Annotated[Any, _refused("the activity would not run: remove it")] = None
    timeout: Annotated[Any, _refused("Chaos Toolkit reads it under `provider` only: write it there")] = None


class _Named(BaseModel):
    """Of an extension: other tools' ones may hold anything."""

    name: str = ""


class ExperimentFile(_Part):
    version: str = ""
    title: str = Field(examples=["CPU stress"])
    description: str = ""
    tags: list[str] = []
    contributions: dict[str, str] = {}
    configuration: dict[str, Any] = {}
    secrets: dict[str, dict[str, Any]] = {}
    method: list[Activity] = Field(examples=["[...]"])
    rollbacks: list[Activity] = Field(examples=["[...]"], min_length=1)
    extensions: list[_Named] = Field(examples=["[{name: smartops-chaos, family: cpu, lasting: true}]"])
    controls: Annotated[
        Any,
        _refused(
            "they would run around our own activities too: write them as `controls` of the activities that they are for"
        ),
    ] = None
    hypothesis: Annotated[
        Any,
        _refused(
            "what healthy means is said by `slo` in the matrix and `steady` in the healer file: "
            "make its probes activities named `confirm`, or remove it"
        ),
    ] = Field(None, alias="steady-state-hypothesis")
    runtime: Annotated[Any, BeforeValidator(_always)] = None
    dry: Annotated[Any, _refused("nothing would be injected: remove it")] = None
