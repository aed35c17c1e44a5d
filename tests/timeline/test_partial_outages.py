"""Outages whose every request was written by hand: a part of the pods or paths fails, or all of them now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smartops_chaos.timeline.calibration import TOLERANCE_S

RATE = 40
BEGUN_S, ENDED_S = 0.5, 4.0
HEALER = {"anomaly": 1.0, "rca": 1.2, "act": 3.9, "verified": 5.5}


def each(nth: int, begin_s: float, end_s: float) -> list[int]:
    """Requests that go to one of so many pods in turn, or take one of so many paths."""
    return [n for n in range(round(begin_s * RATE), round(end_s * RATE)) if n % nth == 0]


def flaps(length_s: float, every_s: float, until_s: float) -> list[tuple[float, float]]:
    begins = [BEGUN_S + n * every_s for n in range(100) if BEGUN_S + n * every_s < until_s]
    return [(begin_s, begin_s + length_s) for begin_s in begins]


def holds(row: dict[str, Any], moment: str, true_s: float) -> bool:
    slack = 1.5 / RATE  # the injection took 20 ms, and a request says nothing of the time before the next one
    return bool(row[f"{moment}_lo_s"] - slack <= true_s <= row[f"{moment}_hi_s"] + slack)


@pytest.mark.parametrize("pods", [2, 3, 5, 10])
def test_one_pod_of_some_is_dated_as_exactly_as_its_bad_answers_allow(story: Any, pods: int) -> None:
    row = story(bad_at=each(pods, BEGUN_S, ENDED_S)).row()
    assert holds(row, "impacted", BEGUN_S)
    assert holds(row, "recovered", ENDED_S)
    assert abs(row["time_s"] - ENDED_S) <= pods / RATE
    assert row["relapses"] == 0


@pytest.mark.parametrize("pods", [2, 3])
def test_the_healer_that_repaired_half_or_a_third_of_the_service_has_healed_it(
    story: Any, healer_lines: Callable[..., Any], pods: int
) -> None:
    row = story(bad_at=each(pods, BEGUN_S, ENDED_S), logs=healer_lines(**HEALER)).row()
    assert row["outcome"] == "healed"
    assert row["recovered_hi_s"] > HEALER["act"]


def test_as_few_bad_answers_as_the_objective_allows_are_no_outage(story: Any) -> None:
    row = story(bad_at=each(20, -5.0, 14.0)).row()
    assert (row["outcome"], row["time_s"], row["bad_seconds"]) == ("no_effect", 0.0, 0.0)


@pytest.mark.parametrize(("length_s", "every_s"), [(0.1, 1.0), (0.3, 1.5), (0.05, 0.5), (0.5, 1.5)])
def test_short_flaps_that_follow_closely_are_one_outage_from_the_first_to_the_last(
    story: Any, length_s: float, every_s: float
) -> None:
    row = story(bad=flaps(length_s, every_s, 6.0)).row()
    last_s = flaps(length_s, every_s, 6.0)[-1][1]
    assert row["relapses"] == 0
    assert holds(row, "impacted", BEGUN_S)
    assert holds(row, "recovered", last_s)
    assert abs(row["time_s"] - last_s) <= every_s


def test_short_flaps_with_good_windows_between_are_relapses_and_the_last_one_dates_the_recovery(story: Any) -> None:
    row = story(bad=flaps(0.2, 3.0, 10.0)).row()
    assert row["relapses"] == 3
    assert row["time_s"] == pytest.approx(9.7, abs=1 / RATE)
    assert row["bad_seconds"] == pytest.approx(4 * 0.2, abs=4 / RATE)


def test_a_flap_within_the_objective_is_no_outage(story: Any) -> None:
    assert story(bad=[(1.0, 1.05)]).row()["outcome"] == "no_effect"


@pytest.mark.parametrize("levels", [(1, 2), (2, 3), (3, 1)])
def test_an_outage_that_becomes_worse_or_better_ends_with_its_last_bad_answer(
    story: Any, levels: tuple[int, int]
) -> None:
    row = story(bad_at=[*each(levels[0], BEGUN_S, 2.0), *each(levels[1], 2.0, ENDED_S)]).row()
    assert holds(row, "recovered", ENDED_S)
    assert abs(row["time_s"] - ENDED_S) <= levels[1] / RATE


@pytest.mark.parametrize("pods", [1, 2, 3, 5])
def test_a_calibration_of_a_partial_outage_is_true(story: Any, pods: int) -> None:
    row = story(phase="calibrate", ended=ENDED_S, ended_by="harness", bad_at=each(pods, 0.1, ENDED_S)).row()
    assert row["drain_s"] == 0.0
    assert abs(row["dating_error_s"]) <= min(pods / RATE, TOLERANCE_S)
