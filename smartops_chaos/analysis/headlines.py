"""The four numbers of an arm that a history and other programs are told, each with its bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from smartops_chaos.analysis.summary import ArmSummary, Summary

Bounded = tuple[float | None, float | None, float | None]  # value, lower and upper bound


def _reduction(summary: Summary, arm: ArmSummary) -> Bounded:
    comparison = summary.deciding(arm.arm)
    found = comparison.mttr_reduction if comparison else None
    return (found.estimate, found.lo, found.hi) if found else (None, None, None)


HEADLINES: Mapping[str, Callable[[Summary, ArmSummary], Bounded]] = {
    "mttr": lambda _, arm: (arm.mttr.rmst_s, arm.mttr.lo, arm.mttr.hi),
    "mttr_reduction": _reduction,
    "auto_heal": lambda _, arm: (arm.auto_heal.no_human, arm.auto_heal.lo, arm.auto_heal.hi),
    "availability": lambda _, arm: (arm.sla.availability, arm.sla.lo, arm.sla.hi),
}
