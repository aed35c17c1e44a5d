"""Inside the loop: how long each phase takes, and where the loop breaks."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis.estimate import Floats
from smartops_chaos.analysis.summary import FunnelStep, Phase
from smartops_chaos.analysis.table import numbers, texts
from smartops_chaos.model import MOMENTS, Outcome

PHASES = (
    ("detect", "injected", "detected"),
    ("diagnose", "detected", "diagnosed"),
    ("decide", "diagnosed", "decided"),
    ("act", "decided", "acted"),
    ("recover", "acted", "recovered"),
)
_LOOP = MOMENTS[2:7]  # detected to verified: what the healer does, each step after the one before


def phases(counted: pd.DataFrame) -> tuple[Phase, ...]:
    """Over healed trials in which both moments were seen; `n` is their number. A duration is an interval, cut at 0."""
    healed = counted[texts(counted, "outcome") == Outcome.HEALED]
    return tuple(_phase(healed, *names) for names in PHASES)


def _phase(healed: pd.DataFrame, name: str, start: str, end: str) -> Phase:
    mean_s, width_s, n = interval_between(healed, start, end)
    return Phase(name=name, start=start, end=end, mean_s=mean_s, n=n, measuring_error_s=width_s)


def interval_between(trials: pd.DataFrame, start: str, end: str) -> tuple[float | None, float | None, int]:
    """Mean duration, median width of its interval, and in how many trials both moments were seen. Cut at 0."""
    (lo1, hi1), (lo2, hi2) = _moment(trials, start), _moment(trials, end)
    lo, hi = np.maximum(lo2 - hi1, 0), np.maximum(hi2 - lo1, 0)
    seen = ~np.isnan(lo + hi)
    n = int(seen.sum())
    if not n:
        return None, None, 0
    return float(((lo + hi) / 2)[seen].mean()), float(np.median((hi - lo)[seen])), n


def recovery_width(counted: pd.DataFrame) -> float | None:
    """Median width in seconds of the interval in which recovery lies: the measuring error of a time to recover."""
    lo, hi = _moment(counted, "recovered")
    widths = (hi - lo)[~np.isnan(hi - lo)]
    return float(np.median(widths)) if len(widths) else None


def calibration_width(trials: pd.DataFrame) -> float | None:
    """The same for the time from the harness's own end of the fault to recovery: the widths of both."""
    lo, hi = _moment(trials, "recovered")
    widths = hi - lo + np.nan_to_num(numbers(trials, "fault_end_width_s"))
    widths = widths[~np.isnan(widths)]
    return float(np.median(widths)) if len(widths) else None


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
