"""The monitor's own load: the open loop of a trial in a process of its own, which never ends by itself.

What it writes is raw evidence (monitor.segments); the monitor reads it as everybody else would.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smartops_chaos.clock import Clock
from smartops_chaos.model import Request
from smartops_chaos.monitor.segments import SegmentReader, SegmentWriter
from smartops_chaos.store import request_log
from smartops_chaos.trial import workload

KIND = "requests"
FOR_EVER_S = 1e9
PROCESS = "smartops-chaos-probe"


def run(load: workload.Load, folder: Path, clock: Clock) -> None:
    workload.send(load, SegmentWriter(folder, KIND, "csv"), clock)


class RequestReader:
    """The requests of this and of earlier monitors of the folder, in order of completion."""

    def __init__(self, folder: Path, since_ns: int) -> None:
        self._lines = SegmentReader(folder, KIND, since_ns)

    def read(self) -> Iterator[Request]:
        for line in self._lines.read():
            try:
                yield request_log.parse(line)
            except ValueError:  # torn by a full disk or a power cut
                continue
