"""Whether trials on lanes of one machine disturb each other: those that ran beside CPU stress, against the others."""

from __future__ import annotations

import numpy as np
import pandas as pd

from smartops_chaos.analysis.words import count, number, seconds
from smartops_chaos.report.page import Page

_NEEDED = {"lane", "started_at", "time_s", "chaos", "workload", "model", "policy"}
_MOSTLY = 0.5  # of a trial's time: from here on it ran beside the other


def told(page: Page) -> str:
    """ "" for one lane, for a target that is not one machine, or where nothing loads a CPU."""
    plan, rows = page.plan, page.table
    if plan is None or plan.target.get("kind") != "lab" or not set(rows.columns) >= _NEEDED:
        return ""
    lanes = sorted({str(lane) for lane in rows["lane"].dropna()})
    stress = [c.name for c in plan.chaos.values() if any(part.family == "cpu" for part in c.parts)]
    if len(lanes) < 2:
        return ""
    shared = f"The {len(lanes)} lanes share the machine"
    if not stress:
        return f"{shared}, so trials may disturb each other."
    beside = _beside(rows, stress)
    chosen = page.counted.index
    n = int(beside[chosen].sum())
    text = f"{shared}: {n} of {count(len(chosen), 'counted trial')} ran mostly beside CPU stress on another lane"
    found = _difference(page.counted.assign(beside=beside[chosen]))
    if found is None:
        return f"{text}; whether that changed their times cannot be said."
    mean_s, error_s = found
    more = "longer" if mean_s > 0 else "shorter"
    clear = abs(mean_s) > 2 * error_s
    return (
        f"{text}. Against the others of the same scenario and arm their times are {seconds(abs(mean_s))} {more} on "
        f"average (standard error {number(error_s, 2)} s): "
        f"{'that is more than chance' if clear else 'no more than chance'}."
    )


def _beside(rows: pd.DataFrame, stress: list[str]) -> pd.Series[bool]:
    """For each trial, whether one with CPU stress ran on another lane for most of its time.

    A trial lasts until the next one on its lane begins; the last of a lane as long as the median.
    """
    start = pd.to_datetime(rows["started_at"], utc=True, errors="coerce").map(pd.Timestamp.timestamp)
    end = start.groupby(rows["lane"]).transform(lambda one: one.sort_values().shift(-1))
    end = end.fillna(start + (end - start).median())
    found = pd.Series(False, index=rows.index)
    loud = rows["chaos"].isin(stress)
    for i in rows.index:
        others = loud & (rows["lane"] != rows["lane"][i])
        overlap = np.minimum(end[others], end[i]) - np.maximum(start[others], start[i])
        found[i] = float(overlap.clip(lower=0).sum()) > _MOSTLY * float(end[i] - start[i])
    return found


def _difference(rows: pd.DataFrame) -> tuple[float, float] | None:
    """The mean difference within scenario and arm, and its standard error; None where no cell has both kinds twice."""
    weights, means, errors = [], [], []
    for _, cell in rows.groupby(["chaos", "workload", "model", "policy"]):
        one, other = (cell["time_s"][cell["beside"] == side].to_numpy(dtype=float) for side in (True, False))
        if min(len(one), len(other)) < 2 or cell["time_s"].nunique() == 1:  # all at the limit: nothing to see
            continue
        weights.append(len(one) * len(other) / (len(one) + len(other)))
        means.append(one.mean() - other.mean())
        errors.append(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    if not weights:
        return None
    share = np.array(weights) / sum(weights)
    return float(share @ np.array(means)), float(np.sqrt(share**2 @ np.array(errors)))
