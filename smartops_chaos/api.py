"""The same steps for notebooks and a team's own tests.

from smartops_chaos import api
plan = api.plan("matrix.yaml")
campaign = api.load("results/quick-1")       # CampaignData: .table (pandas), .summary, .records
api.report(campaign, "reports/quick-1")
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from smartops_chaos import __version__
from smartops_chaos.clock import utc_now
from smartops_chaos.errors import HarnessFailed, NothingSelected, UsageError
from smartops_chaos.model import ALPHA, Arm, Plan, Stop
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.plan.looks import before_end, spared
from smartops_chaos.plan.select import select
from smartops_chaos.planning.estimate import estimate
from smartops_chaos.planning.makespan import makespan_s

if TYPE_CHECKING:
    from smartops_chaos.analysis.history import History
    from smartops_chaos.analysis.regression import Regression
    from smartops_chaos.planning.chances import Pilot
    from smartops_chaos.planning.simulate import Simulated
    from smartops_chaos.report.build import CampaignData
    from smartops_chaos.run import campaign
    from smartops_chaos.store.campaign_folder import Store

plan = load_plan


def open_store(results: Path, full: Plan, campaign_id: str = "") -> tuple[Store, bool]:
    """The campaign that a run goes on with, and whether it is new.

    The last one of the matrix's name if it is unfinished, else a new one; one with a name of its own has to be named.
    Raises UsageError when that campaign was planned from a matrix that has been changed since.
    """
    from smartops_chaos.store.campaign_folder import Store, campaigns, next_free

    if campaign_id:
        if Path(campaign_id).name != campaign_id or campaign_id.startswith("."):
            raise UsageError(f"--campaign {campaign_id} is no name", "give the name of a folder in results/")
        store = Store(results / campaign_id)
        if not (store.path / "campaign.json").exists():
            return store, True
    else:
        mine = [store for store in campaigns(results) if re.fullmatch(re.escape(full.name) + r"-\d+", store.name)]
        if not mine or not _unfinished(mine[-1]):
            return next_free(results, full.name), True
        store = mine[-1]
    if store.read().plan.digest != full.digest:
        raise UsageError(
            f"{store.path} is unfinished, and its matrix has been changed since",
            f"undo the change, or begin a new campaign: --campaign {next_free(results, full.name).name}",
        )
    return store, False


def _unfinished(store: Store) -> bool:
    made = store.read().plan
    done_without = spared(made, store.stops())
    return any(trial.id not in done_without and store.outcome(trial.id) is None for trial in made.trials)


def run(
    matrix: Path,
    results: Path,
    emit: campaign.Emit,
    *,
    only: Sequence[str] = (),
    repeats: int | None = None,
    shard: str = "",
    campaign_id: str = "",
    options: campaign.Options | None = None,
) -> tuple[Store, Plan, campaign.Result]:
    """Run a matrix, or what is left of it. `campaign.judge` says what its result means for an exit code."""
    from smartops_chaos.run import campaign
    from smartops_chaos.store.campaign_folder import SHARD, CampaignFile
    from smartops_chaos.targets import kinds

    options = options or campaign.Options()
    full = load_plan(matrix, repeats=repeats)
    if full.analysis.looks > 1 and (only or shard):
        left_out = "--only" if only else "--shard"
        what = f"with {left_out} there is no look: it decides by all trials of its repeats"
        raise UsageError(what, f"leave out {left_out}, or write `looks: 1` in {matrix.name}")
    selected = replace(full, trials=select(full, only, shard))
    store, new = open_store(results, full, campaign_id)
    likely_s = estimate(selected, matrix.name, lanes=options.lanes).likely_s
    with store.locked():
        if new and not (store.path / "campaign.json").exists():
            command = " ".join(["smartops-chaos run", matrix.name, *([f"--repeats {repeats}"] if repeats else [])])
            text = matrix.read_text(encoding="utf-8")
            made_by = {"command": command, **({SHARD: shard} if shard else {}), "started": utc_now()}
            made_by |= {**provenance(), **kinds.provenance(full.target)}
            if full.analysis.slo.query:
                made_by["Requests"] = "none of ours: the SLO is a query about another load"
            store.create(CampaignFile(matrix.name, text, full, made_by))
        return store, selected, campaign.run(selected, store, options, likely_s, emit, decide)


def decide(store: Store, look: int) -> tuple[Stop, ...]:
    """The arms that a look stops, by the records on disk. Raises HarnessFailed.

    In a process of its own, which ends with it: a runner has no room for pandas, and Ctrl-C does not reach it.
    """
    command = [sys.executable, "-P", "-m", "smartops_chaos.analysis.looks", str(store.path), str(look)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise HarnessFailed(f"look {look} could not be taken: {why}", "mend the cause; the same command resumes")
    stops: tuple[Stop, ...] = TypeAdapter(tuple[Stop, ...]).validate_json(done.stdout)
    return stops


def provenance() -> dict[str, str]:
    """What made the numbers, besides the plan."""
    return {
        "smartops-chaos": __version__,
        "Python": platform.python_version(),
        "Chaos Toolkit": version("chaostoolkit-lib"),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "git commit": _git_commit(),
    }


def _git_commit() -> str:
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "not in a repository"


def load(*sources: str | Path, baseline: Arm | None = None) -> CampaignData:
    """Campaign directories, or one bare trials table (then `baseline` must be said)."""
    from smartops_chaos.analysis import load
    from smartops_chaos.store.campaign_folder import Store

    paths = [Path(one) for one in sources]
    if len(paths) == 1 and paths[0].is_file():
        if baseline is None:
            raise UsageError(f"{paths[0]} is a bare trials table", "say --baseline model=off,policy=default")
        return load.bare(paths[0], baseline)
    return load.campaign([Store(path) for path in paths])


def is_history(*sources: str | Path) -> bool:
    """Whether several campaigns are the nights of a matrix; those run with `--shard` are one campaign."""
    from smartops_chaos.analysis import load_history
    from smartops_chaos.store.campaign_folder import Store

    return load_history.is_history([Store(Path(path)) for path in sources])


def history(*sources: str | Path) -> History:
    """Campaign directories of one matrix, in any order: one night each."""
    from smartops_chaos.analysis import load_history
    from smartops_chaos.store.campaign_folder import Store

    return load_history.nights([Store(Path(path)) for path in sources])


def report_history(found: History, out: str | Path) -> list[Path]:
    """Write report.pdf, report.html, figures/, history.csv and history.json below `out`; the files written."""
    from smartops_chaos.report import build, history, historyfiles

    out = Path(out)
    files = build.write(history.build(found), out)
    table, numbers = out / "history.csv", out / "history.json"
    table.write_text(historyfiles.to_csv(found), encoding="utf-8")
    numbers.write_text(json.dumps(historyfiles.to_json(found), indent=1) + "\n", encoding="utf-8")
    return [*files, table, numbers]


def compare(old: CampaignData, new: CampaignData, *, max_slowdown: float = 0.10) -> Regression:
    """Which arms became slower or faster, each campaign relative to its own baseline; `max_slowdown` as a fraction."""
    from smartops_chaos.analysis import likeness, load, regression

    both = [data.plan for data in (old, new) if data.plan is not None]
    return regression.regress(
        load.side(old),
        load.side(new),
        limit=max_slowdown,
        alpha=new.plan.analysis.alpha if new.plan else ALPHA,
        unlike=likeness.unlike(*both) if len(both) == 2 else {},
        cautions=likeness.cautions(*both) if len(both) == 2 else [likeness.UNKNOWN],
    )


def pilot(path: str | Path, coming: Plan) -> Pilot:
    """How much times spread in a finished campaign, for the plan of one to come."""
    from smartops_chaos.analysis import load as loading
    from smartops_chaos.planning import pilot as former

    found = loading.side(load(path))
    return former.pilot(found.name, found.cells, found.baseline, coming)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A simulated campaign with its plan's looks, at which the lanes wait for each other."""

    stopped: tuple[Stop, ...]
    trials: int
    duration_s: float


def rehearse(plan: Plan, made: Simulated, lanes: int) -> Rehearsed:
    """What the looks would have made of a simulated campaign."""
    import pandas as pd

    from smartops_chaos.analysis import looks, question

    ends = before_end(plan)
    asked = looks.rehearse(pd.DataFrame(made.columns), question.of_plan(plan), ends)
    stops = tuple(asked.stopped.values())
    left_out = spared(plan, stops)
    parts: list[list[float]] = [[] for _ in range(len(ends) + 1)]
    for trial, repeat, takes_s in zip(made.columns["trial"], made.columns["repeat"], made.takes_s, strict=True):
        if trial not in left_out:
            parts[bisect_left(ends, repeat)].append(takes_s)
    return Rehearsed(stops, sum(map(len, parts)), sum(makespan_s(part, lanes) for part in parts))


def write_table(columns: Mapping[str, Any], out: Path) -> None:
    """Columns of the trials table -> `.csv` or `.parquet`."""
    import pandas as pd

    from smartops_chaos.analysis import table

    out.parent.mkdir(parents=True, exist_ok=True)
    table.write(pd.DataFrame(columns), out)


def last(results: Path) -> Path:
    """The newest campaign. Raises NothingSelected when there is none."""
    found = sorted(results.glob("*/campaign.json"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise NothingSelected(f"there is no campaign in {results}", "`smartops-chaos run MATRIX` makes one")
    return found[-1].parent


def report(data: CampaignData, out: str | Path, *, pdf: bool = True, appendix: bool = True) -> list[Path]:
    """Write report.pdf, report.html, figures/, trials.csv and summary.json below `out`; the files written."""
    from smartops_chaos.analysis import load
    from smartops_chaos.report import build

    out = Path(out)
    return build.write(build.build(data, appendix=appendix), out, pdf=pdf) + load.write_data(data, out)


def figures(data: CampaignData, out: str | Path) -> list[Path]:
    """Every figure of the report as SVG, PNG and a caption in Markdown, in `out`; the files written."""
    from smartops_chaos.report import build, figurefiles

    return figurefiles.write(build.build(data, appendix=False), Path(out))


def windows(*sources: str | Path, out: str | Path) -> list[Path]:
    """Labelled windows of the telemetry of a campaign, or of its shards, in `out`; the files written, the card first.

    Reads one trial at a time. Raises UsageError and NothingSelected.
    """
    from smartops_chaos.export import window_files
    from smartops_chaos.store.campaign_folder import Store

    return window_files.write([Store(Path(one)) for one in sources], Path(out))


def timeline(data: CampaignData, trials: Sequence[str], out: str | Path) -> list[Path]:
    """The course of one trial, or of two on one time axis, as such files. Raises UsageError."""
    from smartops_chaos.report import build, figurefiles

    return figurefiles.write(build.timeline(data, trials), Path(out))
