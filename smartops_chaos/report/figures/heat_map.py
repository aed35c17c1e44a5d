"""Which arm repairs which fault: arms sorted by result, faults in columns. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle

from smartops_chaos.analysis.words import number, percent
from smartops_chaos.model import Arm
from smartops_chaos.report.style import HAIR, INK, LETTERS, WIDTH_IN, Styles, draw, even_slices, is_narrow, two_lines

MET, SHORT, WORSE, BASELINE, UNKNOWN = "#a9d5f0", "#fdf0c4", "#f3b48d", "#e6e8eb", "#ffffff"
_MOST_COLUMNS, _MOST_NARROW = 9, 4
_ROW_IN, _LOW_ROW_IN, _HEAD_IN = 0.34, 0.29, 0.42


@dataclass(frozen=True, slots=True)
class Field:
    """One arm under one fault."""

    mean_s: float | None  # None: no trial counts
    healed: int
    trials: int
    reduction: float | None  # against the baseline under the same fault; None: that is not known, or it is the baseline


@dataclass(frozen=True, slots=True)
class MapRow:
    arm: Arm
    fields: tuple[Field, ...]  # of each fault, the mean over all faults last
    baseline: bool


def heat_map(
    figure_id: str,
    columns: Sequence[str],
    rows: Sequence[MapRow],
    styles: Styles,
    target: float,
    *,
    width_in: float = WIDTH_IN,
) -> str:
    """`columns` are the names of the fields. Too many of them are continued below, under the same arms."""
    parts = even_slices(len(columns), _MOST_COLUMNS if not is_narrow() else _MOST_NARROW)
    short = width_in < WIDTH_IN or is_narrow()
    height_in = _HEAD_IN + (_LOW_ROW_IN if short else _ROW_IN) * len(rows)

    def paint(drawing: Drawing) -> None:
        grid = drawing.subplots(len(parts), 1, squeeze=False).ravel()
        for axes, part in zip(grid, parts, strict=True):
            _panel(axes, columns[part], rows, part, styles, target)
        told = {
            MET: f"at least {percent(target)} less"
            if short
            else f"target met: at least {percent(target)} less than the baseline",
            SHORT: "less than that",
            WORSE: "slower than the baseline",
            BASELINE: "baseline",
        }
        patches = [Patch(facecolor=colour, edgecolor=HAIR, label=text) for colour, text in told.items()]
        drawing.legend(
            handles=patches,
            loc="outside lower left",
            ncols=2 if short else 4,
            handlelength=1.1,
            columnspacing=1.2,
        )

    return draw(figure_id, height_in * len(parts) + (0.42 if short else 0.3), paint, width_in=width_in)


def _panel(
    axes: Axes, columns: Sequence[str], rows: Sequence[MapRow], part: slice, styles: Styles, target: float
) -> None:
    for y, row in enumerate(rows):
        for x, one in enumerate(row.fields[part]):
            box = Rectangle(
                (x - 0.5, y - 0.5), 1, 1, facecolor=_colour(one, row, target), edgecolor="white", linewidth=1.5
            )
            axes.add_patch(box)
            if one.mean_s is None:
                axes.text(x, y, "–", ha="center", va="center", in_layout=False)
                continue
            digits = 2 if one.mean_s < 10 else 1
            axes.text(
                x,
                y - 0.05,
                f"{number(one.mean_s, digits)} s",
                ha="center",
                va="bottom",
                fontweight="bold",
                in_layout=False,
            )
            axes.text(x, y + 0.05, f"{one.healed} of {one.trials}", ha="center", va="top", in_layout=False)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), [two_lines(name, 14) for name in columns])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), [two_lines(styles[row.arm].label, 26) for row in rows])
    axes.tick_params(length=0, labelsize=LETTERS)
    axes.spines[:].set_visible(False)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_color(INK)


def _colour(one: Field, row: MapRow, target: float) -> str:
    if row.baseline:
        return BASELINE
    if one.reduction is None:
        return UNKNOWN
    return MET if one.reduction >= target else SHORT if one.reduction >= 0 else WORSE
