"""Twelve questions that an examiner will ask, answered from this campaign, each with where its evidence is."""

from __future__ import annotations

from dataclasses import dataclass

from smartops_chaos.analysis.compare import LEAST_FAMILIES
from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.sentences import sentences
from smartops_chaos.analysis.sla import most_faults, window
from smartops_chaos.analysis.summary import ArmSummary, Comparison, Verdict
from smartops_chaos.analysis.words import count, listing, percent, seconds, stated_seconds
from smartops_chaos.model import Outcome
from smartops_chaos.report import lane_effect, naive, repair, validity
from smartops_chaos.report.answer import certainty, horizons
from smartops_chaos.report.many_arms import fastest_first
from smartops_chaos.report.page import Page

_UNKNOWN = "This campaign does not say."
_NAMES = 6


@dataclass(frozen=True, slots=True)
class Question:
    asks: str
    answer: str
    evidence: str  # where in the report


def twelve(page: Page) -> tuple[Question, ...]:
    best = next((a for arm in fastest_first(page) for a in page.arms if a.arm == arm), None)
    return (
        Question("What did you compare?", _compared(page), "System under test; Fault by fault"),
        Question("What is the result, in one sentence?", next(iter(_result(page)), _UNKNOWN), "The answer"),
        Question("Why is MTTR not the mean of the repaired trials?", _naive(page, best), "Time to recover by arm"),
        Question("Why this horizon, and so many faults?", _horizon(page, best), "Reduction at other horizons"),
        Question("Are the baseline's times measured, or set?", _set(page), "System under test; Fault by fault"),
        Question("How do you know that the times are true?", _true(page), "Calibration; Threats: Internal"),
        Question("How do you know that the healer is the cause?", _cause(page, best), "Healing by arm; Method"),
        Question("What do the detector and the diagnosis add?", _adds(page, best), "The answer; Diagnosis"),
        Question("Which trials did you leave out?", _left_out(page), "The answer: Left out"),
        Question("Could it be chance?", _chance(page, best), "Verdicts; Method: Several targets and arms"),
        Question("Does it hold for other faults?", _faults(page), "Threats to validity: External"),
        Question("What is the weakest point, and what would you do next?", _weakest(page), "The answer: what mends it"),
    )


def _compared(page: Page) -> str:
    scenarios = list(dict.fromkeys(f"{c.chaos} / {c.workload}" for a in page.arms for c in a.cells))
    arms = [str(a.arm) for a in page.arms if not a.baseline]
    more = f" and {len(arms) - _NAMES} more" if len(arms) > _NAMES else ""
    baseline = page.summary.baseline.arm if page.summary.baseline else "nothing"
    return (
        f"{', '.join(arms[:_NAMES]) or 'No arm'}{more} against {baseline}, in {count(len(scenarios), 'scenario')}, "
        f"{count(sum(a.counted for a in page.arms), 'trial')} with a confirmed fault, in random order within blocks."
    )


def _result(page: Page) -> list[str]:
    return [text for text in sentences(page.summary) if not text.startswith("SIMULATED")]


def _naive(page: Page, best: ArmSummary | None) -> str:
    told = naive.told(page, best, "mttr_reduction") if best else ""
    return f"The trials that never recovered would drop out. {told or 'Here all recovered, so it makes no difference.'}"


def _comparison(page: Page, best: ArmSummary | None) -> Comparison | None:
    return page.summary.deciding(best.arm) if best else None


def _horizon(page: Page, best: ArmSummary | None) -> str:
    told = [f"{'; '.join(horizons(page.plan, page.table)) or 'No horizon is known'}."]
    comparison = _comparison(page, best)
    names = {"tau/4": "at a quarter of it", "tau/2": "at half of it", "tau": "at the whole"}
    found = comparison.at_horizons.items() if comparison else ()
    known = [f"{percent(r.estimate)} {names.get(n, n)}" for n, r in found if r.estimate is not None]
    if known:
        told.append(f"The reduction is {listing(known)}.")
    sla = page.summary.plan.sla if page.summary.plan else None
    most = most_faults(best.sla.availability, sla, page.targets.sla) if best else None
    if best and sla and most is not None:
        told.append(
            f"The plan expects {sla.faults:g} faults in {window(sla)}; {best.arm} keeps {percent(page.targets.sla)} on "
            f"average up to {most:,}."
        )
    return " ".join(told)


def _set(page: Page) -> str:
    """Which part of the baseline's times are settings."""
    baseline = page.summary.baseline
    if baseline is None:
        return _UNKNOWN
    never = baseline.outcomes.get(Outcome.UNRECOVERED, 0)
    told = []
    if never:
        told.append(
            f"{never} of its {count(baseline.counted, 'trial')} never recovered and count as the horizon: that is set."
        )
    if page.restart_delay_s is not None:
        told.append(
            f"The platform restarts what has died after {stated_seconds(page.restart_delay_s)}: that is set too."
            f"{validity.hangs_on_delay(page, page.restart_delay_s)}"
        )
    return " ".join(told) or "They are measured: every trial of it recovered by what the platform does."


def _true(page: Page) -> str:
    known = [c for c in page.summary.calibration if c.worst_s is not None]
    told = [validity.typical_width(page)]
    if known:
        worst = max((c.worst_s or 0.0 for c in known), key=abs)
        n = sum(c.n for c in known)
        told.append(
            f"In {count(n, 'trial')} we ended the fault at a known second: off by {seconds(worst, sign=True)} at worst."
        )
    else:
        told.append("No calibration trial counts, so that is not checked.")
    told.append(lane_effect.told(page))
    return " ".join(filter(None, told))


def _cause(page: Page, best: ArmSummary | None) -> str:
    baseline = page.summary.baseline
    if best is None or best.auto_heal.uplift is None or baseline is None:
        return "Only from the comparison with the baseline, in random order; here it says nothing."
    contested = sum(a.contested for a in page.arms)
    doubtful = (
        "In no trial is it doubtful who ended the outage."
        if not contested
        else f"In {count(contested, 'trial')} it is doubtful who ended the outage; they count as the platform's."
    )
    return (
        "By the comparison: arms ran in random order within blocks. "
        f"With {best.arm} the healer ends {percent(best.auto_heal.by_healer)} of the incidents; in the baseline "
        f"{percent(baseline.auto_heal.no_human)} end without a person. {doubtful}"
    )


def _adds(page: Page, best: ArmSummary | None) -> str:
    told = [*validity.one_cure(page)]
    if best is not None:
        if best.rca.n:
            told.append(f"{best.arm} names a right cause first in {percent(best.rca.top1)} of the trials.")
        told.append(repair.use_of_diagnosis(page, best))
    return " ".join(filter(None, told)) or _UNKNOWN


def _left_out(page: Page) -> str:
    lost = sum(sum(reasons.values()) for reasons in page.summary.excluded.values())
    if not lost:
        counted = sum(a.counted for a in page.arms)
        return f"None. All {count(counted, 'measured trial')} count, also those that never recovered."
    return f"{left_out(page.summary.excluded)} A proven target holds also if all {lost} had gone badly."


def _verdict(page: Page, best: ArmSummary | None) -> Verdict | None:
    found = (v for v in page.summary.verdicts if best and v.arm == best.arm and v.target == "mttr_reduction")
    return next(found, None)


def _chance(page: Page, best: ArmSummary | None) -> str:
    verdict, comparison = _verdict(page, best), _comparison(page, best)
    if best is None or verdict is None or comparison is None:
        return _UNKNOWN
    arms = len(page.judged)
    shared = f", and {arms} arms share it by Holm" if arms > 1 else ""
    return (
        f"The reduction is {verdict.verdict}. {certainty(page, best, verdict)} The chance of even one false proven, "
        f"over {count(len(page.summary.verdicts), 'verdict')}, is held at {percent(page.summary.alpha, 1)}: targets "
        f"are tested in a fixed order{shared}."
    )


def _faults(page: Page) -> str:
    families = sorted({c.family for c in (page.plan.chaos.values() if page.plan else ()) if c.parts})
    told = f" ({listing(families)})" if families else ""
    also = validity.families_told(len(families)) if families else ""
    return f"The verdicts are about these scenarios only{told}. {also}".strip()


def _weakest(page: Page) -> str:
    weak = next(iter(validity.doubts(page)), "Nothing in the data speaks against it.")
    return f"{weak.partition('. ')[0].rstrip('.')}. Next: {listing(_next(page))}."


def _next(page: Page) -> list[str]:
    plan, found = page.plan, []
    if not any(a.controls for a in page.arms):
        found.append("trials without a fault")
    if any(validity.one_cure(page)):
        found.append("an arm that does the same on any alarm")
    if all(c.n < 2 for c in page.summary.calibration):
        found.append("more calibration")
    if plan and len({c.family for c in plan.chaos.values() if c.parts}) < LEAST_FAMILIES:
        found.append("faults of other families")
    found.append("the same on a cluster" if plan and plan.target.get("kind") == "lab" else "another system")
    return found
