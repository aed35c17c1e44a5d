"""Values of a query in place of requests; a campaign on the lab is in tests/run/test_on_lab.py."""

from __future__ import annotations

import io
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.trial.slo_query import good, loop


def vector(*values: str) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]} for value in values]}


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [
        (vector("1"), True),
        (vector("0.95", "1"), True),
        (vector("0.95", "0.94"), False),
        (vector("NaN"), False),  # 0 / 0: no traffic at all
        (vector("+Inf"), True),
        (vector(), False),
        ({"resultType": "scalar", "result": [0, "0.96"]}, True),
        ({"resultType": "scalar", "result": [0, "0.9"]}, False),
    ],
)
def test_what_does_not_show_that_it_is_good_is_not(answer: dict[str, Any], is_good: bool) -> None:
    assert good(answer, 0.95) is is_good


def test_a_prometheus_that_does_not_answer_leaves_no_line() -> None:
    out = io.StringIO()
    closed = "http://127.0.0.1:1"
    loop(out, Clock.anchored(), url=closed, query="up", at_least=1, rate_per_s=20, timeout_s=0.2, limit_s=0.3)
    assert out.getvalue() == ""
