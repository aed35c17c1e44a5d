"""Phases and funnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smartops_chaos.analysis import table
from smartops_chaos.analysis.phases import funnel, phases, recovery_width

Trials = Callable[..., list[dict[str, Any]]]


def seen(**moments: tuple[float, float]) -> dict[str, float]:
    ends = [(f"{m}_lo_s", lo) for m, (lo, _) in moments.items()] + [(f"{m}_hi_s", hi) for m, (_, hi) in moments.items()]
    return dict(ends)


def test_a_phase_is_an_interval_difference_over_healed_trials(trials: Trials) -> None:
    rows = trials("on", [10, 12, 20])
    rows[0] |= seen(detected=(1, 3), diagnosed=(2, 4), acted=(5, 5), recovered=(9, 11))
    rows[1] |= seen(detected=(3, 5), acted=(6, 6), recovered=(12, 12))
    rows[2] |= seen(detected=(90, 90)) | {"outcome": "platform"}
    by_name = {p.name: p for p in phases(table.from_rows(rows), 0.025)}
    assert (by_name["detect"].mean_s, by_name["detect"].n, by_name["detect"].measuring_error_s) == (3, 2, 2)
    # detected in [1, 3], diagnosed in [2, 4]: the duration is in [-1, 3], cut to [0, 3]
    assert (by_name["diagnose"].mean_s, by_name["diagnose"].n, by_name["diagnose"].measuring_error_s) == (1.5, 1, 3)
    assert (by_name["decide"].mean_s, by_name["decide"].n, by_name["decide"].measuring_error_s) == (None, 0, None)
    assert (by_name["recover"].mean_s, by_name["recover"].n) == (5.5, 2)
    # 5 and 6: half their difference times t(0.975, 1 degree of freedom) = 12.706, and no duration below 0
    assert (by_name["recover"].lo_s, by_name["recover"].hi_s) == (0.0, pytest.approx(5.5 + 12.706 / 2, abs=0.001))
    assert (by_name["diagnose"].lo_s, by_name["diagnose"].hi_s) == (None, None)


def test_measuring_error_is_the_median_width(trials: Trials) -> None:
    rows = trials("on", [10, 12, 100])
    rows[0] |= seen(recovered=(9, 11))
    rows[1] |= seen(recovered=(12, 12.5))
    assert recovery_width(table.from_rows(rows)) == 1.25
    assert recovery_width(table.from_rows(trials("on", [1]))) is None


def test_funnel_names_every_loss(trials: Trials) -> None:
    rows = trials("on", [5, 5, 0, 100, 100, 30], reason="")
    rows[0] |= seen(impacted=(1, 1), detected=(2, 2), diagnosed=(2, 2), decided=(2, 2), acted=(3, 3), recovered=(5, 5))
    rows[1] |= seen(impacted=(1, 1), acted=(3, 3), recovered=(5, 5))  # healed, but its telemetry was missing
    rows[2] |= seen(detected=(1, 1))
    rows[3] |= seen(impacted=(1, 1)) | {"reason": "undetected"}
    rows[4] |= seen(impacted=(1, 1), detected=(2, 2), diagnosed=(3, 3)) | {"reason": "denied"}
    rows[5] |= seen(impacted=(1, 1), recovered=(30, 30)) | {"outcome": "platform", "reason": "no-action"}
    steps = {s.moment: (s.reached, s.lost) for s in funnel(table.from_rows(rows))}
    assert steps == {
        "injected": (6, {}),
        "impacted": (5, {"prevented": 1}),
        "detected": (3, {"platform: no-action": 1, "unrecovered: undetected": 1}),
        "diagnosed": (3, {}),
        "decided": (2, {"unrecovered: denied": 1}),
        "acted": (2, {}),
        "verified": (2, {}),
        "recovered": (2, {}),
    }


def test_a_bare_table_has_no_funnel(trials: Trials) -> None:
    assert funnel(table.from_rows(trials("on", [1, 2]))) == ()


def test_phases_of_a_bare_table_are_empty(trials: Trials) -> None:
    assert [(p.mean_s, p.n) for p in phases(table.from_rows(trials("on", [1, 2])), 0.025)] == [(None, 0)] * 5


@pytest.mark.parametrize("moment", ["detected", "diagnosed", "decided", "acted"])
def test_a_later_step_implies_the_earlier_ones(trials: Trials, moment: str) -> None:
    rows = trials("on", [100]) + trials("on", [100])
    for row in rows:
        row |= seen(impacted=(1, 1)) | {"outcome": "unrecovered"}
    rows[0] |= seen(**{moment: (2, 2)})
    reached = {s.moment: s.reached for s in funnel(table.from_rows(rows))}
    order = ["detected", "diagnosed", "decided", "acted", "verified"]
    passed = order.index(moment) + 1
    assert [reached[m] for m in order] == [1] * passed + [0] * (5 - passed)
