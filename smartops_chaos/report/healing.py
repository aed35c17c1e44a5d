"""The section about healing: how often, what users see, outcomes of every cell. Summary in, blocks out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smartops_chaos.analysis.summary import ArmSummary, CellNumbers, Summary
from smartops_chaos.model import Outcome, Targets
from smartops_chaos.report import figures
from smartops_chaos.report.answer import arm_name
from smartops_chaos.report.document import Block, Column, Figure, Paragraph, Section, Table, Text, grouped
from smartops_chaos.report.index import Index
from smartops_chaos.report.style import Styles
from smartops_chaos.report.words import (
    NONE,
    percent,
    percent_range,
    plain,
    points,
    seconds,
    share,
    with_range,
)

_BY_HEALER = tuple(plain(o) for o in Outcome if o.by_healer)
_NO_HUMAN = tuple(plain(o) for o in Outcome if o.no_human)


def section(summary: Summary, targets: Targets, styles: Styles, interval: str, index: Index) -> Section:
    return Section("healing", "Healing and service level", tuple(_healing(summary, targets, styles, interval, index)))


def _healing(summary: Summary, targets: Targets, styles: Styles, interval: str, index: Index) -> Iterable[Block]:
    arms = summary.arms
    yield Figure(
        "fig-rates",
        "Auto-heal rate and availability",
        f"Filled: share of incidents over without a person, Wilson {interval} interval; open: by the healer's action. "
        "n: incidents. Dashed: target.",
        " ".join(f"{a.arm}: {percent(a.auto_heal.no_human)} of {a.auto_heal.n} incidents." for a in arms),
        figures.rates(arms, styles, targets.auto_heal, targets.sla),
        ("tab-healing", "tab-sla"),
    )
    columns = (
        Column("Arm", grow=1),
        Column("Without\na person", "right"),
        Column(f"Share\n({interval} interval)", "right"),
        Column("By the\nhealer", "right"),
        Column("Uplift\n[points]", "right"),
        Column("False\nalarms", "right"),
        Column("Needless\nactions", "right"),
        Column("Contested", "right"),
    )
    rows = [
        (
            arm_name(a),
            index.link(share(a.auto_heal.successes, a.auto_heal.n), a.arm, counts_as="counted", outcome=_NO_HUMAN),
            with_range(percent(a.auto_heal.no_human), percent_range(a.auto_heal.lo, a.auto_heal.hi)),
            index.link(percent(a.auto_heal.by_healer), a.arm, counts_as="counted", outcome=_BY_HEALER),
            _uplift(a),
            index.link(share(a.false_alarms, a.controls), a.arm, counts_as="control", outcome="false alarm"),
            index.link(_known(a, a.needless_actions), a.arm, noted="needless action"),
            index.link(_known(a, a.contested), a.arm, noted="contested"),
        )
        for a in arms
    ]
    note = (
        "Incidents: trials whose service level went bad, and those in which that was prevented. Uplift: by the healer, "
        "minus the baseline's share without a person (Newcombe interval). False alarms: of trials without a fault."
    )
    yield Table("tab-healing", "Healing by arm", columns, tuple(rows), note)
    yield from _sla(summary, interval)
    if any(a.cells for a in arms):
        yield _outcomes(arms, index)


def _known(arm: ArmSummary, n: int) -> str:
    """A table that does not tell what the healer did has no zeros."""
    return str(n) if n or arm.operations.actions is not None else NONE


def _uplift(arm: ArmSummary) -> str:
    heal = arm.auto_heal
    if heal.uplift is None or heal.uplift_lo is None or heal.uplift_hi is None:
        return points(heal.uplift)
    return f"{points(heal.uplift)} ({points(heal.uplift_lo)} to {points(heal.uplift_hi)})"


def _sla(summary: Summary, interval: str) -> Iterable[Block]:
    if all(a.sla.availability is None for a in summary.arms):
        why = next((v.why for v in summary.verdicts if v.target == "sla" and v.why), "")
        yield Paragraph("Availability over a service window is not given" + (f": {why}." if why else "."))
        if all(a.sla.within_trials is None for a in summary.arms):
            return
    columns = (
        Column("Arm", grow=1),
        Column("n", "right"),
        Column("Availability", "right"),
        Column(f"{interval}\ninterval", "right"),
        Column("Error budget\nused", "right"),
        Column("Within the\nobjective", "right"),
        Column("Good requests\nwithin trials", "right"),
    )
    rows = [
        (
            arm_name(a),
            str(a.counted),
            percent(a.sla.availability, 3),
            percent_range(a.sla.lo, a.sla.hi, 3),
            percent(a.operations.budget_used, 1),
            percent(a.operations.adherence, 1),
            percent(a.sla.within_trials, 1),
        )
        for a in summary.arms
    ]
    note = (
        "n: counted trials. Availability: 1 minus faults a window times mean bad seconds a trial, by the length of the "
        "window; unknown seconds are bad. Error budget: what the target leaves. Within the objective: share of the "
        "time from injection to the horizon. The last two columns only describe the trials, which consist of faults."
    )
    yield Table("tab-sla", "Service level by arm", columns, tuple(rows), note)


def _trials(cell: CellNumbers, arm: ArmSummary, outcome: str, index: Index) -> Text:
    text = str(cell.outcomes.get(outcome, 0) or "·")
    use = ("counted", "control", "left out")  # all but calibration
    return index.link(text, arm.arm, chaos=cell.chaos, workload=cell.workload, counts_as=use, outcome=plain(outcome))


def _outcomes(arms: Sequence[ArmSummary], index: Index) -> Table:
    seen = {name for a in arms for c in a.cells for name, n in c.outcomes.items() if n}
    names = [o.value for o in Outcome if o.value in seen]
    rarely = any(c.rarely_hurts for a in arms for c in a.cells)
    scenarios = list(dict.fromkeys((c.chaos, c.workload) for a in arms for c in a.cells))
    rows = [
        (
            f"{c.chaos} / {c.workload}" + (" †" if c.rarely_hurts else ""),
            arm_name(a),
            index.link(str(c.counted), a.arm, chaos=c.chaos, workload=c.workload, counts_as="counted"),
            *(_trials(c, a, name, index) for name in names),
            seconds(c.rmst_s),
            NONE if c.se_s is None else f"± {seconds(c.se_s)}",
        )
        for scenario in scenarios
        for a in arms
        for c in a.cells
        if (c.chaos, c.workload) == scenario
    ]
    columns = (
        Column("Scenario", grow=3),
        Column("Arm", grow=2),
        Column("Counted", "right"),
        *(Column(plain(name), "right") for name in names),
        Column("MTTR", "right"),
        Column("Standard\nerror", "right"),
    )
    note = "† The baseline's service level went bad in fewer than half of its trials here." if rarely else ""
    return Table("tab-outcomes", "Outcomes of all trials by cell", columns, grouped(rows), note)
