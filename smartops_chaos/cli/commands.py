"""The command line: parse, call one function of `api`, print, map errors to exit codes. Commands import late."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from smartops_chaos import __version__
from smartops_chaos.cli import compare_command, plan_command, report_commands
from smartops_chaos.cli.plan_command import LanesOption, MatrixArgument, OnlyOption, RepeatsOption
from smartops_chaos.cli.report_commands import REPORTS, RESULTS, JsonOption, ReportsOption, ResultsOption, write_report
from smartops_chaos.errors import ChaosError, Interrupted, PreflightFailed, UsageError

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


def main() -> None:
    """Console entry: the only place that turns an error into an exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except ChaosError as error:
        print(error, file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}\n  make space or the folder writable", file=sys.stderr)
        sys.exit(PreflightFailed.exit_code)


def _interrupt(*_: object) -> None:
    raise Interrupted("interrupted")


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
def demo(results: ResultsOption = RESULTS, reports: ReportsOption = REPORTS) -> None:
    """Run the quick matrix on the embedded lab, and write its report: a few minutes."""
    from smartops_chaos.resources import shipped

    _run(shipped("matrix", "quick.yaml"), results, reports, with_report=True)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path(),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a matrix.")] = False,
    from_cluster: Annotated[
        str, typer.Option("--from-cluster", metavar="NAMESPACE", help="For what is there on the cluster of KUBECONFIG.")
    ] = "",
    context: Annotated[str, typer.Option("--context", help="Of the kubeconfig, with --from-cluster.")] = "",
) -> None:
    """Write a commented starter matrix that runs as it stands."""
    from smartops_chaos.schema import starter

    if schema:
        print(starter.schema_text(), end="")
        return
    if from_cluster:
        from smartops_chaos.kubernetes import discover

        texts = discover.look(from_cluster, context).files()
    else:
        texts = starter.files()
    files = {folder / name: text for name, text in texts.items()}
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
    results: ResultsOption = RESULTS,
    rbac: Annotated[bool, typer.Option("--rbac", help="Print the least roles that MATRIX needs on a cluster.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check what a run needs, each failure with its fix."""
    from smartops_chaos.run import doctor as checks

    if rbac:
        print("---\n".join(checks.roles(matrix)), end="")
        return
    found = checks.checks(matrix, results)
    if as_json:
        print(json.dumps([check.as_dict() for check in found]))
    else:
        for check in found:
            told = ("warn" if check.hint else "note") if check.note else "ok  "
            told, hint = (told, check.hint if check.note else "") if check.ok else ("FAIL", check.hint)
            print(f"{told} {check.what}" + (f"\n     {hint}" if hint else ""))
    if not all(check.ok for check in found):
        raise typer.Exit(4)


app.command()(plan_command.plan)


@app.command()
def run(
    matrix: MatrixArgument,
    campaign: Annotated[str, typer.Option(help="Name of the campaign to go on with, or to begin.")] = "",
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    max_time: Annotated[str, typer.Option(help="Such as 50m: ends after the block that is under way.")] = "",
    retry: Annotated[str, typer.Option(help="Outcomes to run again, such as error,invalid.")] = "",
    shard: Annotated[str, typer.Option(help="Such as 1/3: this machine's share of the blocks; not with looks.")] = "",
    scheduler: Annotated[str, typer.Option(help="Of a Dask cluster, whose workers have the lanes.")] = "",
    report: Annotated[bool, typer.Option("--report", help="Write the report at the end.")] = False,
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Run a matrix; the same command resumes what was interrupted."""
    _run(
        matrix,
        results,
        reports,
        with_report=report,
        as_json=as_json,
        campaign=campaign,
        only=only or (),
        repeats=repeats,
        lanes=lanes,
        max_time=max_time,
        retry=retry,
        shard=shard,
        scheduler=scheduler,
    )


def _run(
    matrix: Path,
    results: Path,
    reports: Path,
    *,
    with_report: bool,
    as_json: bool = False,
    campaign: str = "",
    max_time: str = "",
    retry: str = "",
    lanes: int | None = None,
    scheduler: str = "",
    **selection: Any,
) -> None:
    from smartops_chaos import api
    from smartops_chaos.run import campaign as runner
    from smartops_chaos.run import display, events
    from smartops_chaos.schema import units

    try:
        limit_s = units.parse_duration(max_time) if max_time else None
    except ValueError as error:
        raise UsageError(f"--max-time {max_time}: {error}") from None
    options = runner.Options(lanes, limit_s, tuple(retry.split(",")) if retry else (), scheduler)
    shown = display.make(as_json=as_json)
    results = results.resolve()
    store = None

    def emit(event: events.Event) -> None:
        nonlocal store
        if isinstance(event, events.CampaignStarted):
            from smartops_chaos.store.campaign_folder import Store

            store = Store(Path(event.directory))
        if store is not None:
            store.append_event(events.as_dict(event))
        shown.show(event)

    try:
        store, made, result = api.run(matrix, results, emit, campaign_id=campaign, options=options, **selection)
    finally:
        shown.close()
    if with_report and result.stopped_by not in ("interrupted", "invalid"):
        write_report(api.load(store.path), reports / store.name, as_json=as_json)
    runner.judge(result, store, made)
    if result.stopped_by == "interrupted":
        raise typer.Exit(130)


app.command()(report_commands.report)
app.command()(compare_command.compare)
app.command()(report_commands.derive)
app.command()(report_commands.status)
app.command()(report_commands.revert)
lab_app.command()(report_commands.up)
lab_app.command()(report_commands.down)
