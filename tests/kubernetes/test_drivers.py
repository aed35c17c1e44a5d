"""What became of a fault, told from its activities' answers and from the platform's events."""

from __future__ import annotations

from typing import Any

import pytest

from smartops_chaos.kubernetes.drivers import facts
from smartops_chaos.model import Call, FaultFact, Interval, PlatformEvent

S = 1_000_000_000
RECEIPT: dict[str, Any] = {"fault": "cpu-stress", "momentary": False, "objects": ["erp/u1"], "expires_s": 30.0}


def call(what: str, at_s: float, output: Any, ok: bool = True) -> Call:
    return Call(what, 0, Interval(round(at_s * S), round((at_s + 0.1) * S)), ok, output)


def fact(*calls: Call, events: tuple[PlatformEvent, ...] = ()) -> FaultFact:
    (only,) = facts(["f.0"], calls, events)
    return only


def after(answer: dict[str, Any], at_s: float = 20, receipt: dict[str, Any] = RECEIPT, **kw: Any) -> FaultFact:
    return fact(call("inject", 1, receipt), call("confirm", 2, True), call("revert", at_s, answer), **kw)


def test_in_force_until_its_revert_is_ended_by_the_harness() -> None:
    found = after({"in_force": True, "effect": "4 processes used 9.0 s"})
    assert (found.ended_by, found.ended) == ("harness", Interval(20 * S, round(20.1 * S)))
    assert (found.confirmed, found.effect, found.objects, found.clock) == (
        True,
        "4 processes used 9.0 s",
        ("erp/u1",),
        "runner",
    )


def test_the_first_revert_counts() -> None:
    """A calibration trial ends its fault itself; the rollback after it finds nothing."""
    found = fact(
        call("inject", 1, RECEIPT),
        call("confirm", 2, True),
        call("revert", 10, {"in_force": True}),
        call("revert", 20, {"in_force": False, "gone": "pod"}),
    )
    assert (found.ended_by, found.ended) == ("harness", Interval(10 * S, round(10.1 * S)))


@pytest.mark.parametrize("gone", ["pod", "container", "scaled"])
def test_gone_with_its_pod_is_the_systems_doing(gone: str) -> None:
    found = after({"in_force": False, "gone": gone})
    assert (found.ended_by, found.ended) == ("system", Interval(1 * S, round(20.1 * S)))


def test_the_platform_says_when_the_pod_was_gone() -> None:
    def event(at_s: float, name: str, kind: str) -> PlatformEvent:
        return PlatformEvent(Interval(round(at_s * S), round(at_s * S)), name, kind, "action")

    events = (event(0.5, "erp/u1", "exited"), event(3, "erp/u2", "exited"), event(7, "erp/u1", "exited"))
    assert after({"in_force": False, "gone": "pod"}, events=events).ended == Interval(7 * S, 7 * S)


def test_over_in_the_same_container_after_its_time_is_expiry() -> None:
    assert after({"in_force": False, "gone": "process"}, at_s=40).ended_by == "expiry"


def test_over_in_the_same_container_before_its_time_is_the_injectors_failure() -> None:
    assert after({"in_force": False, "gone": "process"}, at_s=20).ended_by == "injector"


def test_a_kill_is_over_at_once() -> None:
    found = after({"in_force": False}, receipt={"fault": "pod-kill", "momentary": True, "objects": ["erp/u1"]})
    assert (found.ended_by, found.ended, found.effect) == ("momentary", Interval(1 * S, round(1.1 * S)), "gone: erp/u1")


def test_without_a_revert_that_worked_it_is_still_in_force() -> None:
    found = fact(call("inject", 1, RECEIPT), call("confirm", 2, True), call("revert", 20, None, ok=False))
    assert (found.ended_by, found.ended) == ("", None)


def test_not_confirmed() -> None:
    assert not fact(call("inject", 1, RECEIPT), call("confirm", 2, False, ok=False)).confirmed
    assert not fact(call("inject", 1, RECEIPT)).confirmed


def test_an_action_of_another_extension_has_only_its_brackets() -> None:
    found = fact(call("inject", 1, ["erp-1"]), call("confirm", 2, True), call("revert", 20, None))
    assert (found.confirmed, found.ended_by, found.objects) == (True, "harness", ())


def test_never_injected() -> None:
    found = fact(call("inject", 1, None, ok=False))
    assert (found.confirmed, found.ended, found.ended_by) == (False, None, "")
