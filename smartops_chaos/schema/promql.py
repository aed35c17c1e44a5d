"""What a text in Prometheus' query language says of its own lateness: how far it looks back, and which series it reads.

Nothing is evaluated. Texts in quotes and comments are left out first, so that nothing in them is taken for a range.
"""

from __future__ import annotations

import re

from smartops_chaos.schema.units import prometheus_duration_s

_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*")
_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+|[0-9]+(?:\.[0-9]+)?"
_RANGE = re.compile(rf"\[\s*({_DURATION})\s*(?:(:)\s*({_DURATION})?\s*)?\]")
_OFFSET = re.compile(rf"\boffset\s+({_DURATION})", re.IGNORECASE)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STEP_S = 60.0  # of a subquery that names none: Prometheus' own evaluation interval unless it is configured


def looks_back_s(query: str) -> float:
    """The age of the oldest sample that a value of the query can rest on, in seconds; 0 for instant values alone.

    An upper bound: subqueries count as if each stood inside the other.
    """
    plain = _TEXT.sub("''", query)
    longest_s = nested_s = 0.0
    for length, colon, step in _RANGE.findall(plain):
        if colon:
            nested_s += _seconds(length) + (_seconds(step) if step else _STEP_S)
        else:
            longest_s = max(longest_s, _seconds(length))
    return longest_s + nested_s + max(map(_seconds, _OFFSET.findall(plain)), default=0.0)


def names(query: str) -> tuple[str, ...]:
    """Words that may be names of series, once each; labels and functions are among them.

    A series can also be named in quotes, `{__name__="x"}`: then the words in the quotes count.
    """
    plain = query if "__name__" in query or re.search(r"\{\s*[\"']", query) else _TEXT.sub("''", query)
    return tuple(dict.fromkeys(_NAME.findall(plain)))


def recorded(query: str) -> tuple[str, ...]:
    """Series that are named as those of recording rules are: level:metric:operations."""
    return tuple(name for name in names(query) if ":" in name.strip(":"))


def _seconds(text: str) -> float:
    return prometheus_duration_s(text) if text[-1].isalpha() else float(text)
