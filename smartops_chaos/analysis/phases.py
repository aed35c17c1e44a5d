"""Inside the loop: how long each phase takes, and where the loop breaks."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis.competing import dated
from smartops_chaos.analysis.distributions import t_quantile
from smartops_chaos.analysis.likelihood_ratio import Floats
from smartops_chaos.analysis.summary import AsideMoment, FunnelStep, Phase
from smartops_chaos.analysis.table import numbers, texts
from smartops_chaos.model import FALSE_ALARMS, MOMENTS, Outcome

_STEPS = (
    ("detect", "injected", "detected"),
    ("diagnose", "detected", "diagnosed"),
    ("decide", "diagnosed", "decided"),
    ("act", "decided", "acted"),
    ("recover", "acted", "recovered"),
)
_LOOP = MOMENTS[2:7]  # detected to verified: what the healer does, each step after the one before


def phases(counted: pd.DataFrame, alpha: float) -> tuple[tuple[Phase, ...], tuple[AsideMoment, ...]]:
    """The steps of the repair in healed trials, in the order in which they happened, and the moments beside them.

    Both are over the same trials: healed, with a detection and an action on record, no clock stepped. The path of one
    is injected, detected, diagnosed, decided, acted, recovered. A step lasts from the step before it; the sum of a
    trial's steps is its time to recover, so the sum of the means is the mean time. A diagnosis that came only after the
    decision cost the repair no time: it is no step of that trial (and counts there as 0), but a moment beside the path,
    like the verification. Where a decision is not on record, its time is in the action's.
    """
    trials = counted[(texts(counted, "outcome") == Outcome.HEALED) & dated(counted)]
    seen = {m: _moment(trials, m) for m in ("detected", "diagnosed", "decided", "acted", "verified")}
    both = ~np.isnan(seen["detected"][0] + seen["acted"][0] + numbers(trials, "time_s"))
    trials, seen = trials[both], {m: (lo[both], hi[both]) for m, (lo, hi) in seen.items()}
    n, time_s = len(trials), numbers(trials, "time_s")
    if not n:
        return tuple(Phase(*names, None, None, None, 0, None) for names in _STEPS), ()
    middle = {m: (lo + hi) / 2 for m, (lo, hi) in seen.items()} | {"recovered": time_s}
    until = np.where(np.isnan(middle["decided"]), middle["acted"], middle["decided"])
    late = middle["diagnosed"] > until
    lasts: dict[str, Floats] = {}
    here_s, here_width = np.zeros(n), np.zeros(n)
    steps = []
    for name, start, end in _STEPS:
        on_path = ~np.isnan(middle[end]) & ~(late & (end == "diagnosed"))
        there_s = np.where(on_path, np.clip(middle[end], here_s, time_s), here_s)
        lo, hi = _moment(trials, end)
        width = np.where(on_path, np.nan_to_num(hi - lo), 0)
        lasts[name] = there_s - here_s
        mean = _mean(lasts[name], here_width + width, alpha) if on_path.any() else Duration(None, None, None, None, n)
        steps.append(Phase(name, start, end, mean.mean_s, mean.lo_s, mean.hi_s, int(on_path.sum()), mean.width_s))
        here_s, here_width = there_s, np.where(on_path, width, here_width)
    assert np.allclose(sum(lasts.values()), time_s, atol=1e-6), "the steps of a trial do not add up to its time"
    beside = (("diagnosed", late), ("verified", ~np.isnan(middle["verified"])))
    aside = [AsideMoment(m, float(middle[m][of].mean()), int(of.sum())) for m, of in beside if of.any()]
    return tuple(steps), tuple(aside)


class Duration(NamedTuple):
    """A mean, its two-sided t interval (1 - 2 alpha), the median width of the single intervals, and trials."""

    mean_s: float | None
    lo_s: float | None
    hi_s: float | None
    width_s: float | None
    n: int


def between(trials: pd.DataFrame, start: str, end: str, alpha: float) -> Duration:
    """Over the trials in which both moments were seen. A duration is an interval, cut at 0, its value the middle."""
    (lo1, hi1), (lo2, hi2) = _moment(trials, start), _moment(trials, end)
    lo, hi = np.maximum(lo2 - hi1, 0), np.maximum(hi2 - lo1, 0)
    seen = ~np.isnan(lo + hi)
    n = int(seen.sum())
    if not n:
        return Duration(None, None, None, None, 0)
    return _mean(((lo + hi) / 2)[seen], (hi - lo)[seen], alpha)


def _mean(durations: Floats, widths: Floats, alpha: float) -> Duration:
    n, mean, width = len(durations), float(durations.mean()), float(np.median(widths))
    if n < 2:
        return Duration(mean, None, None, width, n)
    half = t_quantile(alpha, n - 1) * float(durations.std(ddof=1)) / float(np.sqrt(n))
    return Duration(mean, max(0.0, mean - half), mean + half, width, n)


def recovery_width(counted: pd.DataFrame) -> float | None:
    """Median width in seconds of the interval in which recovery lies: the measuring error of a time to recover."""
    lo, hi = _moment(counted, "recovered")
    return _median(hi - lo)


def _median(widths: Floats) -> float | None:
    known = widths[~np.isnan(widths)]
    return float(np.median(known)) if len(known) else None


def funnel(counted: pd.DataFrame) -> tuple[FunnelStep, ...]:
    """Trials that got as far as each moment, and why the others did not. Empty without such columns.

    Lost trials are named by their outcome and its reason.
    """
    if not any(f"{m}_lo_s" in counted for m in MOMENTS[1:]):
        return ()
    why = _losses(texts(counted, "outcome"), texts(counted, "reason"))
    lost_at = np.array(missed(counted), dtype=object)
    steps = []
    reached = len(counted)
    for moment in MOMENTS:
        lost = Counter(why[lost_at == moment].tolist())
        reached -= lost.total()
        steps.append(FunnelStep(moment, reached, dict(sorted(lost.items()))))
    return tuple(steps)


def missed(counted: pd.DataFrame) -> list[str]:
    """For each counted trial the first moment of the repair that it did not reach; "" if it went all the way.

    A later step of the loop implies the earlier ones (an action was decided), and a healed trial passed them all:
    missing telemetry is no break in the loop.
    """
    outcome = texts(counted, "outcome")
    seen = {m: ~np.isnan(_moment(counted, m)[0]) for m in MOMENTS}
    seen["injected"] = texts(counted, "reason") != FALSE_ALARMS
    for earlier, later in reversed(list(pairwise(_LOOP))):
        seen[earlier] = seen[earlier] | seen[later]
    found = np.full(len(counted), "", dtype=object)
    for moment in reversed(MOMENTS):
        found[~(seen[moment] | (outcome == Outcome.HEALED))] = moment
    return found.tolist()


def _losses(outcome: NDArray[np.object_], reason: NDArray[np.object_]) -> NDArray[np.object_]:
    pairs = zip(outcome.tolist(), reason.tolist(), strict=True)
    return np.array([f"{o}: {r}" if r else str(o) for o, r in pairs], dtype=object)


def _moment(table: pd.DataFrame, moment: str) -> tuple[Floats, Floats]:
    if moment == "injected":
        zero = np.zeros(len(table))
        return zero, zero
    return numbers(table, f"{moment}_lo_s"), numbers(table, f"{moment}_hi_s")
