"""How a run begins: the trials that were asked for, the campaign they belong to, and what made its numbers."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from smartops_chaos import __version__
from smartops_chaos.clock import utc_now
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Plan
from smartops_chaos.plan.durations import blocks_s, likely_s, makespan_s
from smartops_chaos.plan.expand import as_before, load_plan
from smartops_chaos.plan.look_schedule import spared
from smartops_chaos.plan.select import select
from smartops_chaos.run import campaign, events
from smartops_chaos.run.lanes import Result
from smartops_chaos.run.run_options import RunOptions
from smartops_chaos.schema.clustertarget import lane_count
from smartops_chaos.schema.matrix import check_name
from smartops_chaos.schema.units import count
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import SHARD, SIMULATED, CampaignFile, CampaignFolder, campaigns, next_free
from smartops_chaos.targets import kinds

_REGISTERED = "registered"  # in the provenance: when plan and hypotheses were written down, before the first trial


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run of which everything is known and nothing has begun."""

    matrix: Path
    options: RunOptions
    full: Plan  # all trials of the matrix: what the campaign's folder keeps
    selected: Plan  # those that this run is about
    store: CampaignFolder


def prepare(matrix: Path, results: Path, options: RunOptions) -> PreparedRun:
    """Read the matrix and find the campaign that a run goes on with.

    Raises FileProblems, UsageError, NothingSelected.
    """
    full = load_plan(matrix, repeats=options.repeats)
    if full.analysis.looks > 1 and (options.only or options.shard):
        left_out = "--only" if options.only else "--shard"
        what = f"with {left_out} there is no look: it decides by all trials of its repeats"
        raise UsageError(what, f"leave out {left_out}, or write `looks: 1` in {matrix.name}")
    store = open_store(results, full, options.campaign)
    if store.exists() and store.read().plan.digest != full.digest:
        full = as_before(full)
    selected = replace(full, trials=select(full, options.only, options.shard))
    return PreparedRun(matrix, options, full, selected, store)


def carry_out(run: PreparedRun, show: Callable[[events.Event], None]) -> Result:
    """Run what is left, and return what came of it; `campaign.raise_for` tells what that means for an exit code.

    Events go to `show` and into the campaign's folder. Raises as `campaign.run`.
    """

    def emit(event: events.Event) -> None:
        run.store.append_event(events.as_dict(event))
        show(event)

    lanes = run.options.lanes or lane_count(run.full.target)
    trials = run.selected.trials
    duration_s = makespan_s(blocks_s(trials, [likely_s(run.full, trial) for trial in trials]), lanes)
    with run.store.locked():
        if not run.store.has_begun():  # asked only now: another runner may have begun it meanwhile
            file = _campaign_file(run)
            run.store.create(file)
            if run.options.register:
                at = file.provenance[_REGISTERED]
                registration.write(run.store, registration.of_plan(file.plan, file.matrix_text, at))
        elif run.options.register and not registration.digest(run.store):
            what = f"{run.store.path} has begun: what is registered now was not registered before its first trial"
            raise UsageError(what, "leave out --register, or begin a new campaign with --campaign")
        selected = kinds.pinned(run.selected, run.store.read().provenance)
        hash_list.unseal_campaign(run.store)
        try:
            return campaign.run(selected, run.store, run.options, duration_s, emit)
        finally:
            with suppress(OSError):  # a full disk shows elsewhere, and what has no list does not verify
                hash_list.seal_campaign(run.store, registration.digest(run.store))


def _campaign_file(run: PreparedRun) -> CampaignFile:
    options = run.options
    typed = shlex.quote(str(run.matrix))  # as it was typed, so that it runs again in the same folder
    chosen = [f"--only {shlex.quote(only)}" for only in options.only]
    repeats = [f"--repeats {options.repeats}"] if options.repeats else []
    shard = [f"--shard {options.shard}"] if options.shard else []
    command = " ".join(["smartops-chaos run", typed, *chosen, *repeats, *shard])
    made_by = {"command": command, **({SHARD: options.shard} if options.shard else {}), "started": utc_now()}
    made_by |= {_REGISTERED: utc_now()} if options.register else {}
    made_by |= {**_versions(), **kinds.provenance(run.full.target, run.full.models.values())}
    if run.full.analysis.slo.query:
        made_by["Requests"] = "none of ours: the SLO is a query about another load"
    return CampaignFile(typed, run.matrix.read_text(encoding="utf-8"), run.full, made_by)


def open_store(results: Path, full: Plan, name: str = "") -> CampaignFolder:
    """The campaign that a run goes on with; one that is not there yet is new.

    The last one of the matrix's name if it is unfinished, else a new one; one with a name of its own has to be named.
    Raises UsageError when that campaign was planned from a matrix that has been changed since.
    """
    if name:
        try:
            check_name(name)
        except ValueError as error:
            raise UsageError(f"--campaign: {error}", "a campaign is a folder of that name in results/") from None
        store = CampaignFolder(results / name)
        if not store.exists():
            return store
        if SIMULATED in store.read().provenance:
            raise UsageError(f"{store.path} is simulated: nothing is run in it", "give --campaign another name")
    else:
        mine = [store for store in campaigns(results) if re.fullmatch(re.escape(full.name) + r"-\d+", store.name)]
        while mine and SIMULATED in mine[-1].read().provenance:
            mine.pop()
        if not mine or not _unfinished(mine[-1]):
            return next_free(results, full.name)
        store = mine[-1]
    planned = store.read().plan
    if planned.digest not in (full.digest, as_before(full).digest):
        new = f"or begin a new campaign: --campaign {next_free(results, full.name).name}"
        was, now = (max((trial.repeat for trial in plan.measured), default=0) for plan in (planned, full))
        if was != now:
            raise UsageError(
                f"{store.path} was planned with {count(was, 'repeat')}, not {now}", f"say --repeats {was}, {new}"
            )
        what = f"{store.path} is unfinished, and its matrix has been changed since"
        raise UsageError(what, f"undo the change, {new}")
    return store


def _unfinished(store: CampaignFolder) -> bool:
    plan = store.read().plan
    done_without = spared(plan, store.stops())
    return any(trial.id not in done_without and store.outcome(trial.id) is None for trial in plan.trials)


def _versions() -> dict[str, str]:
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
