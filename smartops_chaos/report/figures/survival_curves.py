"""Kaplan-Meier figures: the share of trials that have not recovered yet. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from smartops_chaos.analysis.summary import ArmSummary, Curve
from smartops_chaos.analysis.words import clip
from smartops_chaos.model import Arm
from smartops_chaos.report.figures import marks
from smartops_chaos.report.style import (
    LETTERS,
    WIDTH_IN,
    ArmStyle,
    Styles,
    draw,
    is_narrow,
    legend,
    legend_height,
    panels,
)

MANY_ARMS = 6  # from here on each model has a panel of its own
_PALE = "#d9dde2"


def kaplan_meier(
    arms: Sequence[ArmSummary], styles: Styles, *, figure_id: str = "fig-survival", width_in: float = WIDTH_IN
) -> str:
    """Share of trials not yet recovered, all scenarios of an arm pooled, with the numbers at risk below."""
    curves = [(arm.arm, curve) for arm in arms for curve in arm.curves if not curve.scenario]
    if len(curves) >= MANY_ARMS:
        return _by_model(curves, next((arm.arm for arm in arms if arm.baseline), None), styles)

    def paint(drawing: Drawing) -> None:
        axes, risk = drawing.subplots(2, 1, sharex=True, height_ratios=(10, 1.0 + 0.85 * len(curves)))
        for arm, curve in curves:
            _curve(axes, curve, styles[arm], band=True)
        axes.set_ylabel("not yet recovered")
        axes.set_ylim(-0.02, 1.04)
        marks.in_percent(axes.yaxis)
        axes.grid()
        axes.tick_params(labelbottom=True)
        axes.set_xticks(max((curve.at_risk_times_s for _, curve in curves), key=lambda at: at[-1:]))
        axes.set_xlabel("time since injection [s]")
        legend(axes, [arm for arm, _ in curves], styles, lines=True)
        _at_risk(risk, curves, styles)

    return draw(figure_id, (2.5 if width_in == WIDTH_IN else 1.85) + 0.19 * len(curves), paint, width_in=width_in)


def _by_model(curves: Sequence[tuple[Arm, Curve]], baseline: Arm | None, styles: Styles) -> str:
    """A panel for each model: its policies in colour, the baseline, and all others in pale grey."""
    models = list(dict.fromkeys(arm.model for arm, _ in curves if arm != baseline))
    columns = min(1 if is_narrow() else 3, len(models))
    lines = -(-len(models) // columns)
    pale = ArmStyle("", _PALE, "o", "-")

    def paint(drawing: Drawing) -> None:
        grid = panels(drawing, len(models), columns, sharey=True)
        for axes, model in zip(grid, models, strict=True):
            for arm, curve in curves:
                if arm.model != model and arm != baseline:
                    _curve(axes, curve, pale, band=False)
            own = [(arm, curve) for arm, curve in curves if arm.model == model and arm != baseline]
            for arm, curve in [*[(a, c) for a, c in curves if a == baseline], *own]:
                _curve(axes, curve, styles[arm], band=False)
            n = sorted({curve.at_risk[0] for _, curve in own if curve.at_risk})
            told = f", n = {' to '.join(map(str, dict.fromkeys((n[0], n[-1]))))}" if n else ""
            axes.set_title(f"{clip(model, 18)}{told}")
            axes.set_ylim(-0.02, 1.04)
            marks.in_percent(axes.yaxis)
            axes.grid()
            axes.set_xlabel("time since injection [s]")
        for axes in grid[::columns]:
            axes.set_ylabel("not yet recovered")
        legend(drawing, [arm for arm, _ in curves], styles, lines=True)

    return draw(
        "fig-survival", (2.3 if lines < 3 else 1.75) * lines + legend_height([arm for arm, _ in curves], styles), paint
    )


def _at_risk(axes: Axes, curves: Sequence[tuple[Arm, Curve]], styles: Styles) -> None:
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False, length=0)
    axes.set_yticks(range(len(curves)), [clip(styles[arm].label, 28) for arm, _ in curves])
    axes.set_ylim(len(curves) - 0.4, -0.7)
    axes.set_title("Trials at risk", fontsize=LETTERS, pad=2)
    for y, (arm, curve) in enumerate(curves):
        axes.get_yticklabels()[y].set_color(styles[arm].colour)
        for time, n in zip(curve.at_risk_times_s, curve.at_risk, strict=True):
            axes.text(time, y, str(n), ha="center", va="center", fontsize=LETTERS)


def _curve(axes: Axes, curve: Curve, style: ArmStyle, *, band: bool) -> None:
    # The last step holds to the end of observation.
    end = max(curve.time_s[-1], *curve.at_risk_times_s, *curve.censored_at_s)
    time, survival, lo, hi = (
        np.array([*values, last])
        for values, last in (
            (curve.time_s, end),
            (curve.survival, curve.survival[-1]),
            (curve.lo, curve.lo[-1]),
            (curve.hi, curve.hi[-1]),
        )
    )
    axes.step(time, survival, where="post", color=style.colour, linestyle=style.line)
    if band:
        axes.fill_between(time, lo, hi, step="post", color=style.colour, alpha=0.13, linewidth=0)
    if curve.censored_at_s:
        heights = survival[np.searchsorted(time[:-1], curve.censored_at_s, side="right") - 1]
        axes.plot(curve.censored_at_s, heights, linestyle="none", marker="|", markersize=7, color=style.colour)
