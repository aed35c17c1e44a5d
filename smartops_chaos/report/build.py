"""A campaign's numbers -> Report -> files. `build` decides what is said, `write` only typesets and saves it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from smartops_chaos.analysis.summary import Summary
from smartops_chaos.analysis.table import outcome_is, texts
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Evidence, Plan, Record, Request, Stop, Targets
from smartops_chaos.report import (
    answer,
    course,
    figurefiles,
    healing,
    index,
    loop,
    method,
    readers,
    recovery,
    render,
    trials,
)
from smartops_chaos.report.document import Report
from smartops_chaos.report.style import ArmStyle, arm_styles
from smartops_chaos.report.words import count


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


def build(data: CampaignData, *, appendix: bool = True) -> Report:
    """The whole report as plain data; the same input gives the same report. Without `appendix`: no single trials."""
    summary, plan, table = data.summary, data.plan, data.table
    styles = _styles(data)
    targets = plan.analysis.targets if plan else stated_targets(summary)
    interval = answer.level(summary)
    listed = index.index(table, _baseline(summary)) if appendix else index.Index()
    sections = [
        answer.section(summary, plan, table, listed),
        recovery.section(summary, targets, counted(table), styles, interval, listed),
        healing.section(summary, targets, styles, interval, listed),
        *loop.sections(summary.arms, styles, interval, listed),
        method.method(summary, plan, table),
        method.again(data.provenance),
    ]
    if appendix:
        sections.append(trials.section(listed, plan, data.records, data.requests, data.explain, styles))
    sections += readers.sections(summary, listed)
    return Report(f"Self-healing benchmark: {data.name}", _subtitle(data), tuple(sections))


def timeline(data: CampaignData, trials: Sequence[str]) -> Report:
    """One figure: the course of one trial, or of two on one time axis.

    Raises UsageError for more, for a trial that the campaign does not have, and for one without evidence.
    """
    if len(set(trials)) != len(trials) or len(trials) > course.MOST:
        raise UsageError(
            f"{len(trials)} trials for one figure", "give --trial once, or twice with two different trials"
        )
    if data.plan is None:
        raise UsageError(f"{data.name} is a bare trials table", "name a campaign that was run here")
    known = [trial.id for trial in data.plan.trials]
    for name in trials:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "trials.csv beside the report lists their names"
            raise UsageError(f"{data.name} has no trial {name}", hint)
        if name not in data.records:
            raise UsageError(f"{name} is not finished", "`smartops-chaos run` with its matrix goes on with it")
    found = [(data.evidence(name), data.records[name]) for name in trials]
    return course.report(data.plan, data.name, found, _styles(data))


def write(report: Report, out: Path, *, pdf: bool = True, html: bool = True, figures: bool = True) -> list[Path]:
    """Write report.pdf, report.html and the files of figures/ below `out`; returns the files, the PDF first."""
    out.mkdir(parents=True, exist_ok=True)
    contents: dict[Path, bytes] = {}
    if pdf:
        contents[out / "report.pdf"] = render.pdf(report)
    if html:
        contents[out / "report.html"] = render.html(report).encode()
    for path, content in contents.items():
        path.write_bytes(content)
    return [*contents, *(figurefiles.write(report, out / "figures") if figures else ())]


def _styles(data: CampaignData) -> dict[Arm, ArmStyle]:
    """Every arm that was measured; the same in all figures of a campaign."""
    baseline, table = _baseline(data.summary), data.table
    seen = dict.fromkeys(Arm(str(m), str(p)) for m, p in zip(table["model"], table["policy"], strict=True))
    arms = list(dict.fromkeys([*(a.arm for a in data.summary.arms), *seen]))
    return arm_styles(arms, baseline or arms[0]) if arms else {}


def _baseline(summary: Summary) -> Arm | None:
    return next((a.arm for a in summary.arms if a.baseline), None)


def stated_targets(summary: Summary) -> Targets:
    """The targets that a summary's verdicts were measured against, for a table without a plan."""
    return Targets(**{v.target: v.wanted for v in summary.verdicts})


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are scored: a confirmed fault, and no calibration."""
    rows = table[table["time_s"].notna() & outcome_is(texts(table, "outcome"), lambda o: o.counted)]
    return rows[rows["phase"] != "calibrate"] if "phase" in rows.columns else rows


def _subtitle(data: CampaignData) -> str:
    scenarios = {(c.chaos, c.workload) for a in data.summary.arms for c in a.cells}
    parts = [
        count(sum(a.trials for a in data.summary.arms), "trial"),
        f"{count(len(data.summary.arms), 'arm')} × {count(len(scenarios), 'scenario')}",
    ]
    if data.plan:
        parts.append(f"target {data.plan.target.get('kind', '')}")
    if "started_at" in data.table.columns:
        days = sorted({str(day)[:10] for day in data.table["started_at"].dropna() if str(day)})
        parts += ["measured " + " to ".join(dict.fromkeys((days[0], days[-1])))] if days else []
    return "  ·  ".join(parts)
