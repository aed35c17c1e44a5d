"""What the arms of reference say of the others: how far a healer could get, what chance does, what noise does."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import percent, seconds
from smartops_chaos.model import Reference
from smartops_chaos.report.page import Page

_MEANING: dict[Reference, str] = {
    "oracle": "the floor: what was hit is restarted as soon as the fault is confirmed",
    "random": "the chance level: any action on any object, as soon",
    "again": "an A/A arm: how far two equal arms differ is noise",
}


def sentences(page: Page) -> Iterable[str]:
    """Nothing where the plan has no arm of reference."""
    found = [arm for arm in page.arms if arm.reference and arm.mttr.rmst_s is not None]
    if not found:
        return
    named = [f"{arm.arm} {seconds(arm.mttr.rmst_s)} ({_meaning(page, arm)})" for arm in found]
    yield f"Arms of reference, shown and not judged, by their MTTR: {'; '.join(named)}."
    floor, chance = (_only(page, role) for role in ("oracle", "random"))
    if floor is None or chance is None or not chance > floor:
        return
    for arm in page.arms:
        if not (arm.baseline or arm.reference) and arm.mttr.rmst_s is not None:
            share = (chance - arm.mttr.rmst_s) / (chance - floor)
            where = (
                f"{percent(share)} of the way from the chance level to the floor"
                if share > 0
                else ("no better than the chance level")
            )
            yield f"{arm.arm} is at {seconds(arm.mttr.rmst_s)}, {where}."


def reductions(page: Page) -> list[tuple[str, float]]:
    """Floor and chance level as a reduction of the baseline's MTTR, by the name of their arm."""
    baseline = page.summary.baseline
    if baseline is None or not baseline.mttr.rmst_s:
        return []
    return [
        (str(arm.arm), 1 - arm.mttr.rmst_s / baseline.mttr.rmst_s)
        for arm in page.arms
        if arm.reference in ("oracle", "random") and arm.mttr.rmst_s is not None
    ]


def _only(page: Page, role: str) -> float | None:
    return next((arm.mttr.rmst_s for arm in page.arms if arm.reference == role), None)


def _meaning(page: Page, arm: ArmSummary) -> str:
    assert arm.reference
    if arm.reference != "again" or page.plan is None:
        return _MEANING[arm.reference]
    levels = page.plan.models[arm.model], page.plan.policies[arm.policy]
    return f"{', '.join(level.same_as for level in levels if level.same_as)} once more, {_MEANING['again']}"
