"""`plan MATRIX`: what would run, for how long, what it could prove; or a simulated campaign with a known truth."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import (
    RESULTS,
    JsonOption,
    LanesOption,
    MatrixArgument,
    OnlyOption,
    RepeatsOption,
    ResultsOption,
    campaign_path,
)
from smartops_chaos.cli.terminal import ASIDE, WEAK, Terminal
from smartops_chaos.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from smartops_chaos.model import Plan

_MOST_COLUMNS = 6  # arms


def plan(
    matrix: MatrixArgument,
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    shard: Annotated[str, typer.Option(metavar="N/M", help="Such as 1/3: what that machine would run.")] = "",
    pilot: Annotated[
        str,
        typer.Option(
            metavar="CAMPAIGN", autocompletion=completion.campaigns, help="A campaign that shows how much times spread."
        ),
    ] = "",
    simulate: Annotated[Path | None, typer.Option(help="A truth file: make a trials table instead.")] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Where --simulate writes it: .csv or .parquet for a bare table, any other name for a campaign's "
            "folder with its plan, which `report` decides like a measured one."
        ),
    ] = Path("trials.csv"),
    trials: Annotated[bool, typer.Option("--trials", help="List every trial in its order.")] = False,
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Say what would run, for how long, and what it could prove. Injects nothing."""
    from smartops_chaos import api
    from smartops_chaos.schema.clustertarget import lane_count

    made = api.plan(matrix, only=only or (), repeats=repeats, shard=shard)
    usual = lane_count(made.target)
    lanes = lanes or usual
    if simulate is not None:
        _simulate(made, matrix, simulate, out, lanes, as_json=as_json)
    else:
        former = campaign_path(Path(pilot), results) if pilot else None
        more = [f"--only {shlex.quote(one)}" for one in only or ()] + [f"--lanes {lanes}"] * (lanes != usual)
        _tell(made, " ".join([shlex.quote(str(matrix)), *more]), lanes, former, with_trials=trials, as_json=as_json)


def _tell(made: Plan, typed: str, lanes: int, pilot: Path | None, *, with_trials: bool, as_json: bool) -> None:
    """`typed`: the matrix with what else a proposed command has to say."""
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.planning.chances import chances
    from smartops_chaos.planning.forecast import forecast
    from smartops_chaos.schema.units import count, spoken_duration
    from smartops_chaos.targets import kinds

    told = forecast(made, typed, lanes=lanes)
    likely = chances(made, None if pilot is None else api.pilot(pilot, made))
    if as_json:
        document: dict[str, Any] = {"schema_version": 1, "name": made.name, "digest": made.digest}
        document |= {
            "trials": [asdict(trial) for trial in made.trials],
            "estimate": asdict(told, dict_factory=_published),
        }
        print(json.dumps({**document, "chances": None if likely is None else asdict(likely)}))
        return
    terminal = Terminal()
    for line in dict.fromkeys(kinds.victims(made)):  # two parts of a storm may find the same missing
        terminal.say(line)
    if with_trials:
        for number, trial in enumerate(made.trials, 1):
            block = "calibration" if trial.phase == "calibrate" else f"block {trial.block}"
            print(f"{number:5}  {block:12}  {trial.id}")
        print()
    terminal.table(grid_of(made))
    terminal.say(
        f"\n{count(told.measured, 'trial')} and {told.calibration} for calibration on {count(lanes, 'lane')}: "
        f"about {spoken_duration(told.likely_s)}, at most {spoken_duration(told.upper_s)}"
    )
    for line in left_out_of(made):
        terminal.say(line, ASIDE)
    other = (f"on {count(n, 'lane')} about {spoken_duration(seconds)}" for n, seconds in told.lanes_s.items())
    terminal.say("; ".join(other), ASIDE)
    for look in told.looks:
        terminal.say(f"\nLook {look.look}, after {look.repeat} repeats:")
        for proof in look.proofs:
            terminal.say(f"  {proof}", "" if proof.possible else WEAK)
    if told.looks:
        terminal.say("An arm stops at a look when its targets are proven, or one is missed.\n\nAt the end:")
    else:
        terminal.say()
    for proof in told.proofs:
        terminal.say(str(proof), "green" if proof.possible else WEAK)
        if proof.hint:
            terminal.command(" ", proof.hint)
    if likely is not None:
        terminal.say()
        for line in filter(None, likely.lines()):
            terminal.say(line)
    if not with_trials:
        terminal.say("\nEvery trial in its order: --trials", ASIDE)


def grid_of(made: Plan) -> Table:
    """How many trials each scenario has in each arm; with many arms a row for each pattern of them."""
    from rich.table import Table

    counts = Counter((f"{t.chaos} / {t.workload}", t.arm) for t in made.measured)
    arms = list(dict.fromkeys(t.arm for t in sorted(made.measured, key=lambda t: (t.model, t.policy))))
    scenarios = list(dict.fromkeys(f"{t.chaos} / {t.workload}" for t in sorted(made.measured, key=lambda t: t.chaos)))
    one_policy = len({arm.policy for arm in arms}) == 1
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=ASIDE)
    table.add_column("trials", no_wrap=True)
    if len(arms) <= _MOST_COLUMNS:
        for arm in arms:
            table.add_column(arm.model if one_policy else f"{arm.model}\n{arm.policy}", justify="right")
        for scenario in scenarios:
            table.add_row(scenario, *(str(counts[scenario, arm] or "–") for arm in arms))
        return table
    alike: dict[tuple[int, ...], list[str]] = {}
    for arm in arms:
        alike.setdefault(tuple(counts[scenario, arm] for scenario in scenarios), []).append(str(arm))
    for names in alike.values():
        table.add_column("\n".join(names), justify="right")
    for at, scenario in enumerate(scenarios):
        table.add_row(scenario, *(str(pattern[at] or "–") for pattern in alike))
    return table


def left_out_of(made: Plan) -> list[str]:
    """What the matrix names and the plan has no trials for, with the reason."""
    told = []
    for alias, same in made.same_arm.items():
        off = made.models[alias.partition("/")[0]].settings.get("healer") == "off"
        why = "with the healer off a policy does nothing" if off else "their settings are equal"
        told.append(f"{alias} is the same arm as {same}, and does not run by itself: {why}")
    calibrated = {(t.chaos, t.workload) for t in made.trials if t.phase == "calibrate"}
    never = dict.fromkeys(
        t.chaos
        for t in made.measured
        if made.chaos[t.chaos].parts and calibrated and (t.chaos, t.workload) not in calibrated
    )
    if never:
        told.append(f"no calibration of {', '.join(never)}: what ends by itself cannot be ended at a second of ours")
    return told


def _simulate(made: Plan, matrix: Path, truth_file: Path, out: Path, lanes: int, *, as_json: bool) -> None:
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.planning import simulated_folder
    from smartops_chaos.planning.rehearsal import rehearse
    from smartops_chaos.planning.simulate import Truth, simulate
    from smartops_chaos.schema import yamlfile
    from smartops_chaos.schema.units import count, spoken_duration

    found = simulate(made, yamlfile.load(truth_file, Truth), lanes=lanes)
    if out.suffix.lower() not in ("", ".csv", ".parquet"):
        hint = "end it in .csv or .parquet for a table, or in nothing for a campaign's folder"
        raise UsageError(f"--out {out} is neither a table nor a folder", hint)
    looks = rehearse(made, found, lanes) if made.analysis.looks > 1 else None
    if out.suffix.lower() in (".csv", ".parquet"):
        api.write_table(found.columns, out)
    else:
        simulated_folder.write(made, matrix, truth_file, found.columns, looks.stopped if looks else (), out)
    print(out, file=sys.stderr)
    if as_json:
        truth = [asdict(arm) for arm in found.truth]
        told = {"schema_version": 1, "truth": truth, "lanes": lanes, "duration_s": found.duration_s}
        print(json.dumps({**told, "looks": None if looks is None else asdict(looks)}))
        return
    print(f"{'arm':34}{'mean time':>12}{'reduction':>12}{'without a person':>19}")
    for arm in found.truth:
        reduction = "-" if arm.reduction is None else f"{100 * arm.reduction:.2f} %"
        heals = "-" if arm.no_human is None else f"{100 * arm.no_human:.2f} %"
        print(f"{arm.arm!s:34}{arm.rmst_s:>10.3f} s{reduction:>12}{heals:>19}")
    trials = len(found.columns["trial"])
    print(f"\n{trials} trials would take {spoken_duration(found.duration_s)} on {count(lanes, 'lane')}")
    if looks is not None:
        arms = ", ".join(f"{stop.arm} after {stop.repeat} repeats" for stop in looks.stopped) or "no arm"
        print(f"looks would stop {arms}: {looks.trials} trials, {spoken_duration(looks.duration_s)}; the table has all")


def _published(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The JSON keys of today: a proof's `hint` has always been published as `mend`."""
    return {"mend" if name == "hint" else name: value for name, value in fields}
