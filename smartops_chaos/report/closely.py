"""Page 2: one typical repair beside its twin without a healer, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.table import rows_of, texts
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Evidence, Outcome, Record
from smartops_chaos.report import course
from smartops_chaos.report.document import Paragraph, Section, Table
from smartops_chaos.report.many_arms import fastest_first
from smartops_chaos.report.page import Page

Pair = tuple[tuple[Evidence, Record], tuple[Evidence, Record]]
_TRIED = 5  # trials nearest to the median, should evidence be missing
_NEEDED = {"trial", "block"}


def section(page: Page, pair: Pair) -> tuple[Section, Table]:
    """The pair is from `median_pair`. The table has the numbers of the figure, for the appendix."""
    assert page.plan is not None
    (_, _), (evidence, _) = pair
    trial = evidence.trial
    figure, numbers = course.figure(page.plan, pair, page.styles, "fig-pair")
    told = (
        f"The repair of {Arm(trial.model, trial.policy)} whose time is the median of all its repairs ({trial.id}), and "
        "the baseline's trial of the same block: the same fault, the same load, the same repeat. Follow the healer's "
        "marks from left to right; the red bars say how long users were hurt."
    )
    return Section("closely", "One repair, seen closely", (Paragraph(told), figure)), numbers


def median_pair(page: Page, data: CampaignData) -> Pair | None:
    """The baseline's trial first. None without requests and records of such a pair."""
    baseline, arms = page.summary.baseline, fastest_first(page)
    if baseline is None or not arms or page.plan is None or not set(data.table.columns) >= _NEEDED:
        return None
    rows = page.counted
    twins = {_place(row): str(row["trial"]) for row in _of(rows, baseline.arm).to_dict("records")}
    own = _of(rows, arms[0])
    own = own[texts(own, "outcome") == Outcome.HEALED]
    own = own[[_place(row) in twins for row in own.to_dict("records")]]
    if own.empty:
        return None
    distance = (own["time_s"] - own["time_s"].median()).abs().to_numpy()
    nearest = own.iloc[np.argsort(distance, kind="stable")[:_TRIED]]
    for row in nearest.to_dict("records"):
        names = (twins[_place(row)], str(row["trial"]))
        if all(name in data.records for name in names):
            try:
                one, other = ((data.evidence(name), data.records[name]) for name in names)
            except UsageError:  # a trial whose evidence is not at hand
                continue
            if one[0].requests and other[0].requests:
                return one, other
    return None


def _of(rows: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    return rows_of(rows, (texts(rows, "model") == arm.model) & (texts(rows, "policy") == arm.policy))


def _place(row: Mapping[object, object]) -> tuple[object, ...]:
    """What twins have in common."""
    return row["chaos"], row["workload"], row["block"]
