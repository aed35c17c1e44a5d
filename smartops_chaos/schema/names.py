"""Names of Kubernetes objects, the same type wherever one is read: in a matrix, a fault, a healer file, a command.

A name becomes a part of the address of a request. One that is no DNS name could lead that request to another object or
namespace, so it is refused where it is read, and once more where the address is made (`kubernetes.cluster.path`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"  # RFC 1123
_IS_LABEL = re.compile(_LABEL)
_IS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST = 253
_SHOWN = 70  # characters of a wrong name in a message
# What a controller may be called, as kubectl has it: `statefulset/database`. A bare name is a Deployment's.
DEPLOYMENT = "deployment"
CONTROLLER_KINDS = (DEPLOYMENT, "statefulset", "daemonset", "replicaset", "rollout")


def is_label(text: str) -> bool:
    """Whether it may name a namespace, a Service or a container."""
    return _IS_LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether it may name any other object."""
    return len(text) <= _LONGEST and _IS_SUBDOMAIN.fullmatch(text) is not None


def split_controller(text: str) -> tuple[str, str]:
    """Kind and name of `statefulset/database`, or of a bare Deployment's name. Raises ValueError."""
    kind, slash, name = text.rpartition("/")
    if slash and kind not in CONTROLLER_KINDS:
        raise ValueError(f"`{text[:_SHOWN]}` is no controller: write kind/name, the kind {_listed(CONTROLLER_KINDS)}")
    if not is_subdomain(name):
        raise ValueError(f"`{text[:_SHOWN]}` is no name of an object: use small letters, digits, - and the dot")
    return kind or DEPLOYMENT, name


def controller(text: str) -> str:
    """The one way to write a controller, of any that mean it: a Deployment's by its name alone. Raises ValueError."""
    kind, name = split_controller(text)
    return name if kind == DEPLOYMENT else f"{kind}/{name}"


def container(text: str) -> str:
    """Raises ValueError for what cannot be a container's name."""
    return _label(text, "a container")


def _namespace(text: str) -> str:
    return _label(text, "a namespace")


def _service(text: str) -> str:
    return _label(text, "a Service")


def _label(text: str, of: str) -> str:
    if not is_label(text):
        raise ValueError(f"`{text[:_SHOWN]}` is no name of {of}: use small letters, digits and -")
    return text


def _object(text: str) -> str:
    if not is_subdomain(text):
        raise ValueError(f"`{text[:_SHOWN]}` is no name of an object: use small letters, digits, - and the dot")
    return text


def _server_path(text: str) -> str:
    """A path on the server itself: with steps up it would lead to somewhere else behind the same proxy."""
    steps = unquote(text.partition("?")[0]).replace("\\", "/").split("/")
    if not text.startswith("/") or any(step in (".", "..") for step in steps):
        raise ValueError(f"`{text[:_SHOWN]}` is no path of the service: write it from its / on, without . and .. in it")
    return text


def _port(value: int | str) -> int | str:
    if isinstance(value, bool) or not (1 <= value <= 65535 if isinstance(value, int) else is_label(value)):
        raise ValueError(f"{value} is no port: write a number from 1 to 65535, or the port's name")
    return value


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _or_empty(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(lambda text: check(text) if text else "")


Namespace = Annotated[str, AfterValidator(_namespace)]
ObjectName = Annotated[str, AfterValidator(_object)]
ControllerName = Annotated[str, AfterValidator(controller)]
ServerPath = Annotated[str, AfterValidator(_server_path)]
Port = Annotated[int | str, AfterValidator(_port)]
# The same where the empty text says that there is none.
AnyNamespace = Annotated[str, _or_empty(_namespace)]
AnyServiceName = Annotated[str, _or_empty(_service)]
AnyContainerName = Annotated[str, _or_empty(container)]
AnyObjectName = Annotated[str, _or_empty(_object)]
AnyControllerName = Annotated[str, _or_empty(controller)]
