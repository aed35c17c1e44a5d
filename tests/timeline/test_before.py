"""What the service was like before the injection: its time, its drift, and why a trial could not begin."""

from __future__ import annotations

from typing import Any

import pytest

from smartops_chaos.model import Call, Interval, Request, Slo
from smartops_chaos.timeline.before import drift_warning, drifted, unhealthy

SLO = Slo(0.25, 0.95, 2.0)


def window(*answers: tuple[int, int, int], rate: float = 40.0) -> list[Request]:
    """Requests at an even rate: so many with that latency in milliseconds (-1: none) and that status."""
    found = [(ms, status) for n, ms, status in answers for _ in range(n)]
    return [Request(round(i / rate * 1e9), 0, -1 if ms < 0 else ms * 1_000_000, s) for i, (ms, s) in enumerate(found)]


def gate(story: Any, **more: Any) -> Any:
    """A trial whose gate ended just before the injection."""
    trial = story()
    at = Interval(trial.ns(-5), trial.ns(-0.02))
    return story(more={"calls": (Call("gate", -1, at, True, True), *trial.evidence().calls), **more})


def test_the_request_log_tells_the_service_time_where_the_target_does_not(story: Any) -> None:
    row = gate(story).row()
    assert (row["service_ms"], row["service_from"], row["utilisation"]) == (21.0, "requests", None)


def test_the_target_s_own_word_comes_first(story: Any) -> None:
    row = gate(story, service_ms=32.5, work_ms=9.1, utilisation=0.66).row()
    assert [row[name] for name in ("service_ms", "service_from", "work_ms", "utilisation")] == [32.5, "lane", 9.1, 0.66]


def test_the_latency_of_a_query_is_no_service_time(story: Any) -> None:
    row = gate(story, slo=Slo(0.25, 1.0, 2.0, query="up", at_least=1, every_s=0.2)).row()
    assert (row["service_ms"], row["service_from"]) == (None, None)


def test_a_missed_gate_says_how_many_were_bad_how_slow_and_what_to_do(story: Any) -> None:
    trial = story(bad=[(-5, 0)])
    calls = (Call("gate", -1, Interval(trial.ns(-5), trial.ns(-0.02)), True, False),)
    row = story(bad=[(-5, 0)], more={"calls": calls, "gate_passed": False}).row()
    assert (row["outcome"], row["reason"]) == ("invalid", "gate")
    assert row["detail"].startswith("80 of 80 requests were bad in the last 2 s (80 without an answer).")
    assert "The service does not answer" in row["detail"]


@pytest.mark.parametrize(
    ("requests", "utilisation", "told"),
    [
        (
            window((40, 40, 200), (30, 400, 200), (10, 2, 503)),
            0.97,
            "40 of 80 requests were bad in the last 2 s (30 too slow, 10 refused); half of the answers took 40 ms or "
            "more, 250 are allowed; replicas were busy 97 % of the time. The service cannot keep up",
        ),
        (window((40, 40, 200), (40, 400, 200)), 0.5, "Its replicas have time left"),
        (window((40, 40, 200), (40, 400, 200)), None, "The service cannot keep up"),
        (window((40, 40, 200), (40, -1, 0)), None, "(40 without an answer)"),
        (window((12, 40, 200)), None, "only 12 requests were answered in the last 2 s, 40 are needed to judge"),
        (window((80, 40, 200)), None, "the service was healthy, but the healer's detector was not armed"),
    ],
)
def test_what_was_wrong_says_what_it_usually_means(
    requests: list[Request], utilisation: float | None, told: str
) -> None:
    assert told in unhealthy(requests, SLO, utilisation)


def test_an_explanation_begins_with_why_the_trial_does_not_count(story: Any) -> None:
    trial = story(more={"gate_passed": False, "gate_false_alarms": 3})
    assert trial.row()["detail"].startswith("the healer signalled or acted 3 times before anything was injected")
    assert "acted 3 times" in trial.explained()


def row(name: str, ms: float | None, source: str = "lane", workload: str = "steady") -> dict[str, object]:
    return {"trial": name, "workload": workload, "service_ms": ms, "service_from": source}


def test_a_trial_before_which_the_service_was_slower_is_named() -> None:
    rows = [*(row(f"t{n}", 32.5) for n in range(5)), row("late", 39.0), row("old", None), row("nan", float("nan"))]
    rows.append(row("left out", 90.0) | {"outcome": "invalid"})
    assert [(name, value, usual) for name, value, usual, _ in drifted(rows)] == [("late", 39.0, 32.5)]
    told = drift_warning(rows)
    assert "than the median of 32.5 ms, as the target itself tells, in late (39.0 ms):" in told


def test_trials_are_compared_with_their_like_only() -> None:
    rows = [row("a", 30), row("b", 30), row("c", 60, "requests"), row("d", 61, "requests"), row("e", 90, workload="x")]
    assert drifted(rows) == []
    assert drift_warning(rows) == ""


def test_a_difference_below_the_resolution_of_the_times_is_no_drift() -> None:
    assert drifted([row("a", 5.0), row("b", 5.0), row("c", 6.5)]) == []


def test_the_slowest_come_first_and_the_rest_is_counted() -> None:
    rows = [*(row(f"t{n}", 32.5) for n in range(9)), *(row(f"s{n}", 40.0 + n) for n in range(4)), row("quick", 20.0)]
    assert [name for name, *_ in drifted(rows)] == ["s3", "s2", "s1", "s0", "quick"]
    assert "in s3 (43.0 ms), s2 (42.0 ms), s1 (41.0 ms) and 2 more:" in drift_warning(rows)
