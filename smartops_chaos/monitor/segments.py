"""Raw evidence as a row of files, the oldest of which are removed: `<kind>-<nanoseconds of its beginning>.<ending>`.

A writer begins a new file when the last one is full; a reader goes from file to file. Whoever was killed leaves a torn
last line, which nobody reads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO

_FULL = 1_000_000  # bytes of a file


def files(folder: Path, kind: str) -> list[Path]:
    """In order of time."""
    return sorted(folder.glob(f"{kind}-*"), key=begun_ns)


def begun_ns(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


class SegmentWriter:
    """Takes lines, and forgets nothing that it was given."""

    def __init__(self, folder: Path, kind: str, ending: str) -> None:
        self._folder, self._kind, self._ending = folder, kind, ending
        self._out = self._begin(0)
        self._written = 0

    def write(self, text: str) -> None:
        """One whole line or more, on its way to the disk when this returns."""
        if self._written > _FULL:
            self._out.close()
            self._out = self._begin(begun_ns(Path(self._out.name)) + 1)
            self._written = 0
        self._out.write(text)
        self._written += len(text)

    def _begin(self, at_ns: int) -> IO[str]:
        at_ns = max(at_ns, time.time_ns())
        return (self._folder / f"{self._kind}-{at_ns}.{self._ending}").open("a", encoding="utf-8", buffering=1)


class SegmentReader:
    """Reads all files of a kind, also those to come, but for those that were full before `since_ns`."""

    def __init__(self, folder: Path, kind: str, since_ns: int = 0) -> None:
        self._folder, self._kind = folder, kind
        there = files(folder, kind)
        self._next_ns = max((begun_ns(one) for one in there if begun_ns(one) <= since_ns), default=0)
        self._stream: IO[str] | None = None
        self._rest = ""

    def read(self) -> Iterator[str]:
        """The lines that have been completed since the last call, without their ends."""
        while True:
            later = [one for one in files(self._folder, self._kind) if begun_ns(one) >= self._next_ns]
            if self._stream is not None:
                yield from self._lines()
            if not later:
                return
            if self._stream is not None:
                self._stream.close()
            self._stream, self._rest = later[0].open(encoding="utf-8", errors="replace"), ""
            self._next_ns = begun_ns(later[0]) + 1
            yield from self._lines()

    def _lines(self) -> list[str]:
        assert self._stream is not None
        *lines, self._rest = (self._rest + self._stream.read()).split("\n")
        return lines


def prune(folder: Path, kind: str, before_ns: int, most_bytes: int) -> None:
    """Remove the oldest files beyond so many bytes in all; what may hold something since `before_ns` stays."""
    there = files(folder, kind)
    sizes = {one: one.stat().st_size for one in there}
    total = sum(sizes.values())
    for one, following in pairwise(there):
        if total <= most_bytes or begun_ns(following) > before_ns:
            return
        total -= sizes[one]
        one.unlink(missing_ok=True)
