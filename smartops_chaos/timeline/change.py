"""When a rate changed: the change point of a row of good and bad answers.

A service that gives the share `p` of its answers bad and, from answer k on, `q`, makes the row

    L(k) = p^(bad before k) (1 - p)^(good before k) q^(bad from k on) (1 - q)^(good from k on)

likely. Nobody knows p and q, so L is averaged over all of them, each with Jeffreys' prior: two beta functions
(Krichevsky and Trofimov 1981). Putting in the shares that fit best would let a single bad answer at the border count as
a level of its own. The change lies where L is largest; its interval takes in every k whose log L is at most 2 below.

Why 2: if the rate falls from p to 0, each good answer after the last bad one lowers log L by about p. A drop of 2 is
reached after 2 / p answers, so the middle of the interval lies at 1 / p. That is also the mean distance from the last
bad answer to the true change, so the middle has no bias. Where both rates are above zero, 2 is what chi-square gives
for 95 %.

Rows are sums: `bad[i]` of the first `i` answers are bad. Plain Python, since records are made where no numpy is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DROP = 2.0  # of log L, within the interval
# A level is split in two only if that makes the row e^5 times as likely: of rows that truly have one level, less than
# 1 % are split then.
_GAIN = 5.0
_LOG_PI = math.log(math.pi)


@dataclass(frozen=True, slots=True)
class RateChange:
    """Which answer is the first after the change: the likeliest, and the first and the last that are likely enough."""

    first: int
    best: int
    last: int


def likeliest(bad: Sequence[int], lo: int, hi: int, candidates: range, *, falls: bool) -> RateChange | None:
    """The change of the rate in answers [lo, hi), to below it or (`falls` = False) above; at one of `candidates`.

    None if at none of them the rate changes in that direction.
    """
    found: list[tuple[float, int]] = []
    for k in candidates:
        before, after = bad[k] - bad[lo], bad[hi] - bad[k]
        rise = after * (k - lo) - before * (hi - k)
        if (rise < 0) if falls else (rise > 0):
            found.append((_log_likelihood(before, k - lo) + _log_likelihood(after, hi - k), k))
    if not found:
        return None
    top, best = max(found, key=lambda one: one[0])
    likely = [k for value, k in found if value >= top - _DROP]
    return RateChange(likely[0], best, likely[-1])


def last_level(bad: Sequence[int], lo: int, hi: int) -> int:
    """Where the last level in answers [lo, hi) begins: an outage may have been worse, or less bad, before."""
    while (split := _split(bad, lo, hi)) is not None:
        lo = split
    return lo


def first_level(bad: Sequence[int], lo: int, hi: int) -> int:
    """Where the first level in answers [lo, hi) ends."""
    while (split := _split(bad, lo, hi)) is not None:
        hi = split
    return hi


def _split(bad: Sequence[int], lo: int, hi: int) -> int | None:
    """Where [lo, hi) falls into two levels; None if it is one."""
    best, at = _log_likelihood(bad[hi] - bad[lo], hi - lo) + _GAIN, None
    for k in range(lo + 1, hi):
        value = _log_likelihood(bad[k] - bad[lo], k - lo) + _log_likelihood(bad[hi] - bad[k], hi - k)
        if value > best:
            best, at = value, k
    return at


def _log_likelihood(bad: int, n: int) -> float:
    """Of a level with `bad` of `n` answers in this order, averaged over all rates; 0 of none."""
    return math.lgamma(bad + 0.5) + math.lgamma(n - bad + 0.5) - math.lgamma(n + 1) - _LOG_PI
