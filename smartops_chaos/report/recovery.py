"""The section about time: MTTR, its reduction, every trial, Kaplan-Meier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from smartops_chaos.analysis.summary import ArmSummary, Comparison, HoldNumbers, Reduction
from smartops_chaos.analysis.words import (
    NONE,
    TARGETS,
    listing,
    number,
    percent,
    percent_range,
    probability,
    seconds,
    seconds_range,
    stated_seconds,
    target_value,
    with_range,
)
from smartops_chaos.model import Outcome
from smartops_chaos.report import naive, reference_arms
from smartops_chaos.report.document import Block, Chip, Figure, Filling, Keys, Paragraph, Section, Table, col, table
from smartops_chaos.report.figures import effect, survival_curves
from smartops_chaos.report.page import MANY_ARMS, TONES, Page, arm_name
from smartops_chaos.report.style import both

_ARMS_IN_WORDS = 3
_LEFT_END = -1.0  # of a forest plot: what lies beyond is an arrow
_ROWS_ON_A_PAGE = 40  # of a forest plot
_NO_REDUCTION = Reduction(None, None, None, None, None)


def section(page: Page) -> Section:
    return Section("time", "Time to recover", tuple(_blocks(page)))


def _blocks(page: Page) -> Iterable[Block]:
    arms = page.arms
    yield _mttr(page)
    if told := " ".join([*_horizons_told(page), *reference_arms.sentences(page)]):
        yield Paragraph(told)
    if any(c.mttr_reduction.estimate is not None for c in page.summary.comparisons):
        yield from _forests(page)
    if any(not curve.scenario for a in arms for curve in a.curves):
        svg, narrow = both(lambda: survival_curves.kaplan_meier(arms, page.styles))
        yield Figure(
            "fig-survival",
            "Share of trials not yet recovered",
            _left_told(arms),
            "Kaplan-Meier curves. " + " ".join(f"{a.arm}: median {_reached(a, a.mttr.median_s)}." for a in arms),
            svg,
            ("tab-mttr",),
            _survival_keys(page),
            narrow=narrow,
        )


def _survival_keys(page: Page) -> Keys:
    known: Keys = (("Curve", "the Kaplan-Meier estimate over all scenarios"), ("Tick", "trials that never recovered"))
    if len(page.arms) >= survival_curves.MANY_ARMS:
        return (*known, ("Panel", "one model and the baseline; the other arms are pale"))
    return (*known, ("Band", f"the {page.level} interval"), ("At risk", "trials that are not over yet"))


def more(page: Page) -> Iterable[Block]:
    """What the appendix adds: verdicts and why, other horizons, other rules."""
    summary = page.summary
    if len(page.judged) > MANY_ARMS:
        yield _verdicts(page)
    if summary.comparisons:
        yield _sensitivity(page)
    if summary.holds:
        yield _holds(page)


def _horizons_told(page: Page) -> Iterable[str]:
    """What shorter horizons would give, for the arms of which there is room to say it."""
    if len(page.judged) > MANY_ARMS:
        return
    for arm in page.judged:
        comparison = page.summary.deciding(arm)
        if comparison is None or comparison.mttr_reduction.estimate is None:
            continue
        named = {"tau/4": "at a quarter of the horizon", "tau/2": "at half of it", "tau": "at all of it"}
        known = [(named.get(name, name), r.estimate) for name, r in comparison.at_horizons.items()]
        told = listing([f"{percent(value)} {where}" for where, value in known if value is not None])
        target = page.targets.mttr_reduction
        below = [where for where, value in known if value is not None and value < target]
        short = f"; {listing(below)} that is below the target of {percent(target)}" if below else ""
        yield f"The horizon decides the size of a reduction. That of {arm} is {told}{short}."


# ---- tables --------------------------------------------------------------------------------------------------


def _verdicts(page: Page) -> Table:
    return table(
        "tab-verdicts",
        "Verdicts and why",
        page.summary.verdicts,
        [
            col("Arm", lambda v: str(v.arm), grow=2),
            col("Target", lambda v: TARGETS[v.target], align="left"),
            col("Value", lambda v: target_value(v.value, v.target)),
            col("Bound", lambda v: target_value(v.bound, v.target)),
            col("Verdict", lambda v: (Chip(v.verdict, TONES[v.verdict]),), align="left"),
            col("Why", lambda v: v.why, grow=5),
        ],
        "Bound: the one-sided confidence bound that decides.",
        group=True,
    )


def _mttr(page: Page) -> Table:
    def reduction(arm: ArmSummary) -> Reduction:
        comparison = page.summary.deciding(arm.arm)
        return comparison.mttr_reduction if comparison else _NO_REDUCTION

    lost = any(reduction(a).at_worst != reduction(a).at_best for a in page.arms)
    return table(
        "tab-mttr",
        "Time to recover by arm",
        page.arms,
        [
            col("Arm", arm_name, grow=1),
            col("Trials", lambda a: page.index.link(str(a.counted), a.arm, counts_as="counted")),
            col("MTTR", lambda a: seconds(a.mttr.rmst_s)),
            col(f"{page.level}\ninterval", lambda a: seconds_range(a.mttr.lo, a.mttr.hi)),
            col("Median", lambda a: _reached(a, a.mttr.median_s)),
            col("90th\npercentile", lambda a: _reached(a, a.mttr.p90_s)),
            col("Reduction", lambda a: percent(reduction(a).estimate)),
            col(f"{page.level}\ninterval", lambda a: percent_range(reduction(a).lo, reduction(a).hi)),
            col("Successes\nonly", lambda a: seconds(naive.mean_of_successes(page, a.arm)[0])),
            *([col("Lost", lambda a: percent_range(reduction(a).at_worst, reduction(a).at_best))] if lost else []),
            col("p", lambda a: probability(reduction(a).p_adjusted)),
        ],
        _fastest_told(page),
        (
            ("MTTR", "a trial that never recovered counts as its horizon"),
            ("Median, 90th percentile", "there it counts as longer than the horizon"),
            ("Interval", "longer on its bad side: the next trial might be one that never recovers"),
            ("Successes only", "the mean without the trials that never recovered, which makes a bad arm look good"),
            ("p", "tests the target" + (f"; by Holm for {len(page.judged)} arms" if len(page.judged) > 1 else "")),
            *([("Lost", "if the trials without a result had gone badly, or well")] if lost else []),
        ),
    )


def _fastest_told(page: Page) -> str:
    known = [a for a in page.arms if a.mttr.rmst_s is not None]
    if not known:
        return "No trial counts."
    best = min(known, key=lambda a: a.mttr.rmst_s or 0.0)
    return f"{best.arm} is back after {seconds(best.mttr.rmst_s)} on average, the fastest of {len(known)}."


def _left_told(arms: Sequence[ArmSummary]) -> str:
    """How many trials of the arms never recovered, in words for a few arms."""
    if len(arms) > _ARMS_IN_WORDS:
        return "The lower a curve and the further left, the sooner its arm recovers."
    told = []
    for arm in arms:
        n = arm.outcomes.get(Outcome.UNRECOVERED, 0) + arm.outcomes.get(Outcome.HARMED, 0)
        told.append(f"{n or 'none'} of {arm.counted} with {arm.arm}")
    return f"Never recovered: {', '.join(told)}."


def _reached(arm: ArmSummary, value: float | None) -> str:
    """A quantile, or that it lies beyond the horizon; nothing where horizons are unlike."""
    if value is None and arm.mttr.horizon_s is not None:
        return f"> {stated_seconds(arm.mttr.horizon_s)}" if len({c.horizon_s for c in arm.cells}) == 1 else NONE
    return seconds(value)


def _sensitivity(page: Page) -> Table:
    def at_horizon(name: str) -> Filling[Comparison]:
        def told(comparison: Comparison) -> str:
            return reduction_told(comparison.at_horizons.get(name, _NO_REDUCTION)) if _can_be_said(comparison) else NONE

        return col(f"At {name.replace('tau', 'τ')}", told)

    comparisons = page.summary.comparisons
    return table(
        "tab-horizons",
        "Reduction at other horizons",
        comparisons,
        [
            col("Arm", lambda c: str(c.arm), grow=2),
            col("Scope", _scope, grow=2),
            *map(at_horizon, dict.fromkeys(name for c in comparisons for name in c.at_horizons)),
            col("From impact,\nat τ", lambda c: reduction_told(c.from_impact) if _can_be_said(c) else NONE),
            col("Proven from", _proven_from),
            col("Correlation\nin blocks", lambda c: number(c.block_correlation, 2)),
        ],
        "Against a baseline that never recovers the horizon τ decides the size of a reduction.",
        (
            ("From impact", "time counts from the moment when users are hurt"),
            ("Proven from", "the shortest horizon from which on the target is proven"),
            ("Correlation in blocks", "of arm and baseline; well below 0 the test may be too bold"),
        ),
        group=True,
    )


def _can_be_said(comparison: Comparison) -> bool:
    """Of faults that were not tried nothing is shown where nothing can be said."""
    return comparison.decides or comparison.verdict != "undecidable"


def _scope(comparison: Comparison) -> str:
    scope = comparison.scope.replace("-", " ")
    return scope if _can_be_said(comparison) else f"{scope}: cannot be said ({comparison.why})"


def _proven_from(comparison: Comparison) -> str:
    if comparison.proven_from_s is not None:
        return seconds(comparison.proven_from_s)
    return NONE if comparison.proven_from is None else f"{percent(comparison.proven_from)} of τ"


def reduction_told(reduction: Reduction) -> str:
    return with_range(percent(reduction.estimate), percent_range(reduction.lo, reduction.hi))


def _holds(page: Page) -> Block:
    if not any(h.other_outcomes for h in page.summary.holds) and _same_times(page.summary.holds):
        times = listing(stated_seconds(hold_s) for hold_s in sorted({h.hold_s for h in page.summary.holds}))
        return Paragraph(
            f"How long health must last to count decides nothing here: with {times} every trial ends alike, at the "
            "same time."
        )
    holds: dict[tuple[str, str], dict[float, HoldNumbers]] = {}
    for hold in page.summary.holds:
        holds.setdefault((hold.model, hold.policy), {})[hold.hold_s] = hold

    def of(arm: ArmSummary) -> dict[float, HoldNumbers]:
        return holds[arm.model, arm.policy]

    def columns(hold_s: float) -> Iterable[Filling[ArmSummary]]:
        yield col(f"MTTR\nH = {stated_seconds(hold_s)}", lambda a: seconds(of(a)[hold_s].rmst_s))
        yield col(f"Reduction\nH = {stated_seconds(hold_s)}", lambda a: percent(of(a)[hold_s].reduction))

    return table(
        "tab-hold",
        "Sensitivity to how long health must last",
        [arm for arm in page.arms if (arm.model, arm.policy) in holds],
        [
            col("Arm", arm_name, grow=1),
            col("n", lambda a: str(next(iter(of(a).values())).trials)),
            *(column for hold_s in sorted({h.hold_s for h in page.summary.holds}) for column in columns(hold_s)),
            col("Other\noutcomes", lambda a: str(sum(h.other_outcomes for h in of(a).values()))),
        ],
        f"{_holds_told(page)} The same requests were judged again, as if health had to last for another time H.",
        (
            ("n", "trials that were judged again"),
            ("Other outcomes", "trials that end otherwise than with the H of the plan"),
        ),
    )


def _same_times(holds: Sequence[HoldNumbers]) -> bool:
    times: dict[tuple[str, str], set[str]] = {}
    for hold in holds:
        times.setdefault((hold.model, hold.policy), set()).add(seconds(hold.rmst_s))
    return all(len(found) == 1 for found in times.values())


def _holds_told(page: Page) -> str:
    changed = sum(h.other_outcomes for h in page.summary.holds)
    if not changed:
        return "How long health must last decides nothing here: no trial ends otherwise."
    return f"{changed} outcomes change with how long health must last."


# ---- forest plots --------------------------------------------------------------------------------------------


def _forests(page: Page) -> Iterable[Figure]:
    """One figure, or several of whole arms where one would not fit on a page; of many arms without their scenarios."""
    scenarios = len(page.judged) <= MANY_ARMS
    arms: list[list[Comparison]] = []
    for comparison in sorted(page.summary.comparisons, key=lambda c: (str(c.arm), not c.decides)):
        if not (comparison.decides or (scenarios and _can_be_said(comparison))):
            continue
        if arms and arms[-1][0].arm == comparison.arm:
            arms[-1].append(comparison)
        else:
            arms.append([comparison])
    parts: list[list[Comparison]] = [[]]
    for arm in arms:
        if parts[-1] and effect.forest_rows([*parts[-1], *arm], scenarios=scenarios) > _ROWS_ON_A_PAGE:
            parts.append([])
        parts[-1] += arm
    bold: Keys = (("Bold", "over all scenarios"),)
    thin: Keys = (("Thin", "one scenario; it only describes"),)
    like: Keys = (("Faults like these", "the faults that the measured ones stand for"),)
    arrow: Keys = (("Arrow", "the interval goes on"),)
    for i, part in enumerate(parts):
        figure_id = "fig-reduction" + (f"-{i + 1}" if i else "")
        draw = partial(
            effect.forest,
            figure_id,
            part,
            page.styles,
            page.targets.mttr_reduction,
            reference_arms.reductions(page),
            scenarios=scenarios,
        )
        svg, narrow = both(draw)
        yield Figure(
            figure_id,
            "Reduction of MTTR" + (f", part {i + 1} of {len(parts)}" if len(parts) > 1 else ""),
            _forest_told(page, part),
            "Forest plot. "
            + " ".join(f"{name}: {reduction_told(r)}." for c in part for name, r in _rows(c, scenarios=scenarios)),
            svg,
            ("tab-mttr",),
            (
                ("Mark, line", f"the reduction and its {page.level} interval"),
                *((*bold, *thin) if scenarios else ()),
                *(like if any(not c.decides for c in part) else ()),
                *(arrow if _goes_on(part, scenarios=scenarios) else ()),
            ),
            narrow=narrow,
        )


def _forest_told(page: Page, part: Sequence[Comparison]) -> str:
    """How many arms lie above the target with their whole interval."""
    found = [c.mttr_reduction for c in part if c.decides]
    target = page.targets.mttr_reduction
    above = sum(r.lo is not None and r.lo > target for r in found)
    who = (
        f"{above or 'None'} of {len(found)} arms lie"
        if len(found) > 1
        else f"{part[0].arm} {'lies' if above else 'does not lie'}"
    )
    return f"{who} above the target of {percent(target)} with the whole interval."


def _goes_on(part: Sequence[Comparison], *, scenarios: bool) -> bool:
    """Whether an interval reaches beyond what is drawn."""
    found = [r for c in part for _, r in _rows(c, scenarios=scenarios)]
    return any(r.lo is not None and r.lo < _LEFT_END for r in found)


def _rows(comparison: Comparison, *, scenarios: bool) -> Iterable[tuple[str, Reduction]]:
    """The rows that one comparison has in a forest plot, with their names."""
    if not comparison.decides:
        return [(f"{comparison.arm}, faults like these", comparison.mttr_reduction)]
    parts = comparison.by_scenario.items() if scenarios else ()
    return [
        (str(comparison.arm), comparison.mttr_reduction),
        *((f"{comparison.arm}, {name}", part) for name, part in parts),
    ]
