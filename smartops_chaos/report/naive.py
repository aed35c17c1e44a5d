"""The figure that a quick look at the same trials would give, beside each headline number, and why it is wrong."""

from __future__ import annotations

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.table import texts
from smartops_chaos.analysis.words import count, percent, seconds
from smartops_chaos.model import Arm, Goal
from smartops_chaos.report.page import Page


def mean_of_successes(page: Page, arm: Arm) -> tuple[float | None, int]:
    """The mean time of the trials that recovered, and how many of the counted ones that leaves out."""
    rows = page.counted
    own = rows[(texts(rows, "model") == arm.model) & (texts(rows, "policy") == arm.policy)]
    good = own["time_s"] < own["horizon_s"]
    return (float(own["time_s"][good].mean()) if good.any() else None), int((~good).sum())


def told(page: Page, arm: ArmSummary, target: Goal) -> str:
    """One sentence; "" where a quick look would say the same, or nothing."""
    if target == "mttr_reduction":
        return _reduction(page, arm)
    return _healed(page) if target == "auto_heal" else _availability(arm)


def _reduction(page: Page, arm: ArmSummary) -> str:
    if page.summary.baseline is None:
        return ""
    (ours, failed), (theirs, left) = (mean_of_successes(page, a) for a in (arm.arm, page.summary.baseline.arm))
    if not failed + left:
        return ""
    if ours is None or not theirs:
        return f"There is no mean of successes to compare: {_kept_out(failed + left)}."
    return (
        f"Do not confuse with {percent(1 - ours / theirs)}, the difference of the means of successes ({seconds(ours)} "
        f"and {seconds(theirs)}): there {_kept_out(failed + left)}."
    )


def _kept_out(n: int) -> str:
    return f"{count(n, 'trial')} that never recovered {'is' if n == 1 else 'are'} left out"


def _healed(page: Page) -> str:
    alone = page.summary.baseline.auto_heal.no_human if page.summary.baseline else None
    if not alone:
        return ""
    return f"Do not take all of it for the healer's work: {percent(alone)} end by themselves in the baseline."


def _availability(arm: ArmSummary) -> str:
    if arm.operations.adherence is None or arm.sla.availability is None:
        return ""
    good = percent(arm.operations.adherence, 1)
    return f"Do not confuse with {good}, the good share of the time within trials: those consist of faults."
