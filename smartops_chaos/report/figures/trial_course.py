"""The course of one trial, or of two on one axis: what users saw, and below it fault and repair, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from smartops_chaos.analysis.words import clip, count, number, plain, stated_seconds
from smartops_chaos.report.figures import marks, trial_picture
from smartops_chaos.report.figures.trial_picture import Picture, Scale
from smartops_chaos.report.style import (
    BAD,
    HAIR,
    INK,
    LETTERS,
    NARROW_IN,
    QUIET,
    SHADE,
    WIDTH_IN,
    ArmStyle,
    Styles,
    draw,
    is_narrow,
    row_axis,
)

LANES = ("fault in force", "users hurt", "detected", "diagnosed", "decided", "acted", "verified", "recovered")
_BY_HEALER = LANES[2:7]
GOOD_MS = 10.0  # where a good value of a query is drawn
_PANEL_IN, _AROUND_IN = (1.4, 1.15), 0.75  # a panel's height alone, and where there are two
_PAPER: dict[str, Any] = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
_AT_ONCE_S = 0.005
_LETTER = 0.0105  # its width as a share of the axes


@dataclass(frozen=True, slots=True)
class Act:
    """What the healer did; seconds since injection."""

    kind: str
    status: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Course:
    """One trial. `picture.fault_end_s` is None for a fault that was in force to the end, 0 where there was none."""

    picture: Picture
    users: str  # what they saw, in words
    by_query: bool  # values of the SLO's query stand in for requests: their latency says nothing
    hurt: tuple[float, float | None] | None  # from the impact to the recovery; None: there was none
    acts: tuple[Act, ...]


def courses(figure_id: str, shown: Sequence[Course], styles: Styles, axis: str) -> str:
    """A panel of requests for each trial, and common lanes below; `axis` says what time counts from."""
    scale = trial_picture.scale([course.picture for course in shown])
    panel_in = _PANEL_IN[len(shown) > 1]
    names = _in_order(shown)
    lanes_in = len(names) * (0.07 + 0.135 * len(shown))

    def paint(drawing: Drawing) -> None:
        heights = [*[panel_in] * len(shown), lanes_in]
        *panels, lanes = drawing.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        for axes, course in zip(panels, shown, strict=True):
            _panel(drawing, axes, course, styles[course.picture.arm], scale)
        _horizon(panels[0], shown[0].picture, scale)
        row_axis(lanes, names)
        for i in range(1, len(names)):
            lanes.axhline(i - 0.5, color=HAIR, linewidth=0.5)
        for i, course in enumerate(shown):
            _Lanes(lanes, course, styles[course.picture.arm], names, i, len(shown), scale).paint()
        lanes.set_xlabel(axis)

    return draw(figure_id, panel_in * len(shown) + lanes_in + _AROUND_IN, paint)


def _in_order(shown: Sequence[Course]) -> list[str]:
    """The lanes, the moments in the order in which they were seen: marks go from left to right on the way down."""
    at: dict[str, float] = {}
    latest = 0.0
    for name in LANES[2:]:
        seen = [sum(course.picture.moments[name]) for course in shown if name in course.picture.moments]
        latest = at[name] = min(seen, default=latest)  # one that nobody saw stays behind the one before it
    return [*LANES[:2], *sorted(at, key=at.__getitem__)]


def _panel(drawing: Drawing, axes: Axes, course: Course, style: ArmStyle, scale: Scale) -> None:
    picture = course.picture
    trial_picture.requests(axes, picture, scale)
    if course.by_query:
        axes.set_yticks([GOOD_MS, scale.unanswered_ms], ["good", "bad"])
    else:
        axes.set_ylabel("latency [ms]")
    trial_picture.heading(
        drawing, axes, clip(picture.title, 44 if is_narrow() else 70), style, above=14, size=LETTERS + 0.5
    )
    place: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    place |= {"fontsize": LETTERS, "color": QUIET}
    told = "; ".join(part for part in (picture.outcome, "" if is_narrow() else course.users) if part)
    axes.annotate(told, (0, 1), (9, 4), xycoords="axes fraction", **place)
    for lo, hi in picture.moments.values():
        axes.axvline((lo + hi) / 2, color=INK, linewidth=0.5, alpha=0.6)
    if not course.by_query:
        limit_ms = picture.latency_s * 1e3
        marks.beside(axes, limit_ms, f"limit\n{number(limit_ms, 0)} ms", gap=3, color=QUIET, annotation_clip=False)


def _horizon(axes: Axes, picture: Picture, scale: Scale) -> None:
    if scale.start_s < picture.horizon_s < scale.end_s:
        axes.annotate(
            f"horizon {stated_seconds(picture.horizon_s)}",
            (picture.horizon_s, 1),
            (-2, 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right",
            fontsize=LETTERS,
            color=QUIET,
            annotation_clip=False,
        )


@dataclass(frozen=True, slots=True)
class _Lanes:
    """One trial in the lanes, `place` among `of` trials that share each of them."""

    axes: Axes
    course: Course
    style: ArmStyle
    names: Sequence[str]
    place: int
    of: int
    scale: Scale

    def paint(self) -> None:
        self._fault()
        self._hurt()
        moments, acts = self.course.picture.moments, self.course.acts
        for act in acts:
            self._bar("acted", act.start_s, act.end_s, self.style.colour, alpha=0.3)
        for name in self.names[2:]:
            if name not in moments:
                if name == "recovered" or moments.keys() & set(_BY_HEALER):
                    self._not_seen(name)
                elif name == next(n for n in self.names if n in _BY_HEALER):
                    self._not_seen(name, "nothing seen of a healer")  # once says it all
                continue
            lo, hi = moments[name]
            y, middle = self._y(name), (lo + hi) / 2
            self.axes.plot([lo, hi], [y, y], color=self.style.colour, linewidth=2.2, solid_capstyle="butt")
            self._mark(middle, y)
            last = max([hi, *(act.end_s for act in acts if name == "acted")])
            self._text(name, lo, last, ", ".join([_seconds(middle), *_told(acts if name == "acted" else ())]))
        if "acted" not in moments and acts:
            self._text("acted", acts[0].start_s, max(act.end_s for act in acts), ", ".join(_told(acts)))

    def _fault(self) -> None:
        picture, name = self.course.picture, "fault in force"
        if "injected" not in picture.moments:
            self._not_seen(name, "none")
            return
        end_s = self.scale.end_s if picture.fault_end_s is None else picture.fault_end_s
        told = "to the end" if picture.fault_end_s is None else f"0 to {_seconds(end_s)}"
        self._bar(name, 0.0, end_s, SHADE)
        if end_s < _AT_ONCE_S:
            self._mark(0.0, self._y(name))
        self._text(name, 0.0, end_s, "over at once" if end_s < _AT_ONCE_S else told)

    def _hurt(self) -> None:
        name, hurt = "users hurt", self.course.hurt
        if hurt is None:
            self._not_seen(name)
            return
        begin_s, end_s = hurt
        until = self.scale.end_s if end_s is None else end_s
        self._bar(name, begin_s, until, BAD)
        told = f"{_seconds(begin_s)} to the end" if end_s is None else f"{number(begin_s, 2)} to {_seconds(end_s)}"
        self._text(name, begin_s, until, told)

    def _y(self, name: str) -> float:
        return self.names.index(name) + (self.place + 0.5) / self.of * 0.9 - 0.45

    def _bar(self, name: str, lo: float, hi: float, colour: str, alpha: float = 0.9) -> None:
        self.axes.barh(self._y(name), hi - lo, left=lo, height=0.6 / self.of, color=colour, alpha=alpha, linewidth=0)

    def _mark(self, at: float, y: float) -> None:
        self.axes.plot([at], [y], marker=self.style.marker, color=self.style.colour, markersize=4.5, linestyle="none")

    def _not_seen(self, name: str, text: str = "not seen") -> None:
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        self.axes.annotate(text, (0, self._y(name)), (4, 0), va="center", fontsize=LETTERS, color=QUIET, **place)

    def _text(self, name: str, lo: float, hi: float, text: str) -> None:
        """Beside what reaches from `lo` to `hi`: right of it where there is room, else left, else upon it."""
        hi = min(hi, self.scale.end_s)
        letter = _LETTER * WIDTH_IN / NARROW_IN * 1.15 if is_narrow() else _LETTER
        room = (self.scale.end_s - self.scale.start_s) * letter * (len(text) + 3)
        right = hi + room < self.scale.end_s
        left = not right and lo - room > self.scale.start_s
        at, shift = (lo, -5) if left else (hi, 5 if right else -4)
        self.axes.annotate(
            text,
            (at, self._y(name)),
            (shift, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize=LETTERS,
            color=INK,
            bbox=_PAPER,
        )


def _told(acts: Sequence[Act]) -> list[str]:
    """The actions in words: at most three kinds."""
    kinds = dict.fromkeys(act.kind if act.status == "success" else f"{act.kind} {plain(act.status)}" for act in acts)
    shown = [*list(kinds)[:3], *(["…"] if len(kinds) > 3 else [])]
    return [count(len(acts), "action"), *shown] if len(acts) > 1 else shown


def _seconds(value: float) -> str:
    return f"{number(value, 2)}\u00a0s"
