"""Directories of campaigns -> the history of a matrix, one night each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from smartops_chaos.analysis import history, load, question, table
from smartops_chaos.analysis.history import CampaignInHistory, History
from smartops_chaos.analysis.phrases import left_out, tally
from smartops_chaos.analysis.regression import Side
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.errors import ChaosError, NothingSelected, UsageError
from smartops_chaos.model import MOST_LOST, Outcome
from smartops_chaos.plan.look_schedule import spared
from smartops_chaos.store.campaign_folder import SHARD, SIMULATED, CampaignFile, CampaignFolder, name_and_number
from smartops_chaos.store.campaign_folder import campaigns as store_campaigns


def is_history(stores: Sequence[CampaignFolder]) -> bool:
    """Several campaigns are the shards of one if one of them was run with `--shard`; else each stands for itself."""
    return len(stores) > 1 and not any(SHARD in _provenance(store) for store in stores)


def _provenance(store: CampaignFolder) -> Mapping[str, str]:
    try:
        return store.read().provenance
    except ChaosError:
        return {}


def campaigns(stores: Sequence[CampaignFolder]) -> History:
    """Campaigns of one matrix as a history, oldest first. One that cannot be read is a night that failed.

    Raises UsageError if they are of several matrices or one is given twice, NothingSelected without any result.
    """
    if len({store.path.resolve() for store in stores}) < len(stores):
        raise UsageError("a campaign is named twice", "name each night once")
    for store in stores:
        if not store.path.is_dir():
            store.read()  # says what is wrong: a night that failed has a folder at least
    ordered = sorted(stores, key=lambda store: (name_and_number(store.path), str(store.path.parent)))
    times = Counter(store.name for store in ordered)
    found: list[CampaignInHistory] = []
    for store in ordered:
        name = store.name if times[store.name] == 1 else f"{store.path.parent.name}/{store.name}"
        found.append(_night(store, name, found[-1].began if found else ""))
    found.sort(key=lambda night: night.began)
    if drawn := [night.name for night in found if night.summary.simulated or SIMULATED in night.provenance]:
        raise UsageError(
            f"{drawn[0]} is simulated: a history is of measured nights", "leave it out, or report it alone"
        )
    matrices = {night.plan.name: night.name for night in found if night.plan is not None}
    if len(matrices) > 1:
        (one, first), (other, second), *_ = matrices.items()
        raise UsageError(
            f"{first} is of the matrix {one}, {second} of {other}: a history is of one matrix",
            "report them one by one, or two of them with `smartops-chaos compare OLD NEW`",
        )
    if all(night.side is None for night in found):
        told = "\n".join(f"{night.name}: {night.why}" for night in found)
        raise NothingSelected(f"no night has a result\n{told}", "`smartops-chaos status` shows what there is")
    return history.history(next(iter(matrices)), found)


def nights_before(store: CampaignFolder) -> list[Side]:
    """The campaigns of the same plan beside this one that came before it by number: how much do nights differ?

    What cannot be read, or has no trial of the baseline, tells nothing and is left out.
    """
    digest, found = store.read().plan.digest, []
    for other in store_campaigns(store.path.parent):
        name, at = name_and_number(other.path)
        if name != name_and_number(store.path)[0] or at >= name_and_number(store.path)[1]:
            continue
        try:
            file = other.read()
            if file.plan.digest == digest and SIMULATED not in file.provenance:
                records = {
                    str(one.trial(trial.id).record): record for trial, one, record in load.recorded([other], file.plan)
                }
                found.append(
                    load.side_of(other.name, question.of_plan(file.plan, other.stops()), table.from_records(records))
                )
        except ChaosError:
            continue
    return found


def _night(store: CampaignFolder, name: str, after: str) -> CampaignInHistory:
    """`after`: when the campaign before it by number began, for one that does not say."""
    file: CampaignFile | None = None
    try:
        file = store.read()
        found = load.measured([store])
        side = load.side_of(name, found.asked, found.table)
    except ChaosError as error:
        return _failed(name, after, file, str(error).splitlines()[0])
    spare = spared(file.plan, found.stops)
    wanted = [trial.id for trial in file.plan.trials if trial.id not in spare]
    done = {trial for trial, record in found.records.items() if record.row["outcome"] != Outcome.ABORTED}
    planned, recorded = len(wanted), sum(trial in done for trial in wanted)
    nothing = not any(cell.n for cell in side.cells)
    return CampaignInHistory(
        name=name,
        began=file.provenance.get("started") or min(found.table["started_at"].dropna(), default=after),
        plan=file.plan,
        provenance=file.provenance,
        planned=planned,
        recorded=recorded,
        summary=replace(found.summary, campaign=name),
        side=None if nothing else side,
        why=_nothing(found.summary) if nothing else _missing(found.table, planned, recorded),
    )


def _nothing(summary: Summary) -> str:
    return f"no trial has a result ({left_out(summary.excluded).removesuffix('.')})"


def _missing(rows: pd.DataFrame, planned: int, recorded: int) -> str:
    """What a night lacks to be a whole one; a run of which so much is lost ends with exit code 6 too."""
    if recorded < planned:
        return f"{recorded} of {planned} trials are recorded"
    lost = Counter(str(outcome) for outcome in rows["outcome"] if Outcome(outcome).left_out)
    return f"{tally(lost)} of {len(rows)} trials" if lost.total() > MOST_LOST * len(rows) else ""


def _failed(name: str, after: str, file: CampaignFile | None, why: str) -> CampaignInHistory:
    nothing = Summary(name, None, {}, (f"{name} has no result: {why}.",), (), (), (), ())
    if file is None:
        return CampaignInHistory(name, after, None, {}, 0, 0, nothing, None, why)
    began = file.provenance.get("started", after)
    return CampaignInHistory(name, began, file.plan, file.provenance, len(file.plan.trials), 0, nothing, None, why)
