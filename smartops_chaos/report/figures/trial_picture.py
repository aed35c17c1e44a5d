"""The picture of a trial: every request, the fault, and the moments of the repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.transforms
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullLocator

from smartops_chaos.analysis.words import clip
from smartops_chaos.model import MOMENTS, Arm, Request
from smartops_chaos.report.style import BAD, GOOD, HAIR, INK, LETTERS, QUIET, SHADE, ArmStyle, Styles, draw
from smartops_chaos.timeline.health import is_good

REQUESTS = (  # what every picture of requests has; its keys
    ("Dot, cross", "a good request, a bad one, when it was sent"),
    ("No answer", "no good answer came, so there is no latency"),
    ("Dashed, dotted", "the latency that the SLO allows, the horizon"),
)
_WIDTH_IN, _HEIGHT_IN = 3.3, 2.55
_PER_INCH = 180  # there are many of them: a dot of 0.6 mm needs no more
_LABEL_POINTS = 9  # room for one upright label


@dataclass(frozen=True, slots=True)
class Picture:
    """What one trial's picture shows; seconds since injection."""

    title: str
    outcome: str
    arm: Arm
    moments: dict[str, tuple[float, float]]  # moment -> lo, hi
    fault_end_s: float | None
    horizon_s: float
    latency_s: float  # what the SLO allows
    injected_ns: int
    requests: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Scale:
    """The axes that all pictures of a report share, so that they compare: seconds and milliseconds."""

    start_s: float
    end_s: float
    lowest_ms: float
    highest_ms: float

    @property
    def unanswered_ms(self) -> float:
        """Requests without a good answer have no latency to show: a line of their own above all others."""
        return self.highest_ms * 1.6


def as_number(value: object) -> float | None:
    """Of a cell of a row: None for what is no number."""
    return float(value) if isinstance(value, int | float) else None


def moments(row: Mapping[str, object]) -> dict[str, tuple[float, float]]:
    """What was seen after the injection: moment -> seconds from, to."""
    ends = {m: (as_number(row.get(f"{m}_lo_s")), as_number(row.get(f"{m}_hi_s"))) for m in MOMENTS[1:]}
    return {moment: (lo, hi) for moment, (lo, hi) in ends.items() if lo is not None and hi is not None}


def scale(pictures: Sequence[Picture]) -> Scale:
    """Needs at least one picture, and a request in each."""
    at = [(r.sched_ns - p.injected_ns) / 1e9 for p in pictures for r in (p.requests[0], p.requests[-1])]
    latencies = [r.latency_ns / 1e6 for p in pictures for r in p.requests if answered(r)]
    limits = [p.latency_s * 1e3 for p in pictures]
    lowest = max(0.1, min([*latencies, min(limits) / 10]) * 0.7)
    return Scale(min(at), max(max(at), min(at) + 1.0), lowest, max([*latencies, max(limits) * 3]) * 1.3)


def answered(request: Request) -> bool:
    return 200 <= request.status < 300 and request.latency_ns > 0


def draw_trial(figure_id: str, picture: Picture, styles: Styles, scale: Scale) -> str:
    """An SVG of half a page's width."""

    def paint(drawing: Drawing) -> None:
        drawing.subplots_adjust(left=0.165, right=0.985, bottom=0.165, top=0.595)
        axes = drawing.add_subplot()
        requests(axes, picture, scale)
        _moments(axes, picture.moments)
        _title(drawing, axes, picture, styles[picture.arm])
        axes.set_ylabel("latency [ms]")
        axes.set_xlabel("time since injection [s]")

    return draw(figure_id, _HEIGHT_IN, paint, width_in=_WIDTH_IN, layout=None, per_inch=_PER_INCH)


def requests(axes: Axes, picture: Picture, scale: Scale) -> None:
    """Every request by its latency, the fault in force behind them, the SLO's latency and the horizon."""
    at = np.array([(r.sched_ns - picture.injected_ns) / 1e9 for r in picture.requests])
    height = np.array([r.latency_ns / 1e6 if answered(r) else scale.unanswered_ms for r in picture.requests])
    good = np.array([is_good(r, round(picture.latency_s * 1e9)) for r in picture.requests], dtype=bool)

    axes.set_xlim(scale.start_s, scale.end_s)
    axes.set_yscale("log")
    axes.set_ylim(scale.lowest_ms, scale.highest_ms * 2.4)
    tens = [ms for ms in (0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5) if scale.lowest_ms <= ms < scale.highest_ms * 0.8]
    axes.set_yticks([*tens, scale.unanswered_ms], [*(f"{ms:g}" for ms in tens), "no\nanswer"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.axhline(scale.highest_ms * 1.15, color=HAIR, linewidth=0.6)  # above it there is no latency to read
    end = scale.end_s if picture.fault_end_s is None else picture.fault_end_s
    if end > 0:
        axes.axvspan(0, end, color=SHADE, alpha=0.28, linewidth=0)
    axes.axhline(picture.latency_s * 1e3, color=QUIET, linewidth=0.7, linestyle=(0, (3, 2)))
    axes.axvline(picture.horizon_s, color=QUIET, linewidth=0.8, linestyle=":")
    axes.scatter(at[good], height[good], s=3, color=GOOD, linewidths=0, rasterized=True)
    axes.scatter(at[~good], height[~good], s=8, marker="x", color=BAD, linewidths=0.6, rasterized=True)


def _title(drawing: Drawing, axes: Axes, picture: Picture, style: ArmStyle) -> None:
    """Above the room that the upright labels of the moments need."""
    place: dict[str, Any] = {"xy": (0, 1), "xycoords": "axes fraction", "textcoords": "offset points"}
    place |= {"fontsize": LETTERS, "annotation_clip": False}
    axes.annotate(picture.outcome, xytext=(9, 50), color=QUIET, **place)
    heading(drawing, axes, clip(picture.title, 38), style, above=60, size=LETTERS)


def heading(drawing: Drawing, axes: Axes, text: str, style: ArmStyle, *, above: float, size: float) -> None:
    """A bold line `above` the axes, in points, behind the mark of the arm."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(text, (0, 1), (9, above), fontsize=size, fontweight="bold", **place)
    mark = matplotlib.transforms.offset_copy(axes.transAxes, drawing, x=3, y=above + 2.5, units="points")
    axes.plot([0], [1], marker=style.marker, color=style.colour, markersize=5, clip_on=False, transform=mark)


def _moments(axes: Axes, seen: dict[str, tuple[float, float]]) -> None:
    """Lines in the picture, upright labels above it, moved apart where they would overlap."""
    left, right = axes.get_xlim()
    shown = [(name, *seen[name]) for name in MOMENTS if name in seen]
    shown = sorted((m for m in shown if left <= (m[1] + m[2]) / 2 <= right), key=lambda m: m[1] + m[2])
    step = _LABEL_POINTS / (_WIDTH_IN * 0.82 * 72) * (right - left)
    places: list[float] = []
    for _, lo, hi in shown:
        places.append(max((lo + hi) / 2, places[-1] + step if places else left))
    # Labels pushed over the right edge are pushed back.
    limit = right
    for i in reversed(range(len(places))):
        places[i] = min(places[i], limit)
        limit = places[i] - step
    blended = axes.get_xaxis_transform()
    for (name, lo, hi), place in zip(shown, places, strict=True):
        middle = (lo + hi) / 2
        axes.axvspan(lo, hi, color=INK, alpha=0.06, linewidth=0)
        axes.axvline(middle, color=INK, linewidth=0.5)
        axes.plot([middle, place], [1, 1.045], color=INK, linewidth=0.5, transform=blended, clip_on=False)
        axes.text(
            place,
            1.055,
            clip(name, 12),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=LETTERS,
            transform=blended,
            clip_on=False,
        )
