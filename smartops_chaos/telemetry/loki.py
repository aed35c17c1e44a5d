"""Log lines from Loki: every line of a window once, whatever the server's limits.

Loki has no page token. An answer of `limit` lines says neither how many more there are nor, with several streams, which
ones are left out. So nothing is concluded from a full answer: its window is cut in two and each half asked. As a
window's start counts and its end does not, halves share no line, however many carry the same nanosecond.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from smartops_chaos.model import Interval, LogLine
from smartops_chaos.schema.healerfile import LineTime, LokiLogs
from smartops_chaos.telemetry.connection import Connection, SourceError, connection

# What a controller adds to its own name for a pod: a Deployment's template and a suffix, or a StatefulSet's number.
# Kubernetes makes suffixes of these letters alone, so that no word comes of them.
_OF_A_POD = re.compile(r"(?:-[bcdfghjklmnpqrstvwxz0-9]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$|-[0-9]+$")
_LIMIT = 5_000  # the server's own default for the most lines that one answer may have
_LOOKS = 5
_DOUBT_NS = 1_000_000_000  # further apart, the line's time and the store's stamp cannot both be good
_FAR_NS = 60_000_000_000  # further apart, what the line names is not the time at which it was written
_SECOND_NS = 1_000_000_000
_UNIT_NS = {"s": _SECOND_NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,9})\d*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Key = tuple[tuple[tuple[str, str], ...], int, str]  # stream, stamp in ns, text
_Lines = Counter[_Key]  # a stream may carry the same line twice at the same nanosecond


class LokiError(SourceError):
    source = "Loki"


@dataclass(frozen=True, slots=True)
class Found:
    lines: tuple[LogLine, ...]  # in order of time
    notes: tuple[str, ...]  # what makes them doubtful, in words; empty is good


def fetch(
    where: str | Connection,
    logs: LokiLogs,
    start_ns: int,
    end_ns: int,
    *,
    values: Mapping[str, str] | None = None,
    settle_s: float = 10.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Found:
    """Every line whose stamp in the store lies in [start, end), nanoseconds on the writers' clock.

    Shippers send in batches, so a line can arrive well after its time: the window is looked at again after `settle_s`,
    until a look finds nothing new. `values` fills in the query's `${name}`. A time that the line names is preferred to
    the store's stamp where the two are close. Raises LokiError.
    """
    source = connection(where)
    query = re.sub(r"\$\{(\w+)\}", lambda name: (values or {}).get(name[1], name[0]), logs.query)
    if gap := re.search(r"\$\{\w+\}", query):
        raise LokiError(f"nothing is known to put for {gap[0]} in Loki's query {logs.query}: write it out")
    reader = _Pages(source, query)
    found = reader.window(start_ns, end_ns)
    for _ in range(_LOOKS):  # bounded: a log that never rests must not hold up the campaign
        sleep(settle_s)
        again = reader.window(start_ns, end_ns)
        late = sum((again - found).values())
        found |= again
        if not late:
            break
    else:
        reader.notes[f"lines still arrived {settle_s * _LOOKS:g} s after the end: wait longer, or mend the shipper"] = (
            None
        )
    lines = sorted((_line(key, logs) for key in found.elements()), key=lambda line: (line.at_ns, line.stored_ns))
    return Found(tuple(lines), (*reader.notes, *_nameless(found, logs), *_doubts(lines, logs)))


class _Pages:
    """One query, and what was learned about the server while asking it."""

    def __init__(self, source: Connection, query: str) -> None:
        self.notes: dict[str, None] = {}
        self._source, self._query = source, query
        self._limit, self._capped = _LIMIT, False
        self._whole = 0  # lines of the largest answer that was shown to be complete

    def window(self, start_ns: int, end_ns: int) -> _Lines:
        found = _Lines()
        todo = [(start_ns, end_ns)] if start_ns < end_ns else []
        while todo:
            start, end = todo.pop()
            page = self._page(start, end)
            if self._complete(page, end):
                found.update(page)
            elif end - start > 1:
                stamps = sorted(stamp for _, stamp, _ in page.elements())
                middle = min(max(stamps[len(stamps) // 2], start + 1), end - 1)
                todo += [(middle, end), (start, middle)]
            elif self._capped:
                raise LokiError(
                    f"Loki at {self._source.url} gives only {self._limit} lines at once, and has more with the stamp "
                    f"{start}: raise its max_entries_limit_per_query, or narrow the query"
                )
            else:
                self._limit *= 2
                todo.append((start, end))
        return found

    def _complete(self, page: _Lines, end_ns: int) -> bool:
        """Whether the answer has all lines of its window. Not if it is full, nor if it was cut without a word."""
        lines = page.total()
        if lines >= self._limit:
            return False
        if lines < self._whole or not lines:
            return True
        last_ns = max(stamp for _, stamp, _ in page)
        if self._page(last_ns, end_ns) - page:
            self._limit, self._capped = lines, True
            return False
        self._whole = lines
        return True

    def _page(self, start_ns: int, end_ns: int) -> _Lines:
        """One answer. A limit above the server's is refused by it, and lowered here."""
        while True:
            asked = {"start": str(start_ns), "end": str(end_ns), "limit": str(self._limit), "direction": "forward"}
            try:
                payload = self._source.ask(LokiError, "/loki/api/v1/query_range", {"query": self._query, **asked})
            except LokiError as error:
                if error.status != 400 or not re.search(r"max.entries", error.said) or self._limit == 1:
                    raise
                most = re.search(r"\d+ > (\d+)", error.said)
                self._limit = max(1, min(int(most[1]) if most else self._limit // 2, self._limit - 1))
                self._capped = True
                continue
            return self._read(payload)

    def _read(self, payload: Any) -> _Lines:
        try:
            data = payload["data"]
            if data["resultType"] != "streams":
                raise LokiError(f'the query {self._query} gives numbers: ask for lines, as in {{app="x"}}')
            self.notes |= dict.fromkeys(f"Loki warns: {one}" for one in payload.get("warnings") or ())
            return _Lines(
                (tuple(sorted(stream["stream"].items())), int(value[0]), value[1])
                for stream in data["result"]
                for value in stream["values"]  # stamp, line, and maybe metadata
            )
        except (KeyError, TypeError, ValueError, IndexError):
            raise LokiError(f"{self._source.url} does not answer like Loki: check the address") from None


def _line(key: _Key, logs: LokiLogs) -> LogLine:
    stream, stored_ns, text = key
    labels = dict(stream)
    component = _writer(labels, logs)
    at = named(text, logs.time) if logs.time else None
    if at is None or abs(at.mid_ns - stored_ns) > _FAR_NS:
        return LogLine(stored_ns, component, text)
    return LogLine(at.lo_ns, component, text, cut_ns=at.hi_ns - at.lo_ns + 1, stored_ns=stored_ns)


def _writer(labels: Mapping[str, str], logs: LokiLogs) -> str:
    """Who wrote a line, by the first label that says so: the controller where it names a pod; empty if none does."""
    name = next((name for name in logs.component if name in labels), "")
    return _OF_A_POD.sub("", labels[name]) if "pod" in name else labels.get(name, "")


def _nameless(found: _Lines, logs: LokiLogs) -> list[str]:
    """Lines whose writer no label names: no rule of a component can match them."""
    counts = Counter({stream: 0 for stream, _, _ in found})
    for (stream, _, _), count in found.items():
        counts[stream] += count
    nameless = [stream for stream in counts if not _writer(dict(stream), logs)]
    if not nameless:
        return []
    theirs = ", ".join(sorted({name for stream in nameless for name, _ in stream})) or "none"
    told = f"{sum(counts[stream] for stream in nameless)} lines have none of the labels {', '.join(logs.component)}"
    return [f"{told}: theirs are {theirs}; name the right one under `loki.component`"]


def _doubts(lines: list[LogLine], logs: LokiLogs) -> list[str]:
    """Where the lines' times and the store's stamps contradict each other."""
    if logs.time is None or not lines:
        return []
    said = [named(line.text, logs.time) for line in lines]
    if not any(said):
        return [f"no line of {len(lines)} names a time as the healer file says: the store's stamps are used"]
    far = sum(at is not None and not line.stored_ns for at, line in zip(said, lines, strict=True))
    apart = [abs(line.at_ns - line.stored_ns) for line in lines if line.stored_ns]
    doubtful = sum(gap > _DOUBT_NS for gap in apart)
    notes = []
    if far:
        notes.append(f"{far} lines name a time over a minute from the store's stamp, which is used: a time zone?")
    if doubtful:
        notes.append(f"{doubtful} lines name a time over 1 s from the store's stamp, up to {max(apart) / 1e9:.1f} s")
    return notes


# ---- the time that a line itself names -----------------------------------------------------------------------------


def named(line: str, rule: LineTime) -> Interval | None:
    """When the line says that it was written, on the writer's clock; None if it does not say so.

    An interval as wide as the last digit that it gives: "12:00:07" is the whole second.
    """
    found = re.search(rule.pattern, line)
    if found is None or found["time"] is None:
        return None
    text = found["time"].strip()
    try:
        if rule.form == "iso":
            return _iso(text)
        if rule.form in _UNIT_NS:
            return _number(text, _UNIT_NS[rule.form])
        date = datetime.strptime(text, rule.form)
    except (ValueError, OverflowError):  # digits that look like a time and are none
        return None
    return _interval(date, f"{date.microsecond:06}" if "%f" in rule.form else "")


def _iso(text: str) -> Interval | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    return _interval(datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').upper()}"), fraction or "")


def _number(text: str, unit_ns: int) -> Interval | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    whole, fraction = found[1], found[2] or ""
    cut_ns = max(1, unit_ns // 10 ** len(fraction))
    at_ns = int(whole) * unit_ns + int(fraction or 0) * unit_ns // 10 ** len(fraction)
    return Interval(at_ns, at_ns + cut_ns - 1)


def _interval(date: datetime, fraction: str) -> Interval:
    """`fraction` are the digits after the whole second."""
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
    at_ns = (since.days * 86400 + since.seconds) * _SECOND_NS + int(fraction.ljust(9, "0"))
    return Interval(at_ns, at_ns + 10 ** (9 - len(fraction)) - 1)
