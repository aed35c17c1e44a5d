"""How figures look: one colour, marker and line per arm throughout, and SVG with stable bytes and unique ids."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import matplotlib.lines
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

from smartops_chaos.analysis.words import clip, legal
from smartops_chaos.model import Arm

TALLEST_IN = 8.9  # that leaves room for a caption on a page
WIDTH_IN = 6.69  # the text width of an A4 page, so that 8 pt in a figure is 8 pt on paper, and 16 pt as wide as a slide
NARROW_IN = 3.6  # the same on a phone: all letters keep their size, so less stands beside each other
LETTERS = 8  # points: all letters of a figure, the least that is read with ease on paper
PER_INCH = 300  # pixels, wherever a figure is a bitmap

NARROW = "-narrow"  # ends the ids of a drawing for a phone
INK, QUIET, HAIR = "#1b1f24", "#5a6470", "#c9ced6"
PERCENT = "\u00a0%"  # the sign with its no-break space, as in the text
GOOD, BAD, SHADE = "#56B4E9", "#D55E00", "#F0E442"

_LEGEND_LETTERS = 84  # that fit beside each other above the axes
_NARROW = ContextVar("narrow", default=False)

Line = Literal["-"] | tuple[float, tuple[float, ...]]

# Okabe and Ito (2008), safe for colour-blind readers; yellow is left out, it is too pale for lines.
_BASELINE = "#4d4d4d"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("s", "^", "D", "v", "P", "X", "h")
_LINES: tuple[Line, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)

_RC: dict[Any, Any] = {  # the keys' type, a long literal, is new in matplotlib 3.11
    "font.family": "DejaVu Sans",
    "font.size": LETTERS,
    "axes.titlesize": LETTERS + 0.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": LETTERS,
    "axes.linewidth": 0.6,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.5,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": LETTERS,
    "ytick.labelsize": LETTERS,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": LETTERS,
    "text.parse_math": False,  # a "$" in the name of a level is a dollar
    "svg.fonttype": "none",
    "figure.dpi": 72,
    "savefig.dpi": PER_INCH,
}


# What each colour of a drawing becomes on a dark page, as matplotlib writes it.
IN_THE_DARK: Mapping[str, str] = {
    "#ffffff": "#14181c",
    "#1b1f24": "#e4e8ec",
    "#000000": "#e4e8ec",
    "#5a6470": "#a7b1bc",
    "#c9ced6": "#4a545e",
    "#e3e6ea": "#2b3238",
    "#d9dde2": "#3b444d",
    "#4d4d4d": "#b9c2cc",
    "#0072b2": "#5eb3e8",
    "#d55e00": "#ff8c4a",
    "#009e73": "#4fcba4",
    "#cc79a7": "#e5a3c8",
    "#e69f00": "#f3bd4a",
    "#a9d5f0": "#1d4f6e",
    "#fdf0c4": "#5a4a14",
    "#f3b48d": "#7a3514",
    "#e6e8eb": "#333b43",
    "#e8eef5": "#223140",
    "#dff0e9": "#173a2e",
    "#fbe3d6": "#4a2413",
    "#f7e3b5": "#f3dba6",
    "#4f2c3b": "#a5667f",
}


_SIZES = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")


@dataclass(frozen=True, slots=True)
class ArmStyle:
    label: str
    colour: str
    marker: str
    line: Line


Styles = Mapping[Arm, ArmStyle]


def arm_styles(arms: Sequence[Arm], baseline: Arm) -> dict[Arm, ArmStyle]:
    """The baseline is grey with round marks. Of the others the colour tells the model, mark and line the policy; where
    there is one policy only, mark and line tell the model as well. With more levels than colours they begin again."""
    others = [arm for arm in arms if arm != baseline]
    models = list(dict.fromkeys(arm.model for arm in others if arm.model != baseline.model))
    policies = list(dict.fromkeys(arm.policy for arm in others))
    styles = {baseline: ArmStyle(clip(str(baseline), 40), _BASELINE, "o", (0, (4, 2)))}
    for arm in others:
        model = models.index(arm.model) if arm.model in models else None
        again = (model or 0) // len(_COLOURS)  # a colour that comes again has another mark and line
        second = again + (policies.index(arm.policy) if len(policies) > 1 or model is None else model)
        styles[arm] = ArmStyle(
            clip(str(arm), 40),
            _BASELINE if model is None else _COLOURS[model % len(_COLOURS)],
            _MARKERS[second % len(_MARKERS)],
            _LINES[second % len(_LINES)],
        )
    return styles


def styled(salt: str, letters: float = LETTERS) -> AbstractContextManager[None]:
    """What is drawn within looks like all figures; `letters` in points, for slides."""
    larger = {key: value + letters - LETTERS for key, value in _RC.items() if key in _SIZES}
    return matplotlib.rc_context({**_RC, **larger, "svg.hashsalt": salt})


def both(paint: Callable[[], str]) -> tuple[str, Callable[[], str]]:
    """What `paint` draws with `draw`, and what draws the same for a phone, once it is asked for."""

    return paint(), lambda: narrowed(paint)


def narrowed(paint: Callable[[], str]) -> str:
    """What `paint` draws for a phone."""
    token = _NARROW.set(True)
    try:
        return paint()
    finally:
        _NARROW.reset(token)


def is_narrow() -> bool:
    """Whether the drawing is for a phone: what stands beside each other elsewhere has to stand below each other."""
    return _NARROW.get()


def draw(
    figure_id: str,
    height_in: float,
    paint: Callable[[Drawing], None],
    *,
    width_in: float = WIDTH_IN,
    layout: Literal["constrained"] | None = "constrained",
    per_inch: int = PER_INCH,
) -> str:
    """Paint a figure, of the text's width unless said; returns an SVG element whose ids begin with `figure_id`.

    For a phone it is narrow, and its ids are others. `layout`: None is several times as fast, but leaves the margins
    to `paint`. `per_inch`: the pixels of what is a bitmap in it.
    """
    if is_narrow():
        figure_id, width_in = f"{figure_id}{NARROW}", NARROW_IN
    with styled(figure_id):
        drawing = Drawing(figsize=(width_in, height_in), layout=layout)
        FigureCanvasSVG(drawing)  # texts are measured as they will be drawn
        paint(drawing)
        file = io.StringIO()
        with warnings.catch_warnings():
            # The SVG keeps text as text: a letter that DejaVu lacks is only measured badly here.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            if (engine := drawing.get_layout_engine()) is not None:
                engine.execute(drawing)
                drawing.set_layout_engine(None)  # or saving would draw everything once more, to lay it out again
            drawing.savefig(
                file, format="svg", dpi=per_inch, metadata={"Date": None, "Creator": None, "Type": None, "Format": None}
            )
    svg = legal(file.getvalue())
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{figure_id}-", tag.group()), svg)
    return re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)


def even_slices(n: int, most: int) -> list[slice]:
    """Slices of n things for figures that hold at most `most` of them, as even as possible."""
    parts = -(-n // max(most, 1))
    return [slice(n * i // parts, n * (i + 1) // parts) for i in range(parts)]


def panels(drawing: Drawing, n: int, columns: int, *, sharey: bool = False) -> list[Axes]:
    """`n` axes in rows of `columns`; the last row may be shorter."""
    grid = drawing.subplots(-(-n // columns), columns, sharey=sharey, squeeze=False).ravel().tolist()
    for left_over in grid[n:]:
        left_over.set_visible(False)
    return list(grid[:n])


def row_axis(axes: Axes, labels: Sequence[str]) -> None:
    """One row a label, the first at the top."""
    axes.set_yticks(range(len(labels)), [two_lines(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def two_lines(text: str, width: int = 24) -> str:
    """Broken once near the middle at a space, slash or hyphen if it is long; each line shortened to `width`."""
    width = min(width, 18) if is_narrow() else width
    if len(text) <= width or "\n" in text:
        return text
    breaks = [m.end() for m in re.finditer(r"[ /_:+-]+", text)]
    at = min(breaks, key=lambda i: abs(i - len(text) / 2), default=0)
    parts = [text[:at].rstrip(), text[at:].lstrip()] if 0 < at < len(text) else [text]
    return "\n".join(clip(part, width) for part in parts)


def legend(above: Axes | Drawing, arms: Sequence[Arm], styles: Styles, *, lines: bool = False) -> None:
    """Names of the arms above the axes, or above all axes of a drawing, as many in a row as fit."""
    marks = [
        matplotlib.lines.Line2D(
            [],
            [],
            color=styles[arm].colour,
            marker=None if lines else styles[arm].marker,
            linestyle=styles[arm].line if lines else "none",
            markersize=5,
            label=styles[arm].label,
        )
        for arm in arms
    ]
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    if isinstance(above, Drawing):
        place = {"loc": "outside upper left"}
    above.legend(handles=marks, ncols=_columns(arms, styles), borderaxespad=0.3, **place)


def legend_height(arms: Sequence[Arm], styles: Styles) -> float:
    """The room that a legend needs, in inches."""
    return 0.1 + 0.155 * -(-len(arms) // _columns(arms, styles))


def _columns(arms: Sequence[Arm], styles: Styles) -> int:
    longest = max((len(styles[arm].label) for arm in arms), default=0)
    fit = _LEGEND_LETTERS * NARROW_IN / WIDTH_IN if is_narrow() else _LEGEND_LETTERS
    return max(1, min(len(arms), int(fit / (longest + 7))))
