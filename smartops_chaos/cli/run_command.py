"""`run MATRIX`, and `demo`, which runs the quick matrix on the embedded lab."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from smartops_chaos.errors import UsageError
from smartops_chaos.run.run_options import RunOptions

if TYPE_CHECKING:
    from smartops_chaos.analysis.load import CampaignData


def demo(results: ResultsOption = RESULTS, reports: ReportsOption = REPORTS) -> None:
    """Run the quick matrix on the embedded lab, and write its report: a few minutes."""
    from smartops_chaos.resources import shipped

    _run(shipped("matrix", "quick.yaml"), results, reports, RunOptions(), with_report=True, as_json=False)


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
    store = prepared.store
    if with_report and result.stopped_by not in ("interrupted", "invalid"):
        _report(api.load(store.path), reports / store.name, as_json=as_json)
    campaign.judge(result, store, prepared.selected)
    if result.stopped_by == "interrupted":
        raise typer.Exit(130)


def _report(data: CampaignData, out: Path, *, as_json: bool) -> None:
    """Write the report, and tell the verdicts and where to read on; on stderr, since stdout is for programs."""
    from smartops_chaos import api
    from smartops_chaos.export import ci

    files = api.report(data, out)
    print(files[0], file=sys.stderr if as_json else sys.stdout)
    for verdict in data.summary.verdicts:
        print(ci.verdict_line(verdict), file=sys.stderr)
    print(f"the whole answer: {out / 'report.pdf'}, and to click through: {out / 'report.html'}", file=sys.stderr)
