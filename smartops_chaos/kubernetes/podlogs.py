"""A container's log as the API server gives it: read on after a cut, every line once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    stamp_ns: int  # the container runtime's
    text: str


class Reader:
    """Where the reading of one container's log stands."""

    def __init__(self, since_ns: int) -> None:
        self._from_ns = since_ns
        self._recent: list[Line] = []  # stamps may repeat, and those of two output streams may swap
        self._again: list[Line] = []
        self.restarts: int | None = None  # of the container that is read

    def query(self, container: str, *, follow: bool) -> dict[str, str]:
        """What to ask for: from a second before the last line on, so that those of the overlap come again."""
        since = datetime.fromtimestamp(self._from_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._again = list(self._recent)
        asked = {"container": container, "timestamps": "true", "sinceTime": since}
        return asked | ({"follow": "true"} if follow else {})

    def take(self, raw: bytes) -> Line | None:
        """The line, unless it was taken before or is no line of a log."""
        line = parse(raw)
        if line is None:
            return None
        if line in self._again:
            self._again.remove(line)
            return None
        self._recent.append(line)
        if line.stamp_ns - 10**9 > self._from_ns:
            self._from_ns = line.stamp_ns - 10**9
            keep_ns = self._from_ns // 10**9 * 10**9
            if self._recent[0].stamp_ns < keep_ns - 10**9:
                self._recent = [one for one in self._recent if one.stamp_ns >= keep_ns]
        return line


def parse(raw: bytes) -> Line | None:
    """A line with its RFC 3339 stamp of nanoseconds; None for anything else."""
    match = _STAMPED.fullmatch(raw.decode("utf-8", errors="replace"))
    if match is None:
        return None
    second, fraction, zone, text = match.groups()
    whole = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    return Line(round(whole.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0")), text)
