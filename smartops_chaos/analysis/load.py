"""Where a report's data come from: campaign directories (shards of one plan count as one), or a bare trials table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from smartops_chaos.analysis import agreement, cells, hold, instrument, question, summarise, table, warnings
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.regression import Side
from smartops_chaos.analysis.summary import Summary
from smartops_chaos.errors import NothingSelected, UsageError
from smartops_chaos.model import Arm, Evidence, Plan, Record, Request, Stop, Trial
from smartops_chaos.schema import healerfile
from smartops_chaos.store.campaign_folder import SHARD, CampaignFile, CampaignFolder
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.timeline import before, derive
from smartops_chaos.timeline.calibration import calibrations


def _no_requests(_trial: str) -> Sequence[Request]:
    return ()


def _no_evidence(_trial: str) -> str:
    return ""


def _without_evidence(trial: str) -> Evidence:
    raise UsageError(f"{trial} has no evidence", "choose a trial of a campaign that was run here")


@dataclass(frozen=True)
class CampaignData:
    """A campaign with all that can be said of it; a report is made from this and nothing else.

    `table` has the columns of `model.COLUMNS` (a bare trials table may lack the optional ones). `records` and
    `requests` are by trial id and may be empty: then the pictures of single trials are left out, like their evidence.
    """

    name: str
    plan: Plan | None  # None: a bare trials table
    provenance: Mapping[str, str]  # label -> value: versions, git commit, machine, seed, command
    summary: Summary
    table: pd.DataFrame
    records: Mapping[str, Record] = field(default_factory=dict)
    requests: Callable[[str], Sequence[Request]] = _no_requests
    explain: Callable[[str], str] = _no_evidence  # what each rule matched in a trial, as text
    stops: Sequence[Stop] = ()  # arms that were decided at a look
    evidence: Callable[[str], Evidence] = _without_evidence  # raises UsageError for a trial that has none


@dataclass(frozen=True)
class Measured:
    """What directories hold of one campaign: records by trial, and where each is."""

    name: str
    file: CampaignFile
    home: Mapping[str, CampaignFolder]
    records: Mapping[str, Record]
    table: pd.DataFrame
    summary: Summary
    asked: Question
    stops: tuple[Stop, ...]


def shared(stores: Sequence[CampaignFolder]) -> CampaignFile:
    """What all directories have in common. Raises UsageError if their plans differ."""
    files = [store.read() for store in stores]
    for store, file in zip(stores, files, strict=True):
        if file.plan.digest != files[0].plan.digest:
            raise UsageError(f"{store.path} has another plan than {stores[0].path}", "report them one by one")
    return files[0]


def recorded(stores: Sequence[CampaignFolder], plan: Plan) -> Iterator[tuple[Trial, CampaignFolder, Record]]:
    """Every recorded trial with the directory that has it. Raises UsageError if a trial is in two of them."""
    for trial in plan.trials:
        found = [(store, record) for store in stores if (record := store.trial(trial.id).read_record())]
        if len(found) > 1:
            where = f"{found[0][0].path} and in {found[1][0].path}"
            raise UsageError(f"{trial.id} is in {where}", "leave one of them out")
        for store, record in found:
            yield trial, store, record


def campaign(stores: Sequence[CampaignFolder]) -> CampaignData:
    """One campaign from its directory, or from the directories of its shards.

    Raises UsageError if the plans differ or a trial is in two of them, NothingSelected without any record.
    """
    found = measured(stores)
    plan, home = found.file.plan, found.home

    def folder(trial_id: str) -> TrialFolder:
        return home[trial_id].trial(trial_id)

    def requests(trial_id: str) -> Sequence[Request]:
        return folder(trial_id).requests() if trial_id in home else ()

    def evidence_of(trial_id: str) -> Evidence:
        return folder(trial_id).read_evidence()

    healer = healerfile.restore(plan.healer)
    chaos = {trial.id: plan.chaos[trial.chaos] for trial in plan.trials}
    there = {name for name in home if folder(name).has_evidence()}

    def explain(trial_id: str) -> str:
        return derive.explain(evidence_of(trial_id), healer, chaos[trial_id]) if trial_id in there else ""

    evidence = [evidence_of(name) for name in hold.chosen(plan, there)]
    holds = hold.sensitivity(plan, healer, evidence, found.asked)
    made_by = {label: told for label, told in found.file.provenance.items() if label != SHARD or len(stores) == 1}
    return CampaignData(
        name=found.name,
        plan=plan,
        provenance={**made_by, "plan": plan.digest},
        summary=replace(found.summary, holds=holds),
        table=found.table,
        records=found.records,
        requests=requests,
        explain=explain,
        stops=found.stops,
        evidence=evidence_of,
    )


def measured(stores: Sequence[CampaignFolder]) -> Measured:
    """What `campaign` is made from, but for the evidence. Raises as `campaign`."""
    first = shared(stores)
    home: dict[str, CampaignFolder] = {}
    records: dict[str, Record] = {}
    for trial, store, record in recorded(stores, first.plan):
        home[trial.id], records[trial.id] = store, record
    if not records:
        raise NothingSelected(f"{stores[0].name} has no finished trial", "`smartops-chaos run` makes some")
    rows = table.from_records({str(home[name].trial(name).record): record for name, record in records.items()})
    stops = tuple(stop for store in stores for stop in store.stops())
    asked = question.of_plan(first.plan, stops)
    found = [finding for store in stores for finding in store.disturbances()]
    asked = replace(asked, disturbed=before.disturbed(found))
    summary = summarise.summarise(rows, asked, campaign=stores[0].name)
    agreed = agreement.agreement(records.values(), healerfile.restore(first.plan.healer))
    told = (*instrument.noticed(found), *summary.warnings, *warnings.disagreement(agreed))
    told = tuple(text.replace(" MATRIX", f" {first.matrix_file}") for text in told)
    summary = replace(summary, warnings=told, agreement=agreed)
    return Measured(stores[0].name, first, home, records, rows, summary, asked, stops)


def bare(path: Path, baseline: Arm) -> CampaignData:
    """A trials table that somebody measured with another tool. Raises FileProblems."""
    rows, notes = table.read_with_notes(path)
    summary = summarise.summarise(rows, Question(baseline=baseline), campaign=path.stem)
    summary = replace(summary, warnings=(*notes, *summary.warnings))
    return CampaignData(name=path.stem, plan=None, provenance={"trials table": path.name}, summary=summary, table=rows)


def side(data: CampaignData) -> Side:
    """One side of a comparison. Raises UsageError if its baseline has no trial."""
    baseline = next(a.arm for a in data.summary.arms if a.baseline)
    asked = question.of_plan(data.plan, data.stops) if data.plan else Question(baseline)
    return side_of(data.name, asked, data.table)


def side_of(name: str, asked: Question, rows: pd.DataFrame) -> Side:
    """The same from a trials table and what is asked of it."""
    ended = rows[table.texts(rows, "phase") == "calibrate"].to_dict("records")
    shown = {f"{c.chaos} / {c.workload}": c for c in calibrations(ended)}
    drains = {scenario: c.drain_s for scenario, c in shown.items() if c.drain_s is not None}
    off = {scenario: c.off for scenario, c in shown.items() if c.off}
    asked, trials = summarise.measured_trials(rows, asked)
    return Side(name, asked.baseline, cells.build(trials, asked), drains, off, table.is_simulated(rows))


def write_data(data: CampaignData, out: Path) -> list[Path]:
    """`trials.csv` and `summary.json` beside the report."""
    out.mkdir(parents=True, exist_ok=True)
    trials, numbers = out / "trials.csv", out / "summary.json"
    table.write(data.table, trials)
    numbers.write_text(json.dumps(summarise.to_json(data.summary), indent=1) + "\n", encoding="utf-8")
    return [trials, numbers]
