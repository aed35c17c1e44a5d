"""Kaplan-Meier and its quantiles, for "not yet recovered"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartops_chaos.analysis.distributions import normal_quantile
from smartops_chaos.analysis.likelihood_ratio import Floats


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """One entry for each distinct event time, after a first at 0 with survival 1 (or less: events at 0)."""

    time: Floats
    survival: Floats
    at_risk: Floats
    events: Floats
    greenwood: Floats  # running sum of d / (n (n - d)); inf where survival is 0


def kaplan_meier(time: Floats, event: NDArray[np.bool_]) -> KaplanMeier:
    """The product-limit estimate (Kaplan and Meier 1958) of the share of trials that have not recovered yet.

    `time` and `event` have one entry for each trial; `event` False = still bad when observation ended, at that time.
    """
    ended, censored = np.sort(time[event]), np.sort(time[~event])
    first = np.flatnonzero(np.diff(ended, prepend=-1.0))  # of the events at each time
    times, events = ended[first], np.diff(first, append=len(ended))
    at_risk = len(time) - first - np.searchsorted(censored, times, side="left")
    if not len(times) or times[0] > 0:
        times, events, at_risk = (
            np.append(start, rest) for start, rest in ((0.0, times), (0, events), (len(time), at_risk))
        )
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1)).astype(np.float64)
    with np.errstate(divide="ignore"):
        terms = np.where(events > 0, events / (at_risk * (at_risk - events).astype(float)), 0.0)
    return KaplanMeier(times, survival, at_risk.astype(float), events.astype(float), np.cumsum(terms))


def log_log_band(km: KaplanMeier, alpha: float) -> tuple[Floats, Floats]:
    """The pointwise two-sided band (1 - 2 alpha) of a curve, on the log(-log) scale with Greenwood's variance.

    Two arrays of the curve's length; both are 1 where S = 1 and 0 where S = 0, where no error can be given.
    """
    z = -normal_quantile(alpha)
    inside = (km.survival > 0) & (km.survival < 1)
    lo, hi = km.survival.copy(), km.survival.copy()
    s = km.survival[inside]
    spread = np.exp(z * np.sqrt(km.greenwood[inside]) / np.abs(np.log(s)))
    lo[inside], hi[inside] = s**spread, s ** (1 / spread)
    return lo, hi


def quantile(km: KaplanMeier, share: float) -> float | None:
    """The first time by which `share` of the trials had the event; None if that is never reached."""
    reached = np.flatnonzero(km.survival <= 1 - share + 1e-12)
    return float(km.time[reached[0]]) if len(reached) else None
