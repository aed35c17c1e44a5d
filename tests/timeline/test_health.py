from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartops_chaos.model import Health, Interval, Request, Slo
from smartops_chaos.timeline.health import Watch, is_good, measure, spells, window_state

SLO = Slo(latency_s=0.25, objective=0.95, hold_s=2.0)
RATE = 40
STEP_NS = 25_000_000
GOOD_NS = 20_000_000


def requests(marks: str, start: int = 0) -> list[Request]:
    """One request every 25 ms: `.` good, `x` refused, `5` an error, `s` too slow, space: never scheduled."""
    kinds = {".": (GOOD_NS, 200), "x": (-1, 0), "5": (GOOD_NS, 503), "s": (300_000_000, 200)}
    return [Request((start + n) * STEP_NS, 0, *kinds[mark]) for n, mark in enumerate(marks) if mark != " "]


def health(
    sent: list[Request],
    *,
    horizon_s: float = 10.0,
    until_s: float = 12.0,
    injected: Interval | None = None,
    **more: Any,
) -> Health:
    options = {"zero_ns": 0, "until_ns": round(until_s * 1e9), "stopped_early": False} | more
    return measure(sent, SLO, injected=injected or Interval(0, 0), horizon_s=horizon_s, **options)


@pytest.mark.parametrize(
    ("n", "bad", "state"),
    [(39, 0, "unknown"), (40, 2, "good"), (40, 3, "bad"), (80, 4, "good"), (80, 5, "bad"), (79, 4, "bad")],
)
def test_window_state_at_95_percent(n: int, bad: int, state: str) -> None:
    assert window_state(n, bad, SLO) == state


@given(per_mille=st.integers(500, 999), n=st.integers(1, 5000), bad=st.integers(0, 600))
@example(per_mille=900, n=20, bad=2)  # (1 - 0.9) x 20 is below 2 in floating point
def test_window_state_is_exact(per_mille: int, n: int, bad: int) -> None:
    share = Fraction(1000 - per_mille, 1000)
    state = window_state(n, bad, Slo(0.25, per_mille / 1000, 2.0))
    assert state == ("unknown" if n < 2 / share else "good" if bad <= int(share * n) else "bad")


def test_is_good() -> None:
    latency = 250_000_000
    assert is_good(Request(0, 0, latency, 204), latency)
    assert not is_good(Request(0, 0, latency + 1, 200), latency)
    assert not is_good(Request(0, 0, -1, 0), latency)
    assert not is_good(Request(0, 0, 10, 404), latency)


def test_nothing_bad() -> None:
    found = health(requests("." * 480))
    assert (found.impacted, found.recovered, found.relapses) == (None, None, 0)
    assert (found.bad_s, found.unknown_s, found.requests, found.good_requests) == (0, 0, 480, 480)


@pytest.mark.parametrize("kind", ["x", "5", "s"])
def test_one_outage(kind: str) -> None:
    found = health(requests("." * 20 + kind * 100 + "." * 360))
    assert found.impacted == Interval(19 * STEP_NS, 20 * STEP_NS)
    assert found.recovered == Interval(119 * STEP_NS, 120 * STEP_NS)
    assert (found.bad_s, found.unknown_s) == (2.5, 0)


def test_no_impact_before_the_injection_nor_by_windows_that_began_before_it() -> None:
    sent = requests("." * 10 + "x" * 100 + "." * 370)
    assert health(sent, injected=Interval(5 * STEP_NS + 9, 6 * STEP_NS)).impacted == Interval(9 * STEP_NS, 10 * STEP_NS)
    late = Interval(10 * STEP_NS - 7, 10 * STEP_NS + 7)
    assert health(sent, injected=late).impacted == Interval(late.lo_ns, 10 * STEP_NS)


def test_four_bad_in_two_seconds_are_allowed_and_a_fifth_makes_an_impact() -> None:
    assert health(requests("x" * 4 + "." * 476)).impacted is None
    spread = "." * 100 + "x" + "." * 18 + "x" + "." * 18 + "x" + "." * 18 + "x" + "." * 18 + "x" + "." * 400
    impacted = health(requests(spread)).impacted
    assert impacted is not None
    assert impacted.lo_ns < 100 * STEP_NS < impacted.hi_ns  # so few do not tell more exactly when they began


def test_a_relapse_is_late_if_the_trial_would_have_ended_before_it_was_known() -> None:
    """Good from 2.5 s; the second outage's first bad window is known at its end."""
    sent = requests("." * 20 + "x" * 80 + "." * 200 + "x" * 20 + "." * 160)
    for stop_s, late in ((4.0, 1), (4.9, 1), (6.9, None), (8.0, None)):
        found = health(sent, stop_after_good_s=stop_s)
        assert (found.relapses, found.late_relapses) == (1, late)
    assert health(sent, stop_after_good_s=4.0, stopped_early=True).late_relapses is None


def test_without_a_relapse_a_trial_that_would_have_ended_has_none_late() -> None:
    sent = requests("." * 20 + "x" * 80 + "." * 380)
    assert health(sent, stop_after_good_s=4.0).late_relapses == 0
    assert health(sent, stop_after_good_s=12.0).late_relapses is None
    assert health(requests("." * 480), stop_after_good_s=4.0).late_relapses is None  # never hurt, never stopped


def test_a_relapse_moves_the_recovery_and_counts() -> None:
    found = health(requests("." * 20 + "x" * 60 + "." * 120 + "x" * 20 + "." * 260))
    assert found.recovered == Interval(219 * STEP_NS, 220 * STEP_NS)
    assert found.relapses == 1
    assert found.bad_s == 2.0


def test_bad_to_the_end() -> None:
    found = health(requests("." * 20 + "x" * 460))
    assert (found.recovered, found.bad_s, found.unknown_s) == (None, 9.5125, 0)  # from between 19 and 20


def test_a_recovery_needs_a_whole_window_before_the_end() -> None:
    assert health(requests("x" * 400 + "." * 80)).recovered == Interval(399 * STEP_NS, 400 * STEP_NS)
    assert health(requests("x" * 401 + "." * 79)).recovered is None


def test_what_comes_after_the_horizon_and_a_window_is_not_looked_at() -> None:
    sent = requests("." * 20 + "x" * 60 + "." * 400 + "x" * 200)
    assert health(sent, until_s=17.0) == health(sent, until_s=12.0)


def test_an_early_stop_keeps_the_last_state() -> None:
    sent = requests("." * 20 + "x" * 60 + "." * 160)
    found = health(sent, until_s=6.0, stopped_early=True)
    assert (found.bad_s, found.unknown_s) == (1.5, 0)
    assert found.recovered == Interval(79 * STEP_NS, 80 * STEP_NS)


def test_what_was_not_yet_due_at_an_early_stop_is_not_judged() -> None:
    """The stop was decided without it, and what would have come of it nobody saw."""
    sent = requests("." * 20 + "x" * 60 + "." * 162 + "5" * 8)
    found = health(sent, until_s=6.25, stopped_early=True)
    assert (found.recovered, found.relapses) == (Interval(79 * STEP_NS, 80 * STEP_NS), 0)
    assert health(sent, until_s=6.25).recovered is None


def test_no_recovery_before_the_impact_where_requests_become_denser() -> None:
    """4 bad ones are too many among 79 and allowed among 80."""
    found = health(requests(". " + "." * 48 + "xxxx" + "." * 430))
    assert found.impacted == Interval(49 * STEP_NS, 50 * STEP_NS)
    assert found.recovered == Interval(53 * STEP_NS, 54 * STEP_NS)


def test_an_observation_that_was_cut_short_leaves_the_rest_unknown() -> None:
    found = health(requests("." * 240), until_s=6.0)
    assert (found.bad_s, found.unknown_s) == (0, 6.0)  # windows from 4 s on were not seen to their end


def test_requests_never_scheduled_leave_windows_unknown() -> None:
    found = health(requests("." * 20 + "x" * 60 + "." * 120 + " " * 80 + "." * 200))
    assert found.unknown_s == pytest.approx(2.975)  # the gap, and before it the windows with fewer than 40 requests
    assert found.recovered == Interval(199 * STEP_NS, 280 * STEP_NS)  # unknown is never good
    assert found.bad_s == 1.5


def test_no_requests_at_all_are_unknown_throughout() -> None:
    found = health([])
    assert (found.impacted, found.unknown_s, found.bad_s, found.lateness_p99_s) == (None, 10.0, 0, 0)
    assert health([], until_s=6.0, stopped_early=True).unknown_s == 10.0


def test_unanswered_at_the_very_end_says_nothing_and_before_it_is_bad() -> None:
    sent = requests("x" * 20 + "." * 450 + "x" * 10)
    assert health(sent).recovered == Interval(19 * STEP_NS, 20 * STEP_NS)
    assert health(requests("x" * 20 + "." * 440 + "x" * 10 + "." * 10)).recovered is None


def test_lateness_is_the_nearest_rank() -> None:
    sent = [r._replace(late_ns=n * 1_000_000) for n, r in enumerate(requests("." * 100))]
    assert health(sent, until_s=2.5).lateness_p99_s == 0.098


# ---- against a slow and plain reading of the definition ---------------------------------------------------------


def by_definition(sent: list[Request], end_ns: int) -> tuple[int | None, int | None]:
    """Schedules of the request that makes the first bad window bad, and of the one from which on all is good."""
    hold_ns, latency_ns = 2_000_000_000, 250_000_000
    windows = []
    for start in (r.sched_ns for r in sent):
        if start + hold_ns <= end_ns:
            inside = [r for r in sent if start <= r.sched_ns < start + hold_ns]
            bad = [r.sched_ns for r in inside if not is_good(r, latency_ns)]
            windows.append((start, window_state(len(inside), len(bad), SLO), bad))
    impacted = next((bad[-1] for _, state, bad in windows if state == "bad"), None)
    if impacted is None:
        return None, None
    last = max((start for start, state, _ in windows if state != "good"), default=-1)
    last_bad = max(bad[0] for _, state, bad in windows if state == "bad")
    good = {r.sched_ns for r in sent if is_good(r, latency_ns)}
    after = [start for start, _, _ in windows if start > max(last, last_bad) and start in good]
    return impacted, after[0] if after else None


marks = st.lists(
    st.tuples(st.sampled_from(["." * 7, "." * 30, "x", ".x", "x" * 12, "s.", " " * 5]), st.integers(1, 12)), min_size=3
)


@settings(max_examples=150, deadline=None)
@given(marks)
def test_measure_is_the_definition(parts: list[tuple[str, int]]) -> None:
    text = "".join(text * times for text, times in parts)[:560]
    sent = requests(text)
    found = health(sent, horizon_s=12.0, until_s=20.0)
    impacted, recovered = by_definition([r for r in sent if r.sched_ns < 14e9], 14_000_000_000)
    assert (found.impacted is None, found.recovered is None) == (impacted is None, recovered is None)
    if found.impacted and impacted is not None:
        assert found.impacted.lo_ns <= found.impacted.hi_ns <= impacted
    if found.recovered and recovered is not None and found.impacted:
        assert found.recovered.hi_ns >= recovered
        assert found.recovered.mid_ns > found.impacted.mid_ns
    assert 0 <= found.bad_s + found.unknown_s <= 12.0 + 1e-9


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), rate=st.integers(25, 200), start=st.floats(0.5, 4), length=st.floats(0.5, 4))
def test_the_intervals_contain_the_true_moments_and_are_one_spacing_wide(
    seed: int, rate: int, start: float, length: float
) -> None:
    step, phase = 1e9 / rate, random.Random(seed).random()
    sent = []
    for n in range(round(13 * rate)):
        at = round((n + phase) * step)
        down = start * 1e9 <= at < (start + length) * 1e9
        sent.append(Request(at, 0, -1 if down else GOOD_NS, 0 if down else 200))
    found = health(sent)
    assert found.impacted is not None
    assert found.recovered is not None
    assert found.impacted.lo_ns <= start * 1e9 <= found.impacted.hi_ns
    assert found.recovered.lo_ns <= (start + length) * 1e9 <= found.recovered.hi_ns
    assert found.recovered.hi_ns - found.recovered.lo_ns <= step + 1
    assert abs(found.bad_s - length) <= step / 1e9 + 1e-9


# ---- partial outages, whose truth is known ----------------------------------------------------------------------


def partly(draw: random.Random, share: float, base: float, span: tuple[float, float], total_s: float) -> list[Request]:
    """40 requests a second, of which `share` fails in `span` and `base` outside it."""
    phase, sent = draw.random(), []
    for n in range(round(total_s * RATE)):
        at_s = (n + phase) / RATE
        bad = draw.random() < (share if span[0] <= at_s < span[1] else base)
        sent.append(Request(round(at_s * 1e9), 0, GOOD_NS, 503 if bad else 200))
    return sent


@pytest.mark.parametrize("base", [0.0, 0.01])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.3, 0.15])
def test_a_partial_outage_is_dated_within_the_gap_between_two_bad_answers(share: float, base: float) -> None:
    draw, errors, held = random.Random(13), [], 0
    for _ in range(80):
        found = health(partly(draw, share, base, (3.0, 9.0), 16.0), horizon_s=14.0, until_s=16.0)
        if found.impacted and found.recovered and found.relapses == 0:  # no window is bad, or good, by chance
            errors.append((found.impacted.mid_ns / 1e9 - 3, found.recovered.mid_ns / 1e9 - 9))
            held += found.recovered.lo_ns <= 9e9 <= found.recovered.hi_ns
    assert len(errors) >= 60
    means = [sum(error) / len(error) for error in zip(*errors, strict=True)]
    assert max(map(abs, means)) <= 1 / (share * RATE)
    assert held >= 0.7 * len(errors)


def test_an_outage_that_was_total_before_it_was_partial_ends_with_its_last_level() -> None:
    sent = requests("." * 20 + "x" * 100 + "x...." * 16 + "." * 300)  # the last bad one is request 195
    found = health(sent)
    assert found.recovered is not None
    assert found.recovered.lo_ns == 195 * STEP_NS
    assert found.impacted == Interval(19 * STEP_NS, 20 * STEP_NS)


def test_strays_before_a_total_outage_do_not_date_it() -> None:
    found = health(requests("." * 40 + "x" + "." * 50 + "x" + "." * 28 + "x" * 100 + "." * 260))
    assert found.impacted == Interval(119 * STEP_NS, 120 * STEP_NS)
    assert found.bad_s == 2.5


def test_an_outage_shorter_than_the_window_is_as_long_as_it_was() -> None:
    found = health(requests("." * 120 + "x" * 5 + "." * 355))
    assert found.impacted == Interval(119 * STEP_NS, 120 * STEP_NS)
    assert found.recovered == Interval(124 * STEP_NS, 125 * STEP_NS)
    assert found.bad_s == 0.125


def test_two_outages_within_a_window_are_one_that_ends_with_the_second() -> None:
    found = health(requests("." * 40 + "x" * 40 + "." * 40 + "x" * 40 + "." * 320))
    assert found.impacted is not None
    assert found.recovered is not None
    assert found.impacted.lo_ns <= 39 * STEP_NS < found.impacted.hi_ns == 40 * STEP_NS
    assert found.recovered.lo_ns == 159 * STEP_NS < found.recovered.hi_ns  # the good second between them blurs it
    assert found.relapses == 0
    assert found.bad_s == pytest.approx(3.0, abs=0.1)


@settings(max_examples=60, deadline=None)
@given(marks, st.integers(-(10**18), 10**18))
def test_a_shift_in_time_shifts_the_dates_and_nothing_else(parts: list[tuple[str, int]], shift_ns: int) -> None:
    sent = requests("".join(text * times for text, times in parts)[:560])
    moved = [r._replace(sched_ns=r.sched_ns + shift_ns) for r in sent]

    def at(found: Interval | None, by_ns: int) -> Interval | None:
        return found and Interval(found.lo_ns + by_ns, found.hi_ns + by_ns)

    here = health(sent)
    there = measure(
        moved,
        SLO,
        injected=Interval(shift_ns, shift_ns),
        zero_ns=shift_ns,
        horizon_s=10.0,
        until_ns=shift_ns + 12_000_000_000,
        stopped_early=False,
    )
    assert (at(here.impacted, shift_ns), at(here.recovered, shift_ns)) == (there.impacted, there.recovered)
    assert there.bad_s == pytest.approx(here.bad_s, abs=1e-8)
    assert (here.unknown_s, here.relapses) == (there.unknown_s, there.relapses)


# ---- while the trial runs ---------------------------------------------------------------------------------------


def watching(sent: list[Request]) -> Watch:
    watch = Watch(SLO, RATE)
    watch.add(reversed(sent))  # requests complete in any order
    return watch


def at(requests_sent: int) -> int:
    """The moment at which the answers to so many requests are due."""
    return requests_sent * STEP_NS + 250_000_000


def test_the_gate_needs_a_whole_good_window() -> None:
    watch = watching(requests("." * 100))
    assert watch.good_for(2.0, at(80))
    assert watch.good_for(2.0, at(100))
    assert not watch.good_for(2.0, at(75))  # the load began too late for that
    assert not watching([]).good_for(2.0, at(80))
    assert watching(requests("." * 50 + "x" * 4 + "." * 40)).good_for(2.0, at(94))
    assert not watching(requests("." * 50 + "x" * 5 + "." * 40)).good_for(2.0, at(94))


def test_requests_not_answered_in_time_are_bad_before_they_are_on_record() -> None:
    assert not watching(requests("." * 70)).good_for(2.0, at(80))
    assert watching(requests("." * 77)).good_for(2.0, at(80))


def test_good_for_longer_means_every_window_within() -> None:
    watch = watching(requests("x" * 40 + "." * 200))
    assert not watch.good_for(4.0, at(190))
    assert watch.good_for(4.0, at(200))
    assert not watch.good_for(5.5, at(240))


def test_a_burst_between_two_looks_is_an_impact_and_a_hiccup_of_the_generator_is_none() -> None:
    watch = watching(requests("." * 100 + "x" * 5 + "." * 120))
    assert not watch.impacted(0, at(70))
    assert watch.impacted(0, at(220))
    assert watch.impacted(0, at(1000))  # it stays so
    assert not watching(requests("." * 100 + " " * 20 + "." * 120)).impacted(0, at(240))


def test_what_was_bad_before_the_injection_is_no_impact() -> None:
    assert not watching(requests("x" * 50 + "." * 200)).impacted(50 * STEP_NS, at(240))


@settings(max_examples=40, deadline=None)
@given(marks, st.sampled_from([2.0, 2.01, 4.0]), st.integers(0, STEP_NS - 1))
def test_when_the_watch_stops_a_trial_its_record_says_recovered(
    parts: list[tuple[str, int]], span_s: float, later_ns: int
) -> None:
    text = "".join(text * times for text, times in parts)[:300].replace(" ", "x") + "x" * 8 + "." * 250
    sent = requests(text)
    watch = watching(sent)
    moments = (at(n) + later_ns for n in range(80, len(sent)))
    stop_ns = next(ns for ns in moments if watch.impacted(0, ns) and watch.lasted(span_s, ns))
    found = health(sent, until_s=stop_ns / 1e9, horizon_s=14.0, stopped_early=True)
    assert found.recovered is not None
    assert found.recovered.hi_ns <= stop_ns


def test_values_of_a_query_are_all_good_or_their_window_is_bad_and_a_change_lies_up_to_the_lag_before() -> None:
    slo = Slo(2.0, 1.0, 2.0, "up", 1.0, every_s=0.5, lag_s=1.2)
    second = 1_000_000_000
    marks = "..xxxxxx............"
    values = [Request(n * second // 2, 0, 1_000_000, 200 if mark == "." else 503) for n, mark in enumerate(marks)]
    found = measure(
        values, slo, injected=Interval(0, 0), zero_ns=0, horizon_s=8, until_ns=10 * second, stopped_early=False
    )
    assert found.impacted == Interval(0, second)  # not before the injection
    assert found.recovered == Interval(round(2.3 * second), 4 * second)
    assert (found.bad_s, found.unknown_s) == (2.65, 0)  # from 0.5 s to 3.15 s, the middles
    assert window_state(3, 0, slo) == "unknown"  # of 4
    assert window_state(4, 0, slo) == "good"
    assert window_state(4, 1, slo) == "bad"


marks_of_a_service = st.lists(
    st.tuples(st.sampled_from([".", "5", "x.", "5..", "s"]), st.integers(1, 160)), min_size=1, max_size=6
).map(lambda parts: "".join((kind * length)[:length] for kind, length in parts))


@settings(max_examples=60)
@given(marks_of_a_service)
def test_a_standing_service_is_judged_as_a_trial(marks: str) -> None:
    """The first impact, the last recovery and the relapses are the same, and so are the bad seconds."""
    sent = requests(marks + "." * 200)
    until_s = len(marks + "." * 200) / RATE
    trial = health(sent, horizon_s=until_s, until_s=until_s)
    found = spells(sent, SLO, 0, round(until_s * 1e9))
    assert found.good_now
    assert len(found.found) == trial.relapses + (trial.impacted is not None)
    if found.found:
        assert found.found[0].impacted == trial.impacted
        assert found.found[-1].recovered == trial.recovered
        assert all(one.recovered for one in found.found)
        bad_ns = sum(one.recovered.mid_ns - one.impacted.mid_ns for one in found.found if one.recovered)
        assert bad_ns / 1e9 == pytest.approx(trial.bad_s, abs=1e-6)


def test_what_changed_while_nobody_asked_has_an_interval_as_wide_as_that() -> None:
    """Good, 5 s of silence, bad; bad, 5 s of silence, good."""
    sent = requests("." * 200 + " " * 200 + "5" * 200 + " " * 200 + "." * 200)
    (one,) = spells(sent, SLO, 0, 1000 * STEP_NS).found
    assert (one.impacted.lo_ns, one.impacted.hi_ns) == (199 * STEP_NS, 400 * STEP_NS)
    assert one.recovered is not None
    assert (one.recovered.lo_ns, one.recovered.hi_ns) == (599 * STEP_NS, 800 * STEP_NS)
    assert not spells(sent[:-200], SLO, 0, 1000 * STEP_NS).good_now


def test_an_outage_at_the_end_of_what_was_asked_is_dated_by_what_was_asked() -> None:
    """Too few bad ones for a whole window, but not for the part of it that was asked before 5 s of silence."""
    sent = requests("." * 41 + "555" + " " * 200 + "." * 200)
    (one,) = spells(sent, SLO, 0, 444 * STEP_NS).found
    assert 40 * STEP_NS <= one.impacted.lo_ns <= one.impacted.hi_ns <= 43 * STEP_NS
    assert one.recovered is not None
    assert (one.recovered.lo_ns, one.recovered.hi_ns) == (43 * STEP_NS, 244 * STEP_NS)
