"""What campaigns leave while they run and afterwards: phases in logs, holders of locks, processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import until


def ours(folder: Path) -> list[int]:
    """Processes beside this one that were started with a path below `folder`, or whose working directory it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(folder) in command or place.startswith(str(folder))):
            found.append(int(process.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    until(lambda: not ours(tmp_path), 60)


def phase(folder: Path, wanted: str) -> Callable[[], list[Path]]:
    """Trials whose log has reached a phase and that have no record."""
    return lambda: [
        log
        for log in folder.glob("results/*/trials/*/log.txt")
        if f"phase {wanted}" in log.read_text(encoding="utf-8") and not log.with_name("record.json").exists()
    ]


def holder(lock: Path) -> int:
    """The process that holds a lock, by the kernel's list."""
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[5].endswith(f":{inode}") and fields[1] == "FLOCK":
            return int(fields[4])
    raise AssertionError("nobody holds it")
