"""Quantities as people write them: 250ms, 90%, 40/s, 500MB, 6. Parsed to seconds, fractions, per second, bytes, counts.

`Duration`, `Fraction`, `Rate` and `Count` are the same as types for pydantic models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction as Exact
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

Unit = Literal["duration", "fraction", "rate", "size", "count"]

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-zA-Zµ%/]*)")
_PARTS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|min|[smhdw])")
# ISO 8601 without years and months, whose length depends on when they begin.
_ISO = re.compile(r"P(?:([0-9.]+)W)?(?:([0-9.]+)D)?(?:T(?:([0-9.]+)H)?(?:([0-9.]+)M)?(?:([0-9.]+)S)?)?", re.IGNORECASE)
_LONGEST_RETRY_S = 5.0  # whatever a server asks for
_LONGEST = 40  # characters of a quantity; no sensible one is longer

# Largest first. The first spelling of each factor is the one that is written.
_SECONDS = {
    "w": Exact(604800),
    "d": Exact(86400),
    "h": Exact(3600),
    "m": Exact(60),
    "min": Exact(60),
    "s": Exact(1),
} | {
    "ms": Exact(1, 1000),
    "us": Exact(1, 1_000_000),
    "µs": Exact(1, 1_000_000),
    "ns": Exact(1, 1_000_000_000),
}
_PROMETHEUS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_PER_SECOND = {"/s": Exact(1), "/m": Exact(1, 60), "/min": Exact(1, 60), "/h": Exact(1, 3600)}
_BYTES = {"TiB": 2**40, "TB": 10**12, "GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10} | {
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}


class UnitError(ValueError):
    """`str(error)` says what is wrong and, after a colon, what is accepted."""


def parse_duration(value: object) -> float:
    """Seconds of a text such as "250ms" or "12s"; the number 0 needs no unit. Raises UnitError.

    Also as Go and Prometheus write them, "1h2m3.5s", and as ISO 8601 does, "PT1M30S".
    """
    if value == 0 and not isinstance(value, bool | str):
        return 0.0
    if isinstance(value, str) and (several := _of_parts(value.strip())) is not None:
        return several
    number, unit = _split(
        value, "a duration", "write a number and ms, s, m, h or d, such as 250ms", "s", "ms", "m", "h", "d"
    )
    if unit not in _SECONDS:
        raise UnitError(f"{value} has an unknown unit `{unit}`: durations have ms, s, m, h or d")
    return float(number * _SECONDS[unit])


def _of_parts(text: str) -> float | None:
    """Seconds of "1m30s" or "PT1M30S"; None for another writing."""
    parts = _PARTS.findall(text) if len(text) <= _LONGEST else []
    if len(parts) > 1 and "".join(number + unit for number, unit in parts) == text:
        return float(sum(Exact(number) * _SECONDS[unit] for number, unit in parts))
    iso = _ISO.fullmatch(text) if len(text) <= _LONGEST else None
    given = (
        [] if iso is None else [(number, unit) for number, unit in zip(iso.groups(), "wdhms", strict=True) if number]
    )
    if not given or any(re.fullmatch(r"[0-9]+(\.[0-9]+)?", number) is None for number, _ in given):
        return None
    return float(sum(Exact(number) * _SECONDS[unit] for number, unit in given))


def format_duration(seconds: float) -> str:
    """The shortest writing that parses to the same value: 0.25 -> "250ms", 90 -> "90s", 7200 -> "2h"."""
    for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= factor and seconds % factor == 0:
            return f"{_number(seconds / factor)}{unit}"
    if seconds == 0 or seconds >= 1:
        return f"{_number(seconds)}s"
    return f"{_number(seconds * 1000)}ms"


def count(n: int, one: str, many: str = "") -> str:
    """How many of what: "1 trial", "1,200 trials"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def spoken_duration(seconds: float) -> str:
    """As a person says how long something takes: 45 -> "45 s", 200 -> "3 min 20 s", 7800 -> "2 h 10 min"."""
    whole = max(0, round(seconds))
    for large, small, factor, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= factor:
            many, rest = divmod(whole, factor)
            rest //= part
            return f"{many} {large}" + (f" {rest} {small}" if rest and many < 10 else "")
    return f"{whole} s"


def parse_fraction(value: object) -> float:
    """0 to 1 of "90%" or of the number 0.9. Raises UnitError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= 1:
            return float(value)
        raise UnitError(
            f"{_short(value)} is not between 0 and 1: write a percentage such as 90%, or a number such as 0.9"
        )
    number, unit = _split(value, "a fraction", "write a percentage such as 90%, or a number such as 0.9", "%")
    if unit != "%":
        raise UnitError(f"{value} has an unknown unit `{unit}`: write a percentage such as 90%")
    if number > 100:
        raise UnitError(f"{value} is more than 100%: write 0% to 100%")
    return float(number / 100)


def format_fraction(fraction: float) -> str:
    return f"{_number(fraction * 100)}%"


def parse_rate(value: object) -> float:
    """Per second of "40/s", "90/min" or "10/h". Raises UnitError."""
    number, unit = _split(value, "a rate", "write a number and /s, /min or /h, such as 40/s", "/s", "/min")
    if unit not in _PER_SECOND:
        raise UnitError(f"{value} has an unknown unit `{unit}`: rates have /s, /min or /h")
    return float(number * _PER_SECOND[unit])


def format_rate(per_second: float) -> str:
    return f"{_number(per_second)}/s"


def parse_size(value: object) -> int:
    """Bytes of "500MB" (10^6) or "512MiB" (2^20). Raises UnitError."""
    number, unit = _split(value, "a size", "write a number and a unit such as 500MB or 512MiB", "MB", "MiB")
    if unit not in _BYTES:
        raise UnitError(f"{value} has an unknown unit `{unit}`: sizes have B, kB, MB, GB, TB, KiB, MiB, GiB or TiB")
    return round(number * _BYTES[unit])


def format_size(size: float) -> str:
    whole = round(size)
    for unit, factor in _BYTES.items():
        if whole >= factor and whole % factor == 0:
            return f"{whole // factor}{unit}"
    return f"{whole}B"


def parse_count(value: object) -> int:
    """A whole number, 0 or more. Raises UnitError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnitError(f"{_short(value)} is not a count: write a whole number without a unit, such as 6")
    return value


def format_count(count: float) -> str:
    return _number(count)


_PARSE: dict[Unit, Callable[[object], float]] = {
    "duration": parse_duration,
    "fraction": parse_fraction,
    "rate": parse_rate,
    "size": parse_size,
    "count": parse_count,
}
_FORMAT: dict[Unit, Callable[[float], str]] = {
    "duration": format_duration,
    "fraction": format_fraction,
    "rate": format_rate,
    "size": format_size,
    "count": format_count,
}


def parse(unit: Unit, value: object) -> float:
    """`value` in SI units; an int for sizes and counts. Raises UnitError."""
    return _PARSE[unit](value)


def format_in(unit: Unit, value: float) -> str:
    """A value in SI units as a person writes it."""
    return _FORMAT[unit](value)


def check_range(unit: Unit, value: float, lowest: float | None, highest: float | None) -> None:
    """Raises UnitError, with the bounds in the same unit, if `value` is not in [lowest, highest]; None = no bound."""
    written = _FORMAT[unit]
    low, high = (None if bound is None else written(bound) for bound in (lowest, highest))
    if lowest is not None and value < lowest:
        raise UnitError(f"{written(value)} is too little: " + (f"{low} to {high}" if high else f"{low} at least"))
    if highest is not None and value > highest:
        raise UnitError(f"{written(value)} is too much: " + (f"{low} to {high}" if low else f"{high} at most"))


def between(unit: Unit, lowest: float, highest: float) -> AfterValidator:
    """For pydantic: `Annotated[Duration, between("duration", 0.001, 60)]`."""

    def check(value: float) -> float:
        check_range(unit, value, lowest, highest)
        return value

    return AfterValidator(check)


def _split(value: object, kind: str, accepted: str, *units: str) -> tuple[Exact, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < float("inf"):
            raise UnitError(f"{_short(value)} has no unit: write {_with(_short(value), units)}")
        raise UnitError(f"{_short(value)} is not {kind}: {accepted}")
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST else None
    if match is None:
        raise UnitError(f"{_short(value)} is not {kind}: {accepted}")
    if not match[2]:
        raise UnitError(f"{value} has no unit: write {_with(match[1], units)}")
    return Exact(match[1]), match[2]


def _with(number: str, units: tuple[str, ...]) -> str:
    *most, last = (number + unit for unit in units)
    return f"{', '.join(most)} or {last}" if most else last


def _number(value: float) -> str:
    text = f"{value:.15g}"
    return text if "e" not in text else f"{value:.15f}".rstrip("0").rstrip(".")


def _short(value: object) -> str:
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return text if 0 < len(text) <= _LONGEST else f"`{text[:_LONGEST]}{'...' if text else ''}`"


def _text(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


DURATION_SCHEMA = _text("^([0-9.]+ ?(ns|us|µs|ms|s|m|min|h|d|w))+$|^[Pp][0-9.TtWwDdHhMmSs]+$", "250ms")
Duration = Annotated[float, BeforeValidator(parse_duration), DURATION_SCHEMA]
Rate = Annotated[float, BeforeValidator(parse_rate), _text("^[0-9.]+ ?/(s|m|min|h)$", "40/s")]
Count = Annotated[int, BeforeValidator(parse_count), WithJsonSchema({"type": "integer", "minimum": 0})]
Fraction = Annotated[
    float,
    BeforeValidator(parse_fraction),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": "^[0-9.]+ ?%$"}, {"type": "number", "minimum": 0, "maximum": 1}],
            "examples": ["90%"],
        }
    ),
]


def prometheus_duration_s(text: str) -> float:
    """Of Prometheus' own form of a duration, such as 1m30s: its m is a minute beside ms, and it has weeks and years."""
    return sum(float(number) * _PROMETHEUS_S[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds of an answer's Retry-After, few at most; its other form, a date, is not worth a clock comparison."""
    try:
        return min(max(0.0, float(headers.get("Retry-After", "0"))), _LONGEST_RETRY_S)
    except ValueError:
        return 0.0
