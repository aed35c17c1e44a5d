"""One process a folder: a lock that goes with its process, however that ends, and a file that says whose it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from smartops_chaos import processes
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.store.jsonfiles import lockable, try_lock

_FILE = ".lock"
_SIGNATURE = 100  # characters that are read of it


def owner(folder: Path) -> int:
    """The process on this machine that has the folder now; 0 if none does."""
    try:
        with (folder / _FILE).open(encoding="utf-8", errors="replace") as lock:
            return processes.running(lock.read(_SIGNATURE))
    except OSError:
        return 0


@contextlib.contextmanager
def locked(folder: Path, option: str, in_use: Callable[[str], PreflightFailed], inside: str = "") -> Iterator[None]:
    """Have the folder, which is made with the folder `inside` it; `option` of the command line names another one.

    Raises PreflightFailed where it cannot be written, and `in_use(process)` where another process has it.
    """
    try:
        (folder / inside).mkdir(parents=True, exist_ok=True)
        file = lockable(folder / _FILE)
    except OSError as error:
        hint = f"make it writable, or choose another folder with {option}"
        raise PreflightFailed(f"{folder} cannot be written: {error.strerror}", hint) from None
    with file as lock:
        if not try_lock(lock):
            lock.seek(0)
            raise in_use(lock.read(_SIGNATURE).partition(" ")[0] or "?")
        with contextlib.suppress(OSError):  # the number is only for people; a full disk shows elsewhere
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), processes.signature().encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # who had it may live on, and runs nothing any more
                os.ftruncate(lock.fileno(), 0)
