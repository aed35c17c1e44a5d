"""Availability over a service window that `faults` faults of these kinds hit: 1 - faults x mean bad seconds / window.

The mean is over scenarios, weighted as for MTTR, with the trial as unit; a fault costs at most its horizon, so the test
of `analysis.likelihood_ratio` decides. Bad seconds end at the horizon, where a person steps in; `repair` is how long
that person then needs for what never recovered. Seconds of unknown state are bad.

An availability that is kept on average need not be kept in each window: faults come at random, and a rare failure that
costs a window its target weighs little in the mean. So the share of windows that keep the target is told beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartops_chaos.analysis import likelihood_ratio
from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.distributions import normal_below
from smartops_chaos.analysis.likelihood_ratio import FEWEST_PAIRS, Trials, mean_horizon_s, mean_over_scenarios
from smartops_chaos.analysis.summary import SlaNumbers
from smartops_chaos.model import Sla
from smartops_chaos.schema.units import format_duration

_STEPS = 2000  # into which a window's budget of bad seconds is cut
_MANY_FAULTS = 500.0  # from here on the sum of a window's bad seconds is as good as normal


@dataclass(frozen=True, slots=True)
class SlaTest:
    p: float  # one-sided, H0: availability < target; with the lost trials bad to the end; 1 if undecidable or trivial
    p_ruled_out: float  # one-sided, H0: availability >= target; with the lost trials never bad
    bound: float | None  # lower bound of availability
    undecidable: str
    trivial: str  # why the target holds whatever the healer does; empty: it can be missed
    at_worst: float | None = None  # the availability if every lost trial had been bad to the end
    at_best: float | None = None


def window(sla: Sla) -> str:
    """Such as "30 days", or "1h" for less than a day."""
    return f"{sla.window_s / 86400:g} days" if sla.window_s >= 86400 else format_duration(sla.window_s)


def availability(
    cells: Sequence[Cell],
    sla: Sla | None,
    target: float,
    alpha: float,
    within_trials: float | None,
    *,
    looks: bool = False,
) -> SlaNumbers:
    """Availability with its two-sided interval (1 - 2 alpha), which follows from that of the mean bad seconds.

    `within_trials` is passed on. None without an `sla:` or where the table lacks bad seconds.
    """
    known = None if sla is None else samples([c for c in cells if c.n], sla)
    if sla is None or not known:
        return SlaNumbers(None, None, None, within_trials)
    least_s, most_s = likelihood_ratio.mean_interval(known, alpha, looks=looks)
    return SlaNumbers(
        availability=_available(mean_over_scenarios(known), sla),
        lo=_available(float(most_s[0]), sla),
        hi=_available(float(least_s[0]), sla),
        within_trials=within_trials,
        windows_kept=windows_kept(known, sla, target),
    )


def expected(cells: Sequence[Cell], sla: Sla, target: float) -> tuple[float, float] | None:
    """The availability and the share of windows that keep the target; None where the table lacks bad seconds."""
    known = samples([c for c in cells if c.n], sla)
    return (_available(mean_over_scenarios(known), sla), windows_kept(known, sla, target)) if known else None


def decide(cells: Sequence[Cell], sla: Sla | None, target: float, alpha: float, *, looks: bool = False) -> SlaTest:
    """Is the availability at least `target`, a fraction? Tests the mean bad seconds of a fault."""
    if sla is None:
        return _undecidable("the matrix has no `sla:`; add a line such as `sla: {window: 1h, faults: 5}`")
    if why := asks_nothing(cells, sla, target):
        return SlaTest(1.0, 1.0, None, "", why)
    if any(c.bad_s is None for c in cells):
        return _undecidable("the table has no column `bad_seconds`")
    empty = next((c.scenario for c in cells if not c.n), None)
    number = sum(c.n for c in cells)
    if empty is not None or number < FEWEST_PAIRS:
        where = f"{number} counted trials" if empty is None else f"no counted trial in {empty}"
        return _undecidable(f"{where}: {FEWEST_PAIRS} trials in all are needed, and one in each scenario")
    trials = samples(cells, sla)
    found = likelihood_ratio.mean(trials, allowed_s(sla, target), alpha, looks=looks)
    worst, best = likelihood_ratio.at_worst(trials, ())[0], likelihood_ratio.at_best(trials, ())[0]
    ends = (_available(mean_over_scenarios(side), sla) for side in (worst, best))
    return SlaTest(found.p, found.p_ruled_out, _available(found.hi_s, sla), "", "", *ends)


def _undecidable(why: str) -> SlaTest:
    return SlaTest(1.0, 1.0, None, why, "")


def allowed_s(sla: Sla, target: float) -> float:
    """The bad seconds that a fault may cost on average."""
    return (1 - target) * sla.window_s / sla.faults


def most_faults(value: float | None, sla: Sla | None, target: float) -> int | None:
    """The whole faults in a window up to which the mean availability keeps the target, each costing what it did here.

    `value` is the availability with the faults that the plan expects. None: not known, or no number is too many.
    """
    if value is None or sla is None or value >= 1:
        return None
    return math.floor((1 - target) * sla.faults / (1 - value))


def asks_nothing(cells: Sequence[Cell], sla: Sla, target: float) -> str:
    """Why the target would be met even if the healer ended no fault; empty: it would not."""
    longest_s = mean_horizon_s([_sample(c, sla, np.zeros(0)) for c in cells]) if cells else np.inf
    if longest_s > allowed_s(sla, target):
        return ""
    repaired = f", and a person then took {format_duration(sla.repair_s)} to repair it" if sla.repair_s else ""
    return (
        f"{100 * target:g} % hold whatever the healer does: even if no fault ended before its horizon{repaired}, "
        f"{sla.faults:g} faults in {window(sla)} would leave {100 * _available(longest_s, sla):.4f} %"
    )


def says(value: float, windows: float | None, sla: Sla, target: float) -> str:
    """The estimate as a clause of a sentence."""
    with_repair = f", each {format_duration(sla.repair_s)} longer if it never recovered" if sla.repair_s else ""
    kept = "" if windows is None else f"; about {100 * windows:.0f} % of such windows keep {100 * target:g} %"
    return (
        f"availability {100 * value:.4f} % on average with {sla.faults:g} such faults in {window(sla)}"
        f"{with_repair}{kept}"
    )


def budget_used(cells: Sequence[Cell], sla: Sla, target: float) -> float | None:
    """Share of the window's error budget, (1 - target) x window, that the expected faults use up."""
    known = samples([c for c in cells if c.n], sla)
    return mean_over_scenarios(known) / allowed_s(sla, target) if known and target < 1 else None


def windows_kept(trials: Sequence[Trials], sla: Sla, target: float) -> float:
    """Share of windows whose bad seconds stay within (1 - target) x window: an estimate, without an error of its own.

    The number of faults in a window has Poisson's distribution with mean `sla.faults`, each costs what one of the
    trials did, scenarios by weight. The sum's distribution is by Panjer's recursion (1981) on small steps of the
    budget; what lies between two steps is shared out between them, so that the mean stays.
    """
    budget_s = (1 - target) * sla.window_s
    total = sum(t.weight for t in trials)
    seconds = np.concatenate([t.values for t in trials])
    shares = np.concatenate([np.full(len(t.values), t.weight / total / len(t.values)) for t in trials])
    if sla.faults > _MANY_FAULTS:
        deviation = np.sqrt(sla.faults * (shares @ seconds**2))
        return normal_below((budget_s - sla.faults * (shares @ seconds)) / deviation) if deviation else 1.0
    place = np.minimum(seconds * _STEPS / budget_s, _STEPS + 1.0)
    below = np.floor(place).astype(np.intp)
    costs = np.zeros(_STEPS + 3)
    np.add.at(costs, below, shares * (1 - (place - below)))
    np.add.at(costs, below + 1, shares * (place - below))
    return float(min(_sums(costs[: _STEPS + 1], sla.faults).sum(), 1.0))


def _sums(costs: NDArray[np.float64], faults: float) -> NDArray[np.float64]:
    """The chance of each sum, in steps, of a Poisson number of costs; larger sums than there are steps are left out."""
    rates = faults * np.arange(len(costs)) * costs
    found = np.zeros(len(costs))
    found[0] = np.exp(-faults * (1 - costs[0]))
    for total in range(1, len(costs)):
        found[total] = rates[1 : total + 1] @ found[total - 1 :: -1] / total
    return found


def samples(cells: Sequence[Cell], sla: Sla) -> list[Trials]:
    """What a fault costs in bad seconds, in each cell; none if the table lacks them."""
    found = [_sample(c, sla, c.bad_s + np.where(c.recovered, 0.0, sla.repair_s)) for c in cells if c.bad_s is not None]
    return found if len(found) == len(cells) else []


def _sample(cell: Cell, sla: Sla, bad_s: NDArray[np.float64]) -> Trials:
    return Trials(bad_s, cell.horizon_s + sla.repair_s, cell.weight, cell.lost)


def _available(bad_s: float, sla: Sla) -> float:
    return 1 - sla.faults * bad_s / sla.window_s
