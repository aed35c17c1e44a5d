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
from numpy.typing import NDArray

from smartops_chaos.analysis.summary import ArmSummary, Comparison, Reduction
from smartops_chaos.analysis.words import percent, percent_range
from smartops_chaos.report.figures import marks
from smartops_chaos.report.style import (
    HAIR,
    INK,
    LETTERS,
    QUIET,
    TALLEST_IN,
    WIDTH_IN,
    ArmStyle,
    Styles,
    draw,
    even_slices,
    legend,
    row_axis,
    two_lines,
)

_FEW_ARMS = 6  # more stand closer together
_AROUND_STRIP_IN = 0.9  # height of what is around the rows
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
        axes.set_xlabel("reduction of MTTR against the baseline (right is better)")

    row_in = 0.31 if any("\n" in two_lines(name) for _, name, _, _ in rows) else 0.205
    return draw(figure_id, 0.75 + row_in * len(rows), paint, width_in=width_in)


def forest_rows(comparisons: Sequence[Comparison], *, scenarios: bool = True) -> int:
    return sum(1 + len(c.by_scenario) * (c.decides and scenarios) for c in comparisons)


def _interval(axes: Axes, y: int, reduction: Reduction, style: ArmStyle, whole: bool, left: float) -> None:
    text = "cannot be given"
    if reduction.estimate is not None:
        text = percent(reduction.estimate)
        lo, hi = reduction.lo, reduction.hi
        if lo is not None and hi is not None:
            text = f"{text}  ({percent_range(lo, hi)})"
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


def strips(counted: pd.DataFrame, arms: Sequence[ArmSummary], styles: Styles) -> list[Strip]:
    """Every counted trial's time to recover, by scenario and arm; as many figures as the scenarios need pages."""
    scenarios = list(dict.fromkeys((c.chaos, c.workload) for arm in arms for c in arm.cells))
    height_in = max(0.42, (0.17 if len(arms) <= _FEW_ARMS else 0.13) * len(arms))
    parts = even_slices(len(scenarios), int((TALLEST_IN - _AROUND_STRIP_IN) / height_in))
    return [
        _strip(f"fig-trials-{i}" if i > 1 else "fig-trials", counted, arms, styles, scenarios[part], height_in)
        for i, part in enumerate(parts, 1)
    ]


def _strip(
    figure_id: str,
    counted: pd.DataFrame,
    arms: Sequence[ArmSummary],
    styles: Styles,
    scenarios: Sequence[tuple[str, str]],
    height_in: float,
) -> Strip:
    """Open triangles: not recovered by the horizon."""
    step = 0.8 / max(len(arms), 1)
    points: list[tuple[str, tuple[int, ...]]] = []

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        row_axis(axes, [f"{chaos} / {workload}" for chaos, workload in scenarios])
        for y, scenario in enumerate(scenarios):
            for i, arm in enumerate(arms):
                cell = next((c for c in arm.cells if (c.chaos, c.workload) == scenario), None)
                if cell is None:
                    continue
                style, at = styles[arm.arm], y - 0.4 + step * (i + 0.5)
                axes.plot([cell.horizon_s] * 2, [y - 0.45, y + 0.45], color=QUIET, linewidth=0.8, linestyle=":")
                rows = counted[
                    (counted["chaos"] == cell.chaos)
                    & (counted["workload"] == cell.workload)
                    & (counted["model"] == arm.model)
                    & (counted["policy"] == arm.policy)
                ]
                for rows_of_marks in _trials(axes, rows["time_s"], cell.horizon_s, at, step, style, len(points)):
                    points.append(rows_of_marks)
                if cell.rmst_s is not None:
                    axes.plot([cell.rmst_s] * 2, [at - step * 0.42, at + step * 0.42], color=INK, linewidth=1.6)
            if y:
                axes.axhline(y - 0.5, color=HAIR, linewidth=0.6)
        axes.set_xlim(left=0)
        axes.margins(x=0.03)
        axes.set_xlabel("time to recover [s] since injection")
        legend(axes, [arm.arm for arm in arms], styles)

    svg = draw(figure_id, _AROUND_STRIP_IN + height_in * len(scenarios), paint)
    return Strip(svg, tuple((f"{figure_id}-{group}", rows) for group, rows in points if rows))


def _trials(
    axes: Axes, trials: pd.Series, horizon: float, at: float, step: float, style: ArmStyle, groups: int
) -> Iterable[tuple[str, tuple[int, ...]]]:
    """Draws them; gives the groups of marks, numbered from `groups` on, with the row of each mark."""
    times, rows = trials.to_numpy(float), trials.index.to_numpy()
    # Neighbours in time go to different heights, so that equal values stay visible.
    order = np.argsort(np.argsort(times, kind="stable"), kind="stable")
    heights = at + step * 0.24 * ((order % 3) - 1)
    failed = times >= horizon
    many = len(times) > _MANY_POINTS
    kinds: tuple[tuple[NDArray[np.bool_], dict[str, Any]], ...] = (
        (~failed, {"s": 16, "marker": style.marker, "color": style.colour, "alpha": 0.75, "linewidths": 0}),
        (failed, {"s": 18, "marker": ">", "facecolors": "white", "edgecolors": style.colour, "linewidths": 0.9}),
    )
    for i, (which, looks) in enumerate(kinds):
        if which.any():
            drawn = axes.scatter(times[which], heights[which], rasterized=many, zorder=2 + i, **looks)
            drawn.set_gid(f"marks-{groups + i}")
        yield f"marks-{groups + i}", () if many else tuple(rows[which].tolist())


def rates(arms: Sequence[ArmSummary], styles: Styles, heal_target: float, sla_target: float) -> str:
    """Auto-heal rate and, where it is asked for, availability, each with interval and target."""
    with_sla = any(arm.sla.availability is not None for arm in arms)

    def paint(drawing: Drawing) -> None:
        heal, *rest = drawing.subplots(1, 2 if with_sla else 1, sharey=True, squeeze=False).ravel()
        row_axis(heal, [styles[arm.arm].label for arm in arms])
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
            marks.beside(heal, y, f"n = {numbers.n}", gap=4, color=QUIET)
            for axes in rest:
                _rate(axes, y, arm.sla.availability, arm.sla.lo, arm.sla.hi, style)
        heal.set_xlim(-0.03, 1.03)
        heal.set_title("Incidents over without a person", pad=14)
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

    return draw("fig-rates", 0.85 + 0.34 * len(arms), paint)


def _rate(axes: Axes, y: int, value: float | None, lo: float | None, hi: float | None, style: ArmStyle) -> None:
    if value is None:
        marks.cannot_be_given(axes, y)
        return
    if lo is not None and hi is not None:
        axes.plot([lo, hi], [y, y], color=style.colour, linewidth=1.8)
    axes.plot([value], [y], marker=style.marker, color=style.colour, markersize=6)
