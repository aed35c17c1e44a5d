"""The time that a log line itself names, as an interval: as wide as the last digit that it gives."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from smartops_chaos.model import Interval
from smartops_chaos.schema.healerfile import LineTime

_SECOND_NS = 1_000_000_000
_UNIT_NS = {"s": _SECOND_NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,9})\d*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def named(line: str, rule: LineTime) -> Interval | None:
    """When the line says that it was written, on the writer's clock; None if it does not say so."""
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
    """`fraction` are the digits behind the whole second."""
    since = (date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH
    at_ns = (since.days * 86400 + since.seconds) * _SECOND_NS + int(fraction.ljust(9, "0"))
    return Interval(at_ns, at_ns + 10 ** (9 - len(fraction)) - 1)
