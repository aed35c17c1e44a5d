"""The section about healing: how often, what users see, outcomes of every cell."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.sla import most_faults
from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import (
    NONE,
    count,
    k_of_n,
    number,
    percent,
    percent_range,
    plain,
    points,
    with_range,
)
from smartops_chaos.model import Outcome
from smartops_chaos.report.document import Block, Figure, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.figures import effect
from smartops_chaos.report.page import Page, arm_name
from smartops_chaos.report.style import both

_BY_HEALER = tuple(plain(o) for o in Outcome if o.by_healer)
_WITHOUT_PERSON = tuple(plain(o) for o in Outcome if o.no_human)


def section(page: Page) -> Section:
    return Section("healing", "Healing and service level", tuple(_blocks(page)))


def _blocks(page: Page) -> Iterable[Block]:
    svg, narrow = both(lambda: effect.rates(page.arms, page.styles, page.targets.auto_heal, page.targets.sla))
    yield Figure(
        "fig-rates",
        "Auto-heal rate and availability",
        _healed_told(page),
        " ".join(f"{a.arm}: {percent(a.auto_heal.no_human)} of {a.auto_heal.n} incidents." for a in page.arms),
        svg,
        ("tab-healing", "tab-sla"),
        (
            ("Filled mark, line", f"the value and its {page.level} interval; of a share that of Wilson"),
            ("Open mark", "the share that the healer ended"),
            ("n", "incidents: trials in which users were hurt, or in which that was prevented"),
        ),
        narrow=narrow,
    )
    yield _healing(page)
    availability = any(a.sla.availability is not None for a in page.arms)
    if not availability:
        why = next((v.why for v in page.summary.verdicts if v.target == "sla" and v.why), "")
        yield Paragraph("Availability over a service window is not given" + (f": {why}." if why else "."))
    if availability or any(a.sla.within_trials is not None for a in page.arms):
        yield _sla(page)


def _healing(page: Page) -> Table:
    link = page.index.link

    def known(arm: ArmSummary, n: int) -> str:
        """A table that does not tell what the healer did has no zeros."""
        return str(n) if n or arm.operations.actions is not None else NONE

    def without_person(arm: ArmSummary) -> Text:
        trials = k_of_n(arm.auto_heal.successes, arm.auto_heal.n)
        return link(trials, arm.arm, counts_as="counted", outcome=_WITHOUT_PERSON)

    def by_healer(arm: ArmSummary) -> Text:
        return link(percent(arm.auto_heal.by_healer), arm.arm, counts_as="counted", outcome=_BY_HEALER)

    def false_alarms(arm: ArmSummary) -> Text:
        return link(k_of_n(arm.false_alarms, arm.controls), arm.arm, counts_as="control", outcome="false alarm")

    return table(
        "tab-healing",
        "Healing by arm",
        page.arms,
        [
            col("Arm", arm_name, grow=1),
            col("Without\na person", without_person),
            col(f"Share\n({page.level} interval)", lambda a: _share(a)),
            col("By the\nhealer", by_healer),
            col("Uplift\n[points]", lambda a: _uplift(a)),
            col("False\nalarms", false_alarms),
            col("Needless\nactions", lambda a: link(known(a, a.needless_actions), a.arm, noted="needless action")),
            col("Contested", lambda a: link(known(a, a.contested), a.arm, noted="contested")),
        ],
        "Of all incidents, how many ended without a person, and how many of them by the healer.",
        (
            ("Uplift", "what the healer ended, minus what ends without a person in the baseline (Newcombe interval)"),
            ("Contested", "trials in which it is doubtful who ended the outage"),
            *(
                [("False alarms", "trials without a fault in which it signalled or acted")]
                if any(a.controls for a in page.arms)
                else []
            ),
            ("Needless actions", "actions on what was not affected"),
        ),
    )


def _healed_told(page: Page) -> str:
    """The best arm beside the baseline, in a sentence."""
    known = [a for a in page.arms if a.auto_heal.no_human is not None and not (a.baseline or a.reference)]
    if not known:
        return "No arm but the baseline had an incident."
    best = max(known, key=lambda a: a.auto_heal.no_human or 0.0)
    told = f"With {best.arm} {k_of_n(best.auto_heal.successes, best.auto_heal.n)} incidents ended without a person"
    base = page.summary.baseline
    if base is None or not base.auto_heal.n:
        return f"{told}."
    return f"{told}, in the baseline {k_of_n(base.auto_heal.successes, base.auto_heal.n)}."


def _share(arm: ArmSummary) -> str:
    return with_range(percent(arm.auto_heal.no_human), percent_range(arm.auto_heal.lo, arm.auto_heal.hi))


def _uplift(arm: ArmSummary) -> str:
    heal = arm.auto_heal
    if heal.uplift is None or heal.uplift_lo is None or heal.uplift_hi is None:
        return points(heal.uplift)
    return f"{points(heal.uplift)} ({points(heal.uplift_lo)} to {points(heal.uplift_hi)})"


def _budget_told(page: Page) -> str:
    """Whether arms stay within the error budget."""
    known = [a for a in page.arms if a.operations.budget_used is not None]
    if not known:
        return "The plan states no faults a window, so the trials are only described."
    within = [a for a in known if (a.operations.budget_used or 0.0) <= 1]
    stay = "stays" if len(within) == 1 else "stay"
    return f"{len(within)} of {count(len(known), 'arm')} {stay} within the error budget."


def _flatters(page: Page) -> str:
    """An outage that nobody ends costs no more than the horizon, unless the plan says how long a person needs."""
    sla, baseline = (page.summary.plan.sla if page.summary.plan else None), page.summary.baseline
    never = baseline.outcomes.get(Outcome.UNRECOVERED, 0) if baseline else 0
    if sla is None or sla.repair_s or not never or baseline is None:
        return ""
    return (
        f" A trial that never recovers costs its horizon here, though a person would need longer: that flatters "
        f"{baseline.arm} ({k_of_n(never, baseline.counted)} trials)."
    )


def _sla(page: Page) -> Table:
    sla = page.summary.plan.sla if page.summary.plan else None

    def most(arm: ArmSummary) -> str:
        found = most_faults(arm.sla.availability, sla, page.targets.sla)
        return NONE if found is None else number(found, 0)

    return table(
        "tab-sla",
        "Service level by arm",
        page.arms,
        [
            col("Arm", arm_name, grow=1),
            col("n", lambda a: str(a.counted)),
            col("Availability", lambda a: percent(a.sla.availability, 3)),
            col(f"{page.level}\ninterval", lambda a: percent_range(a.sla.lo, a.sla.hi, 3)),
            col("Error budget\nused", lambda a: percent(a.operations.budget_used, 1)),
            *([col("Target kept up to\n[faults a window]", most)] if sla and not sla.repair_s else []),
            col("Good time\nwithin trials", lambda a: percent(a.operations.adherence, 1)),
        ],
        f"{_budget_told(page)}{_flatters(page)}",
        (
            (
                "Availability",
                "1 − faults × mean bad seconds of a fault / length of the window; unknown seconds are bad",
            ),
            ("Error budget", "the bad seconds that the target leaves"),
            ("Target kept up to", "so many faults a window use up the error budget, on average"),
            ("Good time within trials", "from injection to horizon; it describes trials, which consist of faults"),
        ),
    )
