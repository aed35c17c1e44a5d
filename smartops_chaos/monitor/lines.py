"""Files of a healer's lines, followed: of each line that a rule of the healer file matches, once, whatever is killed.

What was read is itself raw evidence, and each entry says up to where its file was read, so the next monitor goes on
there. Times are the wall clock's, which all that is followed here is taken to share.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from smartops_chaos.model import Interval, LogLine
from smartops_chaos.monitor.segments import SegmentReader, SegmentWriter, files
from smartops_chaos.schema.healerfile import HealerFile, LineTime, LogRule
from smartops_chaos.telemetry.loki import named
from smartops_chaos.timeline.rulecheck import rules_of

KIND = "lines"
_STAMP = LineTime(pattern=r"^(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ")
_CRI = re.compile(r"\S+ (?:std(?:out|err) [FP] )?")
_LONGEST = 4_000  # characters of a line
_BLOCK = 1_000_000  # bytes at once
_MOST = 20_000  # lines in memory: a healer that says more in an hour says nothing that helps


@dataclass(slots=True)
class _Followed:
    component: str
    path: Path
    inode: int = 0
    offset: int = 0
    stream: BinaryIO | None = None


def tells(rule: LogRule, component: str, text: str) -> bool:
    """Whether a rule matches a line of a component."""
    return rule.reads_lines and rule.concerns(component) and rule.match(text) is not None


class FollowedLines:
    """`alive_ns`: until when an earlier monitor of the folder is known to have read; 0: there was none.

    `every` gets each line that is read, also those that no rule matches.
    """

    def __init__(
        self,
        raw: Path,
        logs: Mapping[str, Path],
        healer: HealerFile,
        alive_ns: int,
        every: Callable[[LogLine], None] = lambda _: None,
    ) -> None:
        self._every = every
        self._rules = [rule for _, rule in rules_of(healer)]
        self._time = healer.loki.time if healer.loki else None
        self._lines: deque[LogLine] = deque(maxlen=_MOST)
        self._notes: deque[tuple[int, str]] = deque(maxlen=100)
        self._read_ns = alive_ns or time.time_ns()
        self._files = {name: _Followed(name, path) for name, path in logs.items()}
        known = self._earlier(raw)
        self._known = dict.fromkeys(self._lines)  # an ordered set
        self._out = SegmentWriter(raw, KIND, "ndjson")
        for one in self._files.values():
            self._begin(one, known=one.component in known)
            self._write(one.component, {"inode": one.inode, "offset": one.offset})

    def poll(self) -> None:
        """Read what is new."""
        now_ns = time.time_ns()
        for one in self._files.values():
            self._read(one, Interval(min(self._read_ns, now_ns), now_ns))
        self._read_ns = now_ns

    def take(self, line: LogLine) -> None:
        """A line that is followed elsewhere; one that is known already is left out."""
        self._every(line)
        if any(tells(rule, line.component, line.text) for rule in self._rules):
            line = replace(line, text=line.text[:_LONGEST])
            if line not in self._known:
                self._known[line] = None
                self._keep(line, {})

    def since(self, since_ns: int) -> tuple[LogLine, ...]:
        return tuple(one for one in self._lines if one.at_ns + one.cut_ns >= since_ns)

    def lost(self, since_ns: int) -> tuple[str, ...]:
        return tuple(note for at_ns, note in self._notes if at_ns >= since_ns)

    def forget(self, before_ns: int) -> None:
        while self._lines and self._lines[0].at_ns < before_ns:
            self._known.pop(self._lines.popleft(), None)

    def _earlier(self, raw: Path) -> set[str]:
        """Take over what an earlier monitor has read."""
        known: set[str] = set()
        newest = files(raw, KIND)[-3:]
        if not newest:
            return known
        for text in SegmentReader(raw, KIND, int(newest[0].stem.rpartition("-")[2])).read():
            try:
                entry: dict[str, Any] = json.loads(text)
                name = str(entry["component"])
                if "text" in entry:
                    self._lines.append(LogLine(int(entry["at"]), name, str(entry["text"]), int(entry["cut"])))
                if name in self._files and "offset" in entry:
                    self._files[name].inode, self._files[name].offset = int(entry["inode"]), int(entry["offset"])
                    known.add(name)
            except (ValueError, KeyError, TypeError):  # torn
                continue
        return known

    def _begin(self, one: _Followed, *, known: bool) -> None:
        """Go on where the file was read up to; a file seen for the first time is read from its end on."""
        try:
            found = one.path.stat()
        except OSError as error:
            self._notes.append((time.time_ns(), f"{one.path} cannot be read: {error.strerror}"))
            return
        if not known:
            one.inode, one.offset = found.st_ino, found.st_size
        elif found.st_ino != one.inode or found.st_size < one.offset:
            self._notes.append((self._read_ns, f"{one.path} was rotated while nobody read it"))
            one.inode, one.offset = found.st_ino, 0

    def _read(self, one: _Followed, when: Interval) -> None:
        try:
            if one.stream is None:
                one.stream = one.path.open("rb")
                inode = one.path.stat().st_ino
                one.offset = one.offset if inode == one.inode else 0
                one.inode = inode
            self._rest(one, when)
            found = one.path.stat()
            if found.st_ino != one.inode or found.st_size < one.offset:  # rotated, or cut
                one.stream.close()
                one.stream, one.offset, one.inode = one.path.open("rb"), 0, found.st_ino
                self._rest(one, when)
        except OSError as error:
            one.stream = None
            self._notes.append((when.hi_ns, f"{one.path} cannot be read: {error.strerror}"))

    def _rest(self, one: _Followed, when: Interval) -> None:
        assert one.stream is not None
        while True:
            one.stream.seek(one.offset)
            block = one.stream.read(_BLOCK)
            whole = block.rfind(b"\n") + 1
            if not whole and len(block) == _BLOCK:
                whole = len(block)  # a line without an end
            if not whole:
                return
            at = one.offset
            for raw in block[:whole].splitlines(keepends=True):
                at += len(raw)
                self._line(one, raw.decode("utf-8", "replace").rstrip("\r\n"), when, at)
            one.offset = at

    def _line(self, one: _Followed, text: str, when: Interval, end: int) -> None:
        at, text = self._dated(text, when)
        line = LogLine(at.lo_ns, one.component, text[:_LONGEST], at.hi_ns - at.lo_ns + 1)
        self._every(line)
        if any(tells(rule, one.component, text) for rule in self._rules):
            one.offset = end
            self._keep(line, {"inode": one.inode, "offset": one.offset})

    def _dated(self, text: str, when: Interval) -> tuple[Interval, str]:
        """The stamp before a line, else the time that it names, else when it was read."""
        if stamp := named(text, _STAMP):
            return stamp, text[_CRI.match(text).end() :]  # type: ignore[union-attr]  # the stamp is such a word
        own = named(text, self._time) if self._time else None
        return own or when, text

    def _keep(self, line: LogLine, read: dict[str, int]) -> None:
        """`read`: up to where the line's file has been read, if there is one."""
        self._lines.append(line)
        self._write(line.component, read | {"at": line.at_ns, "cut": line.cut_ns}, line.text)

    def _write(self, component: str, numbers: dict[str, int], text: str | None = None) -> None:
        told: dict[str, Any] = {"component": component, **numbers} | ({} if text is None else {"text": text})
        self._out.write(json.dumps(told) + "\n")
