"""Finds incidents in the requests of a standing service, as they come. Pure: no clock, no file.

What it keeps is bounded: of a healthy service the last few windows, of an outage all requests up to the horizon, and
after that again the last few windows, since only its end is still wanted then.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass

from smartops_chaos.model import Interval, Request
from smartops_chaos.timeline.health import Spell, is_good, spells
from smartops_chaos.timeline.incident import Seen, StandingService, first_group, see

_KEPT = 8  # windows before now: to date an impact, health looks 3 back, and the last look may be some ago
_LATE = 0.5  # of the SLO's latency: a request that we ourselves sent later and that failed says nothing


@dataclass(frozen=True, slots=True)
class Ended:
    """An incident that had lasted beyond the horizon has recovered."""

    recovered: Interval
    until_ns: int


class IncidentFinder:
    """`begin_ns`: nothing before it is judged. `lasting`: an incident was on record then that had not recovered."""

    def __init__(self, service: StandingService, settle_s: float, *, begin_ns: int, lasting: bool) -> None:
        self._slo, self._service = service.slo, service
        self._latency_ns, self._hold_ns = round(self._slo.latency_s * 1e9), round(self._slo.hold_s * 1e9)
        self._settle_s = settle_s
        self._begin_ns = self._bad_ns = begin_ns
        self._requests: list[Request] = []
        self.lasting = lasting

    @property
    def begin_ns(self) -> int:
        """What is before it needs not be kept."""
        return self._begin_ns

    def add(self, requests: Iterable[Request]) -> None:
        """In any order; older ones than are kept are left out."""
        for one in requests:
            spoiled = one.late_ns > _LATE * self._latency_ns and not is_good(one, self._latency_ns)
            if one.sched_ns >= self._begin_ns and not spoiled:
                insort(self._requests, one)

    def look(self, until_ns: int) -> Seen | Ended | None:
        """The incident that goes on or is over; None while all is well. All requests due before `until` are there.

        An incident that is over is told once.
        """
        if self.lasting:
            found = spells(self._requests, self._slo, self._begin_ns, until_ns)
            return self._look_for_end(found.found, until_ns, good_now=found.good_now)
        seen = see(self._requests, self._slo, self._settle_s, self._begin_ns, until_ns)
        if seen is None:
            self._forget(until_ns - _KEPT * self._hold_ns)
        elif seen.over and seen.recovered is not None:
            self._forget(seen.recovered.hi_ns)
        return seen

    def give_up(self) -> None:
        """The incident has lasted to the horizon: from now on only its end is looked for."""
        self.lasting = True

    def _look_for_end(self, found: tuple[Spell, ...], until_ns: int, *, good_now: bool) -> Ended | None:
        recovered = Interval(min(self._bad_ns, self._begin_ns), self._begin_ns)
        keep_ns = self._begin_ns
        if found:
            group, more = first_group(found, self._settle_s)
            last = group[-1].recovered
            if last is None:
                self._bad_ns = until_ns - self._hold_ns
                self._forget(until_ns - _KEPT * self._hold_ns)
                return None
            recovered, keep_ns = last, last.lo_ns - _KEPT * self._hold_ns
            if more:
                return self._ended(last, last.hi_ns)
        if good_now and until_ns - self._hold_ns - recovered.hi_ns >= round(self._settle_s * 1e9):
            return self._ended(recovered, until_ns)
        self._forget(keep_ns)
        return None

    def _ended(self, recovered: Interval, until_ns: int) -> Ended:
        self.lasting = False
        self._forget(recovered.hi_ns)
        return Ended(recovered, until_ns)

    def _forget(self, before_ns: int) -> None:
        self._begin_ns = max(self._begin_ns, before_ns)
        del self._requests[: bisect_left(self._requests, self._begin_ns, key=lambda r: r.sched_ns)]
