"""Marks that several figures share: a target, a word beside the axes, an axis of per cent."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import PercentFormatter

from smartops_chaos.analysis.words import percent
from smartops_chaos.report.style import INK, LETTERS, PERCENT, QUIET

_DASHED = (0, (3, 2))


def target_across(axes: Axes, target: float, size: float = LETTERS) -> None:
    """A target on the x axis: an upright line with its value above the axes."""
    axes.axvline(target, color=INK, linewidth=0.8, linestyle=_DASHED)
    above(axes, target, f"target {percent(target)}", fontsize=size)


def target_up(axes: Axes, target: float) -> None:
    """A target on the y axis: a level line with its value beside the axes."""
    axes.axhline(target, color=INK, linewidth=0.8, linestyle=_DASHED)
    beside(axes, target, f"target {percent(target)}", gap=3)


def beside(axes: Axes, y: float, text: str, *, gap: float, **style: Any) -> None:
    """Right of the axes, at the height `y` of the data; `gap` in points."""
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (1, y), (gap, 0), **place, **{"fontsize": LETTERS, **style})


def above(axes: Axes, x: float, text: str, **style: Any) -> None:
    """Above the axes, in the middle over `x` of the data."""
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
    axes.annotate(text, (x, 1), (0, 2), **place, **{"fontsize": LETTERS, **style})


def below(axes: Axes, x: float, text: str, **style: Any) -> None:
    """Within the axes at their lower edge, right of `x` of the data."""
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom"}
    axes.annotate(text, (x, 0), (2, 2), **place, **{"fontsize": LETTERS, **style})


def cannot_be_given(axes: Axes, y: float) -> None:
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "center", "va": "center"}
    axes.annotate("cannot be given", (0.5, y), fontsize=LETTERS, color=QUIET, **place)


def in_percent(axis: Axis, decimals: int | None = 0) -> None:
    """Fractions are written as per cent. `decimals` None: as many as the ticks need."""
    axis.set_major_formatter(PercentFormatter(1, decimals=decimals, symbol=PERCENT))
