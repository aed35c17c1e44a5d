"""`report [CAMPAIGN...]`: pages for people, files and an exit code for a pipeline."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import (
    REPORTS,
    RESULTS,
    JsonOption,
    ReportsOption,
    ResultsOption,
    arm_of,
    campaign_path,
)
from smartops_chaos.errors import MISSED, UsageError

if TYPE_CHECKING:
    from smartops_chaos.analysis.load import CampaignData
    from smartops_chaos.analysis.summary import Summary

Require = Literal["proven", "observed"]


@dataclass(frozen=True, slots=True)
class _Told:
    """What a pipeline is told of, after the pages are written."""

    summary: Summary
    files: tuple[Path, ...] = ()
    sentences: tuple[str, ...] = ()


def report(
    campaigns: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CAMPAIGN",
            autocompletion=completion.campaigns,
            help="None: the last one. Several: the runs of one matrix, which give a history; but campaigns that were "
            "run with --shard are one campaign. A monitor's folder: its incidents, beside a campaign that follows.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 unless every target is reached.")] = False,
    require: Annotated[Require, typer.Option(help="What --check asks for.")] = "proven",
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    prometheus: Annotated[
        Path | None, typer.Option(help="Write the numbers for the textfile collector of Prometheus' node_exporter.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Only the figures, each alone, with its caption and numbers.")
    ] = False,
    trial: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRIAL",
            autocompletion=completion.trials,
            help="Only the course of this trial; of two on one axis, if given twice.",
        ),
    ] = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Only labelled windows of the telemetry, to train detectors with.")
    ] = False,
    slides: Annotated[
        bool, typer.Option("--slides", help="Only slides/: a short deck (PDF, HTML) and each of its slides, 16:9.")
    ] = False,
    film: Annotated[
        bool, typer.Option("--film", help="Only film.gif: the median repair of the best arm beside the baseline.")
    ] = False,
    paper: Annotated[Literal["a4", "letter"], typer.Option(help="Of the PDF.")] = "a4",
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    baseline: Annotated[
        str, typer.Option(metavar="ARM", help="For a bare trials table: model=off,policy=default.")
    ] = "",
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a campaign, of a bare trials table, or the history of several campaigns of one matrix.

    Of a history, --check, --junit, --prometheus and GitHub's job summary are about its newest run.
    """
    from smartops_chaos import api

    sources = [campaign_path(path, results) for path in campaigns or [api.last(results)]]
    if api.is_incidents(sources[0]):
        if check or junit or prometheus or figures or trial or windows:
            raise UsageError("of incidents there is a report alone, and --json", "leave the other options out")
        _incidents(sources, reports, as_json=as_json)
        return
    if windows:  # without the rest: it reads a campaign of any size one trial at a time
        print("\n".join(map(str, api.windows(*sources, out=reports / sources[0].name / "windows"))))
        return
    if api.is_history(*sources):
        if figures or trial or slides or film:
            raise UsageError("--figures, --trial, --slides and --film are about one campaign", "name one")
        told = _history(sources, reports, as_json=as_json)
    else:
        data = api.load(*sources, baseline=arm_of(baseline) if baseline else None)
        if slides or film:
            told = _talk(data, reports, slides=slides, film=film)
        elif figures or trial:
            told = _figures(data, reports, trial or [], every=figures, as_json=as_json)
        else:
            told = _campaign(data, reports, as_json=as_json, paper=paper)
    for file in told.files:
        if file.suffix in (".pdf", ".html", ".gif"):
            print(file)
    if open_ and (page := next((file for file in told.files if file.suffix == ".html"), None)):
        webbrowser.open(page.resolve().as_uri())
    _write_for_machines(told.summary, junit, prometheus, require)
    _tell_github(told, require if check else None)
    if check:
        _check(told.summary, require)


def _incidents(sources: list[Path], reports: Path, *, as_json: bool) -> None:
    from smartops_chaos import api
    from smartops_chaos.report import incident_report

    if len(sources) > 2:
        raise UsageError("incidents stand beside one campaign", "name the monitor's folder and one campaign")
    data = api.incidents(sources[0])
    if as_json:
        print(json.dumps(asdict(data.numbers)))
        return
    campaign = api.load(sources[1]) if len(sources) > 1 else None
    files = api.report_incidents(data, reports / f"{sources[0].resolve().name}-incidents", campaign)
    print("\n".join(incident_report.sentences(data.numbers)), file=sys.stderr)
    print(files[0])


def _history(sources: list[Path], reports: Path, *, as_json: bool) -> _Told:
    from smartops_chaos import api
    from smartops_chaos.export import history_files
    from smartops_chaos.report import history_report

    found = api.history(*sources)
    sentences = tuple(history_report.sentences(found))
    if as_json:
        print(json.dumps(history_files.to_json(found)))
        return _Told(found.newest.summary, (), sentences)
    files = tuple(api.report_history(found, reports / f"{found.matrix}-history"))
    print("\n".join(sentences), file=sys.stderr)
    return _Told(found.newest.summary, files, sentences)


def _campaign(data: CampaignData, reports: Path, *, as_json: bool, paper: Literal["a4", "letter"] = "a4") -> _Told:
    from smartops_chaos import api
    from smartops_chaos.analysis.summarise import to_json

    if as_json:
        print(json.dumps(to_json(data.summary)))
        return _Told(data.summary)
    return _Told(data.summary, tuple(api.report(data, reports / data.name, paper=paper)))


def _talk(data: CampaignData, reports: Path, *, slides: bool, film: bool) -> _Told:
    from smartops_chaos import api

    made = [
        *(api.slides(data, reports / data.name / "slides") if slides else []),
        *([api.film(data, reports / data.name / "film.gif")] if film else []),
    ]
    return _Told(data.summary, tuple(made))


def _figures(data: CampaignData, reports: Path, trials: list[str], *, every: bool, as_json: bool) -> _Told:
    from smartops_chaos import api

    if as_json:
        return _campaign(data, reports, as_json=True)
    folder = reports / data.name / "figures"
    drawn = [*(api.figures(data, folder) if every else []), *(api.timeline(data, trials, folder) if trials else [])]
    print("\n".join(map(str, drawn)))
    return _Told(data.summary)


def _write_for_machines(summary: Summary, junit: Path | None, prometheus: Path | None, require: Require) -> None:
    from smartops_chaos.export import ci, metrics_file
    from smartops_chaos.store.jsonfiles import write_atomically

    wanted: dict[Path, str] = {}  # only who asks for them learns that a simulated campaign has no metrics
    if junit is not None:
        wanted[junit] = ci.junit(summary, require)
    if prometheus is not None:
        wanted[prometheus] = metrics_file.text(summary)
    for file, text in wanted.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode())  # a collector may read it at any moment


def _check(summary: Summary, require: Require) -> None:
    from smartops_chaos.export import ci

    passed, lines = ci.check(summary, require)
    print("\n".join(lines), file=sys.stderr)
    if not passed:
        raise typer.Exit(MISSED)


def _tell_github(told: _Told, require: Require | None) -> None:
    """The job summary and the annotations, in a job of GitHub Actions; nothing elsewhere."""
    from smartops_chaos.export import ci

    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        shown = [str(file) for file in told.files if file.suffix in (".pdf", ".html")]
        with Path(page).open("a", encoding="utf-8") as out:
            out.write(ci.job_summary(told.summary, shown, _artifacts(), list(told.sentences)))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in ci.github_annotations(told.summary, require):
            print(line, file=sys.stderr)


def _artifacts() -> str:
    """The page of GitHub with the files that this job has uploaded; empty elsewhere."""
    parts = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}#artifacts".format(*parts) if all(parts) else ""
