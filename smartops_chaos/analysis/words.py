"""Numbers in words as a page shows them: None is "–" everywhere, never 0; a unit keeps to its number (no-break space).

`phrases` is for sentences that go to a terminal or into `summary.json` as well.
"""

from __future__ import annotations

import math
import re

from smartops_chaos.analysis.phrases import GOALS
from smartops_chaos.analysis.phrases import NONE as NONE
from smartops_chaos.analysis.phrases import listing as listing
from smartops_chaos.analysis.phrases import plain as plain
from smartops_chaos.analysis.phrases import tally as tally
from smartops_chaos.schema import units

_SPACE = "\u00a0"

# What the targets of a matrix are called: its keys -> their names, in the order in which they are shown.
TARGETS = {goal: name[:1].upper() + name[1:] for goal, name in GOALS.items()}


def number(value: float | None, digits: int) -> str:
    """Fixed digits, a true minus sign, thousands separated; no "−0.0"."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def _second_digits(value: float) -> int:
    return 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0


def seconds(value: float | None, *, sign: bool = False) -> str:
    """Seconds: hundredths under 10 s, tenths under 1000 s."""
    if value is None or not math.isfinite(value):
        return NONE
    plus = "+" if sign and value > 0 else ""
    return f"{plus}{number(value, _second_digits(value))}{_SPACE}s"


def stated_seconds(value: float) -> str:
    """A duration that was set, not measured: without digits that nobody wrote."""
    return f"{value:,.6g}{_SPACE}s"


def seconds_range(lo: float | None, hi: float | None) -> str:
    if lo is None or hi is None or not (math.isfinite(lo) and math.isfinite(hi)):
        return NONE
    digits = _second_digits(max(abs(lo), abs(hi)))
    return f"{number(lo, digits)} to {number(hi, digits)}{_SPACE}s"


def percent(value: float | None, digits: int = 0) -> str:
    """A fraction as per cent. 0 % and 100 % are said only of zeros and ones, exact but for the rounding of a sum."""
    if value is None or not math.isfinite(value):
        return NONE
    value = round(value, 12)
    while digits < 6 and value not in (0, 1, -1) and f"{abs(value) * 100:.{digits}f}" in _bounds(digits):
        digits += 1
    return f"{number(value * 100, digits)}{_SPACE}%"


def target_value(value: float | None, target: str) -> str:
    """A value of one of TARGETS; availability has the digits that tell 99.9 % from 99.99 %."""
    return percent(value, 3 if target == "sla" else 0)


def _bounds(digits: int) -> tuple[str, str]:
    return f"{0:.{digits}f}", f"{100:.{digits}f}"


def percent_range(lo: float | None, hi: float | None, digits: int = 0) -> str:
    if lo is None or hi is None or not (math.isfinite(lo) and math.isfinite(hi)):
        return NONE
    low, high = percent(lo, digits), percent(hi, digits)
    return f"{low} to {high}"


def with_range(value: str, between: str) -> str:
    """Such as "42 % (30 % to 55 %)", or the value alone where no interval can be given."""
    return value if between == NONE else f"{value} ({between})"


def points(value: float | None, *, sign: bool = True) -> str:
    """A difference of two fractions, in percentage points, as a bare number."""
    if value is None or not math.isfinite(value):
        return NONE
    plus = "+" if sign and value > 0 else ""
    return f"{plus}{number(value * 100, 0)}"


def probability(p: float | None) -> str:
    if p is None or not math.isfinite(p):
        return NONE
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def count(n: int, one: str, many: str = "") -> str:
    """Such as "1 trial", "2 trials", which no line parts."""
    return units.count(n, one, many).replace(" ", _SPACE, 1)


def ended(outcome: str, reason: str) -> str:
    """An outcome with its reason in words, such as "unrecovered: denied"."""
    if (outcome, reason) == ("platform", "no-action"):
        return "ended by the platform"
    return plain(f"{outcome}: {reason}" if reason else outcome)


def k_of_n(k: int, n: int) -> str:
    """Such as "3 of 10"; "–" if there was none to count."""
    return f"{k} of {n}" if n else NONE


def clip(text: str, length: int) -> str:
    """Shortened in the middle, where long names differ least."""
    if len(text) <= length:
        return text
    head = (length - 1) * 3 // 5
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def legal(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, such as most control characters."""
    return re.sub(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
