"""The system under test as a diagram: who sends, what answers, who watches, who repairs. Names in, SVG out."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from smartops_chaos.report.style import BAD, HAIR, INK, QUIET, WIDTH_IN, draw

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
    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        axes.set_xlim(-0.6, 100.6)  # half a line more than the boxes at the edges
        axes.set_ylim(0, 46)
        axes.set_axis_off()
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
        axes.text(
            10, 14, "every answer is\nrecorded: outage\nand recovery are\nseen here", ha="center", va="top", color=QUIET
        )

    return draw(figure_id, 2.35, paint, width_in=width_in)


def _box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    place, size = (x - _HALF, y - _TALL), (2 * _HALF, 2 * _TALL)
    axes.add_patch(Rectangle(place, *size, facecolor=colour, edgecolor=QUIET, linewidth=0.8))
    axes.text(x, y, text, ha="center", va="center", color=INK, linespacing=1.1)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK, line: str = "-"
) -> None:
    look = {"arrowstyle": "->", "color": colour, "linewidth": 1.1, "linestyle": line, "shrinkA": 0, "shrinkB": 1}
    axes.annotate("", end, start, arrowprops=look)
