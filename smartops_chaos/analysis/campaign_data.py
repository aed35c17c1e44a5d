"""All that is known of a finished campaign, in one value: what a report is made from and a comparison starts with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from smartops_chaos.analysis.summary import Summary
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Evidence, Plan, Record, Request
from smartops_chaos.plan.looks import Stop


def no_requests(_trial: str) -> Sequence[Request]:
    return ()


def no_evidence(_trial: str) -> str:
    return ""


def without_evidence(trial: str) -> Evidence:
    raise UsageError(f"{trial} has no evidence", "choose a trial of a campaign that was run here")


@dataclass(frozen=True)
class CampaignData:
    """All that a report is made from; nothing else is read.

    `table` has the columns of `model.COLUMNS` (a bare trials table may lack the optional ones). `records` and
    `requests` are by trial id and may be empty: then the pictures of single trials are left out, like their evidence.
    The functions read one trial from disk at a time, so that a large campaign needs no large memory.
    """

    name: str
    plan: Plan | None  # None: a bare trials table
    provenance: Mapping[str, str]  # label -> value: versions, git commit, machine, seed, command
    summary: Summary
    table: pd.DataFrame
    records: Mapping[str, Record] = field(default_factory=dict)
    requests: Callable[[str], Sequence[Request]] = no_requests
    explain: Callable[[str], str] = no_evidence  # what each rule matched in a trial, as text
    stops: Sequence[Stop] = ()  # arms that were decided at a look
    evidence: Callable[[str], Evidence] = without_evidence  # raises UsageError for a trial that has none
