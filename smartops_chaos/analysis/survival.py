"""Kaplan-Meier, its quantiles and the restricted mean, for "not yet recovered"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from smartops_chaos.analysis.estimate import Floats


@dataclass(frozen=True, slots=True)
class KaplanMeier:
    """One entry for each distinct event time, after a first at 0 with survival 1 (or less: events at 0)."""

    time: Floats
    survival: Floats
    at_risk: Floats
    events: Floats
    greenwood: Floats  # running sum of d / (n (n - d)); inf where survival is 0


def kaplan_meier(time: Floats, event: NDArray[np.bool_]) -> KaplanMeier:
    """Product-limit estimate (Kaplan and Meier 1958); `event` False = censored at that time."""
    times = np.union1d([0.0], time[event])
    ordered = np.sort(time)
    at_risk = len(time) - np.searchsorted(ordered, times, side="left")
    ended = np.sort(time[event])
    events = np.searchsorted(ended, times, side="right") - np.searchsorted(ended, times, side="left")
    survival = np.cumprod(1 - events / np.maximum(at_risk, 1)).astype(np.float64)
    with np.errstate(divide="ignore"):
        terms = np.where(events > 0, events / (at_risk * (at_risk - events).astype(float)), 0.0)
    return KaplanMeier(times, survival, at_risk.astype(float), events.astype(float), np.cumsum(terms))


def log_log_band(km: KaplanMeier, alpha: float) -> tuple[Floats, Floats]:
    """Pointwise two-sided band at 2 alpha on the log(-log) scale, Greenwood's variance; 1 at S = 1 and 0 at S = 0."""
    z = -float(special.ndtri(alpha))
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


def restricted_mean(time: Floats, event: NDArray[np.bool_], tau: float) -> tuple[float, float]:
    """(RMST(tau), standard error): area under Kaplan-Meier to tau, also with censoring before tau.

    SE^2 = sum of (area from t_i to tau)^2 d_i / (n_i (n_i - d_i)), Klein and Moeschberger (2003) eq. 4.5.2.
    Without earlier censoring the area is the mean of min(T, tau), which is what the rest of the analysis uses.
    Raises ValueError if the last trial is censored before tau: the area is then unknown.
    """
    km = kaplan_meier(time, event)
    if km.survival[-1] > 0 and time.max() < tau:
        raise ValueError(f"followed up to {time.max():g} s only, so the mean to {tau:g} s is unknown")
    edges = np.append(np.minimum(km.time, tau), tau)
    areas = km.survival * np.diff(edges)
    beyond = np.cumsum(areas[::-1])[::-1]
    used = (km.time <= tau) & (km.events > 0) & (km.at_risk > km.events)
    n, d = km.at_risk[used], km.events[used]
    return float(areas.sum()), float(np.sqrt((beyond[used] ** 2 * d / (n * (n - d))).sum()))
