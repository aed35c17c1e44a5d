"""JSON files of ours: written whole or not at all, checked for their version when read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gzip
import io
import json
import os
import stat
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from smartops_chaos.errors import UsageError
from smartops_chaos.model import SCHEMA_VERSION

# Far above what the largest campaigns write: a plan of 100,000 trials has 60 MB, an hour of requests 20 MB unpacked.
LARGEST = 256 * 2**20
LARGEST_UNPACKED = 512 * 2**20
_NOT_OURS = "smartops-chaos writes no such file: somebody else has put it there"
OTHER_VERSION = "use the smartops-chaos that wrote it"


@cache
def adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def write_atomically(path: Path, content: bytes) -> None:
    """All or nothing, and the content on disk when this returns; its name too after `sync_folder`.

    Raises OSError, with the path also where the disk is full.
    """
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


def sync_folder(folder: Path) -> None:
    """The names in it are on disk too when this returns: else a power cut takes a new file back whole."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def to_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, default=str) + "\n").encode()


def content(path: Path, largest: int = LARGEST) -> bytes:
    """What is in a file of a campaign, which others may have made. Raises FileNotFoundError, OSError, and UsageError
    for what is no file of its own (a link, a pipe, a device) or larger than any that this program writes."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise UsageError(f"{path} is a link or no file: it is not read", _NOT_OURS) from None
        raise
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{path} is no file: it is not read", _NOT_OURS)
        if found.st_size > largest:
            raise UsageError(f"{path} has {found.st_size} bytes: it is not read", _NOT_OURS)
        return file.read(largest)


def unpacked(path: Path, largest: int = LARGEST_UNPACKED) -> bytes:
    """The same of a file that is packed by gzip. Raises also ValueError, EOFError and zlib.error for a damaged one."""
    with gzip.GzipFile(fileobj=io.BytesIO(content(path))) as file:
        found = file.read(largest + 1)
    if len(found) > largest:
        raise UsageError(f"{path} holds more than {largest} bytes: it is not read", _NOT_OURS)
    return found


def lockable(path: Path) -> IO[str]:
    """A lock file, made if it is not there. Raises OSError for a link: what it leads to is not ours to write."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    return os.fdopen(number, "a+", encoding="ascii", errors="replace")


def checked(path: Path, text: bytes, hint: str) -> dict[str, Any]:
    """The JSON object in a file of ours. Raises UsageError when it is damaged or of another version."""
    try:
        data = from_json(text)
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
    found = content(path)
    checked(path, found, hint)
    try:
        return adapter(kind).validate_json(found)
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
