"""Commands that look at a campaign after its run, and the lab to play with; `cli` hangs them into the program."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from smartops_chaos.errors import MISSED, UsageError

ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the campaigns.")]
ReportsOption = Annotated[Path, typer.Option("--reports", help="Folder of the reports.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]
Require = Literal["proven", "observed"]
_INVALID_SHOWN = 3  # trials of a campaign, each with its reason
RESULTS, REPORTS = Path("results"), Path("reports")


def write_report(data: Any, out: Path, *, as_json: bool = False, pdf: bool = True) -> None:
    from smartops_chaos import api

    files = api.report(data, out, pdf=pdf)
    print(files[0], file=sys.stderr if as_json else sys.stdout)


def tell_answer(data: Any, out: Path) -> None:
    """The verdicts and where to read on, when a run has ended; on stderr, since stdout is for programs."""
    from smartops_chaos.export import ci

    for verdict in data.summary.verdicts:
        print(ci.verdict_line(verdict), file=sys.stderr)
    print(f"the whole answer: {out / 'report.pdf'}, and to click through: {out / 'report.html'}", file=sys.stderr)


def report(
    campaigns: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CAMPAIGN...]",
            help="None: the last one. Several: the nights of one matrix, which give a history; but campaigns that were "
            "run with --shard are one campaign.",
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
        list[str] | None, typer.Option(help="Only the course of this trial; of two on one axis, if given twice.")
    ] = None,
    windows: Annotated[
        bool, typer.Option("--windows", help="Only labelled windows of the telemetry, to train detectors with.")
    ] = False,
    baseline: Annotated[str, typer.Option(help="For a bare trials table: model=off,policy=default.")] = "",
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a campaign, of a bare trials table, or the history of several campaigns of one matrix.

    Of a history, --check, --junit, --prometheus and GitHub's job summary are about its newest night.
    """
    from smartops_chaos import api
    from smartops_chaos.analysis.summarise import to_json
    from smartops_chaos.export import ci, history_files, metrics_file
    from smartops_chaos.report import history_report
    from smartops_chaos.store.jsonfiles import write_atomically

    sources = [campaign_path(path, results) for path in campaigns or [api.last(results)]]
    beside: list[str] = []
    files: list[Path] = []
    if windows:  # without the rest: it reads a campaign of any size one trial at a time
        print("\n".join(map(str, api.windows(*sources, out=reports / sources[0].name / "windows"))))
        return
    if api.is_history(*sources):
        if figures or trial:
            raise UsageError("--figures and --trial are about one campaign", "name one")
        found = api.history(*sources)
        summary, beside = found.newest.summary, list(history_report.sentences(found))
        if as_json:
            print(json.dumps(history_files.to_json(found)))
        else:
            files = api.report_history(found, reports / f"{found.matrix}-history")
            print("\n".join(beside), file=sys.stderr)
    else:
        data = api.load(*sources, baseline=arm_of(baseline) if baseline else None)
        summary = data.summary
        if as_json:
            print(json.dumps(to_json(summary)))
        elif figures or trial:
            folder = reports / data.name / "figures"
            drawn = api.figures(data, folder) if figures else []
            drawn += api.timeline(data, trial, folder) if trial else []
            print("\n".join(map(str, drawn)))
        else:
            files = api.report(data, reports / data.name)
    if files:
        print(files[0])
    for file, text in ((junit, ci.junit(summary, require)), (prometheus, metrics_file.text(summary))):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, text.encode())  # a collector may read it at any moment
    _tell_github(summary, require if check else None, files, beside)
    if check:
        passed, lines = ci.check(summary, require)
        print("\n".join(lines), file=sys.stderr)
        if not passed:
            raise typer.Exit(MISSED)


def _tell_github(summary: Any, require: Require | None, files: list[Path], beside: list[str]) -> None:
    """The job summary and the annotations, in a job of GitHub Actions; nothing elsewhere."""
    from smartops_chaos.export import ci

    if page := os.environ.get("GITHUB_STEP_SUMMARY"):
        shown = [str(file) for file in files if file.suffix in (".pdf", ".html")]
        with Path(page).open("a", encoding="utf-8") as out:
            out.write(ci.job_summary(summary, shown, _artifacts(), beside))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in ci.github_annotations(summary, require):
            print(line, file=sys.stderr)


def _artifacts() -> str:
    """The page of GitHub with the files that this job has uploaded; empty elsewhere."""
    parts = [os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}#artifacts".format(*parts) if all(parts) else ""


def campaign_path(path: Path, results: Path) -> Path:
    return path if path.exists() else results / path


def arm_of(text: str) -> Any:
    from smartops_chaos.model import Arm

    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if set(parts) != {"model", "policy"}:
        raise UsageError(f"--baseline {text} is no arm", "write model=off,policy=default")
    return Arm(**parts)


def derive(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
    explain: Annotated[str, typer.Option(help="Show for one trial what each rule matched.")] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Compute the records again from the stored evidence."""
    from smartops_chaos import api
    from smartops_chaos.run import status
    from smartops_chaos.store.campaign_folder import Store

    store = Store(campaign_path(campaign, results) if campaign else api.last(results))
    if explain:
        print(status.explain(store, explain))
        return
    same, changed, failed = status.derive_all(store)
    print(f"{same} records unchanged, {len(changed)} changed" + "".join(f"\n  {name}" for name in changed))
    if failed:
        raise UsageError("\n".join(failed))


def status(results: ResultsOption = RESULTS, as_json: JsonOption = False) -> None:
    """What ran, what is left, what may still be in force."""
    from smartops_chaos.model import Arm
    from smartops_chaos.run import status
    from smartops_chaos.store.campaign_folder import campaigns

    found = [status.state(store) for store in campaigns(results, headless=True)]
    if as_json:
        print(json.dumps(found))
        return
    for one in found:
        outcomes = ", ".join(f"{n} {name}" for name, n in one["outcomes"].items()) or "nothing recorded"
        dirty = f"; MAY BE IN FORCE: {', '.join(one['open'])}" if one["open"] else ""
        print(f"{one['campaign']:24} {one['done']}/{one['trials'] - one['spared']}  {outcomes}{dirty}")
        for stop in one["stopped"]:
            print(f"  {Arm(**stop['arm'])} was decided at look {stop['look']}, after {stop['repeat']} repeats")
        if one["spared"]:
            print(f"  {one['spared']} trials of {one['trials']} are spared")
        for trial, why in list(one["invalid"].items())[:_INVALID_SHOWN]:
            print(f"  {trial} is invalid, {why}")
        if len(one["invalid"]) > _INVALID_SHOWN:
            print(f"  and {len(one['invalid']) - _INVALID_SHOWN} more; `--json` lists them all")
        for problem in one["problems"]:
            print(f"  {problem}", file=sys.stderr)
    if not found:
        print(f"no campaign in {results}", file=sys.stderr)


def revert(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
    cluster: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="By the cluster's labels alone, when the directory is lost.")
    ] = "",
    context: Annotated[str, typer.Option(help="With --cluster: of the kubeconfig, if not its current one.")] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Undo all of a campaign that is still in force, with nothing but its directory."""
    if cluster:
        from smartops_chaos.targets import kinds

        for line in kinds.revert_namespace(context, cluster):
            print(line)
        print(f"nothing of any campaign is in force in {cluster}")
        return
    from smartops_chaos import api
    from smartops_chaos.run import campaign as runner
    from smartops_chaos.store.campaign_folder import Store

    store = Store((campaign_path(campaign, results) if campaign else api.last(results)).resolve())
    if not store.has_trials():
        store.read()  # a word about what it is, before a lock makes a folder of it
    with store.locked():
        count = runner.revert(store)
        print(f"{count} trial(s) reverted")
        for line in runner.restore(store):
            print(line)
        print(f"nothing of {store.name} is in force")


def up(
    folder: Annotated[Path, typer.Option("--dir", help="Where the lane keeps its files.")] = Path(".lab"),
    detector: Annotated[str, typer.Option(help="none, threshold or zscore.")] = "zscore",
) -> None:
    """Start one lane, and print its addresses and the exports that experiments read."""
    from smartops_chaos import lab
    from smartops_chaos.lab.client import LabClient
    from smartops_chaos.lab.lab_target import exports

    if (folder / "lane.json").exists():
        raise UsageError(f"a lane is already up in {folder}", "smartops-chaos lab down")
    process = lab.start(folder, name="lane-play", core=0, lifeline=False)
    arm = {"healer": "off" if detector == "none" else "on", "detector": detector, "policy": ""}
    LabClient(process.file).post("/arm", arm)
    for name, value in exports(process.file).items():
        print(f"export {name}={value}")
    lane = process.lane
    print(f"ERP {lane.gateway}, healer {lane.healer}, Prometheus {lane.prometheus}", file=sys.stderr)


def down(folder: Annotated[Path, typer.Option("--dir", help="As given to `lab up`.")] = Path(".lab")) -> None:
    """End that lane and everything in it."""
    from smartops_chaos import lab

    print("stopped" if lab.stop(folder / "lane.json") else "no lane is up")
