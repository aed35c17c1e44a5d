"""Root-cause analysis: no answer is wrong, a constant answer earns nothing."""

from __future__ import annotations

import pytest

from smartops_chaos.analysis.rca import rca
from smartops_chaos.analysis.summary import Rca
from smartops_chaos.analysis.table import from_rows


def asked(*trials: tuple[str, str, int | None]) -> Rca:
    return rca(
        from_rows(
            {
                "chaos": "c",
                "workload": "w",
                "model": "m",
                "policy": "p",
                "outcome": "healed",
                "time_s": 1,
                "horizon_s": 9,
            }
            | {"rca_expected": expected, "rca_top1": answer, "rca_rank": rank}
            for expected, answer, rank in trials
        ),
        0.025,
    )


def test_shares_lift_and_recall() -> None:
    found = asked(("cpu", "cpu", 1), ("cpu", "cpu", 1), ("cpu", "net", 2), ("net", "", None), ("net", "net", 1))
    assert (found.top1, found.n, found.answers) == (3 / 5, 5, 2)
    assert found.at_k == {"1": 3 / 5, "2": 4 / 5, "3": 4 / 5}
    assert found.lift == pytest.approx(3 / 5 - 3 / 5)  # always saying `cpu` is as good
    assert found.macro_recall == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.confusion == {"cpu": {"cpu": 2, "net": 1}, "net": {"": 1, "net": 1}}


def test_a_constant_answer_has_no_lift() -> None:
    found = asked(("cpu", "cpu", 1), ("net", "cpu", None), ("cpu", "cpu", 1))
    assert (found.lift, found.answers, found.macro_recall) == (0, 1, 0.5)


def test_no_answers_at_all() -> None:
    found = asked(("cpu", "", None), ("net", "", None))
    assert (found.top1, found.lo, found.answers, found.lift) == (0, 0, 0, -0.5)


def test_one_cause_of_a_combination_is_right() -> None:
    found = asked(("cpu|net", "net", 1), ("cpu", "net", None))
    assert (found.top1, found.lift) == (0.5, -0.5)  # `cpu` would be right in both


def test_a_table_with_answers_but_no_ranks() -> None:
    found = asked(("cpu", "cpu", None), ("net", "cpu", None))
    assert (found.top1, found.at_k["3"]) == (0.5, 0.5)


def test_nothing_expected_nothing_asked() -> None:
    found = asked(("", "cpu", None))
    assert (found.n, found.top1, found.lift, found.confusion) == (0, None, None, {})
