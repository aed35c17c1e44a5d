"""The figure of a history: one number of each arm, campaign after campaign. Numbers in, SVG out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from smartops_chaos.analysis.headlines import Bounded
from smartops_chaos.analysis.history import History, Kind
from smartops_chaos.model import Arm
from smartops_chaos.report.figures import marks
from smartops_chaos.report.style import BAD, HAIR, LETTERS, QUIET, ArmStyle, Styles, draw, legend

Unit = Literal["seconds", "fraction"]

CHANGES: dict[Kind, str] = {"plan": "P", "git": "G", "images": "I", "versions": "V"}
_LABELS = 16  # of campaigns that fit below the axis
_LOWEST_SHOWN = -1.0  # of a fraction: an interval may end far below


def by_campaign(
    figure_id: str,
    history: History,
    styles: Styles,
    points: Sequence[Mapping[Arm, Bounded]],
    unit: Unit,
    target: float | None,
) -> str:
    """Points with their intervals; open: incomplete; a cross: no result; letters above: what changed.

    `points` has an entry for each campaign of the history, with the arms that have a value in it.
    """
    shown = [arm for arm in styles if any(arm in found for found in points)]

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        n = len(points)
        axes.set_xlim(-0.6, n - 0.4)
        labelled = range(0, n, math.ceil(n / _LABELS))
        axes.set_xticks(labelled, [f"{i + 1}\n{history.campaigns[i].began[5:10]}" for i in labelled])  # 3 over 11-24
        axes.grid(axis="y")
        step = 0.66 / max(len(shown), 1)
        for k, arm in enumerate(shown):
            shift = (k - (len(shown) - 1) / 2) * step  # arms side by side
            for i, found in enumerate(points):
                if arm in found:
                    _point(axes, i + shift, found[arm], styles[arm], filled=history.campaigns[i].state == "complete")
        _scale(axes, unit, target)
        _marks(axes, history)
        legend(drawing, shown, styles)

    return draw(figure_id, 2.5, paint)


def _point(axes: Axes, x: float, point: Bounded, style: ArmStyle, *, filled: bool) -> None:
    value, lo, hi = point
    if value is None:
        return
    if lo is not None and hi is not None:
        axes.plot([x, x], [lo, hi], color=style.colour, linewidth=1.0)
    face = style.colour if filled else "white"
    axes.plot([x], [value], marker=style.marker, color=style.colour, markerfacecolor=face, markersize=4)


def _scale(axes: Axes, unit: Unit, target: float | None) -> None:
    if unit == "seconds":
        axes.set_ylim(bottom=0)
        axes.set_ylabel("seconds")
        return
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, _LOWEST_SHOWN), min(high, 1.0) + 0.04 * (min(high, 1.0) - max(low, _LOWEST_SHOWN)))
    marks.in_percent(axes.yaxis, decimals=None)
    if target is not None and axes.get_ylim()[0] <= target:
        marks.target_up(axes, target)


def _marks(axes: Axes, history: History) -> None:
    for i, (campaign, changes) in enumerate(zip(history.campaigns, history.changes, strict=True)):
        if campaign.state == "failed":
            axes.axvspan(i - 0.4, i + 0.4, color=HAIR, alpha=0.35, linewidth=0)
            axes.annotate("×", (i, 0.5), xycoords=("data", "axes fraction"), ha="center", va="center", color=BAD)
        kinds = {change.kind for change in changes}
        if "plan" in kinds:
            axes.axvline(i - 0.5, color=QUIET, linewidth=0.8, linestyle=":")
        letters = "".join(letter for kind, letter in CHANGES.items() if kind in kinds)
        marks.above(axes, i, letters, fontsize=LETTERS, color=QUIET)
