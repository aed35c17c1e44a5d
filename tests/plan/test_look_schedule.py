"""When looks are, in which order trials run, and which of them a stop spares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.errors import FileProblems
from smartops_chaos.model import LEAST_TRIALS_AT_LOOK, Arm, Plan, Stop
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.plan.look_schedule import ALPHA_SPENDING, before_end, ends, fewest_repeats, judged_by, spared
from smartops_chaos.planning.forecast import budget_of, forecast
from tests.plan.test_expand import _plan

Write = Callable[..., Path]
LOOKS = st.integers(1, 3)


def test_the_shares_of_alpha_add_up_to_one() -> None:
    for looks, shares in ALPHA_SPENDING.items():
        assert sum(shares) == pytest.approx(1)
        assert len(shares) == looks
    assert ends(20, 3) == (7, 13, 20)
    assert ends(10, 1) == (10,)


@given(LOOKS, st.integers(1, 500))
def test_each_look_has_more_repeats_than_the_one_before(looks: int, repeats: int) -> None:
    enough = repeats >= fewest_repeats(looks)
    assert enough == (looks == 1 or ends(repeats, looks)[0] >= LEAST_TRIALS_AT_LOOK)
    if enough:
        found = ends(repeats, looks)
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
    (2, 3, "20:8: with 3 repeats the first of 2 looks comes after 2 trials of a cell, 5 are needed: "
           "use 10 repeats at least, or `looks: 1`"),
    (3, 13, "20:8: with 13 repeats the first of 3 looks comes after 4 trials of a cell, 5 are needed: "
            "use 14 repeats at least, or `looks: 1`"),
    (0, 20, "20:8: `looks` is 0: it must be at least 1"),
    (4, 40, "20:8: `looks` is 4: it must be at most 3"),
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
    with pytest.raises(FileProblems, match="with 13 repeats"):
        load_plan(file, repeats=13)


def test_a_plan_says_what_each_look_can_prove_with_its_share(matrix: Write) -> None:
    plan = load_plan(matrix(("repeats: 3", "repeats: 60"), ("seed: 7", "looks: 3")))
    told = forecast(plan, "m.yaml").looks
    assert [(look.repeat, look.share) for look in told] == [(20, 0.1), (40, 0.2)]
    first, second = ({p.target: p for p in look.proofs} for look in told)
    assert set(first) == {"mttr_reduction", "auto_heal"}, "without `sla` it is no target of a look"
    assert "the fewest that prove it are 57 of 57" in first["auto_heal"].text  # 0.9^57 <= 0.0025 < 0.9^56
    assert not first["auto_heal"].possible
    assert "80 trials" in second["auto_heal"].text or second["auto_heal"].possible
    assert budget_of(plan).alpha == pytest.approx(0.7 * 0.025)
    assert not forecast(load_plan(matrix()), "m.yaml").looks
