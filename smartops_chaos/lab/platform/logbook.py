"""The healer's output as the node received it, line by line, like a container runtime keeps it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

KEEP = 20_000
_LONGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    at_ns: int
    component: str
    text: str


class LogBook:
    """Bounded in memory; the file has it all, in the CRI format: time, stream, F for a full line, text."""

    def __init__(self, component: str, file: Path, now_ns: Callable[[], int]) -> None:
        self.component = component
        self.lines: deque[Line] = deque(maxlen=KEEP)
        self._file = file.open("a", encoding="utf-8", buffering=1)
        self._now_ns = now_ns
        self._followers: set[asyncio.Task[None]] = set()

    def follow(self, pipe: IO[bytes], stream: str) -> None:
        """Keep every line of `pipe` until its end."""
        task = asyncio.create_task(self._follow(pipe, stream))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    def since(self, since_ns: int) -> list[Line]:
        return [line for line in self.lines if line.at_ns >= since_ns]

    async def _follow(self, pipe: IO[bytes], stream: str) -> None:
        reader = asyncio.StreamReader(limit=_LONGEST_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        while raw := await reader.readline():
            self._add(stream, raw.decode("utf-8", errors="replace").rstrip("\n"))
        transport.close()

    def _add(self, stream: str, text: str) -> None:
        at_ns = self._now_ns()
        self.lines.append(Line(at_ns, self.component, text))
        second = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
        self._file.write(f"{second:%Y-%m-%dT%H:%M:%S}.{at_ns % 1_000_000_000:09}Z {stream} F {text}\n")
