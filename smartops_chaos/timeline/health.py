"""What the users saw: gate, impact, recovery and relapses from the requests of the open loop.

A request is good if its answer was 2xx and came within `slo.latency_s` of its schedule; it belongs to its schedule.
A window [t, t + H) is good if at most floor((1 - objective) n) of its n requests are bad, and unknown (never good) if
n < ceil(2 / (1 - objective)), or if more than a fifth of a query's values are missing. `window_state` says so for the
gate, the impact, the recovery and the running trial.

The service turns bad at the first bad request of a bad window, and good again at the first good request that begins a
good window. Between two requests nothing is known: a change lies after the schedule of the request before it, and not
after the schedule of the request that shows it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

from smartops_chaos.model import Health, Interval, Request, Slo

WindowState = Literal["good", "bad", "unknown"]

_LOOK_BACK_NS = 10_000_000_000  # longer than any answer is waited for: until then a lost request is not on record


def window_state(n: int, bad: int, slo: Slo) -> WindowState:
    """The state of a window with `bad` bad ones among its `n` requests. `slo.objective` lies in (0, 1]."""
    if n < slo.fewest:
        return "unknown"
    return "good" if bad <= _allowed(n, slo) else "bad"


def _allowed(n: int, slo: Slo) -> int:
    return math.floor(round((1 - slo.objective) * n, 9))  # rounded, since (1 - 0.9) x 10 is 0.9999999999999998


def outage_end(requests: Iterable[Request], slo: Slo, recovered: Interval) -> Interval:
    """When the outage that `recovered` ends gave its last bad answer: between that request and the next one.

    A good window may begin with as many bad requests as the objective allows, so a recovery can be dated a little
    before what caused it. Those bad requests belong to the outage that follow one another more closely than the
    objective would bear for long; later ones are strays.
    """
    latency_ns, hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
    window = [r for r in requests if recovered.lo_ns <= r.sched_ns < recovered.hi_ns + hold_ns]
    closest_ns = hold_ns / (_allowed(len(window), slo) + 1)
    last_ns, next_ns = recovered.lo_ns, recovered.hi_ns
    for request, following in pairwise(window):
        if not is_good(request, latency_ns) and request.sched_ns - last_ns <= closest_ns:
            last_ns, next_ns = request.sched_ns, following.sched_ns
    return Interval(last_ns, next_ns)


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
) -> Health:
    """Health in [zero, zero + horizon], from `requests` sorted by schedule.

    `injected` spans all parts of the fault: windows count from its beginning, and no impact is dated before it.
    `until_ns` is the end of observation. What came after zero + horizon + H is left out, so that every arm is observed
    alike; so are unanswered requests whose deadline had not passed by the end, for they say nothing.

    recovered = the first good request from which on every window observed is good, so a relapse moves it; `relapses`
    counts the good stretches before it that did not last. Seconds are bad from an impact to the next good window and
    unknown where a window has too few requests. An early stop was decided on the requests that were due by then, so
    only those are judged; after it the last state lasts to the horizon: good, by the condition of the stop. Without an
    early stop, what was not observed is unknown.
    """
    latency_ns, hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
    horizon_ns = zero_ns + round(horizon_s * 1e9)
    end_ns = min(until_ns - latency_ns if stopped_early else until_ns, horizon_ns + hold_ns)
    seen = [
        r
        for r in requests
        if injected.lo_ns <= r.sched_ns < end_ns and (r.latency_ns >= 0 or r.sched_ns + latency_ns <= until_ns)
    ]
    good = [is_good(r, latency_ns) for r in seen]
    sched = [r.sched_ns for r in seen]
    states = _states(sched, sched, good, end_ns, hold_ns, slo)
    impacts, recoveries = _turns(good, states)

    def change(index: int) -> Interval:
        """A query tells of a change up to `lag_s` after it."""
        before_ns = sched[index - 1] - round(slo.lag_s * 1e9) if index else injected.lo_ns
        return Interval(max(before_ns, injected.lo_ns), sched[index])

    lasting = _lasting(good, states, impacts[-1]) if impacts else None
    known_ns = horizon_ns if stopped_early else max(zero_ns, min(horizon_ns, end_ns - hold_ns))
    bad_ns, unknown_ns = _spent(_segments(sched, states, impacts, recoveries, slo, hold_ns, zero_ns), zero_ns, known_ns)
    return Health(
        impacted=change(impacts[0]) if impacts else None,
        recovered=None if lasting is None else change(lasting),
        relapses=max(0, len(impacts) - 1),
        bad_s=bad_ns / 1e9,
        unknown_s=(unknown_ns + horizon_ns - known_ns) / 1e9,
        requests=len(seen),
        good_requests=sum(good),
        lateness_p99_s=_p99([r.late_ns for r in seen]) / 1e9,
    )


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


def _turns(good: Sequence[bool], states: Sequence[WindowState]) -> tuple[list[int], list[int]]:
    """Indices of the requests at which the service turned bad, and good again."""
    impacts: list[int] = []
    recoveries: list[int] = []
    i = 0
    while i < len(states):
        if len(impacts) == len(recoveries):
            if states[i] == "bad":
                while good[i]:
                    i += 1
                impacts.append(i)
        elif states[i] == "good" and good[i]:
            recoveries.append(i)
        i += 1
    return impacts, recoveries


def _lasting(good: Sequence[bool], states: Sequence[WindowState], after: int) -> int | None:
    """The first good request behind `after` from which on every window is good."""
    first = len(states)
    while first > after + 1 and states[first - 1] == "good":
        first -= 1
    return next((i for i in range(first, len(states)) if good[i]), None)


def _segments(
    sched: Sequence[int],
    states: Sequence[WindowState],
    impacts: Sequence[int],
    recoveries: Sequence[int],
    slo: Slo,
    hold_ns: int,
    zero_ns: int,
) -> list[tuple[int, WindowState]]:
    """When which state begins: a request's window says what holds until the next request. Neighbours differ."""
    before_first = window_state(bisect_left(sched, zero_ns + hold_ns), 0, slo)
    segments: list[tuple[int, WindowState]] = [(zero_ns, before_first)] if not sched or sched[0] > zero_ns else []
    turns = {*impacts, *recoveries}
    is_bad = False
    for i, window in enumerate(states):
        is_bad ^= i in turns
        state: WindowState = "unknown" if window == "unknown" else "bad" if is_bad else "good"
        if not segments or segments[-1][1] != state:
            segments.append((sched[i], state))
    return segments


def _spent(segments: Sequence[tuple[int, WindowState]], lo_ns: int, hi_ns: int) -> tuple[int, int]:
    """Nanoseconds of [lo, hi] that are bad, and that are unknown."""
    spent = {"good": 0, "bad": 0, "unknown": 0 if segments else hi_ns - lo_ns}
    for (start, state), (end, _) in pairwise([*segments, (hi_ns, "good")]):
        spent[state] += max(0, min(end, hi_ns) - max(start, lo_ns))
    return spent["bad"], spent["unknown"]


def _p99(values: Sequence[int]) -> int:
    """The nearest-rank percentile; 0 of nothing."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0
