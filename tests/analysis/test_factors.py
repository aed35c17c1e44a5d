from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.analysis import cells, table
from smartops_chaos.analysis.factors import best_and_second, effects
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import Arm
from tests.analysis.conftest import trials

ASKED = Question(baseline=Arm("off", "p"))
GRID = [Arm(model, policy) for model in ("a", "b") for policy in ("p", "q")]


def built(means: dict[Arm, float], spread: float = 1.0) -> list[cells.Cell]:
    rows = []
    for arm, mean in means.items():
        rows += trials(arm.model, [mean - spread, mean, mean + spread], policy=arm.policy)
    return cells.build(table.from_rows(rows), ASKED)


@given(st.lists(st.floats(5, 90), min_size=4, max_size=4))
def test_main_effects_are_means_over_the_other_factor_and_departures_add_up_to_nothing(means):
    found = effects(built(dict(zip(GRID, means, strict=True))), GRID, 0.025)
    assert found is not None
    by_level = {one.level: one for one in (*found.models, *found.policies)}
    assert by_level["a"].mean_s == pytest.approx((means[0] + means[1]) / 2)
    assert by_level["q"].mean_s == pytest.approx((means[1] + means[3]) / 2)
    assert all(one.lo_s <= one.mean_s <= one.hi_s for one in by_level.values())
    assert sum(one.seconds for one in found.departures) == pytest.approx(0, abs=1e-9)
    largest = (means[0] - means[1] - means[2] + means[3]) / 4
    assert {round(one.seconds, 6) for one in found.departures} == {round(largest, 6), round(-largest, 6)}
    assert [one.mean_s for one in found.models] == sorted(one.mean_s for one in found.models)


def test_factors_that_add_up_do_not_depart_and_those_that_do_not_are_seen():
    added = effects(built(dict(zip(GRID, (10.0, 20.0, 30.0, 40.0), strict=True))), GRID, 0.025)
    assert added is not None
    assert all(one.lo_s < 0 < one.hi_s for one in added.departures)
    crossed = effects(built(dict(zip(GRID, (10.0, 60.0, 60.0, 10.0), strict=True))), GRID, 0.025)
    assert crossed is not None
    assert all(abs(one.seconds) == pytest.approx(25) and not one.lo_s < 0 < one.hi_s for one in crossed.departures)


def test_arms_that_are_no_grid_have_no_main_effects():
    means = dict(zip(GRID, (10.0, 20.0, 30.0, 40.0), strict=True))
    assert effects(built(means), GRID[:3], 0.025) is None
    assert effects(built(means), GRID[:2], 0.025) is None
    assert effects([replace(c, time_s=c.time_s[:0]) for c in built(means)], GRID, 0.025) is None


def test_the_best_is_held_against_the_second():
    found = best_and_second(built(dict(zip(GRID, (40.0, 20.0, 30.0, 10.0), strict=True))), GRID, 0.025)
    assert found is not None
    assert (found.best, found.second) == (Arm("b", "q"), Arm("a", "q"))
    assert found.reduction == pytest.approx(0.5)
    assert found.hi > 0.5
    assert found.lo is None or found.lo < 0.5
    assert best_and_second(built({GRID[0]: 10.0}), GRID[:1], 0.025) is None
