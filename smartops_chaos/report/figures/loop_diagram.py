"""The system under test as a diagram: who sends, what answers, who watches, who repairs. Names in, SVG out."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from smartops_chaos.report.style import BAD, HAIR, INK, QUIET, WIDTH_IN, draw, is_narrow

_HEALER, _OURS, _THEIRS, _FAULT = "#dff0e9", "#e8eef5", "#ffffff", "#fbe3d6"
_HALF, _TALL = 10.0, 6.3  # of a box, half its width and height, on a canvas of 100 by 46


@dataclass(frozen=True, slots=True)
class Names:
    """What stands in the boxes, and of what there are several."""

    load: str
    front: str
    service: str
    watch: str
    healer: str
    platform: str
    fault: str
    lane: str


def diagram(figure_id: str, names: Names, *, width_in: float = WIDTH_IN) -> str:
    if is_narrow():
        return draw(figure_id, 3.6, lambda drawing: _below_each_other(_canvas(drawing, 100), names))
    return draw(figure_id, 2.35, lambda drawing: _beside_each_other(_canvas(drawing, 46), names), width_in=width_in)


def _canvas(drawing: Drawing, height: float) -> Axes:
    axes = drawing.subplots()
    axes.set_xlim(-0.6, 100.6)  # half a line more than the boxes at the edges
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return axes


def _beside_each_other(axes: Axes, names: Names) -> None:
    axes.add_patch(Rectangle((23.5, 1), 53, 44, fill=False, edgecolor=HAIR, linewidth=0.9, linestyle="--"))
    axes.text(25, 43, names.lane, va="top", color=QUIET)
    _box(axes, 10, 30, names.load, _OURS)
    _box(axes, 35, 30, names.front, _THEIRS)
    _box(axes, 65, 30, names.service, _THEIRS)
    _box(axes, 90, 30, names.fault, _FAULT)
    _box(axes, 35, 8, names.healer, _HEALER)
    _box(axes, 65, 8, names.watch, _THEIRS)
    _box(axes, 90, 8, names.platform, _THEIRS)
    _arrow(axes, (10 + _HALF, 30), (35 - _HALF, 30))
    _arrow(axes, (35 + _HALF, 30), (65 - _HALF, 30))
    _arrow(axes, (90 - _HALF, 30), (65 + _HALF, 30), BAD)
    _arrow(axes, (65, 30 - _TALL), (65, 8 + _TALL))
    axes.text(66, 19, "metrics,\nlogs", color=QUIET, va="center")
    _arrow(axes, (65 - _HALF, 8), (35 + _HALF, 8))
    _arrow(axes, (35 + _HALF - 3, 8 + _TALL), (65 - _HALF, 30 - _TALL + 2))
    axes.text(43, 19, "repairs", color=QUIET, va="center", ha="right")
    _arrow(axes, (90 - _HALF + 2, 8 + _TALL), (65 + _HALF, 30 - _TALL + 2))
    _arrow(axes, (10, 30 - _TALL), (10, 15), QUIET, "--")
    seen = "every answer is\nrecorded: outage\nand recovery are\nseen here"
    axes.text(10, 14, seen, ha="center", va="top", color=QUIET)


def _below_each_other(axes: Axes, names: Names) -> None:
    """On a phone: what acts from outside on top, the lane below it."""
    size = 15.7, 9.5
    axes.add_patch(Rectangle((0, 1), 100, 68, fill=False, edgecolor=HAIR, linewidth=0.9, linestyle="--"))
    axes.text(2, 3, names.lane, va="bottom", color=QUIET)
    _box(axes, 16, 89, names.load, _OURS, size)
    _box(axes, 50, 89, names.platform, _THEIRS, size)
    _box(axes, 84, 89, names.fault, _FAULT, size)
    _box(axes, 19, 56, names.front, _THEIRS, size)
    _box(axes, 67, 56, names.service, _THEIRS, size)
    _box(axes, 19, 22, names.healer, _HEALER, size)
    _box(axes, 67, 22, names.watch, _THEIRS, size)
    _arrow(axes, (17, 79.5), (19, 65.5))
    _arrow(axes, (54, 79.5), (62, 65.5))
    _arrow(axes, (80, 79.5), (72, 65.5), BAD)
    _arrow(axes, (34.7, 56), (51.3, 56))
    _arrow(axes, (67, 46.5), (67, 31.5))
    axes.text(69, 39, "metrics,\nlogs", color=QUIET, va="center")
    _arrow(axes, (51.3, 22), (34.7, 22))
    _arrow(axes, (30, 31.5), (53, 46.5))
    axes.text(37, 41, "repairs", color=QUIET, va="center", ha="right")


def _box(axes: Axes, x: float, y: float, text: str, colour: str, size: tuple[float, float] = (_HALF, _TALL)) -> None:
    half, tall = size
    axes.add_patch(
        Rectangle((x - half, y - tall), 2 * half, 2 * tall, facecolor=colour, edgecolor=QUIET, linewidth=0.8)
    )
    axes.text(x, y, text, ha="center", va="center", color=INK, linespacing=1.1)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, line: str = "-"
) -> None:
    look = {"arrowstyle": "->", "color": colour, "linewidth": 1.1, "linestyle": line, "shrinkA": 0, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=look)
