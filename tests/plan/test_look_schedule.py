"""When looks are, in which order trials run, and which of them a stop spares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.errors import FileProblems
from smartops_chaos.model import Arm, Plan, Stop
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.plan.look_schedule import before_end, ends, judged_by, spared
from smartops_chaos.planning.forecast import forecast
from tests.plan.test_expand import _plan

Write = Callable[..., Path]
LOOKS = st.integers(1, 3)


def test_looks_are_at_equal_shares_of_the_repeats() -> None:
    assert ends(20, 3) == (7, 13, 20)
    assert ends(10, 1) == (10,)
    assert ends(4, 4) == (1, 2, 3, 4)


@given(st.data(), st.integers(1, 500))
def test_each_look_has_more_repeats_than_the_one_before(data: st.DataObject, repeats: int) -> None:
    found = ends(repeats, data.draw(st.integers(1, repeats)))
    assert sorted(set(found)) == list(found)
    assert found[-1] == repeats


@st.composite
def stopped(draw: st.DrawFn) -> tuple[Plan, tuple[Stop, ...]]:
    """A plan with looks, and arms that were stopped at some of them; chaos c0 is a control."""
    looks = draw(st.integers(2, 3))
    counts = (draw(st.integers(2, 3)), 1, draw(st.integers(2, 3)), draw(st.integers(1, 2)))
    plan = _plan(counts, looks=looks, repeats=draw(st.integers(14, 20)), seed=draw(st.integers(0, 99)))
    arms = sorted({t.arm for t in plan.trials} - {plan.analysis.baseline}, key=str)
    at = {arm: draw(st.integers(0, looks - 1)) for arm in arms}  # 0: not stopped
    return plan, tuple(Stop(arm, look, before_end(plan)[look - 1]) for arm, look in at.items() if look)


@given(stopped())
def test_all_blocks_up_to_a_look_come_before_those_after_it(made: tuple[Plan, tuple[Stop, ...]]) -> None:
    plan, _ = made
    measured = [t for t in plan.trials if t.phase == "measure"]
    assert [t.repeat for t in measured] == sorted(t.repeat for t in measured)


@given(stopped())
def test_a_stop_spares_what_comes_after_it_and_nothing_else(made: tuple[Plan, tuple[Stop, ...]]) -> None:
    plan, stops = made
    until = {stop.arm: stop.repeat for stop in stops}
    gone, used = spared(plan, stops), judged_by(plan, stops)
    assert gone.isdisjoint(used)
    arms = {t.arm for t in plan.trials}
    everybody = set(until) | {plan.analysis.baseline} == arms
    for t in plan.trials:
        if t.phase == "calibrate":
            assert t.id not in gone | used
        elif t.arm in until:
            assert (t.id in gone) == (t.repeat > until[t.arm])
            assert (t.id in used) == (t.repeat <= until[t.arm])
        elif t.arm == plan.analysis.baseline:
            last = max(until.values(), default=0)
            assert (t.id in gone) == (everybody and t.repeat > last)
            assert (t.id in used) == (t.repeat <= last)
        else:
            assert t.id not in gone | used


@given(st.integers(14, 20), st.integers(0, 99), LOOKS)
def test_looks_change_the_digest_and_not_the_trials(repeats: int, seed: int, looks: int) -> None:
    plain = _plan((2, 1, 2, 1), repeats=repeats, seed=seed)
    made = _plan((2, 1, 2, 1), repeats=repeats, seed=seed, looks=looks)
    assert made.trials == plain.trials
    assert (made.digest == plain.digest) == (looks == 1)


def test_an_arm_that_only_has_controls_does_not_keep_the_baseline_going() -> None:
    plan = _plan((2, 1, 3, 1), looks=2, repeats=10, exclude=[{"chaos": "c1", "model": "m2"}])
    gone = spared(plan, (Stop(Arm("m1", "p0"), 1, 5),))
    assert {t.arm.model for t in plan.trials if t.id in gone} == {"m0", "m1"}


@pytest.mark.parametrize(("looks", "repeats", "told"), [
    (4, 3, "20:8: 4 looks are more than the 3 repeats after which they could be: "
           "use at most `looks: 3`: one after every repeat"),
    (0, 20, "20:8: `looks` is 0: it must be at least 1"),
])  # fmt: skip
def test_looks_that_cannot_be_are_refused(matrix: Write, looks: int, repeats: int, told: str) -> None:
    file = matrix(("repeats: 3", f"repeats: {repeats}"), ("seed: 7", f"looks: {looks}"))
    with pytest.raises(FileProblems) as refused:
        load_plan(file)
    assert [str(p) for p in refused.value.problems] == [f"{file}:{told}"]


def test_other_repeats_count_as_well(matrix: Write) -> None:
    file = matrix(("repeats: 3", "repeats: 30"), ("seed: 7", "looks: 3"))
    assert before_end(load_plan(file)) == (10, 20)
    assert before_end(load_plan(file, repeats=14)) == (5, 9)
    with pytest.raises(FileProblems, match="3 looks are more than the 2 repeats"):
        load_plan(file, repeats=2)


def test_a_plan_says_what_each_look_can_prove(matrix: Write) -> None:
    plan = load_plan(matrix(("repeats: 3", "repeats: 60"), ("seed: 7", "looks: 3")))
    told = forecast(plan, "m.yaml").looks
    assert [look.repeat for look in told] == [20, 40]
    first, second = ({p.target: p for p in look.proofs} for look in told)
    assert set(first) == {"mttr_reduction", "auto_heal"}, "without `sla` it is no target of a look"
    assert first["mttr_reduction"].possible
    assert not first["auto_heal"].possible  # 40 of 40 would do at one look, but not by the e value
    assert second["auto_heal"].possible
    assert not forecast(load_plan(matrix()), "m.yaml").looks
