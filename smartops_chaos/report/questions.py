"""Twelve questions that an examiner will ask, answered from this campaign, each with where its evidence is."""

from __future__ import annotations

from dataclasses import dataclass

from smartops_chaos.analysis.phrases import left_out
from smartops_chaos.analysis.sentences import sentences
from smartops_chaos.analysis.summary import ArmSummary, Comparison, Verdict
from smartops_chaos.analysis.words import count, k_of_n, listing, percent, percent_range, seconds
from smartops_chaos.report import naive
from smartops_chaos.report.answer import horizons
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
        Question("Why this horizon, and what if it were shorter?", _horizon(page, best), "Reduction at other horizons"),
        Question("How do you know that the times are true?", _true(page), "Calibration"),
        Question("How do you know that the healer is the cause?", _cause(page, best), "Healing by arm; Method"),
        Question("Which trials did you leave out?", _left_out(page), "The answer: Left out"),
        Question("Could it be chance?", _chance(page, best), "Verdicts and why; Method"),
        Question("You judged many things. Is one of them true by luck?", _many(page), "Method: Alpha"),
        Question("Does it hold for other faults?", _faults(page), "Threats to validity: External"),
        Question("What does the healing cost?", _cost(best), "What the healer did"),
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
    told = "; ".join(horizons(page.plan, page.table)) or "No horizon is known"
    comparison = _comparison(page, best)
    names = {"tau/4": "a quarter", "tau/2": "half", "tau": "all"}
    found = comparison.at_horizons.items() if comparison else ()
    known = [f"{percent(r.estimate)} at {names.get(n, n)} of it" for n, r in found if r.estimate is not None]
    return f"{told}." + (f" The reduction is {', '.join(known)}." if known else "")


def _true(page: Page) -> str:
    known = [c for c in page.summary.calibration if c.worst_s is not None]
    errors = [a.measuring_error_s for a in page.arms if a.measuring_error_s is not None]
    told = f"A recovery is dated to {seconds(max(errors))} (median width). " if errors else ""
    if not known:
        return f"{told}No calibration trial counts, so that is not checked."
    worst = max((c.worst_s or 0.0 for c in known), key=abs)
    n = sum(c.n for c in known)
    return (
        f"{told}In {count(n, 'trial')} we ended the fault at a known second: off by "
        f"{seconds(worst, sign=True)} at worst."
    )


def _cause(page: Page, best: ArmSummary | None) -> str:
    if best is None or best.auto_heal.uplift is None:
        return "Only from the comparison with the baseline, in random order; here it says nothing."
    contested = sum(a.contested for a in page.arms)
    return (
        f"By the comparison: arms ran in random order within blocks. {best.arm} heals "
        f"{percent(best.auto_heal.uplift)} more "
        f"points more of the incidents than end by themselves in the baseline. In {count(contested, 'trial')} "
        f"it cannot "
        f"be told apart "
        "from the platform; these count as the platform's."
    )


def _left_out(page: Page) -> str:
    lost = sum(sum(reasons.values()) for reasons in page.summary.excluded.values())
    if not lost:
        return "None. Every trial that was begun counts, also those that never recovered."
    return f"{left_out(page.summary.excluded)} A proven target holds also if all {lost} had gone badly."


def _verdict(page: Page, best: ArmSummary | None) -> Verdict | None:
    found = (v for v in page.summary.verdicts if best and v.arm == best.arm and v.target == "mttr_reduction")
    return next(found, None)


def _chance(page: Page, best: ArmSummary | None) -> str:
    verdict, comparison = _verdict(page, best), _comparison(page, best)
    if verdict is None or comparison is None:
        return _UNKNOWN
    r = comparison.mttr_reduction
    between = percent_range(r.lo, r.hi)
    return (
        f"The verdict is {verdict.verdict}; {page.level} interval of the reduction {between}. "
        f"{verdict.why[:1].upper()}{verdict.why[1:]}."
    )


def _many(page: Page) -> str:
    asked = f"{count(len(page.summary.verdicts), 'verdict')} on {count(len(page.judged), 'arm')}"
    return (
        f"{asked}. The chance of even one false proven is at most {percent(page.summary.alpha, 1)}: Holm over "
        f"the arms, "
        "targets in an order that was fixed before the first trial"
        + (f" (plan {page.plan.digest[:12]})." if page.plan else ".")
    )


def _faults(page: Page) -> str:
    families = sorted({c.family for c in (page.plan.chaos.values() if page.plan else ()) if c.parts})
    told = f"Measured: {listing(families)}. " if families else ""
    return f"{told}The verdicts are about these scenarios only. To speak of faults like them, six families are needed."


def _cost(best: ArmSummary | None) -> str:
    if best is None:
        return _UNKNOWN
    did = best.operations
    alarms = "false alarms are not known, as no trial without a fault was run"
    if best.controls:
        alarms = f"{k_of_n(best.false_alarms, best.controls)} trials without a fault had a false alarm"
    actions = "" if did.actions is None else f"{count(did.actions, 'action')}, "
    return f"{best.arm}: {actions}{best.needless_actions} of them needless; {alarms}."


def _weakest(page: Page) -> str:
    for warning in page.summary.warnings:
        return warning
    return "Nothing in the data speaks against it. Next: another target, or more faults."
