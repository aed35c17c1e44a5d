from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smartops_chaos.errors import FileProblems
from smartops_chaos.model import Slo
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.schema import promql

Write = Callable[..., Path]
REQUESTS = "slo: {latency: 250ms, objective: 95%, hold: 2s}"
LOAD = "  workload:\n    steady: {rate: 40/s}\n"


def asked(write: Write, slo: str) -> Path:
    return write((REQUESTS, f"slo: {{{slo}}}"), (LOAD, ""))


def test_a_query_takes_the_place_of_requests(matrix: Write) -> None:
    plan = load_plan(asked(matrix, "query: 'rate(good[30s]) / rate(all[1m30s])', at_least: 95%, every: 2s, hold: 10s"))
    slo = plan.analysis.slo
    assert (slo.query, slo.at_least, slo.hold_s) == ("rate(good[30s]) / rate(all[1m30s])", 0.95, 10)
    assert slo.lag_s == 92  # the longest range, and a scrape
    assert slo.fewest == 4  # of 5 values in a window
    assert plan.workloads["default"].rate_per_s == 0.5


def test_requests_are_judged_as_before(matrix: Write) -> None:
    assert load_plan(matrix()).analysis.slo == Slo(0.25, 0.95, 2.0)


def test_the_query_belongs_to_the_digest(matrix: Write) -> None:
    one = load_plan(asked(matrix, "query: up, at_least: 1, hold: 4s")).digest
    assert load_plan(asked(matrix, "query: up, at_least: 2, hold: 4s")).digest != one
    assert load_plan(asked(matrix, "query: up, at_least: 1, lag: 3s, hold: 4s")).digest != one


@pytest.mark.parametrize(
    ("slo", "message"),
    [
        (
            "query: 'avg(job:ok:ratio_rate5m)', at_least: 1, hold: 4s",
            "slo: how late job:ok:ratio_rate5m is depends on its",
        ),
        ("query: up, hold: 4s", "`at_least` is missing: write `at_least: 95%`"),
        ("query: up, at_least: much, hold: 4s", "at_least: much"),
        ("query: up, at_least: .inf, hold: 4s", "`at_least` is not a finite number"),
        ("query: '', at_least: 1, hold: 4s", "`query`"),
        ("query: up, at_least: 1, hold: 1s", "`hold` of 1s holds fewer than two values"),
        ("query: up, at_least: 1, hold: 4s, objective: 95%", "unknown key `objective`"),
    ],
)
def test_mistakes(matrix: Write, slo: str, message: str) -> None:
    with pytest.raises(FileProblems) as error:
        load_plan(asked(matrix, slo))
    (told,) = [str(problem) for problem in error.value.problems]
    assert message in told


def test_a_workload_beside_a_query_is_refused(matrix: Write) -> None:
    with pytest.raises(FileProblems, match="remove it: your own load runs"):
        load_plan(matrix((REQUESTS, "slo: {query: up, at_least: 1, hold: 4s}")))


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up", 0),
        ("rate(good[1m30s]) / rate(all[30s])", 90),
        ('rate(good{path="[5m]"}[10s]) # [1h]', 10),
        ("max_over_time(rate(good[1m])[5m:30s])", 60 + 330),
        ("max_over_time(good[5m:]) ", 300 + 60),
        ("rate(good[10s] offset 1m)", 70),
        ("rate(good[300])", 300),
    ],
)
def test_how_far_a_query_looks_back(query: str, seconds: float) -> None:
    assert promql.looks_back_s(query) == seconds
