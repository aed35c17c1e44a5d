"""Figures of the effect: how much better, how often, and every trial behind it. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from smartops_chaos.analysis.summary import ArmSummary, CellNumbers, Comparison, Reduction
from smartops_chaos.analysis.words import percent, percent_range
from smartops_chaos.report.figures import marks
from smartops_chaos.report.style import (
    HAIR,
    INK,
    LETTERS,
    QUIET,
    WIDTH_IN,
    ArmStyle,
    Styles,
    draw,
    is_narrow,
    panels,
    row_axis,
    two_lines,
)

_SLIDE_ROWS_IN = 1.45
_REDUCTION = "reduction of MTTR against the baseline (right is better)"
_MOST_PANELS = 3  # beside each other
_MANY_POINTS = 1500  # from here on points are drawn as a bitmap inside the SVG


def forest(
    figure_id: str,
    comparisons: Sequence[Comparison],
    styles: Styles,
    target: float,
    references: Sequence[tuple[str, float]] = (),
    *,
    scenarios: bool = True,
    width_in: float = WIDTH_IN,
) -> str:
    """Reduction of MTTR with its interval: each arm over all scenarios, then, with `scenarios`, one by one.

    `references` are lines to hold them against: the floor and the chance level, by name.
    """
    rows: list[tuple[Comparison, str, Reduction, bool]] = []
    for comparison in comparisons:
        name = styles[comparison.arm].label if comparison.decides else "faults like these"
        rows.append((comparison, name, comparison.mttr_reduction, comparison.decides))
        if comparison.decides and scenarios:
            rows += [(comparison, scenario, part, False) for scenario, part in comparison.by_scenario.items()]

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        row_axis(axes, [name for _, name, _, _ in rows])
        ends = [v for _, _, r, _ in rows for v in (r.lo, r.estimate) if v is not None]
        left = max(-1.0, min([-0.1, *[v - 0.05 for v in ends]]))
        axes.set_xlim(left, 1.05)
        axes.axvline(0, color=QUIET, linewidth=0.8)
        marks.target_across(axes, target, LETTERS)
        for name, reached in references:
            axes.axvline(max(reached, left), color=QUIET, linewidth=0.8, linestyle=":")
            marks.below(axes, max(reached, left), name, color=QUIET)
        for y, (comparison, _, reduction, whole) in enumerate(rows):
            _interval(axes, y, reduction, styles[comparison.arm], whole, left)
            if whole:
                axes.get_yticklabels()[y].set_fontweight("bold")
                if y:
                    axes.axhline(y - 0.5, color=HAIR, linewidth=0.6)
        marks.in_percent(axes.xaxis)
        axes.set_xlabel("reduction of MTTR (right is better)" if is_narrow() else _REDUCTION)

    row_in = 0.31 if any("\n" in two_lines(name) for _, name, _, _ in rows) else 0.205
    if width_in < WIDTH_IN:  # a slide is there to be filled
        row_in = max(row_in, _SLIDE_ROWS_IN / len(rows))
    return draw(figure_id, 0.75 + row_in * len(rows), paint, width_in=width_in)


def forest_rows(comparisons: Sequence[Comparison], *, scenarios: bool = True) -> int:
    return sum(1 + len(c.by_scenario) * (c.decides and scenarios) for c in comparisons)


def _interval(axes: Axes, y: int, reduction: Reduction, style: ArmStyle, whole: bool, left: float) -> None:
    text = "cannot be given"
    if reduction.estimate is not None:
        text = percent(reduction.estimate)
        lo, hi = reduction.lo, reduction.hi
        if lo is not None and hi is not None:
            text = text if is_narrow() else f"{text}  ({percent_range(lo, hi)})"  # a phone has room for the line only
            axes.plot([max(lo, left), min(hi, 1.0)], [y, y], color=style.colour, linewidth=2 if whole else 1.1)
            if lo < left:
                axes.plot([left], [y], marker="<", color=style.colour, markersize=4, clip_on=False)
        if reduction.estimate >= left:
            face = style.colour if whole else "white"
            axes.plot(
                [reduction.estimate],
                [y],
                marker=style.marker,
                color=style.colour,
                markerfacecolor=face,
                markersize=LETTERS if whole else 4.5,
            )
    weight, colour = "bold" if whole else "normal", INK if reduction.estimate is not None else QUIET
    marks.beside(axes, y, text, gap=6, fontsize=LETTERS, fontweight=weight, color=colour)


@dataclass(frozen=True, slots=True)
class Strip:
    """A drawing, and for each group of marks in it the row of the table that each mark stands for."""

    svg: str
    points: tuple[tuple[str, tuple[int, ...]], ...]  # id of the group -> rows; none where marks are a bitmap


def strips(
    figure_id: str, counted: pd.DataFrame, cells: Sequence[tuple[ArmSummary, CellNumbers]], styles: Styles
) -> Strip:
    """One fault: every counted trial's time to recover, a row for each arm, a panel for each workload.

    Trials that did not recover share one open triangle at the horizon, and their number stands beside it.
    """
    workloads = list(dict.fromkeys(cell.workload for _, cell in cells))
    arms = list(dict.fromkeys(arm.arm for arm, _ in cells))
    columns = 1 if is_narrow() else min(_MOST_PANELS, len(workloads))
    labels = [styles[arm].label for arm in arms]
    height_in = (0.27 if any("\n" in two_lines(label) for label in labels) else 0.2) * len(arms)
    points: list[tuple[str, tuple[int, ...]]] = []

    def paint(drawing: Drawing) -> None:
        grid = panels(drawing, len(workloads), columns, sharey=True)
        for axes, workload in zip(grid, workloads, strict=True):
            row_axis(axes, labels)
            for arm, cell in cells:
                if cell.workload == workload:
                    y, rows = arms.index(arm.arm), _rows_of(counted, arm, cell)
                    for group in _trials(axes, rows["time_s"], cell.horizon_s, y, styles[arm.arm], len(points)):
                        points.append(group)
                    if cell.rmst_s is not None:
                        axes.plot([cell.rmst_s] * 2, [y - 0.38, y + 0.38], color=INK, linewidth=1.8)
                    axes.axvline(cell.horizon_s, color=QUIET, linewidth=0.8, linestyle=":")
            for y in range(1, len(arms)):
                axes.axhline(y - 0.5, color=HAIR, linewidth=0.4)
            axes.set_xlim(left=0)
            axes.margins(x=0.03)
            if len(workloads) > 1:
                axes.set_title(workload)
        drawing.supxlabel("time to recover [s] since injection", fontsize=LETTERS)

    svg = draw(figure_id, (0.5 + 0.2 * (len(workloads) > 1) + height_in) * -(-len(workloads) // columns), paint)
    return Strip(svg, tuple((f"{figure_id}-{group}", rows) for group, rows in points if rows))


def _rows_of(counted: pd.DataFrame, arm: ArmSummary, cell: CellNumbers) -> pd.DataFrame:
    of_cell = (counted["chaos"] == cell.chaos) & (counted["workload"] == cell.workload)
    return counted[of_cell & (counted["model"] == arm.model) & (counted["policy"] == arm.policy)]


def _trials(
    axes: Axes, trials: pd.Series, horizon: float, y: int, style: ArmStyle, groups: int
) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Draws them; gives the groups of marks, numbered from `groups` on, with the row of each mark."""
    times, rows = trials.to_numpy(float), trials.index.to_numpy()
    # Neighbours in time go to different heights, so that equal values stay visible.
    order = np.argsort(np.argsort(times, kind="stable"), kind="stable")
    heights = y + 0.22 * ((order % 3) - 1)
    failed = times >= horizon
    back, many = ~failed, len(times) > _MANY_POINTS
    if back.any():
        looks: dict[str, Any] = {"marker": style.marker, "color": style.colour, "alpha": 0.75, "linewidths": 0}
        drawn = axes.scatter(times[back], heights[back], s=16, rasterized=many, zorder=2, **looks)
        drawn.set_gid(f"marks-{groups}")
    yield f"marks-{groups}", () if many else tuple(rows[back].tolist())
    if failed.any():
        looks = {"marker": ">", "facecolors": "white", "edgecolors": style.colour, "linewidths": 0.9}
        axes.scatter([horizon], [y], s=24, zorder=3, clip_on=False, **looks).set_gid(f"marks-{groups + 1}")
        marks.beside(axes, y, f"{failed.sum()} of {len(times)} never", gap=4, color=INK)
    yield f"marks-{groups + 1}", tuple(rows[failed][:1].tolist())


def rates(arms: Sequence[ArmSummary], styles: Styles, heal_target: float, sla_target: float) -> str:
    """Auto-heal rate and, where it is asked for, availability, each with interval and target."""
    panels_ = 2 if any(arm.sla.availability is not None for arm in arms) else 1
    grid = (panels_, 1) if is_narrow() else (1, panels_)

    def paint(drawing: Drawing) -> None:
        heal, *rest = drawing.subplots(*grid, sharey=True, squeeze=False).ravel()
        row_axis(heal, [f"{two_lines(styles[arm.arm].label)}\nn = {arm.auto_heal.n}" for arm in arms])
        heal.set_ylim(len(arms) - 0.3, -0.6)
        for y, arm in enumerate(arms):
            style, numbers = styles[arm.arm], arm.auto_heal
            _rate(heal, y, numbers.no_human, numbers.lo, numbers.hi, style)
            if numbers.by_healer is not None:
                heal.plot(
                    [numbers.by_healer],
                    [y + 0.24],
                    marker=style.marker,
                    color=style.colour,
                    markerfacecolor="white",
                    markersize=4.5,
                    linestyle="none",
                )
            for axes in rest:
                _rate(axes, y, arm.sla.availability, arm.sla.lo, arm.sla.hi, style)
        heal.set_xlim(-0.03, 1.1)  # the words below one panel keep clear of the other's
        heal.set_title("Incidents that ended without a person", pad=14)
        marks.target_across(heal, heal_target)
        marks.in_percent(heal.xaxis)
        for axes in rest:
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
            axes.set_title("Availability in one window", pad=14)
            marks.target_across(axes, sla_target)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            low = min(axes.get_xlim()[0], 0.9999)
            axes.set_xlim(low - (1.0 - low) * 0.06, 1.0 + (1.0 - low) * 0.03)
            marks.in_percent(axes.xaxis, decimals=None)

    return draw("fig-rates", (0.85 + 0.4 * len(arms)) * grid[0], paint)


def _rate(axes: Axes, y: int, value: float | None, lo: float | None, hi: float | None, style: ArmStyle) -> None:
    if value is None:
        marks.cannot_be_given(axes, y)
        return
    if lo is not None and hi is not None:
        axes.plot([lo, hi], [y, y], color=style.colour, linewidth=1.8)
    axes.plot([value], [y], marker=style.marker, color=style.colour, markersize=6)
