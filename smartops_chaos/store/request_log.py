"""The requests of a trial as a file: one line each, in order of completion, `sched_ns,late_ns,latency_ns,status`.

The fields are those of `model.Request`. A request that was never sent has no line: the generator itself was late or
gone, which nobody may call healthy.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Protocol

from smartops_chaos.model import Request


class Sink(Protocol):
    """What takes the lines: a file, or several one after the other."""

    def write(self, text: str, /) -> object: ...


def line(request: Request) -> str:
    """One line of the file, with its end."""
    return f"{request.sched_ns},{request.late_ns},{request.latency_ns},{request.status}\n"


def parse(text: str) -> Request:
    """The request of a line. Raises ValueError."""
    sched, late, latency, status = text.split(",")
    return Request(int(sched), int(late), int(latency), int(status))


def read(file: Path) -> tuple[Request, ...]:
    """All requests of a file, sorted by schedule; a torn last line is left out."""
    text = file.read_text(encoding="ascii")
    whole, _, _ = text.rpartition("\n")
    return tuple(sorted(parse(one) for one in whole.split("\n") if one))


class RequestTail:
    """Reads the file while another process writes it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream: IO[str] | None = None
        self._rest = ""

    def read(self) -> list[Request]:
        """The requests completed since the last call, in order of completion."""
        if self._stream is None:
            if not self._file.exists():
                return []
            self._stream = self._file.open(encoding="ascii")
        lines = (self._rest + self._stream.read()).split("\n")
        self._rest = lines.pop()
        return [parse(one) for one in lines]
