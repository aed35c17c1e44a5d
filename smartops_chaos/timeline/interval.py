"""When something happened: intervals on the runner's clock, from stamps of other clocks and from samples.

An own call is [before, after] and needs no rule. A stamp of another clock is shifted by the bounds of that clock's
offset, which widens it. A counter's flip lies between two scrapes. Several intervals of one event are intersected.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smartops_chaos.model import AlertRule, ClockOffset, Evidence, Interval, Series

# Prometheus moves a stamp onto its grid by up to 2 ms (--scrape.timestamp-tolerance), either way, and then cuts it to
# whole milliseconds: the true moment is up to 2 ms before the stamp, or up to 3 ms after it.
STAMP_EARLIER_NS = 2_000_000
STAMP_LATER_NS = 3_000_000
# A process writes its log line and counts in either order, and whoever stamps the line reads it a little later: so far
# apart, two intervals still speak of one event.
_TOUCHING_NS = 50_000_000
# Clocks drift by less than this within a trial: more between its two ends is a step.
_STEP_NS = 10_000_000
_MOST_UNCERTAIN_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """The time that a trial is about.

    `injected` spans the injection of all parts. `zero` is the call that injected the last of them: before it the
    scenario is not complete, so seconds count from its middle. Without a fault both are the beginning of observation.
    """

    injected: Interval
    zero: Interval
    until_ns: int  # end of observation

    def seconds(self, at: Interval) -> tuple[float, float]:
        """Bounds of the time from `zero` to `at`, at least 0; the width of both intervals is in them."""
        return max(0.0, (at.lo_ns - self.zero.hi_ns) / 1e9), max(0.0, (at.hi_ns - self.zero.lo_ns) / 1e9)


def frame(evidence: Evidence, parts: int) -> Frame | None:
    """The frame of a trial with `parts` parts of a fault; None if none was injected, or without parts none observed."""
    calls = [call.at for call in evidence.calls if call.what == "inject" and call.ok and parts]
    if not parts:
        calls = [Interval(call.at.lo_ns, call.at.lo_ns) for call in evidence.calls if call.what == "observe"][:1]
    if not calls:
        return None
    last = max(calls, key=lambda at: at.hi_ns)
    return Frame(Interval(min(at.lo_ns for at in calls), last.hi_ns), last, evidence.observed_until_ns)


def shift(at: Interval, offset: Interval) -> Interval:
    """`at` on the runner's clock, where `offset` bounds the other clock minus the runner's."""
    return Interval(at.lo_ns - offset.hi_ns, at.hi_ns - offset.lo_ns)


def offset_of(clocks: Iterable[ClockOffset], source: str) -> Interval:
    """Bounds that hold for the whole trial: those of both ends together. Zero for a clock that was not measured."""
    found = [clock for clock in clocks if clock.source == source]
    if not found:
        return Interval(0, 0)
    return Interval(min(clock.lo_ns for clock in found), max(clock.hi_ns for clock in found))


def stepped(clocks: Iterable[ClockOffset]) -> tuple[str, ...]:
    """The clocks whose bounds at the start and at the end cannot both be true, drift aside."""
    bounds: dict[str, list[ClockOffset]] = {}
    for clock in clocks:
        bounds.setdefault(clock.source, []).append(clock)
    return tuple(
        sorted(
            source
            for source, found in bounds.items()
            if max(clock.lo_ns for clock in found) - min(clock.hi_ns for clock in found) > _STEP_NS
        )
    )


def uncertain(clocks: Iterable[ClockOffset]) -> tuple[str, ...]:
    """The clocks whose bounds leave more open than a trial may have: what they stamped is hardly dated."""
    clocks = tuple(clocks)
    bounds = {source: offset_of(clocks, source) for source in sorted({clock.source for clock in clocks})}
    return tuple(source for source, at in bounds.items() if at.hi_ns - at.lo_ns > _MOST_UNCERTAIN_NS)


def increases(series: Series, scrapes: Sequence[int], scrape_ns: int) -> list[tuple[int, Interval]]:
    """Every increase of a counter, with the stamp of the scrape that shows it.

    It lies in (previous scrape, scrape that shows it + the scrape's duration], on Prometheus' clock.

    `scrapes` are the sorted stamps at which the same process was scraped with success. A scrape in which this series
    alone is absent counts as zero, so a counter that is born, or born again after a restart, increases. A missed scrape
    has no stamp at all and widens the interval. A value below the one before means a reset, and an increase since then.
    The first scrape of all shows only what had been counted before.
    """
    found: list[tuple[int, Interval]] = []
    before_ns, before = None, 0.0
    for at_ns, value in zip(series.at_ns, series.values, strict=True):
        if math.isnan(value):  # no number was known at that scrape: not a change, nor an absence
            before_ns = at_ns
            continue
        index = bisect_left(scrapes, at_ns)
        previous_ns = scrapes[index - 1] if index else None
        was = before if previous_ns == before_ns else 0.0
        if previous_ns is not None and value != was and value > 0:
            found.append((at_ns, Interval(previous_ns - STAMP_EARLIER_NS, at_ns + scrape_ns + STAMP_LATER_NS)))
        before_ns, before = at_ns, value
    return found


def firings(series: Series, rule: AlertRule) -> list[int]:
    """The stamps of the evaluations at which an alert began to fire; `series` has one for each at which it fires."""
    widest_ns = round(1.5 * rule.evaluation_s * 1e9)
    before = (None, *series.at_ns)
    return [
        at_ns for was_ns, at_ns in zip(before, series.at_ns, strict=False) if not was_ns or at_ns - was_ns > widest_ns
    ]


def fired(at_ns: int, rule: AlertRule, scrape_ns: int) -> Interval:
    """When that became true which the evaluation stamped `at_ns` found, and the one before it did not yet.

    The evaluation before may have looked at samples that were one scrape old, and a scrape takes `scrape_ns`.
    """
    back_ns = round((rule.evaluation_s + rule.scrape_s) * 1e9) + scrape_ns
    return Interval(at_ns - back_ns - STAMP_EARLIER_NS, at_ns + scrape_ns + STAMP_LATER_NS)


def combine(intervals: Sequence[Interval]) -> tuple[Interval, bool]:
    """The intersection of intervals of one event, or all of their span and True where they contradict each other."""
    lo, hi = max(at.lo_ns for at in intervals), min(at.hi_ns for at in intervals)
    if lo - hi > _TOUCHING_NS:
        return Interval(min(at.lo_ns for at in intervals), max(at.hi_ns for at in intervals)), True
    return Interval(min(lo, hi), max(lo, hi)), False
