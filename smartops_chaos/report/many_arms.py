"""What the first page says where several arms compete: a map of arms and faults, the best two, and main effects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from smartops_chaos.analysis import factors
from smartops_chaos.analysis.factors import FactorEffects, LevelMean
from smartops_chaos.analysis.summary import ArmSummary, Summary
from smartops_chaos.analysis.words import (
    count,
    k_of_n,
    listing,
    percent,
    percent_range,
    seconds,
    seconds_range,
    with_range,
)
from smartops_chaos.model import Arm, Outcome
from smartops_chaos.report.document import Block, Figure, Paragraph, Table, col, table
from smartops_chaos.report.figures import heat_map
from smartops_chaos.report.figures.heat_map import Field, MapRow
from smartops_chaos.report.page import MANY_ARMS, Page
from smartops_chaos.report.style import WIDTH_IN, both

_ALL = "all faults"
_NAMES = 4


def recommendation(summary: Summary) -> str:
    """At most two sentences, which follow from verdicts alone; "" without any."""
    verdicts: dict[Arm, set[str]] = {}
    for v in summary.verdicts:
        verdicts.setdefault(v.arm, set()).add(v.verdict)
    if not verdicts:
        return ""
    asked = {arm: found - {"trivial"} for arm, found in verdicts.items()}
    good = [str(arm) for arm, found in asked.items() if found == {"proven"}]
    bad = [str(arm) for arm, found in asked.items() if "missed" in found]
    use = (
        f"Use {_names(good)}: all targets are proven."
        if len(good) == 1
        else f"Use any of {_names(good)}: of each all targets are proven."
        if good
        else "No arm can be recommended yet: of none all targets are proven."
    )
    return use + (f" Do not use {_names(bad)}: at least one target is missed." if bad else "")


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return listing([*names[:_NAMES], *([f"{more} more"] if more > 0 else [])])


def fastest_first(page: Page) -> list[Arm]:
    """The judged arms by their MTTR; last those that have none."""
    means = {a.arm: a.mttr.rmst_s for a in page.arms}
    return sorted(page.judged, key=lambda arm: _or_last(means.get(arm)))


def _or_last(mean_s: float | None) -> float:
    return float("inf") if mean_s is None else mean_s


def arms_and_faults(page: Page) -> Iterable[Block]:
    """The map, where there is a cell to draw."""
    if any(a.cells for a in page.arms):
        yield _map(page)


def against_each_other(page: Page) -> Iterable[Block]:
    """The best against the second, and the main effects, where the arms form a grid."""
    looks = bool(page.summary.plan and page.summary.plan.looks > 1)
    pair = factors.best_and_second(page.cells, page.judged, page.summary.alpha, looks=looks)
    if pair:
        less = percent(pair.reduction)
        if pair.lo is not None:
            less = with_range(less, f"{page.level} interval: {percent_range(pair.lo, pair.hi)}")
        shown = pair.lo is not None and pair.lo > 0
        yield Paragraph(
            f"Is the best better than the second? {pair.best} takes {seconds(pair.best_s)}, {pair.second} "
            f"{seconds(pair.second_s)}, so {less} less. "
            + ("That is more than chance." if shown else "That may be chance.")
            + " Both were chosen by their results, so no verdict rests on it."
        )
    grids = [_healers(page), [a.arm for a in page.arms if not a.reference]]
    tried = (factors.effects(page.cells, arms, page.summary.alpha, looks=looks) for arms in grids)
    if found := next((one for one in tried if one), None):
        yield _effects(page, found)
        yield Paragraph(_interaction(page, found))


def _healers(page: Page) -> list[Arm]:
    """The judged arms without those of the baseline's model, which is most often no healer at all."""
    baseline = page.summary.baseline
    return [arm for arm in page.judged if baseline is None or arm.model != baseline.model]


def drawn_map(page: Page, figure_id: str, *, width_in: float = WIDTH_IN, most: int | None = None) -> str:
    """`most`: only so many arms, the fastest, and the baseline."""
    columns, rows = _rows(page)
    if most is not None:
        rows = [*[row for row in rows if not row.baseline][:most], *[row for row in rows if row.baseline]]
    return heat_map.heat_map(figure_id, columns, rows, page.styles, page.targets.mttr_reduction, width_in=width_in)


def _rows(page: Page) -> tuple[list[str], list[MapRow]]:
    """The columns of the map, and its rows: the fastest arm first, the baseline last."""
    chaos = list(dict.fromkeys(c.chaos for a in page.arms for c in a.cells))
    baseline = page.summary.baseline
    base = _fields(baseline, chaos, ()) if baseline else ()
    shown = [a for a in page.arms if a.cells]
    shown.sort(key=lambda a: (a.baseline, _or_last(a.mttr.rmst_s)))
    rows = [MapRow(a.arm, _fields(a, chaos, () if a.baseline else base), a.baseline) for a in shown]
    return [*chaos, _ALL], rows


def _map(page: Page) -> Figure:
    columns, rows = _rows(page)
    first = next((row for row in rows if not row.baseline), None)
    told = "" if first is None else f" The fastest is {first.arm} with {seconds(first.fields[-1].mean_s)}."
    svg, narrow = both(lambda: drawn_map(page, "fig-map"))
    return Figure(
        "fig-map",
        "Which arm repairs which fault",
        "In each field the MTTR and how many faults the healer itself repaired. The fastest arm is at the top; colours "
        "compare with the baseline under the same fault.",
        " ".join(_told(row, columns) for row in rows) + told,
        svg,
        ("tab-verdicts" if len(page.judged) > MANY_ARMS else "tab-mttr",),
        narrow=narrow,
    )


def _told(row: MapRow, columns: Sequence[str]) -> str:
    cells = zip(columns, row.fields, strict=True)
    return f"{row.arm}: " + ", ".join(f"{n} {seconds(f.mean_s)}, {k_of_n(f.healed, f.trials)}" for n, f in cells) + "."


def _fields(arm: ArmSummary, chaos: Sequence[str], base: Sequence[Field]) -> tuple[Field, ...]:
    """Of each chaos level, its workloads averaged, and of all."""
    found = []
    for i, name in enumerate([*chaos, None]):
        own = [c for c in arm.cells if c.counted and name in (c.chaos, None)]
        healed = sum(n for c in own for o, n in c.outcomes.items() if Outcome(o).by_healer)
        times = [c.rmst_s for c in own if c.rmst_s is not None]
        mean = arm.mttr.rmst_s if name is None else sum(times) / len(times) if times else None
        theirs = base[i].mean_s if base else None
        reduction = None if mean is None or not theirs else 1 - mean / theirs
        found.append(Field(mean, healed, sum(c.counted for c in own), reduction))
    return tuple(found)


def _effects(page: Page, found: FactorEffects) -> Table:
    levels: list[LevelMean] = [*found.models, *found.policies]
    return table(
        "tab-factors",
        "Main effects",
        levels,
        [
            col("Factor", lambda one: one.factor, align="left"),
            col("Level", lambda one: one.level, grow=1),
            col("MTTR", lambda one: seconds(one.mean_s)),
            col(f"{page.level} interval", lambda one: seconds_range(one.lo_s, one.hi_s)),
            col("Trials", lambda one: str(one.trials)),
        ],
        "Each model over all policies and faults, each policy over all models and faults; the fastest first.",
        group=True,
    )


def _interaction(page: Page, found: FactorEffects) -> str:
    largest = found.departures[0]
    clear = largest.lo_s > 0 or largest.hi_s < 0
    side = "longer" if largest.seconds > 0 else "shorter"
    return (
        f"Do model and policy depend on each other? {largest.arm} is furthest from what its model and its policy let "
        f"expect: its MTTR is {seconds(abs(largest.seconds))} {side} ({page.level} interval for all "
        f"{count(len(found.departures), 'arm')} together: {seconds_range(largest.lo_s, largest.hi_s)}). "
        + ("So they do: choose the pair, not each for itself." if clear else "That may be chance.")
    )
