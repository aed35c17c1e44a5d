"""How many incidents are detected (or mitigated), and how soon: a race between detection and the end of the incident.

An incident that ends before anybody noticed is over: nothing is left to detect. To score it as undetected until the
horizon would punish the healer for what needed no detection, and to leave it out would hide it. So detection and end
are competing risks (Kalbfleisch and Prentice 2002, chapter 8): what counts is the share of all incidents that were
detected before their end. All are observed until the one or the other, or the horizon, so it is a mere count. Beside it
stands what chance would have detected: a healer that raises false alarms hits some incidents too.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis.likelihood_ratio import Floats
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.analysis.summary import Race
from smartops_chaos.analysis.table import numbers, outcome_is, texts, where
from smartops_chaos.model import FALSE_ALARMS

Goal = Literal["detected", "acted"]  # acted: the first action on an affected object that succeeded


def race(rows: pd.DataFrame, goal: Goal, alpha: float) -> Race | None:
    """Of all measured trials of an arm: its incidents, and those without a fault for what chance does.

    None if the table does not tell, or there was no incident.
    """
    rows = rows[dated(rows)]
    incident, control = incidents(rows), outcome_is(texts(rows, "outcome"), lambda o: o.control)
    n = int(incident.sum())
    if f"{goal}_lo_s" not in rows or not n:
        return None
    lo_s, hi_s = moment(rows, goal)
    middle_s, over_s = (lo_s + hi_s) / 2, numbers(rows, "time_s")[incident]  # it ended when the service had recovered
    in_time = middle_s[incident][middle_s[incident] <= over_s]
    rate = alarm_rate(middle_s[control], numbers(rows, "observed_s")[control])
    lo, hi = wilson(len(in_time), n, alpha)
    return Race(
        n=n,
        seen=len(in_time),
        share=len(in_time) / n,
        lo=lo,
        hi=hi,
        mean_s=float(in_time.mean()) if len(in_time) else None,
        by_chance=None if rate is None else float((1 - np.exp(-rate * over_s)).mean()),
    )


def incidents(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which trials had something to detect: not those in which nothing was injected for the healer's false alarms."""
    found: NDArray[np.bool_] = outcome_is(texts(rows, "outcome"), lambda o: o.incident)
    found &= texts(rows, "reason") != FALSE_ALARMS
    return found


def alarm_rate(alarm_s: Floats, observed_s: Floats) -> float | None:
    """False alarms per second: the first ones (NaN: none) over the time until them, as if they came at a constant rate.

    None without a second of observation.
    """
    alarmed = ~np.isnan(alarm_s)
    at_risk_s = float(np.nansum(np.where(alarmed, alarm_s, observed_s)))
    return int(alarmed.sum()) / at_risk_s if at_risk_s > 0 else None


def moment(rows: pd.DataFrame, goal: Goal) -> tuple[Floats, Floats]:
    """Both ends of its interval, seconds from the injection; NaN: not seen, or it was an action and all failed."""
    lo, hi = numbers(rows, f"{goal}_lo_s"), numbers(rows, f"{goal}_hi_s")
    if goal == "acted":
        failed_only = numbers(rows, "actions") <= numbers(rows, "actions_failed")
        lo, hi = (np.where(failed_only, np.nan, end) for end in (lo, hi))
    return lo, hi


def dated(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which trials tell when something happened: if a clock was stepped, what it stamped may be off by seconds."""
    return where(texts(rows, "flags"), lambda flags: "clock_step" not in flags)
