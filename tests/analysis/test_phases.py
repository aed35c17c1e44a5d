"""Phases and funnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.analysis import table
from smartops_chaos.analysis.phases import funnel, phases, recovery_width
from smartops_chaos.analysis.summary import AsideMoment
from tests.analysis.conftest import trials as trials_of

Trials = Callable[..., list[dict[str, Any]]]


def seen(**moments: tuple[float, float]) -> dict[str, float]:
    ends = [(f"{m}_lo_s", lo) for m, (lo, _) in moments.items()] + [(f"{m}_hi_s", hi) for m, (_, hi) in moments.items()]
    return dict(ends)


def test_steps_follow_one_another_and_add_up(trials: Trials) -> None:
    rows = trials("on", [10, 12, 20, 20, 20])
    rows[0] |= seen(detected=(1, 3), diagnosed=(2, 4), decided=(4, 4), acted=(5, 5), recovered=(9, 11))
    rows[1] |= seen(detected=(3, 5), acted=(6, 6), recovered=(12, 12))
    rows[2] |= seen(detected=(90, 90)) | {"outcome": "platform"}
    rows[3] |= seen(detected=(1, 1))  # healed, but nobody knows when the action was
    rows[4] |= seen(detected=(9, 9), acted=(9, 9)) | {"flags": "clock_step"}
    steps, aside = phases(table.from_rows(rows), 0.025)
    assert [(p.name, p.mean_s, p.n) for p in steps] == [
        ("detect", 3.0, 2),
        ("diagnose", 0.5, 1),  # 1 s and none
        ("decide", 0.5, 1),
        ("act", 1.5, 2),  # 1 s, and 2 s that the decision is part of
        ("recover", 5.5, 2),
    ]
    assert sum(p.mean_s or 0 for p in steps) == 11
    assert aside == ()
    assert (steps[0].measuring_error_s, steps[-1].measuring_error_s) == (2, 1)
    # 5 and 6: half their difference times t(0.975, 1 degree of freedom) = 12.706, and no duration below 0
    assert (steps[-1].lo_s, steps[-1].hi_s) == (0.0, pytest.approx(5.5 + 12.706 / 2, abs=0.001))


def test_what_came_after_the_decision_is_beside_the_path(trials: Trials) -> None:
    rows = trials("on", [4, 6])
    rows[0] |= seen(detected=(1, 1), decided=(1, 1), acted=(2, 2), diagnosed=(3, 3), verified=(5, 5))
    rows[1] |= seen(detected=(1, 1), acted=(3, 3), diagnosed=(4, 4))
    steps, aside = phases(table.from_rows(rows), 0.025)
    assert [p.mean_s for p in steps] == [1, None, 0, 1.5, 2.5]
    assert aside == (AsideMoment("diagnosed", 3.5, 2), AsideMoment("verified", 5.0, 1))


_second = st.none() | st.floats(0, 20)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 20), *[st.tuples(_second, st.floats(0, 5))] * 5).map(
            lambda one: (
                {"time_s": one[0]}
                | {
                    f"{name}_{end}_s": None if lo is None else lo + (width if end == "hi" else 0)
                    for name, (lo, width) in zip(
                        ("detected", "diagnosed", "decided", "acted", "verified"), one[1:], strict=True
                    )
                    for end in ("lo", "hi")
                }
            )
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_was_seen_the_steps_sum_to_the_mean_time_of_the_same_trials(told: list[dict[str, Any]]) -> None:
    rows = [trials_of("on", [1.0])[0] | one for one in told]
    steps, _ = phases(table.from_rows(rows), 0.025)
    same = [one["time_s"] for one in told if one["detected_lo_s"] is not None and one["acted_lo_s"] is not None]
    assert steps[-1].n == len(same)
    assert all(p.mean_s is None or p.mean_s >= 0 for p in steps)
    assert sum(p.mean_s or 0 for p in steps) == pytest.approx(sum(same) / len(same) if same else 0, abs=1e-9)


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
    steps, aside = phases(table.from_rows(trials("on", [1, 2])), 0.025)
    assert [(p.mean_s, p.n) for p in steps] == [(None, 0)] * 5
    assert aside == ()


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
