"""Fault by fault: what was injected, every trial of it, and what each arm made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import pandas as pd

from smartops_chaos.analysis.summary import ArmSummary, CellNumbers
from smartops_chaos.analysis.words import NONE, listing, percent, plain, seconds, stated_seconds
from smartops_chaos.model import FaultPart, Outcome
from smartops_chaos.report.document import Block, Figure, Filling, Paragraph, Section, Table, Text, col, table
from smartops_chaos.report.figures import effect
from smartops_chaos.report.page import Page, arm_name
from smartops_chaos.report.recovery import reduction_told
from smartops_chaos.report.style import narrowed

SECTION = "faults"
_IN_WORDS = 4  # arms, so that a caption says the time of each
_FEW = 6  # scenarios
_MEASURED = ("counted", "control", "left out")  # all trials but those of calibration
Of = tuple[ArmSummary, CellNumbers]


def section(page: Page) -> Section:
    """Beside the time to recover where there are few faults, else in the appendix: `build` asks `few`."""
    title = "Fault by fault" if few(page) else "Appendix: fault by fault"
    blocks = tuple(_blocks(page)) or (Paragraph("No trial of a fault counts."),)
    return Section(SECTION, title, blocks)


def few(page: Page) -> bool:
    return len(_scenarios(page)) <= _FEW


def _scenarios(page: Page) -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.chaos, cell.workload) for arm in page.arms for cell in arm.cells))


def _blocks(page: Page) -> Iterable[Block]:
    """Of each fault a figure with all its trials, then a table for each workload."""
    cells = [(arm, cell) for arm in page.arms for cell in arm.cells]
    scenarios = _scenarios(page)
    faults = list(dict.fromkeys(chaos for chaos, _ in scenarios))
    counted = page.counted
    for at, chaos in enumerate(faults, 1):
        own = [of for of in cells if of[1].chaos == chaos]
        if len(counted):
            yield _figure(page, f"fig-trials-{at}" if at > 1 else "fig-trials", chaos, own, counted)
        for i, scenario in enumerate(scenarios, 1):
            if scenario[0] == chaos:
                yield _table(page, i, [of for of in own if of[1].workload == scenario[1]])


def _figure(page: Page, figure_id: str, chaos: str, cells: list[Of], counted: pd.DataFrame) -> Figure:
    draw = partial(effect.strips, figure_id, counted, cells, page.styles)
    strip = draw()
    rows = {place: i for i, place in enumerate(page.index.places)}
    listed = ((group, tuple(rows.get(place, -1) for place in places)) for group, places in strip.points)
    times = [(arm, cell) for arm, cell in cells if cell.rmst_s is not None]
    told = "; ".join(f"{arm.arm}, {cell.workload}: {seconds(cell.rmst_s)}" for arm, cell in times)
    return Figure(
        figure_id,
        f"Every counted trial of {chaos}",
        f"MTTR: {told}." if len(times) <= _IN_WORDS else "Each mark is one trial.",
        f"MTTR under {chaos}. {told}.",
        strip.svg,
        ("tab-mttr",),
        # Told once, at the first fault.
        (
            ("Mark", "one trial, at its time to recover"),
            ("Black bar", "the MTTR"),
            ("Triangle", "trials that never recovered, at the dotted horizon"),
        )
        if figure_id == "fig-trials"
        else (),
        tuple(listed) if page.index.rows else (),
        # Of many faults twice as many drawings of thousands of marks would take a second.
        (lambda: narrowed(lambda: draw().svg)) if few(page) else None,
    )


def _table(page: Page, i: int, cells: list[Of]) -> Table:
    chaos, workload, name = cells[0][1].chaos, cells[0][1].workload, f"{cells[0][1].chaos} / {cells[0][1].workload}"

    def link(text: str, of: Of, **show: str | tuple[str, ...]) -> Text:
        return page.index.link(text, of[0].arm, chaos=chaos, workload=workload, **show)

    def outcome(one: str) -> Filling[Of]:
        def trials(of: Of) -> Text:
            return link(str(of[1].outcomes.get(one, 0) or "·"), of, counts_as=_MEASURED, outcome=plain(one))

        return col(plain(one), trials)

    def reduction(of: Of) -> str:
        comparison = page.summary.deciding(of[0].arm)
        found = comparison.by_scenario.get(name) if comparison else None
        return NONE if found is None else reduction_told(found)

    return table(
        f"tab-fault-{i}",
        name,
        cells,
        [
            col("Arm", lambda of: arm_name(of[0]), grow=2),
            col("Counted", lambda of: link(str(of[1].counted), of, counts_as="counted")),
            *(outcome(one) for one in Outcome if any(cell.outcomes.get(one) for _, cell in cells)),
            col("MTTR", lambda of: seconds(of[1].rmst_s)),
            col("Standard\nerror", _error),
            col(f"Reduction\n({page.level} interval)", reduction),
        ],
        _note(page, chaos, name, cells[0][1]),
    )


def _error(of: Of) -> str:
    """Trials that all count as the horizon have no spread that says anything."""
    cell = of[1]
    if cell.counted and cell.outcomes.get(Outcome.UNRECOVERED, 0) == cell.counted:
        return "all at the\nhorizon"
    return NONE if cell.se_s is None else f"± {seconds(cell.se_s)}"


_UNITS = {"duration": "\u00a0s", "size": "\u00a0bytes", "rate": "/s"}


def unit(part: FaultPart, name: str) -> str:
    """Of a parameter, as the fault file declares it."""
    for extension in part.definition.get("extensions", ()):
        declared = extension.get("parameters", {}).get(name, {})
        if isinstance(declared, Mapping):
            return _UNITS.get(str(declared.get("unit", "")), "")
    return ""


def _note(page: Page, chaos: str, name: str, cell: CellNumbers) -> str:
    told = [f"Horizon {stated_seconds(cell.horizon_s)}."]
    if page.plan and chaos in page.plan.chaos:
        for part in page.plan.chaos[chaos].parts:
            said = str(part.definition.get("description", "")).strip() or f"{part.fault}."
            values = listing([f"{plain(key)} {value}{unit(part, key)}" for key, value in part.params.items()])
            told.append(f"{said}{f' Set: {values}.' if part.params else ''}")
    shares = {share for c in page.summary.comparisons if c.decides and (share := c.shares.get(name)) is not None}
    if len(shares) == 1:
        told.append(f"This scenario makes {percent(shares.pop())} of the baseline's time.")
    if cell.rarely_hurts:
        told.append("The baseline's service level went bad in fewer than half of its trials here.")
    return " ".join(told)
