"""The system under test as a diagram: who sends, what answers, who watches, who repairs. Names in, SVG out."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from smartops_chaos.report.style import BAD, HAIR, INK, QUIET, WIDTH_IN, draw

_HEALER, _OURS, _THEIRS = "#dff0e9", "#e8eef5", "#ffffff"


@dataclass(frozen=True, slots=True)
class Names:
    """What stands in the boxes."""

    load: str
    front: str
    service: str
    watch: str
    healer: str
    fault: str


def diagram(figure_id: str, names: Names, *, width_in: float = WIDTH_IN) -> str:
    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 40)
        axes.set_axis_off()
        _box(axes, 10, 28, names.load, _OURS)
        _box(axes, 36, 28, names.front, _THEIRS)
        _box(axes, 62, 28, names.service, _THEIRS)
        _box(axes, 89, 28, names.fault, "#fbe3d6")
        _box(axes, 62, 8, names.watch, _THEIRS)
        _box(axes, 28, 8, names.healer, _HEALER)
        _arrow(axes, (20, 28), (26, 28), "", (0, 0))
        _arrow(axes, (46, 28), (52, 28), "", (0, 0))
        _arrow(axes, (79, 28), (72, 28), "", (0, 0), colour=BAD)
        _arrow(axes, (62, 22), (62, 14), "metrics, logs", (64, 18))
        _arrow(axes, (52, 8), (38.2, 8), "", (0, 0))
        _arrow(axes, (34, 14), (55, 22), "repairs", (38, 18.5))
        _arrow(axes, (10, 22), (10, 14), "", (0, 0), dashed=True)
        axes.text(10, 8, "every answer\nis recorded:\nrecovery is\nseen here", ha="center", va="center", color=QUIET)

    return draw(figure_id, 1.95, paint, width_in=width_in)


def _box(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    style = {"boxstyle": "round,pad=0.45", "facecolor": colour, "edgecolor": QUIET, "linewidth": 0.8}
    axes.text(x, y, text, ha="center", va="center", bbox=style, color=INK)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str,
    at: tuple[float, float],
    *,
    colour: str = INK,
    dashed: bool = False,
) -> None:
    look = {
        "arrowstyle": "->",
        "color": HAIR if dashed else colour,
        "linewidth": 1.1,
        "linestyle": "--" if dashed else "-",
    }
    axes.annotate("", end, start, arrowprops=look)
    if text:
        axes.text(*at, text, color=QUIET, va="center")
