"""The same steps for notebooks and a team's own tests.

from smartops_chaos import api
plan = api.plan("matrix.yaml")
campaign = api.load("results/quick-1")       # CampaignData: .table (pandas), .summary, .records
api.report(campaign, "reports/quick-1")
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartops_chaos.errors import UsageError
from smartops_chaos.model import ALPHA, Arm, Plan
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.run.run_options import RunOptions
from smartops_chaos.store.campaign_folder import newest

if TYPE_CHECKING:
    from smartops_chaos.analysis.history import History
    from smartops_chaos.analysis.load import CampaignData
    from smartops_chaos.analysis.load_incidents import IncidentData
    from smartops_chaos.analysis.regression import Regression, Side
    from smartops_chaos.analysis.summary import Summary
    from smartops_chaos.planning.chances import Pilot
    from smartops_chaos.report.render import Paper
    from smartops_chaos.run import events
    from smartops_chaos.run.lanes import Result
    from smartops_chaos.run.start import PreparedRun

plan = load_plan
last = newest


def run(
    matrix: str | Path,
    results: str | Path,
    options: RunOptions | None = None,
    show: Callable[[events.Event], None] = lambda _: None,
) -> tuple[PreparedRun, Result]:
    """Run a matrix, or what is left of it; `run.campaign.raise_for` says what the result means for an exit code."""
    from smartops_chaos.run import start

    prepared = start.prepare(Path(matrix), Path(results).resolve(), options or RunOptions())
    return prepared, start.carry_out(prepared, show)


def load(*sources: str | Path, baseline: Arm | None = None) -> CampaignData:
    """Campaign directories, or one bare trials table (then `baseline` must be said)."""
    from smartops_chaos.analysis import load
    from smartops_chaos.store.campaign_folder import CampaignFolder

    paths = [Path(one) for one in sources]
    if len(paths) == 1 and paths[0].is_file():
        if baseline is None:
            raise UsageError(f"{paths[0]} is a bare trials table", "say --baseline model=off,policy=default")
        return load.bare(paths[0], baseline)
    return load.campaign([CampaignFolder(path) for path in paths])


def glance(source: str | Path) -> Summary:
    """The numbers of a campaign's folder without its evidence: quick, and what they say is the same."""
    from smartops_chaos.analysis import load
    from smartops_chaos.store.campaign_folder import CampaignFolder

    return load.measured([CampaignFolder(Path(source))]).summary


def is_history(*sources: str | Path) -> bool:
    """Whether several campaigns are the nights of a matrix; those run with `--shard` are one campaign."""
    from smartops_chaos.analysis import load_history
    from smartops_chaos.store.campaign_folder import CampaignFolder

    return load_history.is_history([CampaignFolder(Path(path)) for path in sources])


def history(*sources: str | Path) -> History:
    """Campaign directories of one matrix, in any order: one night each."""
    from smartops_chaos.analysis import load_history
    from smartops_chaos.store.campaign_folder import CampaignFolder

    return load_history.campaigns([CampaignFolder(Path(path)) for path in sources])


def slides(data: CampaignData, out: str | Path) -> list[Path]:
    """Write a short deck for a talk, deck.pdf and deck.html, and each slide as SVG and PNG below `out`; the files."""
    from smartops_chaos.report import slides as talk

    return talk.write(talk.build(data), Path(out))


def film(data: CampaignData, out: str | Path) -> Path:
    """Write the healing film as an animated GIF. Raises UsageError without evidence of a repair and its twin."""
    from smartops_chaos.report import build

    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_bytes(build.film_gif(data))
    return Path(out)


def report_history(found: History, out: str | Path) -> list[Path]:
    """Write report.pdf, report.html, figures/, history.csv and history.json below `out`; the files written."""
    from smartops_chaos.export import history_files
    from smartops_chaos.report import build, history_report

    out = Path(out)
    files = build.write(history_report.build(found), out)
    table, numbers = out / "history.csv", out / "history.json"
    table.write_text(history_files.to_csv(found), encoding="utf-8")
    numbers.write_text(json.dumps(history_files.to_json(found), indent=1) + "\n", encoding="utf-8")
    return [*files, table, numbers]


def is_incidents(path: str | Path) -> bool:
    """Whether it is the folder of a monitor."""
    from smartops_chaos.store.incident_book import IncidentBook

    return IncidentBook(Path(path)).exists()


def incidents(path: str | Path) -> IncidentData:
    """A monitor's incidents and their numbers. Raises NothingSelected where none came by itself."""
    from smartops_chaos.analysis import load_incidents

    return load_incidents.load(Path(path))


def report_incidents(data: IncidentData, out: str | Path, campaign: CampaignData | None = None) -> list[Path]:
    """Write report.pdf, report.html and incidents.json below `out`, beside the numbers of a campaign; the files."""
    from smartops_chaos.report import build, incident_report

    out = Path(out)
    files = build.write(incident_report.build(data, campaign.summary if campaign else None), out)
    numbers = out / "incidents.json"
    numbers.write_text(json.dumps(asdict(data.numbers), indent=1) + "\n", encoding="utf-8")
    return [*files, numbers]


def nights_before(path: str | Path) -> Sequence[Side]:
    """The campaigns of the same plan beside this one that came before it; none for a bare trials table."""
    from smartops_chaos.analysis import load_history
    from smartops_chaos.store.campaign_folder import CampaignFolder

    return load_history.nights_before(CampaignFolder(Path(path))) if Path(path).is_dir() else ()


def compare(
    old: CampaignData, new: CampaignData, *, max_slowdown: float = 0.10, nights: Sequence[Side] = ()
) -> Regression:
    """Which arms became slower or faster, each campaign relative to its own baseline; `max_slowdown` as a fraction.

    `nights` are former campaigns of the matrix (`nights_before`): they tell the gate how much nights differ.
    """
    from smartops_chaos.analysis import likeness, load, regression

    both = [data.plan for data in (old, new) if data.plan is not None]
    return regression.regress(
        load.side(old),
        load.side(new),
        limit=max_slowdown,
        alpha=new.plan.analysis.alpha if new.plan else ALPHA,
        nights=nights,
        unlike=likeness.unlike(*both) if len(both) == 2 else {},
        cautions=likeness.cautions(*both) if len(both) == 2 else [likeness.UNKNOWN],
    )


def pilot(path: str | Path, coming: Plan) -> Pilot:
    """How much times spread in a finished campaign, for the plan of one to come."""
    from smartops_chaos.analysis import load as loading
    from smartops_chaos.planning import pilot as former

    found = loading.side(load(path))
    return former.pilot(found.name, found.cells, found.baseline, coming)


def write_table(columns: Mapping[str, Any], out: Path) -> None:
    """Columns of the trials table -> `.csv` or `.parquet`."""
    import pandas as pd

    from smartops_chaos.analysis import table

    out.parent.mkdir(parents=True, exist_ok=True)
    table.write(pd.DataFrame(columns), out)


def report(
    data: CampaignData, out: str | Path, *, pdf: bool = True, appendix: bool = True, paper: Paper = "a4"
) -> list[Path]:
    """Write report.pdf, report.html, figures/, trials.csv and summary.json below `out`; the files written."""
    from smartops_chaos.analysis import load
    from smartops_chaos.report import build

    out = Path(out)
    return build.write(build.build(data, appendix=appendix), out, pdf=pdf, paper=paper) + load.write_data(data, out)


def figures(data: CampaignData, out: str | Path) -> list[Path]:
    """Every figure of the report as SVG, PNG and a caption in Markdown, in `out`; the files written."""
    from smartops_chaos.report import build, figure_files

    return figure_files.write(build.build(data, appendix=False), Path(out))


def windows(*sources: str | Path, out: str | Path) -> list[Path]:
    """Labelled windows of the telemetry of a campaign, or of its shards, in `out`; the files written, the card first.

    Reads one trial at a time. Raises UsageError and NothingSelected.
    """
    from smartops_chaos.export import window_files
    from smartops_chaos.store.campaign_folder import CampaignFolder

    return window_files.write([CampaignFolder(Path(one)) for one in sources], Path(out))


def timeline(data: CampaignData, trials: Sequence[str], out: str | Path) -> list[Path]:
    """The course of one trial, or of two on one time axis, as such files. Raises UsageError."""
    from smartops_chaos.report import build, figure_files

    return figure_files.write(build.trial_course(data, trials), Path(out))
