from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from smartops_chaos.model import ClockOffset, Interval, Series
from smartops_chaos.timeline.interval import combine, frame, increases, offset_of, shift, stepped, uncertain

S = 1_000_000_000
STAMP = 2_000_000  # what Prometheus may move a stamp by
CUT = 1_000_000  # and what it then cuts it to
moments = st.integers(-(10**18), 10**18)
intervals = st.tuples(moments, st.integers(0, 10**10)).map(lambda x: Interval(x[0], x[0] + x[1]))


def flips(
    samples: list[tuple[int, float]], scrapes: list[int] | None = None, scrape_ns: int = 0
) -> list[tuple[int, int]]:
    """Increases in whole seconds, the tolerance of stamps taken off."""
    series = Series("c", {}, tuple(at * S for at, _ in samples), tuple(value for _, value in samples))
    stamps = sorted({at * S for at, _ in samples} | {at * S for at in scrapes or []})
    found = increases(series, stamps, scrape_ns)
    assert all(shown + scrape_ns + STAMP + CUT == at.hi_ns for shown, at in found)
    return [((at.lo_ns + STAMP) // S, (at.hi_ns - STAMP - CUT - scrape_ns) // S) for _, at in found]


def test_an_increase_lies_between_two_scrapes() -> None:
    assert flips([(1, 0), (2, 0), (3, 1), (4, 1), (5, 3)]) == [(2, 3), (4, 5)]


def test_a_counter_is_born_at_one() -> None:
    assert flips([(3, 1), (4, 1)], scrapes=[1, 2]) == [(2, 3)]
    assert flips([(3, 0), (4, 1)], scrapes=[1, 2]) == [(3, 4)]


def test_what_the_first_scrape_of_all_shows_has_no_known_time() -> None:
    assert flips([(3, 1), (4, 1)]) == []


def test_a_counter_that_is_born_again_at_the_same_value_has_increased() -> None:
    assert flips([(1, 0), (2, 1), (5, 1)], scrapes=[3, 4]) == [(1, 2), (4, 5)]


def test_a_missed_scrape_widens_and_is_no_absence() -> None:
    assert flips([(1, 0), (2, 1), (5, 1), (6, 1)]) == [(1, 2)]
    assert flips([(1, 0), (4, 1)]) == [(1, 4)]


def test_after_a_reset_a_counter_counts_from_zero() -> None:
    assert flips([(1, 5), (2, 0), (3, 0), (4, 2)]) == [(3, 4)]
    assert flips([(1, 5), (2, 2), (3, 2)]) == [(1, 2)]


def test_the_scrape_s_own_duration_belongs_to_the_interval() -> None:
    assert flips([(1, 0), (2, 1)], scrape_ns=7_000_000) == [(1, 2)]


@given(
    seed=st.integers(0, 10**6),
    period=st.integers(S // 5, 15 * S),
    duration=st.integers(0, S // 10),
    born=st.booleans(),
    missed=st.sets(st.integers(1, 40), max_size=12),
)
@example(seed=36611, period=S // 5, duration=0, born=False, missed=set())  # moved down by 2 ms, and cut
def test_an_increase_contains_the_true_moment(
    seed: int, period: int, duration: int, born: bool, missed: set[int]
) -> None:
    """Scrapes with a random phase: each reads the counter at some time within its duration, some fail altogether."""
    chance = random.Random(seed)
    flip = chance.randrange(2 * period, 30 * period)
    starts = [n * period + chance.randrange(period // 10 + 1) for n in range(45) if n not in missed]
    stamps = [(start + chance.randrange(-STAMP, STAMP)) // CUT * CUT for start in starts]
    reads = [start + chance.randrange(duration + 1) for start in starts]
    counted = [(stamp, float(read >= flip)) for stamp, read in zip(stamps, reads, strict=True)]
    samples = [(stamp, value) for stamp, value in counted if value or not born]
    series = Series("c", {}, tuple(stamp for stamp, _ in samples), tuple(value for _, value in samples))
    found = increases(series, stamps, duration)
    assert len(found) == 1
    assert found[0][1].lo_ns <= flip <= found[0][1].hi_ns


@given(at=moments, offset=st.integers(-(10**9), 10**9), below=st.integers(0, 10**6), above=st.integers(0, 10**6))
def test_a_shifted_stamp_contains_the_true_moment(at: int, offset: int, below: int, above: int) -> None:
    found = shift(Interval(at + offset, at + offset), Interval(offset - below, offset + above))
    assert found == Interval(at - above, at + below)


@given(st.lists(intervals, min_size=1, max_size=4))
def test_combined_intervals_are_common_to_all_or_a_conflict(found: list[Interval]) -> None:
    at, conflict = combine(found)
    lo, hi = max(i.lo_ns for i in found), min(i.hi_ns for i in found)
    if lo <= hi:
        assert (at, conflict) == (Interval(lo, hi), False)
    elif conflict:
        assert all(at.lo_ns <= i.lo_ns and i.hi_ns <= at.hi_ns for i in found)
    else:
        assert at == Interval(hi, lo)
        assert lo - hi <= 50_000_000


def test_a_line_stamped_a_little_after_the_scrape_that_shows_its_event_is_no_conflict() -> None:
    assert combine([Interval(0, S), Interval(S + 5_000_000, S + 5_000_000)]) == (Interval(S, S + 5_000_000), False)
    assert combine([Interval(0, S), Interval(2 * S, 2 * S)]) == (Interval(0, 2 * S), True)


def test_offsets_hold_for_the_whole_trial() -> None:
    clocks = [
        ClockOffset("node", "start", -5, 3),
        ClockOffset("node", "end", -2, 9),
        ClockOffset("other", "end", 70, 80),
    ]
    assert offset_of(clocks, "node") == Interval(-5, 9)
    assert offset_of(clocks, "unknown") == Interval(0, 0)


def test_a_clock_has_stepped_if_both_its_bounds_cannot_be_true() -> None:
    drift = [ClockOffset("a", "start", 0, 100), ClockOffset("a", "end", 1_000_000, 1_000_100)]
    step = [ClockOffset("b", "start", 0, 100), ClockOffset("b", "end", -30_000_000, -20_000_000)]
    assert stepped([*drift, *step]) == ("b",)
    assert stepped([]) == ()


def test_a_clock_may_be_known_too_badly() -> None:
    """Both ends count: what was stamped in between may have had either offset."""
    good = [ClockOffset("a", "start", 0, S), ClockOffset("a", "end", 0, S)]
    moved = [ClockOffset("b", "start", 0, 10), ClockOffset("b", "end", S, S + 10)]
    assert uncertain([*good, *moved]) == ("b",)
    assert uncertain([]) == ()


def test_what_is_no_number_is_no_change() -> None:
    assert flips([(1, 0), (2, float("nan")), (3, 0), (4, 1)]) == [(3, 4)]
    assert flips([(1, 1), (2, float("nan")), (3, 1)]) == []


def test_zero_is_the_injection_of_the_last_part(story: Any) -> None:
    trial = story(families=("cpu", "network"))
    evidence = trial.evidence()
    first, second, observe = evidence.calls
    later = Interval(trial.ns(1.0), trial.ns(1.2))
    calls = (first, replace(second, at=later), observe)
    found = frame(replace(evidence, calls=calls), 2)
    assert found is not None
    assert found.zero == later
    assert found.injected == Interval(first.at.lo_ns, later.hi_ns)
    assert found.seconds(Interval(trial.ns(2.0), trial.ns(2.5))) == (0.8, 1.5)
    assert found.seconds(Interval(trial.ns(0.5), trial.ns(1.1))) == (0.0, 0.1)


def test_without_a_fault_the_frame_begins_with_the_observation(story: Any) -> None:
    trial = story(families=())
    found = frame(trial.evidence(), 0)
    assert found is not None
    assert found.zero == Interval(trial.ns(0), trial.ns(0))
    assert frame(story(more={"calls": ()}).evidence(), 1) is None
