"""The command line: parse, call one function of `api`, print, map errors to exit codes. Commands import late."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from smartops_chaos import __version__
from smartops_chaos.errors import MISSED, ChaosError, UsageError

_EPILOG = (
    "Exit codes: 0 done; 1 a target missed or undecidable under --check; 2 usage or a bad file; 3 nothing selected; "
    "4 a preflight check failed; 5 something could not be reverted; 6 trials in error or too many invalid; "
    "130 interrupted."
)
app = typer.Typer(
    name="smartops-chaos",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    rich_markup_mode=None,
    help="Measure how fast and how often a self-healing system repairs injected faults.",
)
lab_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="One lane of the embedded lab, to play with.")
app.add_typer(lab_app, name="lab")

MatrixArgument = Annotated[Path, typer.Argument(metavar="MATRIX", help="The matrix file.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder of the campaigns.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]
OnlyOption = Annotated[list[str] | None, typer.Option("--only", help="Such as chaos=pod-kill or model=off,zscore.")]
RepeatsOption = Annotated[int | None, typer.Option("--repeats", help="Instead of the matrix's.")]
LanesOption = Annotated[int | None, typer.Option("--lanes", min=1, help="Instead of the matrix's.")]
_RESULTS, _REPORTS = Path("results"), Path("reports")


def main() -> None:
    """Console entry: the only place that turns an error into an exit code."""
    try:
        code = app(standalone_mode=False)
    except ChaosError as error:
        print(error, file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except typer._click.exceptions.ClickException as error:
        error.show()
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _version(value: bool) -> None:
    if value:
        print(f"smartops-chaos {__version__}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    del version


@app.command()
def demo(results: ResultsOption = _RESULTS, reports: Path = _REPORTS) -> None:
    """Run the quick matrix on the embedded lab, and write its report: a few minutes."""
    from smartops_chaos.resources import shipped

    _check_matrix_tools(None)
    _run(shipped("matrix", "quick.yaml"), results, reports, write_report=True)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path(),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a matrix.")] = False,
) -> None:
    """Write a commented starter matrix that runs as it stands."""
    from smartops_chaos.plan import starter

    if schema:
        print(starter.schema_text(), end="")
        return
    files = {folder / name: text for name, text in starter.files().items()}
    if there := [str(path) for path in files if path.exists()]:
        raise UsageError(f"{', '.join(there)} already exists", "give another folder: smartops-chaos init DIR")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    print(f"next: smartops-chaos plan {folder / 'matrix.yaml'}", file=sys.stderr)


@app.command()
def doctor(
    matrix: Annotated[Path | None, typer.Argument(metavar="[MATRIX]")] = None,
    results: ResultsOption = _RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Check what a run needs, each failure with its fix."""
    from smartops_chaos.run import doctor as checks

    found = checks.checks(matrix, results)
    if as_json:
        print(json.dumps([check.as_dict() for check in found]))
    else:
        for check in found:
            print(f"{'ok  ' if check.ok else 'FAIL'} {check.what}" + ("" if check.ok else f"\n     {check.mend}"))
    if not all(check.ok for check in found):
        raise typer.Exit(4)


@app.command()
def plan(
    matrix: MatrixArgument,
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    shard: str = "",
    as_json: JsonOption = False,
) -> None:
    """Say what would run, for how long, and what it could prove. Injects and writes nothing."""
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.plan.estimate import estimate

    made = api.plan(matrix, only=only or (), repeats=repeats, shard=shard)
    told = estimate(made, matrix.name, lanes=lanes)
    if as_json:
        trials = [asdict(trial) for trial in made.trials]
        print(
            json.dumps(
                {
                    "schema_version": 1,
                    "name": made.name,
                    "digest": made.digest,
                    "trials": trials,
                    "estimate": asdict(told),
                }
            )
        )
        return
    for number, trial in enumerate(made.trials, 1):
        block = "calibration" if trial.phase == "calibrate" else f"block {trial.block}"
        print(f"{number:5}  {block:12}  {trial.id}")
    used = lanes or made.target.get("lanes", 1)
    print(
        f"\n{told.measured} trials and {told.calibration} for calibration on {used} lanes: "
        f"about {told.likely_s / 60:.0f} min, at most {told.upper_s / 60:.0f} min"
    )
    for proof in told.proofs:
        print(f"\n{proof}" + (f"\n  {proof.mend}" if proof.mend else ""))


@app.command()
def run(
    matrix: MatrixArgument,
    campaign: Annotated[str, typer.Option(help="Name of the campaign to go on with, or to begin.")] = "",
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    max_time: Annotated[str, typer.Option(help="Such as 50m: ends after the block that is under way.")] = "",
    retry: Annotated[str, typer.Option(help="Outcomes to run again, such as error,invalid.")] = "",
    shard: Annotated[str, typer.Option(help="Such as 1/3: this machine's share of the blocks.")] = "",
    report: Annotated[bool, typer.Option("--report", help="Write the report at the end.")] = False,
    results: ResultsOption = _RESULTS,
    reports: Annotated[Path, typer.Option(help="Folder of the reports.")] = _REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Run a matrix; the same command resumes what was interrupted."""
    _check_matrix_tools(matrix)
    _run(
        matrix,
        results,
        reports,
        write_report=report,
        as_json=as_json,
        campaign=campaign,
        only=only or (),
        repeats=repeats,
        lanes=lanes,
        max_time=max_time,
        retry=retry,
        shard=shard,
    )


def _check_matrix_tools(matrix: Path | None) -> None:
    if matrix is not None and matrix.is_dir():
        raise UsageError(f"{matrix} is a directory", "name the matrix file in it")


def _run(
    matrix: Path,
    results: Path,
    reports: Path,
    *,
    write_report: bool,
    as_json: bool = False,
    campaign: str = "",
    max_time: str = "",
    retry: str = "",
    lanes: int | None = None,
    **selection: Any,
) -> None:
    from smartops_chaos import api, units
    from smartops_chaos.run import campaign as runner
    from smartops_chaos.run import display, events

    try:
        limit_s = units.parse_duration(max_time) if max_time else None
    except ValueError as error:
        raise UsageError(f"--max-time {max_time}: {error}") from None
    options = runner.Options(lanes, limit_s, tuple(retry.split(",")) if retry else ())
    shown = display.make(as_json=as_json)
    results = results.resolve()
    store = None

    def emit(event: events.Event) -> None:
        nonlocal store
        if isinstance(event, events.CampaignStarted):
            from smartops_chaos.run.store import Store

            store = Store(Path(event.directory))
        if store is not None:
            store.append_event(events.as_dict(event))
        shown.show(event)

    try:
        store, made, result = api.run(matrix, results, emit, campaign_id=campaign, options=options, **selection)
    finally:
        shown.close()
    if write_report and result.stopped_by != "interrupted":
        _write_report(api.load(store.path), reports / store.name, as_json=as_json)
    runner.judge(result, store, made)
    if result.stopped_by == "interrupted":
        raise typer.Exit(130)


def _write_report(data: Any, out: Path, *, as_json: bool = False, pdf: bool = True) -> None:
    from smartops_chaos import api

    files = api.report(data, out, pdf=pdf)
    print(files[0], file=sys.stderr if as_json else sys.stdout)


@app.command()
def report(
    campaigns: Annotated[list[Path] | None, typer.Argument(metavar="[CAMPAIGN...]")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 unless every target is reached.")] = False,
    require: Annotated[str, typer.Option(help="What --check asks for: proven or observed.")] = "proven",
    junit: Annotated[Path | None, typer.Option(help="Write the verdicts as JUnit XML.")] = None,
    baseline: Annotated[str, typer.Option(help="For a bare trials table: model=off,policy=default.")] = "",
    results: ResultsOption = _RESULTS,
    reports: Annotated[Path, typer.Option(help="Folder of the reports.")] = _REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's report from its directory: the last one, those named, or a bare trials table."""
    from smartops_chaos import api
    from smartops_chaos.analysis.summarise import to_json
    from smartops_chaos.report import ci

    if require not in ("proven", "observed"):
        raise UsageError(f"--require {require}", "use proven or observed")
    sources = [_campaign_path(path, results) for path in campaigns or [api.last(results)]]
    data = api.load(*sources, baseline=_arm(baseline) if baseline else None)
    if as_json:
        print(json.dumps(to_json(data.summary)))
    else:
        _write_report(data, reports / data.name)
    if junit is not None:
        junit.write_text(ci.junit(data.summary, require), encoding="utf-8")  # type: ignore[arg-type]
    if check:
        passed, lines = ci.check(data.summary, require)  # type: ignore[arg-type]
        print("\n".join(lines), file=sys.stderr)
        if not passed:
            raise typer.Exit(MISSED)


def _campaign_path(path: Path, results: Path) -> Path:
    return path if path.exists() else results / path


def _arm(text: str) -> Any:
    from smartops_chaos.model import Arm

    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if set(parts) != {"model", "policy"}:
        raise UsageError(f"--baseline {text} is no arm", "write model=off,policy=default")
    return Arm(**parts)


@app.command()
def derive(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
    explain: Annotated[str, typer.Option(help="Show for one trial what each rule matched.")] = "",
    results: ResultsOption = _RESULTS,
) -> None:
    """Compute the records again from the stored evidence."""
    from smartops_chaos import api
    from smartops_chaos.run import again
    from smartops_chaos.run.store import Store

    store = Store(_campaign_path(campaign, results) if campaign else api.last(results))
    if explain:
        print(again.explain(store, explain))
        return
    same, changed = again.derive_all(store)
    print(f"{same} records unchanged, {len(changed)} changed" + "".join(f"\n  {name}" for name in changed))


@app.command()
def status(results: ResultsOption = _RESULTS, as_json: JsonOption = False) -> None:
    """What ran, what is left, what may still be in force."""
    from smartops_chaos.run import again
    from smartops_chaos.run.store import campaigns

    found = [again.state(store) for store in campaigns(results)]
    if as_json:
        print(json.dumps(found))
        return
    for one in found:
        outcomes = ", ".join(f"{n} {name}" for name, n in one["outcomes"].items()) or "nothing recorded"
        dirty = f"; MAY BE IN FORCE: {', '.join(one['open'])}" if one["open"] else ""
        print(f"{one['campaign']:24} {one['done']}/{one['trials']}  {outcomes}{dirty}")
    if not found:
        print(f"no campaign in {results}", file=sys.stderr)


@app.command()
def revert(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None, results: ResultsOption = _RESULTS
) -> None:
    """Undo all of a campaign that is still in force, with nothing but its directory."""
    from smartops_chaos import api
    from smartops_chaos.run import campaign as runner
    from smartops_chaos.run.store import Store

    store = Store((_campaign_path(campaign, results) if campaign else api.last(results)).resolve())
    store.read()
    with store.locked():
        print(f"{runner.revert(store)} trial(s) reverted; nothing of {store.name} is in force")


@lab_app.command()
def up(
    folder: Annotated[Path, typer.Option("--dir", help="Where the lane keeps its files.")] = Path(".lab"),
    detector: Annotated[str, typer.Option(help="none, threshold or zscore.")] = "zscore",
) -> None:
    """Start one lane, and print its addresses and the exports that experiments read."""
    from smartops_chaos import lab
    from smartops_chaos.lab.client import LabClient
    from smartops_chaos.targets.lab import exports

    if (folder / "lane.json").exists():
        raise UsageError(f"a lane is already up in {folder}", "smartops-chaos lab down")
    process = lab.start(folder, name="lane-play", core=0, lifeline=False)
    arm = {"healer": "off" if detector == "none" else "on", "detector": detector, "policy": ""}
    LabClient(process.file).post("/arm", arm)
    for name, value in exports(process.file).items():
        print(f"export {name}={value}")
    lane = process.lane
    print(f"ERP {lane.gateway}, healer {lane.healer}, Prometheus {lane.prometheus}", file=sys.stderr)


@lab_app.command()
def down(folder: Annotated[Path, typer.Option("--dir", help="As given to `lab up`.")] = Path(".lab")) -> None:
    """End that lane and everything in it."""
    from smartops_chaos import lab

    print("stopped" if lab.stop(folder / "lane.json") else "no lane is up")
