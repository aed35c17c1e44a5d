"""Page 2: one typical repair beside its twin without a healer, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.phrases import first_names
from smartops_chaos.analysis.table import rows_of, texts
from smartops_chaos.analysis.words import stated_seconds
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Evidence, Outcome, Record, Trial
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
    figure = replace(figure, title="One repair and its twin")
    told = (
        f"The repair of {Arm(trial.model, trial.policy)} whose time is the median of all its repairs ({trial.id}), "
        "and the baseline's trial of the same block: the same fault, the same load, the same repeat. "
        f"{_others(page, trial)}{_restarts(page, trial)}"
    ).strip()
    return Section("closely", "One repair, seen closely", (Paragraph(told), figure)), numbers


def _others(page: Page, trial: Trial) -> str:
    """What of the baseline this one scenario does not show."""
    baseline = page.summary.baseline
    cells = [c for c in baseline.cells if c.counted] if baseline else []
    never = [f"{c.chaos} / {c.workload}" for c in cells if c.outcomes.get(Outcome.UNRECOVERED) == c.counted]
    if not never or f"{trial.chaos} / {trial.workload}" in never:
        return ""
    return f"In {first_names(never)} the baseline never recovers. "


def _restarts(page: Page, trial: Trial) -> str:
    """Why a restart by the healer can be quicker than the platform's."""
    delay_s = page.restart_delay_s
    if delay_s is None or page.plan is None or page.plan.chaos[trial.chaos].family != "pod":
        return ""
    return (
        f"The platform waits {stated_seconds(delay_s)} before it restarts what has died; a restart by the healer "
        "starts a new process at once."
    )


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
