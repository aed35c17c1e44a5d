"""`run MATRIX`, and `demo`, which runs the quick matrix on the embedded lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import (
    REPORTS,
    RESULTS,
    JsonOption,
    LanesOption,
    MatrixArgument,
    OnlyOption,
    RepeatsOption,
    ReportsOption,
    ResultsOption,
    duration_s,
)
from smartops_chaos.errors import NothingSelected, UsageError
from smartops_chaos.run.run_options import RunOptions

_OFF = "The calibration of "  # begins the warning of a calibration that is off


def demo(results: ResultsOption = RESULTS, reports: ReportsOption = REPORTS) -> None:
    """Run the quick matrix on the embedded lab, and write its report: a few minutes."""
    from smartops_chaos.resources import shipped

    quick, here = shipped("matrix", "quick.yaml"), Path.cwd()
    matrix = quick.relative_to(here) if quick.is_relative_to(here) else quick  # as a person would type it
    _run(matrix, results, reports, RunOptions(), with_report=True, as_json=False)


def run(
    matrix: MatrixArgument,
    campaign: Annotated[
        str,
        typer.Option(
            metavar="NAME", autocompletion=completion.campaigns, help="Name of the campaign to go on with, or to begin."
        ),
    ] = "",
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    max_time: Annotated[
        str, typer.Option(metavar="TIME", help="Such as 50m: ends after the block that is under way.")
    ] = "",
    retry: Annotated[
        str, typer.Option(metavar="OUTCOME,...", help="Outcomes to run again, such as error,invalid.")
    ] = "",
    shard: Annotated[
        str, typer.Option(metavar="N/M", help="Such as 1/3: this machine's share of the blocks; not with looks.")
    ] = "",
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of a Dask cluster, whose workers have the lanes.")
    ] = "",
    register: Annotated[
        bool, typer.Option("--register", help="Write down plan and hypotheses before the first trial.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Write the report at the end.")] = False,
    results: ResultsOption = RESULTS,
    reports: ReportsOption = REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Run a matrix; the same command resumes what was interrupted."""
    options = RunOptions(
        only=tuple(only or ()),
        repeats=repeats,
        shard=shard,
        campaign=campaign,
        lanes=lanes,
        max_time_s=_max_time_s(max_time) if max_time else None,
        retry=_outcomes(retry),
        scheduler=scheduler,
        register=register,
    )
    _run(matrix, results, reports, options, with_report=report, as_json=as_json)


def _max_time_s(text: str) -> float:
    found = duration_s("--max-time", text)
    if not found > 0:
        raise UsageError(f"--max-time {text}: no block could begin", "leave it out for no limit")
    return found


def _outcomes(text: str) -> tuple[str, ...]:
    """The outcomes of `--retry error,invalid`. Raises UsageError."""
    from smartops_chaos.model import Outcome  # not at the top: `--help` is there sooner

    found = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in found if name not in set(Outcome)]
    if unknown:
        raise UsageError(f"--retry {text}: no outcome is named `{unknown[0]}`", f"one or more of {', '.join(Outcome)}")
    return found


def _run(matrix: Path, results: Path, reports: Path, options: RunOptions, *, with_report: bool, as_json: bool) -> None:
    from smartops_chaos import api
    from smartops_chaos.run import campaign, display

    shown = display.make(as_json=as_json)
    try:
        prepared, result = api.run(matrix, results, options, shown.show)
    finally:
        shown.close()
    if result.stopped_by not in ("interrupted", "invalid"):
        place = results / prepared.store.name
        _answer(place, reports / place.name, options, with_report=with_report, as_json=as_json)
    campaign.raise_for(result, prepared.store, prepared.selected)
    if result.stopped_by == "interrupted":
        raise typer.Exit(130)


def _answer(place: Path, out: Path, options: RunOptions, *, with_report: bool, as_json: bool) -> None:
    """What the campaign says so far, its report if that was asked for, and the command that comes next."""
    from smartops_chaos import api
    from smartops_chaos.cli import result_table
    from smartops_chaos.cli.terminal import WEAK, Terminal, command, missing_library
    from smartops_chaos.store.campaign_folder import CampaignFolder

    terminal = Terminal(as_json=as_json)
    elsewhere = [*_other("--results", place.parent, RESULTS), *_other("--reports", out.parent, REPORTS)]
    try:
        data = api.load(place) if with_report else None
        summary = data.summary if data else api.glance(place)
    except NothingSelected:
        return  # no trial has ended: the reason follows
    except ModuleNotFoundError as error:
        if not (left_out := missing_library(error)):
            raise
        terminal.say(f"\nNo numbers yet: {left_out}", WEAK)
        return
    except UsageError as error:  # such as --only without the baseline
        terminal.say(f"\nNothing can be compared yet: {error}. Every record is in {place}.", WEAK)
        return
    terminal.say()
    terminal.table(result_table.result_table(summary))
    if more := result_table.left_over(summary):
        terminal.say(f"and {more} more arms, in the report")
    terminal.say()
    if options.only or options.shard:
        shard = [f"--shard {options.shard}"] if options.shard else []
        chosen = " ".join([*(f"--only {only}" for only in options.only), *shard])
        terminal.say(f"This is about what {chosen} chose, and what the campaign had before.")
    store = CampaignFolder(place)
    too_busy = [found.what for found in store.disturbances() if found.severe]
    told = (*too_busy, _OFF)  # above, as the reason of no verdict
    weak = [text for text in summary.warnings if not any(what in text for what in told)]
    if weak:
        more = len(weak) - 1
        terminal.say(f"Weak: {weak[0]}" + (f" ({more} more in the report)" if more else ""), WEAK)
    if data:
        files = api.report(data, out)
        terminal.file("report:", next((file for file in files if file.suffix == ".html"), files[0]))
        terminal.file("to print:", files[0])
    if too_busy and with_report:
        terminal.command("next, when nothing else runs here:", store.read().provenance.get("command", ""))
        return
    following = result_table.next_command(summary) if with_report else command("report", place.name, *elsewhere)
    terminal.command("next:", following or command("report", place.name, "--check", *elsewhere))


def _other(flag: str, folder: Path, usual: Path) -> list[str]:
    return [] if folder == usual else [flag, str(folder)]
