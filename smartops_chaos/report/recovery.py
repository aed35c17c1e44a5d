"""The section about time: MTTR, its reduction, every trial, Kaplan-Meier. Summary in, blocks out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from smartops_chaos.analysis.summary import Comparison, Mttr, Reduction, Summary
from smartops_chaos.model import Targets
from smartops_chaos.report import figures, survival_figures
from smartops_chaos.report.answer import MANY_ARMS, TARGETS, arm_name, deciding, detail, judged
from smartops_chaos.report.document import Block, Column, Figure, Paragraph, Section, Table, grouped
from smartops_chaos.report.index import Index
from smartops_chaos.report.style import Styles
from smartops_chaos.report.words import (
    NONE,
    percent,
    percent_range,
    probability,
    seconds,
    seconds_range,
    stated_seconds,
)

_ROWS_ON_A_PAGE = 40  # of a forest plot


def section(
    summary: Summary, targets: Targets, table: pd.DataFrame, styles: Styles, interval: str, index: Index
) -> Section:
    """`table` has the counted trials only; `interval` is the confidence level in words."""
    return Section("time", "Time to recover", tuple(_time(summary, targets, table, styles, interval, index)))


def _time(
    summary: Summary, targets: Targets, table: pd.DataFrame, styles: Styles, interval: str, index: Index
) -> Iterable[Block]:
    arms = summary.arms
    yield Paragraph(
        "MTTR is the restricted mean time to recover, RMST(τ): the mean over all counted trials of the time from "
        "injection to lasting health, where a trial without recovery by its horizon τ counts as τ and a fault that "
        "never hurt as 0. No trial is left out for its result."
    )
    if len(judged(summary)) > MANY_ARMS:
        yield _verdicts(summary)
    yield _mttr(summary, interval, index)
    if summary.comparisons:
        yield _sensitivity(summary)
    if summary.holds:
        yield _holds(summary)
    if any(c.mttr_reduction.estimate is not None for c in summary.comparisons):
        yield from _forests(summary.comparisons, targets, styles, interval)
    if len(table) and any(a.cells for a in arms):
        drawn = figures.strips(table, arms, styles)
        for i, svg in enumerate(drawn, 1):
            yield Figure(
                f"fig-trials-{i}" if i > 1 else "fig-trials",
                "Every counted trial" + (f", part {i} of {len(drawn)}" if len(drawn) > 1 else ""),
                "One mark a trial; open triangles: not recovered by the horizon (dotted). Black bars: MTTR of the cell."
                " Marks at 0 s: the fault never hurt.",
                f"Times to recover of {sum(a.counted for a in arms)} trials by scenario and arm.",
                svg,
                ("tab-mttr", "tab-outcomes"),
            )
    if any(not curve.scenario for a in arms for curve in a.curves):
        yield Figure(
            "fig-survival",
            "Share of trials not yet recovered",
            f"Kaplan-Meier over all scenarios of an arm, {interval} bands, ticks: censored. Below: trials at risk.",
            "Kaplan-Meier curves. " + " ".join(f"{a.arm}: median {_median(a.mttr)}." for a in arms),
            survival_figures.kaplan_meier(arms, styles),
            ("tab-mttr",),
        )
    if sum(bool(curve.scenario) for a in arms for curve in a.curves) > len(arms):
        yield Figure(
            "fig-survival-scenarios",
            "Share of trials not yet recovered, by scenario",
            "Kaplan-Meier, ticks: censored. n: trials of each arm, from left to right in the legend, or their range.",
            "Kaplan-Meier curves for each scenario.",
            survival_figures.survival_by_scenario(arms, styles),
            ("tab-outcomes",),
        )


def _holds(summary: Summary) -> Table:
    lengths = sorted({h.hold_s for h in summary.holds})
    columns = [Column("Arm", grow=1), Column("n", "right")]
    for hold_s in lengths:
        head = f"H = {stated_seconds(hold_s)}"
        columns += [Column(f"MTTR\n{head}", "right"), Column(f"Reduction\n{head}", "right")]
    columns.append(Column("Other\noutcomes", "right"))
    rows = []
    for arm in summary.arms:
        found = [h for h in summary.holds if (h.model, h.policy) == (arm.model, arm.policy)]
        if found:
            values = [text for h in found for text in (seconds(h.rmst_s), percent(h.reduction))]
            others = str(sum(h.other_outcomes for h in found))
            rows.append((arm_name(arm), str(found[0].trials), *values, others))
    note = (
        "The same requests judged again, as if health had to last for another time H to count; n: trials judged again. "
        "Other outcomes: trials that end otherwise than with the H of the plan."
    )
    return Table("tab-hold", "Sensitivity to how long health must last", tuple(columns), tuple(rows), note)


def _forests(comparisons: Sequence[Comparison], targets: Targets, styles: Styles, interval: str) -> Iterable[Figure]:
    """One figure, or several of whole arms where one would not fit on a page."""
    arms: list[list[Comparison]] = []
    for comparison in sorted(comparisons, key=lambda c: (str(c.arm), not c.decides)):
        if arms and arms[-1][0].arm == comparison.arm:
            arms[-1].append(comparison)
        else:
            arms.append([comparison])
    parts: list[list[Comparison]] = [[]]
    for arm in arms:
        if parts[-1] and figures.forest_rows([*parts[-1], *arm]) > _ROWS_ON_A_PAGE:
            parts.append([])
        parts[-1] += arm
    for i, part in enumerate(parts):
        figure_id = "fig-reduction" + (f"-{i + 1}" if i else "")
        yield Figure(
            figure_id,
            "Reduction of MTTR" + (f", part {i + 1} of {len(parts)}" if len(parts) > 1 else ""),
            f"Points with {interval} intervals. Bold: over all scenarios measured; thin: by scenario, descriptive; "
            "“faults like these”: about the faults that the measured ones stand for. An arrow: it goes on.",
            "Forest plot. " + " ".join(f"{name}: {_reduction(r)}." for c in part for name, r in _rows(c)),
            figures.forest(figure_id, part, styles, targets.mttr_reduction),
            ("tab-mttr",),
        )


def _rows(comparison: Comparison) -> Iterable[tuple[str, Reduction]]:
    """The rows that one comparison has in a forest plot, with their names."""
    if not comparison.decides:
        return [(f"{comparison.arm}, faults like these", comparison.mttr_reduction)]
    scenarios = [(f"{comparison.arm}, {name}", part) for name, part in comparison.by_scenario.items()]
    return [(str(comparison.arm), comparison.mttr_reduction), *scenarios]


def _verdicts(summary: Summary) -> Table:
    rows = [
        (str(v.arm), TARGETS[v.target], detail(v.value, v.target), detail(v.bound, v.target), v.verdict, v.why)
        for v in summary.verdicts
    ]
    columns = (
        Column("Arm", grow=2),
        Column("Target"),
        Column("Value", "right"),
        Column("Bound", "right"),
        Column("Verdict"),
        Column("Why", grow=5),
    )
    note = "Bound: the one-sided confidence bound that decides."
    return Table("tab-verdicts", "Verdicts and why", columns, grouped(rows), note)


def _mttr(summary: Summary, interval: str, index: Index) -> Table:
    rows = []
    for arm in summary.arms:
        comparison = deciding(summary, arm.arm)
        reduction = comparison.mttr_reduction if comparison else Reduction(None, None, None, None, None)
        rows.append((
            arm_name(arm),
            index.link(str(arm.counted), arm.arm, counts_as="counted"),
            seconds(arm.mttr.rmst_s),
            seconds_range(arm.mttr.lo, arm.mttr.hi),
            _median(arm.mttr),
            _reached(arm.mttr.p90_s, arm.mttr),
            percent(reduction.estimate),
            percent_range(reduction.lo, reduction.hi),
            probability(reduction.p_adjusted),
            seconds(arm.measuring_error_s),
        ))  # fmt: skip
    columns = (
        Column("Arm", grow=1),
        Column("Trials", "right"),
        Column("MTTR", "right"),
        Column(f"{interval}\ninterval", "right"),
        Column("Median", "right"),
        Column("90th\npercentile", "right"),
        Column("Reduction", "right"),
        Column(f"{interval}\ninterval", "right"),
        Column("p", "right"),
        Column("Measuring\nerror", "right"),
    )
    note = (
        "Median and 90th percentile by Kaplan-Meier. p: one-sided against the target, adjusted by Holm over all arms "
        "and targets. Measuring error: median width of the interval in which a recovery is known to lie."
    )
    return Table("tab-mttr", "Time to recover by arm", columns, tuple(rows), note)


def _median(mttr: Mttr) -> str:
    return _reached(mttr.median_s, mttr)


def _reached(value: float | None, mttr: Mttr) -> str:
    if value is None and mttr.rmst_s is not None and mttr.horizon_s is not None:
        return f"> {stated_seconds(mttr.horizon_s)}"
    return seconds(value)


def _reduction(reduction: Reduction) -> str:
    if reduction.estimate is None:
        return NONE
    between = percent_range(reduction.lo, reduction.hi)
    return percent(reduction.estimate) + (f" ({between})" if between != NONE else "")


def _sensitivity(summary: Summary) -> Table:
    horizons = list(dict.fromkeys(name for c in summary.comparisons for name in c.at_horizons))
    rows = [
        (
            str(c.arm),
            c.scope.replace("-", " "),
            *(_reduction(c.at_horizons[name]) if name in c.at_horizons else NONE for name in horizons),
            _reduction(c.from_impact),
        )
        for c in summary.comparisons
    ]
    shown = [f"At {name.replace('tau', 'τ')}" for name in horizons]
    columns = (
        Column("Arm", grow=2),
        Column("Scope", grow=2),
        *(Column(name, "right") for name in shown),
        Column("From impact,\nat τ", "right"),
    )
    note = "The horizon decides the size of a reduction against a baseline that never recovers; hence shorter ones too."
    return Table("tab-horizons", "Reduction at other horizons", columns, grouped(rows), note)
