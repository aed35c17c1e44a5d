"""What the users saw: gate, impact, recovery and relapses from the requests of the open loop.

A request is good if its answer was 2xx and came within `slo.latency_s` of its schedule; it belongs to its schedule.
A window [t, t + H) is good if at most floor((1 - objective) n) of its n requests are bad, and unknown (never good) if
n < ceil(2 / (1 - objective)), or if more than a fifth of a query's values are missing. `window_state` says so for the
gate, the impact, the recovery and the running trial.

The windows say *whether* the service is bad: from the first bad window on, until a good request begins a good window.
They do not say *when* it changed, because a good window may begin with as many bad requests as the objective allows: a
partial outage, of which one request in ten fails, would seem to end seconds too early. So impact and recovery are dated
by the change of the rate of bad requests (timeline.change), near the window that shows them: not after the request that
makes the first bad window bad, and not before the one that begins the good windows.

A change lies after the schedule of the request before it, and not after the schedule of the request that shows it.
Where several requests are likely to be the first after the change, its interval spans all of them: the fewer answers
are bad, the wider it is. The values of a query tolerate nothing bad, so their change shows in one value.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

from smartops_chaos.model import Health, Interval, Request, Slo
from smartops_chaos.timeline.change import RateChange, first_level, last_level, likeliest

WindowState = Literal["good", "bad", "unknown"]

_LOOK_BACK_NS = 10_000_000_000  # longer than any answer is waited for: until then a lost request is not on record
# A change is searched for up to so many H before and after the window that shows it; the likelihood uses one H more.
# One H is not enough: where one answer in ten is bad, all windows within it can be good by chance.
_REACH = 2


@dataclass(frozen=True, slots=True)
class _Outage:
    """By its requests' numbers: what the windows say, not yet dated."""

    window: int  # begins the first bad window
    impact: int  # the first bad request in it
    recovery: int | None  # good, and begins the first good window after it; None: there was none
    since: int = 0  # the recovery is not before this request: `recovery`, but for unknown windows just before it


def window_state(n: int, bad: int, slo: Slo) -> WindowState:
    """The state of a window with `bad` bad ones among its `n` requests. `slo.objective` lies in (0, 1]."""
    if n < slo.fewest:
        return "unknown"
    return "good" if bad <= _allowed(n, slo) else "bad"


def _allowed(n: int, slo: Slo) -> int:
    return math.floor(round((1 - slo.objective) * n, 9))  # rounded, since (1 - 0.9) x 10 is 0.9999999999999998


def is_good(request: Request, latency_ns: int) -> bool:
    return 200 <= request.status < 300 and 0 <= request.latency_ns <= latency_ns


def measure(
    requests: Sequence[Request],
    slo: Slo,
    *,
    injected: Interval,
    zero_ns: int,
    horizon_s: float,
    until_ns: int,
    stopped_early: bool,
    stop_after_good_s: float = math.inf,
) -> Health:
    """Health in [zero, zero + horizon], from `requests` sorted by schedule.

    `injected` spans all parts of the fault: windows count from its beginning, and no impact is dated before it.
    `until_ns` is the end of observation. What came after zero + horizon + H is left out, so that every arm is observed
    alike; so are unanswered requests whose deadline had not passed by the end, for they say nothing.

    `recovered`: find the first good request from which on every observed window is good. The recovery is the change
    of the rate of bad answers at or after it, so a relapse makes it later; `relapses` counts the good stretches
    before it that did not last. Seconds are bad from the middle of an impact's interval to that of its recovery, and
    unknown where a window has too few requests. If observation stopped early, only requests whose deadline had passed
    are judged, because the decision to stop used no others. From then to the horizon the service counts as good: a
    trial stops early only while it is good. Without an early stop, what was not observed is unknown.

    `stop_after_good_s` is when observation stops, or would have stopped if it had not been for the late relapses.
    """
    latency_ns, hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
    horizon_ns = zero_ns + round(horizon_s * 1e9)
    end_ns = min(until_ns - latency_ns if stopped_early else until_ns, horizon_ns + hold_ns)
    seen = _seen(requests, injected.lo_ns, end_ns, until_ns, latency_ns)
    good = [is_good(r, latency_ns) for r in seen]
    sched = [r.sched_ns for r in seen]
    states = _states(sched, sched, good, end_ns, hold_ns, slo)
    outages = _outages(good, states)
    dated = _dated(outages, sched, good, hold_ns, slo)

    def span(change: RateChange) -> Interval:
        return _span(change, sched, injected.lo_ns, slo)

    recovered = None
    if outages and (lasting := _lasting(good, states, outages[-1].impact)) is not None:
        # If windows after the first good one are unknown (too few requests), the rate dates nothing: the recovery is
        # the first good request from which on every window is known to be good.
        dates = dated[-1][1] if lasting == outages[-1].recovery else None
        recovered = span(dates or RateChange(lasting, lasting, lasting))
    known_ns = horizon_ns if stopped_early else max(zero_ns, min(horizon_ns, end_ns - hold_ns))
    bad = [(span(impact).mid_ns, span(end).mid_ns if end else known_ns) for impact, end in dated]
    bad_ns, unknown_ns = _spent(bad, _unknown(sched, states, zero_ns, known_ns, hold_ns, slo), zero_ns, known_ns)
    return Health(
        impacted=span(dated[0][0]) if dated else None,
        recovered=recovered,
        relapses=max(0, len(outages) - 1),
        bad_s=bad_ns / 1e9,
        unknown_s=(unknown_ns + horizon_ns - known_ns) / 1e9,
        requests=len(seen),
        good_requests=sum(good),
        lateness_p99_s=_p99([r.late_ns for r in seen]) / 1e9,
        late_relapses=None if stopped_early else _late_relapses(outages, sched, end_ns, hold_ns, stop_after_good_s),
    )


@dataclass(frozen=True, slots=True)
class Spell:
    """A time for which the service was bad, as dated by its requests; `recovered` is None while it lasts."""

    impacted: Interval
    recovered: Interval | None


@dataclass(frozen=True, slots=True)
class Spells:
    """What the requests of a standing service say since `begin`."""

    found: tuple[Spell, ...]
    good_now: bool  # the last window that is over is good; where there are too few requests it is not


def spells(requests: Sequence[Request], slo: Slo, begin_ns: int, until_ns: int) -> Spells:
    """Every time in [begin, until) for which the service was bad, dated as `measure` dates a trial's.

    Requests are sorted by schedule; where they are missing nothing is concluded: a bad spell goes on until a good
    window is seen, a good one until a bad window is. What changed while nothing was asked has an interval as wide as
    that.
    """
    latency_ns, hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
    seen = _seen(requests, begin_ns, until_ns, until_ns, latency_ns)
    good = [is_good(r, latency_ns) for r in seen]
    sched = [r.sched_ns for r in seen]
    states = _states(sched, sched, good, until_ns, hold_ns, slo)
    dated = _dated(_outages(good, states), sched, good, hold_ns, slo)
    found = [
        Spell(_span(bad, sched, begin_ns, slo), _span(end, sched, begin_ns, slo) if end else None) for bad, end in dated
    ]
    last = seen[bisect_left(sched, until_ns - hold_ns) :]
    bad_now = sum(not is_good(r, latency_ns) for r in last)
    return Spells(tuple(found), window_state(len(last), bad_now, slo) == "good")


def _seen(requests: Sequence[Request], begin_ns: int, end_ns: int, until_ns: int, latency_ns: int) -> Sequence[Request]:
    """The requests that were due in [begin, end); an unanswered one says nothing before its deadline has passed."""
    return [
        r
        for r in requests
        if begin_ns <= r.sched_ns < end_ns and (r.latency_ns >= 0 or r.sched_ns + latency_ns <= until_ns)
    ]


def _span(change: RateChange, sched: Sequence[int], begin_ns: int, slo: Slo) -> Interval:
    """A change of the rate as an interval; a query tells of a change up to `lag_s` after it."""
    before_ns = sched[change.first - 1] - round(slo.lag_s * 1e9) if change.first else begin_ns
    return Interval(max(before_ns, begin_ns), sched[change.last])


class Watch:
    """Health while a trial runs, from the requests recorded so far, in any order.

    Only what is due is judged: requests scheduled before now - latency. One that is not on record by then has no good
    answer in time, so it counts as bad (`rate_per_s` says how many there must be). Take `now_ns` before reading the
    requests from their file.
    """

    def __init__(self, slo: Slo, rate_per_s: float) -> None:
        self._slo = slo
        self._latency_ns, self._hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
        self._expected = math.floor(round(slo.hold_s * rate_per_s, 9))
        self._requests: list[Request] = []
        self._impacted = False

    def add(self, requests: Iterable[Request]) -> None:
        for request in requests:
            insort(self._requests, request)

    def good_for(self, span_s: float, now_ns: int) -> bool:
        """Whether every window within the last `span_s` is good; with span = H it is the gate."""
        end_ns = now_ns - self._latency_ns
        start_ns = end_ns - max(round(span_s * 1e9), self._hold_ns)
        sched, good = self._since(start_ns)
        states = _states([start_ns, *sched], sched, good, end_ns, self._hold_ns, self._slo, self._expected)
        return all(state == "good" for state in states)

    def lasted(self, span_s: float, now_ns: int) -> bool:
        """Whether health has come back and held for `span_s`: since a good request so long ago, every window is good.

        What `measure` calls a recovery begins with a request; a good window between two requests would not show there.
        """
        end_ns = now_ns - self._latency_ns
        start_ns = end_ns - max(round(span_s * 1e9), self._hold_ns)
        sched, good = self._since(start_ns - _LOOK_BACK_NS)
        first = bisect_right(sched, start_ns) - 1
        while first >= 0 and not good[first]:
            first -= 1
        if first < 0:
            return False
        sched, good = sched[first:], good[first:]
        states = _states(sched, sched, good, end_ns, self._hold_ns, self._slo, self._expected)
        return all(state == "good" for state in states)

    def impacted(self, since_ns: int, now_ns: int) -> bool:
        """Whether a window that begins at or after `since_ns` has been bad; once true it stays true.

        Only requests on record count here: a hiccup of the load generator is no impact.
        """
        if not self._impacted:
            end_ns = now_ns - self._latency_ns
            sched, good = self._since(max(since_ns, end_ns - self._hold_ns - _LOOK_BACK_NS))
            self._impacted = "bad" in _states(sched, sched, good, end_ns, self._hold_ns, self._slo)
        return self._impacted

    def _since(self, start_ns: int) -> tuple[list[int], list[bool]]:
        first = bisect_left(self._requests, start_ns, key=lambda r: r.sched_ns)
        recent = self._requests[first:]
        return [r.sched_ns for r in recent], [is_good(r, self._latency_ns) for r in recent]


def _states(
    starts: Sequence[int],
    sched: Sequence[int],
    good: Sequence[bool],
    end_ns: int,
    hold_ns: int,
    slo: Slo,
    expected: int = 0,
) -> list[WindowState]:
    """The state of the window from each of `starts` (sorted) that is over by `end_ns`; missing requests are bad."""
    states: list[WindowState] = []
    judged: dict[tuple[int, int], WindowState] = {}  # a long trial asks the same few hundred questions again and again
    first = last = bad = 0
    for start in starts:
        if start + hold_ns > end_ns:
            break
        while last < len(sched) and sched[last] < start + hold_ns:
            bad += not good[last]
            last += 1
        while first < last and sched[first] < start:
            bad -= not good[first]
            first += 1
        missing = max(0, expected - (last - first))
        counts = (last - first + missing, bad + missing)
        if counts not in judged:
            judged[counts] = window_state(*counts, slo)
        states.append(judged[counts])
    return states


def _outages(good: Sequence[bool], states: Sequence[WindowState]) -> list[_Outage]:
    found: list[_Outage] = []
    unknown: int | None = None  # the first unknown window after the last bad one
    i = 0
    while i < len(states):
        if not found or found[-1].recovery is not None:
            if states[i] == "bad":
                window, unknown = i, None
                while good[i]:
                    i += 1
                found.append(_Outage(window, i, None))
        elif states[i] == "bad":
            unknown = None
        elif states[i] == "unknown":
            unknown = i if unknown is None else unknown
        elif good[i]:
            found[-1] = replace(found[-1], recovery=i, since=i if unknown is None else unknown)
        i += 1
    return found


def _late_relapses(
    outages: Sequence[_Outage], sched: Sequence[int], end_ns: int, hold_ns: int, stop_after_good_s: float
) -> int | None:
    """How many outages follow a good stretch that would have ended the trial; None without such a stretch.

    A bad window is known at its end, so the stop must have come before that.
    """
    for after, outage in enumerate(outages, 1):
        if outage.recovery is not None:
            known_ns = sched[outages[after].window] + hold_ns if after < len(outages) else end_ns
            if known_ns - sched[outage.recovery] >= stop_after_good_s * 1e9:
                return len(outages) - after
    return None


def _dated(
    outages: Sequence[_Outage], sched: Sequence[int], good: Sequence[bool], hold_ns: int, slo: Slo
) -> list[tuple[RateChange, RateChange | None]]:
    """When the rate of bad requests rose and fell for each outage.

    An outage can have several levels, so the last of them tells when it ended and the first when it began.
    """
    if slo.query:
        return [
            (
                _sharp(outage.impact),
                None if outage.recovery is None else RateChange(outage.since, outage.recovery, outage.recovery),
            )
            for outage in outages
        ]
    bad = [0, *accumulate(not one for one in good)]
    steps = (min(later - earlier, hold_ns // 4) for earlier, later in pairwise(sched))
    asked = [0, *accumulate(steps)]  # the schedule without the times at which nothing was asked

    def near(i: int, holds: int) -> int:
        """The first request not more than so many H before, or not less than so many after, request `i`."""
        return bisect_left(asked, asked[i] + holds * hold_ns)

    found: list[tuple[RateChange, RateChange | None]] = []
    begin = 0
    for number, outage in enumerate(outages, 1):
        next_impact = outages[number].impact if number < len(outages) else len(sched)
        recovery, end = None, len(sched)
        if (first := outage.recovery) is not None:
            # Candidates for the recovery start at `since`: before it a window still missed the objective.
            lo = last_level(bad, max(outage.impact, near(outage.since, -_REACH - 1)), outage.since)
            lo = max(outage.impact, min(lo, near(outage.since, -1)))
            hi = min(near(first, _REACH + 1), next_impact)
            candidates = range(outage.since, min(near(first, _REACH), hi))
            recovery = likeliest(bad, lo, hi, candidates, falls=True) or RateChange(outage.since, first, first)
            end = recovery.best
        # Candidates for the impact end at `last`: with this bad request the first bad window exceeds the objective.
        window_end = bisect_left(sched, sched[outage.window] + hold_ns)
        last = bisect_left(bad, bad[outage.window] + _allowed(window_end - outage.window, slo) + 1) - 1
        end = max(end, last + 1)
        lo = max(begin, near(last, -_REACH - 1))
        # A level lasts to the window's end at least: of short flaps the first one would not be of the outage else.
        hi = min(max(first_level(bad, last, min(near(last, _REACH + 1), end)), window_end), end)
        candidates = range(max(begin, near(last, -_REACH)), last + 1)
        found.append((likeliest(bad, lo, hi, candidates, falls=False) or _sharp(outage.impact), recovery))
        begin = end
    return found


def _sharp(i: int) -> RateChange:
    return RateChange(i, i, i)


def _lasting(good: Sequence[bool], states: Sequence[WindowState], after: int) -> int | None:
    """The first good request later than `after` from which on every window is good."""
    first = len(states)
    while first > after + 1 and states[first - 1] == "good":
        first -= 1
    return next((i for i in range(first, len(states)) if good[i]), None)


def _unknown(
    sched: Sequence[int], states: Sequence[WindowState], zero_ns: int, known_ns: int, hold_ns: int, slo: Slo
) -> list[tuple[int, int]]:
    """When nobody knows: a request's window says what holds until the next request, the last one's to the end."""
    if not states:
        return [(zero_ns, known_ns)]
    found: list[tuple[int, int]] = []
    if sched[0] > zero_ns and window_state(bisect_left(sched, zero_ns + hold_ns), 0, slo) == "unknown":
        found.append((zero_ns, sched[0]))
    for state, start, end in zip(states, sched, [*sched[1 : len(states)], known_ns], strict=False):
        if state == "unknown":
            found.append((found.pop()[0] if found and found[-1][1] == start else start, end))
    return found


def _spent(
    bad: Sequence[tuple[int, int]], unknown: Sequence[tuple[int, int]], lo_ns: int, hi_ns: int
) -> tuple[int, int]:
    """Nanoseconds of [lo, hi] that are bad, and that are unknown; what is unknown is not also bad."""

    def length(spans: Iterable[tuple[int, int]]) -> int:
        return sum(max(0, min(end, hi_ns) - max(start, lo_ns)) for start, end in spans)

    both = [(max(a, c), min(b, d)) for a, b in bad for c, d in unknown if a < d and c < b]
    return length(bad) - length(both), length(unknown)


def _p99(values: Sequence[int]) -> int:
    """The nearest-rank percentile; 0 of nothing."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0
