"""JSON files of ours: written whole or not at all, checked for their version when read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from smartops_chaos.errors import UsageError
from smartops_chaos.model import SCHEMA_VERSION

OTHER_VERSION = "use the smartops-chaos that wrote it"


@cache
def adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def write_atomically(path: Path, content: bytes) -> None:
    """All or nothing, and on disk when this returns. Raises OSError, with the path also where the disk is full."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()


def checked(path: Path, content: bytes, hint: str) -> dict[str, Any]:
    """The JSON object in a file of ours. Raises UsageError when it is damaged or of another version."""
    try:
        data = from_json(content)
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}", hint) from None
    if not isinstance(data, dict):
        raise UsageError(f"{path} cannot be read: it is no JSON object", hint)
    version = data.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        newer = not isinstance(version, int) or version > SCHEMA_VERSION
        what = f"{path} has schema_version {version}, this program reads {SCHEMA_VERSION}"
        raise UsageError(what, OTHER_VERSION if newer else hint)
    return data


def read(path: Path, kind: type, hint: str) -> Any:
    """A file of ours as a `kind`. Raises FileNotFoundError, and UsageError as `checked`."""
    content = path.read_bytes()
    checked(path, content, hint)
    try:
        return adapter(kind).validate_json(content)
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"]))
        raise UsageError(f"{path} cannot be read: {where}: {what['msg']}", hint) from None


def try_lock(file: IO[str]) -> bool:
    """The lock goes with its process, however that ends, so a dead owner holds nothing."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
