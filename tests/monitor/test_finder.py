"""Incidents found in requests as they come, whatever the rhythm in which they come."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.model import Interval, Request, Slo
from smartops_chaos.monitor.finder import Ended, IncidentFinder
from smartops_chaos.timeline.incident import Seen, StandingService

S = 1_000_000_000
SPACING = S // 25
SLO = Slo(0.5, 0.9, 1.0)
SERVICE = StandingService("shop", "erp", SLO, 20.0)
SETTLE_S = 3.0


@dataclass(frozen=True)
class Outage:
    begins_s: float
    ends_s: float
    share: float


def row(outages: list[Outage], end_s: float, gaps: list[tuple[float, float]] = ()) -> list[Request]:  # type: ignore[assignment]
    """Requests of a service with these outages; of every few the same share is bad. In a gap nothing is asked."""
    found = []
    for number in range(int(end_s * 25)):
        at = number * SPACING
        share = next((o.share for o in outages if o.begins_s * S <= at < o.ends_s * S), 0.0)
        bad = int((number + 1) * share) > int(number * share)
        if not any(a * S <= at < b * S for a, b in gaps):
            found.append(Request(at, 0, 1_000_000, 500 if bad else 200))
    return found


def incidents(requests: list[Request], looks: list[int], end_s: float) -> list[tuple[Interval, Interval | None]]:
    """Impact and recovery of every incident, looked for at the given steps of time (multiples of 0.2 s)."""
    finder = IncidentFinder(SERVICE, SETTLE_S, begin_ns=0, lasting=False)
    found: list[tuple[Interval, Interval | None]] = []
    now, sent, step = 0, 0, 0
    while now < end_s * S:
        now += looks[step % len(looks)] * S // 5
        step += 1
        upto = sum(r.sched_ns < now for r in requests)
        finder.add(requests[sent:upto])
        sent = upto
        seen = finder.look(now)
        if isinstance(seen, Ended):
            found[-1] = (found[-1][0], seen.recovered)
        elif isinstance(seen, Seen) and seen.over:
            found.append((seen.impacted, seen.recovered))
        elif isinstance(seen, Seen) and seen.until_ns - seen.impacted.mid_ns > SERVICE.horizon_s * S:
            found.append((seen.impacted, None))
            finder.give_up()
    return found


def near(at: Interval | None, truth_s: float) -> bool:
    return at is not None and at.lo_ns <= truth_s * S + SPACING and truth_s * S - SPACING <= at.hi_ns


rows = st.lists(st.tuples(st.floats(6, 12), st.floats(2, 10), st.sampled_from([1.0, 0.5, 0.3])), min_size=0, max_size=4)


def placed(parts: list[tuple[float, float, float]]) -> tuple[list[Outage], float]:
    at, outages = 0.0, []
    for quiet_s, bad_s, share in parts:
        outages.append(Outage(at + quiet_s, at + quiet_s + bad_s, share))
        at += quiet_s + bad_s
    return outages, at + 12


@settings(max_examples=25)
@given(rows, st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_every_outage_is_one_incident_dated_within_its_width(
    parts: list[tuple[float, float, float]], looks: list[int]
) -> None:
    outages, end_s = placed(parts)
    found = incidents(row(outages, end_s), looks, end_s)
    assert len(found) == len(outages)
    for (impacted, recovered), truth in zip(found, outages, strict=True):
        assert near(impacted, truth.begins_s)
        assert near(recovered, truth.ends_s)


@settings(max_examples=25)
@given(rows, st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_when_it_looks_changes_nothing(parts: list[tuple[float, float, float]], looks: list[int]) -> None:
    outages, end_s = placed(parts)
    requests = row(outages, end_s)
    assert incidents(requests, looks, end_s) == incidents(requests, [1], end_s)


@settings(max_examples=25)
@given(st.floats(10, 20), st.floats(3, 10), st.floats(-3, 4), st.floats(0.5, 4), st.sampled_from([1.0, 0.4]))
def test_a_gap_widens_what_it_hides_and_contradicts_nothing(
    begins_s: float, lasts_s: float, gap_s: float, long_s: float, share: float
) -> None:
    """The gap lies somewhere around the impact; the outage goes on for two windows after it."""
    gap = (begins_s + gap_s, begins_s + gap_s + long_s)
    outage = Outage(begins_s, max(begins_s, gap[1]) + 2 + lasts_s, share)
    end_s = outage.ends_s + 12
    found = incidents(row([outage], end_s, [gap]), [1], end_s)
    assert len(found) == 1
    assert near(found[0][0], begins_s)
    assert near(found[0][1], outage.ends_s)


@settings(max_examples=25)
@given(st.floats(-2, 4), st.floats(0.5, 4), st.sampled_from([1.0, 0.4]))
def test_a_gap_around_the_recovery_does_the_same(gap_s: float, long_s: float, share: float) -> None:
    outage = Outage(10, 16, share)
    gap = (16 + gap_s, 16 + gap_s + long_s)
    found = incidents(row([outage], 36, [gap]), [1], 36)
    assert len(found) == 1
    assert near(found[0][0], 10)
    assert near(found[0][1], 16)


def test_an_outage_beyond_the_horizon_is_given_up_and_its_end_is_dated_all_the_same() -> None:
    outage = Outage(10, 90, 0.5)
    (one,) = incidents(row([outage], 120), [1], 120)
    assert near(one[0], 10)
    assert near(one[1], 90)


def test_what_it_keeps_of_a_long_outage_is_bounded() -> None:
    finder = IncidentFinder(SERVICE, SETTLE_S, begin_ns=0, lasting=True)
    requests = row([Outage(0, 600, 1.0)], 600)
    for number in range(0, len(requests), 25):
        finder.add(requests[number : number + 25])
        finder.look(requests[number].sched_ns)
        assert len(finder._requests) <= 12 * 25


def test_what_the_monitor_itself_sent_late_is_no_outage() -> None:
    requests = row([], 30)
    late = [
        r._replace(late_ns=400_000_000, latency_ns=900_000_000) if 250 < i < 400 else r for i, r in enumerate(requests)
    ]
    assert incidents(late, [1], 30) == []
