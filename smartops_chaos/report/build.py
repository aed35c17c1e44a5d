"""A campaign -> Report -> files. `campaign` decides what is said, `write` only typesets and saves it.

First reading: this module; `page` (what the sections get); the sections (`answer`, `recovery`, `healing`, `repair`,
`method`, `trials`, `owners`); `document` (what a report consists of); `render` (how it becomes PDF and HTML).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.words import count
from smartops_chaos.errors import UsageError
from smartops_chaos.report import (
    answer,
    closely,
    course,
    faults,
    figure_files,
    film,
    healing,
    method,
    owners,
    reading,
    recovery,
    render,
    repair,
    simulated,
    spans,
    trials,
    validity,
)
from smartops_chaos.report.document import Report, Section
from smartops_chaos.report.page import page, styles_of


def build(data: CampaignData, *, appendix: bool = True) -> Report:
    """The whole report as plain data; the same input gives the same report. Without `appendix`: no single trials."""
    seen = page(data, appendix=appendix)
    pair = closely.median_pair(seen, data) if appendix else None
    close = closely.section(seen, pair) if pair else None
    numbers = [
        *recovery.more(seen),
        *repair.more(seen),
        *method.instrument(seen.summary),
        *([close[1]] if close else []),
        *(spans.tables(data.plan, pair[1:]) if pair and data.plan else []),  # the repair; nobody heals in its twin
    ]
    sections = [
        answer.section(seen),
        *([replace(close[0], blocks=(*close[0].blocks, film.film(pair, seen.index)))] if close and pair else []),
        reading.section(),
        validity.section(seen),
        recovery.section(seen),
        *([faults.section(seen)] if faults.few(seen) else []),
        healing.section(seen),
        *repair.sections(seen),
        owners.section(seen),
        *([] if faults.few(seen) else [faults.section(seen)]),
        Section("more", "Appendix: more numbers", tuple(numbers)),
        method.method(seen),
        method.again(seen),
        *([trials.section(seen, data)] if appendix else []),
    ]
    place = next(i for i, one in enumerate(sections) if one.id == "method")
    sections.insert(place, reading.words(sections))
    report = Report(f"Self-healing benchmark: {data.name}", _subtitle(data), tuple(sections))
    return simulated.marked(report) if data.summary.simulated else report


def film_gif(data: CampaignData) -> bytes:
    """The healing film for a slide. Raises UsageError without evidence of a repair and its twin."""
    seen = page(data, appendix=False)
    pair = closely.median_pair(seen, data)
    if pair is None:
        raise UsageError(
            f"{data.name} has no healed trial with its evidence and that of its twin in the baseline",
            "name a campaign that was run here, with a baseline in the same blocks",
        )
    return film.gif(film.film(pair, seen.index), pair, seen.styles)


def trial_course(data: CampaignData, trials: Sequence[str]) -> Report:
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
    return course.report(
        data.plan, data.name, [(data.evidence(name), data.records[name]) for name in trials], styles_of(data)
    )


def write(report: Report, out: Path, *, pdf: bool = True, paper: render.Paper = "a4") -> list[Path]:
    """Write report.pdf, report.html and the files of figures/ below `out`; returns the files, the PDF first."""
    out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as beside:  # the typesetter needs no Python while it works
        printed = beside.submit(render.pdf, report, paper) if pdf else None
        drawn = beside.submit(render.pngs, report)
        page_ = render.html(report).encode()
        contents = {out / "report.pdf": printed.result()} if printed else {}
        contents[out / "report.html"] = page_
        for path, content in contents.items():
            path.write_bytes(content)
        return [*contents, *figure_files.write(report, out / "figures", drawn.result())]


def _subtitle(data: CampaignData) -> str:
    scenarios = {(c.chaos, c.workload) for a in data.summary.arms for c in a.cells}
    parts = [
        f"{count(sum(a.trials for a in data.summary.arms), 'trial')} measured",
        f"{count(len(data.summary.arms), 'arm')} × {count(len(scenarios), 'scenario')}",
    ]
    if data.plan:
        parts.append(f"system: {data.plan.target.get('kind', '')}")
        parts += [f"smartops-chaos {made_by}"] if (made_by := data.provenance.get("smartops-chaos")) else []
    if "started_at" in data.table.columns:
        days = sorted({str(day)[:10] for day in data.table["started_at"].dropna() if str(day)})
        parts += ["measured " + " to ".join(dict.fromkeys((days[0], days[-1])))] if days else []
    return "  ·  ".join(parts)
