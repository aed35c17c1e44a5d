"""Figures of the loop: where the time goes, where it breaks, what it answered. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from smartops_chaos.analysis.summary import ArmSummary
from smartops_chaos.analysis.words import clip, listing, seconds
from smartops_chaos.model import MOMENTS, Outcome
from smartops_chaos.report.style import (
    INK,
    LETTERS,
    TALLEST_IN,
    WIDTH_IN,
    Styles,
    draw,
    even_slices,
    is_narrow,
    panels,
    row_axis,
    two_lines,
)

# One hue, light to dark, so that the order survives print in grey; hatches as the second cue.
_PHASES = (("#f7e3b5", ""), ("#e3b778", "////"), ("#c2855b", ""), ("#8c5349", "\\\\\\\\"), ("#4f2c3b", ""))


_BY_ITSELF = "by itself"  # recovered without the healer
_SEEN = 0.02  # of the axis: what is shorter stands in the legend as a word only
_LEVEL_NAMES = 5  # that fit side by side without a slant


def phases(
    arms: Sequence[ArmSummary], styles: Styles, *, figure_id: str = "fig-phases", width_in: float = WIDTH_IN
) -> str:
    """Mean durations of the steps of healed trials, stacked; ticks are moments for which the repair did not wait."""

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        row_axis(axes, [styles[arm.arm].label for arm in arms])
        ends = [sum(p.mean_s or 0.0 for p in arm.phases) for arm in arms]
        total = max([*ends, *(one.mean_s for arm in arms for one in arm.aside)])
        for y, (arm, end) in enumerate(zip(arms, ends, strict=True)):
            left = 0.0
            for phase, (colour, hatch) in zip(arm.phases, _PHASES, strict=False):
                if phase.mean_s is None:
                    continue
                axes.barh(
                    y, phase.mean_s, left=left, height=0.5, color=colour, hatch=hatch, edgecolor="white", linewidth=0.8
                )
                if phase.mean_s > total * 0.07:
                    axes.text(
                        left + phase.mean_s / 2,
                        y,
                        seconds(phase.mean_s),
                        ha="center",
                        va="center",
                        fontsize=LETTERS,
                        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
                    )
                left += phase.mean_s
            n = arm.phases[-1].n if arm.phases else 0
            told = f"{seconds(end)}, n = {n}" if n else "no healed trial"
            axes.text(end + total * 0.012, y, told, va="center", fontsize=LETTERS)
            for i, one in enumerate(sorted(arm.aside, key=lambda one: one.mean_s)):
                axes.plot([one.mean_s] * 2, [y + 0.27, y + 0.4], color=INK, linewidth=1.2)
                # Two that are near each other lead away from each other.
                last = i == len(arm.aside) - 1
                place: dict[str, Any] = {"ha": "left" if last else "right", "va": "center", "fontsize": LETTERS}
                shift = total * (0.008 if last else -0.008)
                axes.text(one.mean_s + shift, y + 0.4, f"{one.moment} {seconds(one.mean_s)}", **place)
        axes.set_xlim(0, total * 1.25 or 1.0)
        axes.set_xlabel("mean time [s] since injection, healed trials only")
        patches = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=phase.name)
            for i, (phase, (colour, hatch)) in enumerate(zip(arms[0].phases, _PHASES, strict=False))
            if any((arm.phases[i].mean_s or 0.0) > total * _SEEN for arm in arms if arm.phases)
        ]
        if tiny := [p for p in arms[0].phases if p.name not in {patch.get_label() for patch in patches}]:
            patches.append(Patch(facecolor="none", label=f"too short to be seen: {listing([p.name for p in tiny])}"))
        columns = 1 if is_narrow() else 5
        axes.legend(handles=patches, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.3)

    row_in = 0.42 if width_in >= WIDTH_IN else max(0.42, 1.2 / len(arms))  # a slide is there to be filled
    legend_in = 0.55 if is_narrow() else 0.0
    return draw(figure_id, 0.95 + row_in * len(arms) + legend_in, paint, width_in=width_in)


def funnel(arms: Sequence[ArmSummary], styles: Styles) -> str:
    """How many counted trials reached each moment, one panel an arm; last those that the platform ended by itself."""
    columns = min(1 if is_narrow() else 4, len(arms))
    lines = -(-len(arms) // columns)

    def paint(drawing: Drawing) -> None:
        for axes, arm in zip(panels(drawing, len(arms), columns, sharey=True), arms, strict=True):
            reached = {step.moment: step.reached for step in arm.funnel}
            row_axis(axes, [*MOMENTS, _BY_ITSELF])
            by_itself = arm.outcomes.get(Outcome.PLATFORM, 0)
            top = max([*reached.values(), by_itself], default=0) or 1
            for y, moment in enumerate(MOMENTS):
                n = reached.get(moment)
                axes.barh(y, n or 0, height=0.68, color=styles[arm.arm].colour, alpha=0.85)
                axes.text((n or 0) + top * 0.02, y, "–" if n is None else f"{n}", va="center", fontsize=LETTERS)
            colour = styles[arm.arm].colour
            axes.barh(len(MOMENTS), by_itself, height=0.68, facecolor="white", edgecolor=colour, hatch="////")
            axes.text(by_itself + top * 0.02, len(MOMENTS), f"{by_itself}", va="center", fontsize=LETTERS)
            axes.set_xlim(0, top * 1.14)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.set_title(two_lines(styles[arm.arm].label, 18))
            axes.set_xlabel("trials")

    return draw("fig-funnel", 2.1 * lines, paint)


def confusions(arms: Sequence[ArmSummary], styles: Styles) -> list[str]:
    """Expected cause against the answer, trials in each field; as many figures as the arms need pages.

    Right answers are framed. A combination of faults expects any of several causes, joined by "|".
    """
    expected = sorted({cause for arm in arms for cause in arm.rca.confusion})
    height_in = 1.35 + 0.24 * len(expected)
    parts = even_slices(len(arms), 2 * max(int(TALLEST_IN / height_in), 1))
    return [
        _confusion(f"fig-confusion-{i}" if i > 1 else "fig-confusion", arms[part], styles, expected, height_in)
        for i, part in enumerate(parts, 1)
    ]


def _confusion(
    figure_id: str, arms: Sequence[ArmSummary], styles: Styles, expected: Sequence[str], height_in: float
) -> str:
    columns = min(1 if is_narrow() else 2, len(arms))
    lines = -(-len(arms) // columns)
    named = {answer for arm in arms for row in arm.rca.confusion.values() for answer in row}
    answers = [*sorted(named.union(*(cause.split("|") for cause in expected)) - {""}), ""]

    def paint(drawing: Drawing) -> None:
        for axes, arm in zip(panels(drawing, len(arms), columns), arms, strict=True):
            counts = np.array([[arm.rca.confusion.get(e, {}).get(a, 0) for a in answers] for e in expected])
            axes.imshow(counts, cmap="Greys", vmin=0, vmax=max(int(counts.max()), 1) * 3, aspect="auto")
            for (y, x), n in np.ndenumerate(counts):
                axes.text(x, y, str(n) if n else "·", ha="center", va="center", fontsize=LETTERS, in_layout=False)
                if answers[x] in expected[y].split("|"):
                    axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, fill=False, edgecolor=INK))
            names = [*(clip(answer, 22) for answer in answers[:-1]), "no answer"]
            if len(names) * columns <= _LEVEL_NAMES and not is_narrow():
                axes.set_xticks(range(len(answers)), [two_lines(name, 16) for name in names])
            else:
                axes.set_xticks(range(len(answers)), names, rotation=40, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(expected)), [two_lines(cause, 22) for cause in expected])
            axes.tick_params(length=0)
            axes.set_title(two_lines(styles[arm.arm].label, 30))
            axes.set_xlabel("answered")
            axes.set_ylabel("expected")

    return draw(figure_id, height_in * lines, paint)
