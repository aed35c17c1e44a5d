"""The healing film: the best arm's repair and its twin in the baseline on one time axis, second by second.

In the HTML it plays in the browser; for a slide `gif` draws the same.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullLocator
from PIL import Image

from smartops_chaos.analysis.words import clip, plain, seconds
from smartops_chaos.model import MOMENTS, Arm, Evidence, Record
from smartops_chaos.report.closely import Pair
from smartops_chaos.report.document import Film, FilmMoment, FilmSide
from smartops_chaos.report.figures.trial_picture import answered
from smartops_chaos.report.index import Index, card_id
from smartops_chaos.report.style import BAD, GOOD, INK, QUIET, ArmStyle, Styles, draw, styled
from smartops_chaos.timeline.health import is_good

_RAW_LETTERS = 400
_BEFORE_S = 1.0  # shown before the injection
_FRAMES_A_SECOND, _LAST_S = 5, 2.0  # of the GIF; how long its last frame stays
_STILL = ("injected", "acted", "recovered")  # what one picture of both has room for
_WIDTH_IN, _HEIGHT_IN, _DOTS = 10.0, 5.6, 96


def film(pair: Pair, index: Index) -> Film:
    """What the page plays. A moment leads to the trial's card, if the report has it."""
    sides = tuple(_side(evidence, record, index) for evidence, record in pair)
    end_s = max(side.requests[-1][0] for side in sides)
    return Film(
        "film",
        "The healing film",
        "Each dot is a request at the second at which it was sent: blue is good, orange is late, and orange on the "
        "uppermost line has no good answer. The moments light up when they happen; below each is the message or sample "
        "that tells of it; the whole line is in the trial's own picture.",
        sides,
        -_BEFORE_S,
        min(end_s, pair[0][0].horizon_s + pair[0][0].slo.hold_s),
        pair[0][0].slo.latency_s * 1e3,
    )


def _side(evidence: Evidence, record: Record, index: Index) -> FilmSide:
    trial, timeline = evidence.trial, record.timeline
    events = timeline.events if timeline else {}
    zero_ns = events["injected"].at.mid_ns if "injected" in events else evidence.requests[0].sched_ns
    limit_ns = round(evidence.slo.latency_s * 1e9)
    requests = tuple(
        (
            round((r.sched_ns - zero_ns) / 1e9, 3),
            round(r.latency_ns / 1e6, 1) if answered(r) else -1.0,
            is_good(r, limit_ns),
        )
        for r in evidence.requests
        if (r.sched_ns - zero_ns) / 1e9 >= -_BEFORE_S
    )
    place = next((i for i in index.shown if index.rows[i].get("trial") == trial.id), None)
    moments = tuple(
        FilmMoment(
            name,
            round((events[name].at.mid_ns - zero_ns) / 1e9, 3),
            _message(events[name].raw) or _by_whom(name, events[name].sources),
        )
        for name in sorted((m for m in MOMENTS if m in events), key=lambda m: events[m].at.mid_ns)
    )
    title = f"{Arm(trial.model, trial.policy)} · {trial.chaos} / {trial.workload}"
    return FilmSide(
        title, plain(str(record.row["outcome"])), requests, moments, card_id(place) if place is not None else ""
    )


def _message(raw: str) -> str:
    """A log line from its message on: without the stamp of its reception, and what the logger puts before " - "."""
    text = re.sub(r"^\d{16,}\s+", "", raw)
    return clip(text.partition("] - ")[2] or text, _RAW_LETTERS)


def _by_whom(name: str, sources: Sequence[str]) -> str:
    return "the harness' own call" if name == "injected" else f"from {', '.join(sources)}"


def gif(made: Film, pair: Pair, styles: Styles) -> bytes:
    """An animated GIF of 960 by 538 pixels that plays once at the true speed and then stays."""
    arms = [styles[Arm(evidence.trial.model, evidence.trial.policy)] for evidence, _ in pair]
    frames: list[Image.Image] = []
    with styled("film", letters=13):
        drawing = Drawing(figsize=(_WIDTH_IN, _HEIGHT_IN), dpi=_DOTS)
        canvas = FigureCanvasAgg(drawing)
        panels = drawing.subplots(2, 1, sharex=True)
        drawing.subplots_adjust(left=0.115, right=0.985, top=0.9, bottom=0.11, hspace=0.5)
        sides = [_Side(axes, side, made, arm) for axes, side, arm in zip(panels, made.sides, arms, strict=True)]
        panels[-1].set_xlabel("seconds since injection")
        for second in np.arange(made.start_s, made.end_s + 1 / _FRAMES_A_SECOND, 1 / _FRAMES_A_SECOND):
            for side in sides:
                side.until(float(second))
            drawn = io.BytesIO()
            drawing.savefig(drawn, format="rgba", dpi=_DOTS)
            image = Image.frombytes("RGBA", canvas.get_width_height(), drawn.getvalue())
            frames.append(image.convert("RGB"))
    colours = frames[-1].quantize(64, dither=Image.Dither.NONE)  # the last picture has all of them
    frames = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in frames]
    out = io.BytesIO()
    each = 1000 // _FRAMES_A_SECOND
    times = [each] * (len(frames) - 1) + [round(_LAST_S * 1000)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=times, optimize=False)
    return out.getvalue()


def still(made: Film, pair: Pair, styles: Styles, figure_id: str, width_in: float, height_in: float) -> str:
    """The film's last picture as a drawing."""
    arms = [styles[Arm(evidence.trial.model, evidence.trial.policy)] for evidence, _ in pair]

    def paint(drawing: Drawing) -> None:
        panels = drawing.subplots(2, 1, sharex=True)
        for axes, side, arm in zip(panels, made.sides, arms, strict=True):
            _Side(axes, side, made, arm, only=_STILL).until(made.end_s)
        panels[-1].set_xlabel("seconds since injection")

    return draw(figure_id, height_in, paint, width_in=width_in)


class _Side:
    """One panel of the GIF: what has happened up to a second."""

    def __init__(self, axes: Axes, side: FilmSide, made: Film, style: ArmStyle, only: Sequence[str] = MOMENTS) -> None:
        self.moments = [m for m in side.moments if m.name in only]
        self.end_s = made.end_s
        top = max(made.limit_ms * 3, *(ms for _, ms, _ in side.requests)) * 1.8
        self.at = np.array([at for at, _, _ in side.requests])
        self.height = np.array([top if ms < 0 else ms for _, ms, _ in side.requests])
        colours = np.array([GOOD if good else BAD for _, _, good in side.requests])
        axes.set_xlim(made.start_s, made.end_s)
        axes.set_yscale("log")
        low = max(1.0, self.height.min() / 2)
        tens = [
            ms for ms in (1, 10, 100, 1000, 10000) if low <= ms < top * 0.7 and abs(np.log10(ms / made.limit_ms)) > 0.3
        ]
        axes.set_yticks([*tens, made.limit_ms, top], [*(f"{ms:g} ms" for ms in tens), "limit", "no answer"])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(low, top * 1.6)
        axes.axhline(made.limit_ms, color=QUIET, linewidth=0.8, linestyle="--")
        axes.set_title(f"{clip(side.title, 50)}", color=style.colour)
        self.told = axes.annotate(
            "", (1, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", ha="right", fontweight="bold"
        )
        self.now = axes.axvline(made.start_s, color=INK, linewidth=1)
        self.dots = axes.scatter(self.at, self.height, c=colours, s=9, linewidths=0)
        self.lines = [axes.axvline(m.at_s, color=style.colour, linewidth=1.2, visible=False) for m in self.moments]

    def until(self, second: float) -> None:
        seen = self.at <= second
        self.dots.set_offsets(np.column_stack([self.at, np.where(seen, self.height, np.nan)]))
        self.now.set_xdata([second, second])
        past = [m for m in self.moments if m.at_s <= second]
        for line, moment in zip(self.lines, self.moments, strict=True):
            line.set_visible(moment.at_s <= second)
        shown = past[-1:]
        if second >= self.end_s:  # what it comes to
            shown = [m for m in past if m.name in ("acted", "recovered")]
        self.told.set_text(
            " · ".join(f"{m.name} at {seconds(m.at_s)}" for m in shown) or ("not recovered" if past else "")
        )
