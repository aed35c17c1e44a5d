"""What a campaign is for, in two sentences: what is broken, how it is measured, what is compared."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.words import count, listing
from smartops_chaos.model import Arm, Plan
from smartops_chaos.report.page import Page

_NAMES = 3


def sentences(page: Page) -> tuple[str, ...]:
    judged = _judged(page)
    baseline = page.summary.baseline
    if baseline is None:
        return ()
    against = "without a healer" if not page.has_healer(baseline) else "with the baseline"
    with_ = f" and {judged}" if judged else ""
    if page.summary.simulated:
        broken, measured = "The question: ", "The truth file says how long its users are hurt:"
        broken += f"what if {_system(page.plan)} were broken on purpose{_faults(page)}?"
    else:
        broken, measured = f"We break {_system(page.plan)} on purpose{_faults(page)}.", _measured(page.plan)
    return broken, f"{measured} {against} (arm {baseline.arm}){with_}."


def _system(plan: Plan | None) -> str:
    if plan is None:
        return "a service"
    if plan.target.get("kind") == "lab":
        return "a small ERP service in the embedded lab"
    return "a service on a Kubernetes cluster" if plan.target.get("kind") == "kubernetes" else "a service"


def _measured(plan: Plan | None) -> str:
    if plan and plan.analysis.slo.query:
        return "The query of the service level tells how long its users are hurt:"
    return f"We measure{' from every request' if plan else ''} how long its users are hurt:"


def _faults(page: Page) -> str:
    """In the words of the fault files, or else the names of the levels."""
    if page.plan is None:
        names = list(dict.fromkeys(c.chaos for a in page.arms for c in a.cells))
    else:
        parts = [part for level in page.plan.chaos.values() for part in level.parts]
        titles = (str(part.definition.get("title", "")) or part.fault for part in parts)
        names = list(dict.fromkeys(map(_small, titles)))
    more = len(names) - _NAMES
    told = "; ".join([*names[:_NAMES], *([f"{more} more"] if more > 0 else [])])
    return f", by {'one of ' if len(names) > 1 else ''}{count(len(names), 'fault')} ({told})" if names else ""


def _small(title: str) -> str:
    """Within a sentence; an abbreviation such as CPU stays."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _judged(page: Page) -> str:
    arms = page.judged
    if not arms:
        return ""
    if len(arms) > _NAMES:
        return f"with {count(len(arms), 'healer')} that differ in model or policy ({_some(map(str, arms))})"
    return "with the healer " + listing([_arm(page.plan, arm) for arm in arms])


def _arm(plan: Plan | None, arm: Arm) -> str:
    """Such as "(arm zscore: detector zscore)"."""
    settings = plan.models[arm.model].settings if plan and arm.model in plan.models else {}
    told = [f"{key} {value}" for key, value in settings.items() if isinstance(value, str) and len(value) < 40]
    return f"(arm {arm}: {listing(told)})" if told else f"(arm {arm})"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _NAMES
    return listing([*every[:_NAMES], *([f"{more} more"] if more > 0 else [])])
