"""Which lane gets which trial."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.model import Trial
from smartops_chaos.run.block_queue import BlockQueue


def trial(block: int, number: int) -> Trial:
    phase = "measure" if block else "calibrate"
    return Trial(f"{block}.{number}", phase, "c", "w", "m", "p", 1, block, 1)


def plan(calibrations: int, blocks: int, arms: int) -> list[Trial]:
    return [trial(0, n) for n in range(calibrations)] + [trial(b, n) for b in range(1, blocks + 1) for n in range(arms)]


@given(
    st.integers(0, 3),
    st.integers(0, 6),
    st.integers(1, 4),
    st.lists(st.sampled_from("abc"), max_size=80),
    st.booleans(),
)
def test_a_block_stays_on_one_lane_whoever_asks_when(
    calibrations: int, blocks: int, arms: int, asking: list[str], one_fails: bool
) -> None:
    planned = plan(calibrations, blocks, arms)
    queue, ran = BlockQueue(planned, {}), {}
    lanes = [*asking, *"abc" * len(planned)]
    if one_fails:
        lanes = [lane for lane in lanes[: len(asking)] if lane != "c"] + ["fails", *"ab" * len(planned)]
    for lane in lanes:
        if lane == "fails":
            queue.release("c")
        elif (found := queue.next_for(lane)) is not None:
            queue.take(found, lane)
            ran[found.id] = lane
    assert set(ran) == {t.id for t in planned}
    assert not queue
    for block in range(1, blocks + 1):
        assert len({ran[t.id] for t in planned if t.block == block}) == 1


def test_trials_come_in_the_plans_order_and_the_rest_of_a_block_waits_for_its_lane() -> None:
    queue = BlockQueue(plan(1, 2, 2), {})
    order = []
    for lane in ("a", "b", "a", "b", "a", "a"):
        found = queue.next_for(lane)
        if found is not None:
            queue.take(found, lane)
        order.append(found and found.id)
    assert order == ["0.0", "1.0", "2.0", "1.1", "2.1", None]
    queue = BlockQueue(plan(0, 1, 2), {})
    queue.take(trial(1, 0), "a")
    assert queue.next_for("b") is None
    queue.release("a")  # it could not go on
    assert queue.next_for("b") == trial(1, 1)


def test_a_resumed_block_goes_on_where_it_was_begun_if_that_lane_is_there() -> None:
    left = [trial(1, 1), *plan(0, 2, 2)[2:]]
    queue = BlockQueue(left, {1: "b", 7: "a"})
    queue.keep_lanes(["a", "b"])
    assert queue.next_for("a") == trial(2, 0)
    assert queue.next_for("b") == trial(1, 1)
    queue.keep_lanes(["a"])
    assert queue.next_for("a") == trial(1, 1)


def test_spared_trials_are_gone_and_their_lanes_free() -> None:
    queue = BlockQueue(plan(0, 2, 2), {1: "a"})
    queue.spare({"1.0", "1.1", "2.1"})
    assert [t.id for t in queue] == ["2.0"]
    assert len(queue) == 1
    assert queue.next_for("a") == trial(2, 0)
