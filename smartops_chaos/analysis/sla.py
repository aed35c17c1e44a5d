"""Availability over a service window that `faults` faults of these kinds hit: 1 - faults x mean bad seconds / window.

The mean is over scenarios, weighted as for MTTR, with the trial as unit. Bad seconds end at the horizon, where a
person steps in; seconds of unknown state are bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.estimate import Sample, interval, margin, mean_over_scenarios, p_below
from smartops_chaos.analysis.summary import SlaNumbers
from smartops_chaos.model import LEAST_TRIALS, PSEUDO_TRIAL, Sla
from smartops_chaos.schema.units import format_duration


@dataclass(frozen=True, slots=True)
class SlaTest:
    """Like the MTTR's test it has a pseudo-trial in each scenario: one that is bad to the horizon."""

    p: float  # one-sided, H0: availability < target; with the lost trials bad to the horizon; 1 if undecidable
    bound: float | None  # lower bound of availability
    undecidable: str


def window(sla: Sla) -> str:
    """Such as "30 days", or "1h" for less than a day."""
    return f"{sla.window_s / 86400:g} days" if sla.window_s >= 86400 else format_duration(sla.window_s)


def availability(cells: Sequence[Cell], sla: Sla | None, alpha: float, within_trials: float | None) -> SlaNumbers:
    """Availability with its two-sided interval (1 - 2 alpha), which follows from that of the mean bad seconds.

    `within_trials` is passed on. None without an `sla:` or where the table lacks bad seconds.
    """
    samples = _samples([c for c in cells if c.n])
    if sla is None or not samples:
        return SlaNumbers(None, None, None, within_trials)
    low, high = interval(samples, alpha)
    return SlaNumbers(
        availability=_available(mean_over_scenarios(samples).mean, sla),
        lo=None if high is None else _available(high, sla),
        hi=None if low is None else _available(low, sla),
        within_trials=within_trials,
    )


def decide(cells: Sequence[Cell], sla: Sla | None, target: float, alpha: float) -> SlaTest:
    """Is the availability at least `target`, a fraction? One-sided t test on the mean bad seconds of a fault."""
    if sla is None:
        return SlaTest(1.0, None, "the matrix has no `sla:`; add a line such as `sla: {window: 30d, faults: 4}`")
    if any(c.bad_s is None for c in cells):
        return SlaTest(1.0, None, "the table has no column `bad_seconds`")
    short = [c for c in cells if c.n < LEAST_TRIALS]
    if short or not cells:
        where = f"{short[0].scenario} has {short[0].n}" if short else "there are no"
        return SlaTest(1.0, None, f"{where} counted trials, {LEAST_TRIALS} are needed in each scenario")
    samples = _samples(cells)
    lost = [np.append(s.values, np.full(c.lost, s.worst)) for s, c in zip(samples, cells, strict=True)]
    worst = [Sample(values, s.weight, s.worst) for values, s in zip(lost, samples, strict=True)]
    limit = (1 - target) * sla.window_s / sla.faults if sla.faults > 0 else np.inf
    found = [p_below(mean_over_scenarios(s, pseudo=PSEUDO_TRIAL), limit) for s in (samples, worst)]
    careful = mean_over_scenarios(samples, pseudo=PSEUDO_TRIAL)
    return SlaTest(max(found), _available(careful.mean + margin(careful, alpha), sla), "")


def budget_used(cells: Sequence[Cell], sla: Sla, target: float) -> float | None:
    """Share of the window's error budget, (1 - target) x window, that the expected faults use up."""
    samples = _samples([c for c in cells if c.n])
    if not samples or target >= 1:
        return None
    return sla.faults * mean_over_scenarios(samples).mean / ((1 - target) * sla.window_s)


def asks_nothing(cells: Sequence[Cell], sla: Sla, target: float) -> bool:
    """The target would be met even if no fault ended before its horizon."""
    return bool(cells) and all(_available(c.horizon_s, sla) >= target for c in cells)


def _samples(cells: Sequence[Cell]) -> list[Sample]:
    found = [Sample(c.bad_s, c.weight, c.horizon_s) for c in cells if c.bad_s is not None]
    return found if len(found) == len(cells) else []


def _available(bad_s: float, sla: Sla) -> float:
    return 1 - sla.faults * bad_s / sla.window_s
