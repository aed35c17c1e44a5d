"""The figure of a history: one number of each arm, night by night. Numbers in, SVG out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from smartops_chaos.analysis.history import ArmNight, History, Kind, arm_nights
from smartops_chaos.model import Arm
from smartops_chaos.report.figures import marks
from smartops_chaos.report.style import BAD, HAIR, QUIET, Styles, draw, legend

Unit = Literal["seconds", "fraction"]
Read = Callable[[ArmNight], tuple[float | None, float | None, float | None]]  # value, lower and upper bound

LETTERS: dict[Kind, str] = {"plan": "P", "git": "G", "images": "I", "versions": "V"}
_LABELS = 16  # of nights that fit below the axis
_LOWEST_SHOWN = -1.0  # of a fraction: an interval may end far below


def night_label(history: History, i: int) -> str:
    """Its place and day, such as "3" over "11-24"."""
    return f"{i + 1}\n{history.nights[i].began[5:10]}"


def by_night(figure_id: str, history: History, styles: Styles, read: Read, unit: Unit, target: float | None) -> str:
    """Points with their intervals; open: incomplete; a cross: no result; letters above: what changed."""
    arms = list(styles)
    found = [{a.arm: read(a) for a in arm_nights(night)} for night in history.nights]
    shown = [arm for arm in arms if any(night.get(arm, (None,))[0] is not None for night in found)]

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        n = len(found)
        axes.set_xlim(-0.6, n - 0.4)
        every = math.ceil(n / _LABELS)
        axes.set_xticks(range(0, n, every), [night_label(history, i) for i in range(0, n, every)])
        axes.grid(axis="y")
        step = 0.66 / max(len(shown), 1)
        for k, arm in enumerate(shown):
            _arm(axes, history, arm, [night.get(arm) for night in found], (k - (len(shown) - 1) / 2) * step, styles)
        _scale(axes, unit, target)
        _marks(axes, history)
        legend(drawing, shown, styles)

    return draw(figure_id, 2.5, paint)


def _arm(
    axes: Axes,
    history: History,
    arm: Arm,
    values: Sequence[tuple[float | None, float | None, float | None] | None],
    shift: float,
    styles: Styles,
) -> None:
    style = styles[arm]
    for i, night in enumerate(history.nights):
        value, lo, hi = values[i] or (None, None, None)
        if value is None:
            continue
        if lo is not None and hi is not None:
            axes.plot([i + shift] * 2, [lo, hi], color=style.colour, linewidth=1.0)
        face = style.colour if night.state == "complete" else "white"
        axes.plot([i + shift], [value], marker=style.marker, color=style.colour, markerfacecolor=face, markersize=4)


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
    for i, (night, changes) in enumerate(zip(history.nights, history.changes, strict=True)):
        if night.state == "failed":
            axes.axvspan(i - 0.4, i + 0.4, color=HAIR, alpha=0.35, linewidth=0)
            axes.annotate("×", (i, 0.5), xycoords=("data", "axes fraction"), ha="center", va="center", color=BAD)
        kinds = {change.kind for change in changes}
        if "plan" in kinds:
            axes.axvline(i - 0.5, color=QUIET, linewidth=0.8, linestyle=":")
        letters = "".join(letter for kind, letter in LETTERS.items() if kind in kinds)
        marks.above(axes, i, letters, fontsize=6, color=QUIET)
