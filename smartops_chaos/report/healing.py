"""The section about healing: how often, what users see, outcomes of every cell."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import (
    NONE,
    k_of_n,
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

_BY_HEALER = tuple(plain(o) for o in Outcome if o.by_healer)
_WITHOUT_PERSON = tuple(plain(o) for o in Outcome if o.no_human)


def section(page: Page) -> Section:
    return Section("healing", "Healing and service level", tuple(_blocks(page)))


def _blocks(page: Page) -> Iterable[Block]:
    yield Figure(
        "fig-rates",
        "Auto-heal rate and availability",
        f"Filled: share of incidents over without a person, Wilson {page.level} interval; open: by the healer's "
        "action. n: incidents. Dashed: target.",
        " ".join(f"{a.arm}: {percent(a.auto_heal.no_human)} of {a.auto_heal.n} incidents." for a in page.arms),
        effect.rates(page.arms, page.styles, page.targets.auto_heal, page.targets.sla),
        ("tab-healing", "tab-sla"),
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
        "Incidents: trials whose service level went bad, and those in which that was prevented. Uplift: by the healer, "
        "minus the baseline's share without a person (Newcombe interval). False alarms: of trials without a fault.",
    )


def _share(arm: ArmSummary) -> str:
    return with_range(percent(arm.auto_heal.no_human), percent_range(arm.auto_heal.lo, arm.auto_heal.hi))


def _uplift(arm: ArmSummary) -> str:
    heal = arm.auto_heal
    if heal.uplift is None or heal.uplift_lo is None or heal.uplift_hi is None:
        return points(heal.uplift)
    return f"{points(heal.uplift)} ({points(heal.uplift_lo)} to {points(heal.uplift_hi)})"


def _sla(page: Page) -> Table:
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
            col("Within the\nobjective", lambda a: percent(a.operations.adherence, 1)),
            col("Good requests\nwithin trials", lambda a: percent(a.sla.within_trials, 1)),
        ],
        "n: counted trials. Availability: 1 minus faults a window times mean bad seconds a trial, by the length of the "
        "window; unknown seconds are bad. Error budget: what the target leaves. Within the objective: share of the "
        "time from injection to the horizon. The last two columns only describe the trials, which consist of faults.",
    )
