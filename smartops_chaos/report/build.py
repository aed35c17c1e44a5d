"""A campaign's numbers -> Report -> files. `build` decides what is said, `write` only typesets and saves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from smartops_chaos.analysis.summary import Summary
from smartops_chaos.model import Arm, Outcome, Plan, Record, Request, Targets
from smartops_chaos.plan.looks import Stop
from smartops_chaos.report import answer, healing, index, loop, method, recovery, render, trials
from smartops_chaos.report.document import Report
from smartops_chaos.report.style import arm_styles
from smartops_chaos.report.words import count

_UNSCORED = (Outcome.ERROR, Outcome.ABORTED, Outcome.INVALID, Outcome.CLEAN, Outcome.FALSE_ALARM)


def no_requests(_trial: str) -> Sequence[Request]:
    return ()


def no_evidence(_trial: str) -> str:
    return ""


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


def build(data: CampaignData, *, appendix: bool = True) -> Report:
    """The whole report as plain data; the same input gives the same report. Without `appendix`: no single trials."""
    summary, plan, table = data.summary, data.plan, data.table
    baseline = next((a.arm for a in summary.arms if a.baseline), None)
    seen = dict.fromkeys(Arm(str(m), str(p)) for m, p in zip(table["model"], table["policy"], strict=True))
    arms = list(dict.fromkeys([*(a.arm for a in summary.arms), *seen]))
    styles = arm_styles(arms, baseline or arms[0]) if arms else {}
    targets = plan.analysis.targets if plan else stated_targets(summary)
    interval = answer.level(summary)
    listed = index.index(table, baseline) if appendix else index.Index()
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
    return Report(f"Self-healing benchmark: {data.name}", _subtitle(data), tuple(sections))


def write(report: Report, out: Path, *, pdf: bool = True, html: bool = True, figures: bool = True) -> list[Path]:
    """Write report.pdf, report.html and figures/<id>.svg and .png below `out`; returns the files, the PDF first."""
    out.mkdir(parents=True, exist_ok=True)
    contents: dict[Path, bytes] = {}
    if pdf:
        contents[out / "report.pdf"] = render.pdf(report)
    if html:
        contents[out / "report.html"] = render.html(report).encode()
    if figures:
        (out / "figures").mkdir(exist_ok=True)
        for figure, png in zip(report.figures(), render.pngs(report), strict=True):
            contents[out / "figures" / f"{figure.id}.svg"] = figure.svg.encode()
            contents[out / "figures" / f"{figure.id}.png"] = png
    for path, content in contents.items():
        path.write_bytes(content)
    return list(contents)


def stated_targets(summary: Summary) -> Targets:
    """The targets that a summary's verdicts were measured against, for a table without a plan."""
    return Targets(**{v.target: v.wanted for v in summary.verdicts})


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that are scored: a confirmed fault, and no calibration."""
    rows = table[table["time_s"].notna() & ~table["outcome"].isin(_UNSCORED)]
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
