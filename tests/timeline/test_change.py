from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.timeline.change import RateChange, first_level, last_level, likeliest


def sums(marks: str) -> list[int]:
    """`x` is a bad answer, `.` a good one."""
    return [0, *accumulate(mark == "x" for mark in marks)]


def fall(marks: str) -> RateChange | None:
    return likeliest(sums(marks), 0, len(marks), range(1, len(marks)), falls=True)


def rise(marks: str) -> RateChange | None:
    return likeliest(sums(marks), 0, len(marks), range(1, len(marks)), falls=False)


@pytest.mark.parametrize("length", [3, 5, 40])
def test_the_end_of_a_total_outage_is_known_to_the_answer(length: int) -> None:
    assert fall("x" * length + "." * 80) == RateChange(length, length, length)
    assert rise("." * 80 + "x" * length) == RateChange(80, 80, 80)


def test_behind_a_partial_outage_the_interval_reaches_two_gaps_of_good_answers() -> None:
    found = fall(("." * 9 + "x") * 16 + "." * 160)
    assert found is not None
    assert found.first == found.best == 160  # behind the last bad answer
    assert found.last - 160 == pytest.approx(20, abs=3)


def test_a_single_stray_does_not_move_the_change() -> None:
    assert fall("x" * 40 + "." * 50 + "x" + "." * 60) == RateChange(40, 40, 40)


def test_there_is_no_change_in_the_other_direction() -> None:
    assert fall("." * 40 + "x" * 40) is None
    assert rise("." * 40) is None


def test_levels() -> None:
    worse_then_better = sums("x" * 40 + "x...." * 12)
    assert last_level(worse_then_better, 0, 100) == pytest.approx(40, abs=2)
    assert first_level(worse_then_better, 0, 100) == pytest.approx(40, abs=2)
    assert last_level(sums("x.." * 30), 0, 90) == 0
    assert first_level(sums("x.." * 30), 0, 90) == 90


def test_a_level_is_hardly_ever_taken_for_two() -> None:
    draw = random.Random(3)
    rows = [sums("".join("x" if draw.random() < share else "." for _ in range(200))) for share in (0.1, 0.5) * 150]
    assert sum(last_level(row, 0, 200) > 0 for row in rows) <= 3


marks = st.text(alphabet="x.", min_size=2, max_size=60)


@given(marks)
def test_the_mirror_image_changes_at_the_mirrored_place(row: str) -> None:
    found, mirrored, n = fall(row), rise(row[::-1]), len(row)
    assert (found is None) == (mirrored is None)
    if found and mirrored:
        assert (found.first, found.last) == (n - mirrored.last, n - mirrored.first)


@given(marks, st.text(alphabet="x.", max_size=20), st.text(alphabet="x.", max_size=20))
def test_answers_outside_the_row_that_is_looked_at_say_nothing(row: str, before: str, behind: str) -> None:
    lo, hi = len(before), len(before) + len(row)
    found = likeliest(sums(before + row + behind), lo, hi, range(lo + 1, hi), falls=True)
    alone = fall(row)
    assert (found is None) == (alone is None)
    if found and alone:
        assert (found.first - lo, found.best - lo, found.last - lo) == (alone.first, alone.best, alone.last)
        assert found.first <= found.best <= found.last
