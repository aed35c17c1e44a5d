"""`plan MATRIX`: what would run, for how long, what it could prove; or a simulated campaign with a known truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from smartops_chaos.errors import UsageError

if TYPE_CHECKING:
    from smartops_chaos.model import Plan


def plan(
    matrix: MatrixArgument,
    only: OnlyOption = None,
    repeats: RepeatsOption = None,
    lanes: LanesOption = None,
    shard: str = "",
    pilot: Annotated[str, typer.Option(help="A campaign that shows how much times spread.")] = "",
    simulate: Annotated[Path | None, typer.Option(help="A truth file: make a trials table instead.")] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Where --simulate writes it: .csv or .parquet for a bare table, any other name for a campaign's "
            "folder with its plan, which `report` decides like a measured one."
        ),
    ] = Path("trials.csv"),
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Say what would run, for how long, and what it could prove. Injects nothing."""
    from smartops_chaos import api
    from smartops_chaos.schema.clustertarget import lane_count

    made = api.plan(matrix, only=only or (), repeats=repeats, shard=shard)
    lanes = lanes or lane_count(made.target)
    if simulate is not None:
        _simulate(made, matrix, simulate, out, lanes, as_json=as_json)
    else:
        _tell(made, matrix, lanes, campaign_path(Path(pilot), results) if pilot else None, as_json=as_json)


def _tell(made: Plan, matrix: Path, lanes: int, pilot: Path | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.planning.chances import chances
    from smartops_chaos.planning.forecast import forecast
    from smartops_chaos.targets import kinds

    told = forecast(made, matrix.name, lanes=lanes)
    likely = chances(made, None if pilot is None else api.pilot(pilot, made))
    if as_json:
        document: dict[str, Any] = {"schema_version": 1, "name": made.name, "digest": made.digest}
        document |= {
            "trials": [asdict(trial) for trial in made.trials],
            "estimate": asdict(told, dict_factory=_published),
        }
        print(json.dumps({**document, "chances": None if likely is None else asdict(likely)}))
        return
    for line in kinds.victims(made):
        print(line)
    for number, trial in enumerate(made.trials, 1):
        block = "calibration" if trial.phase == "calibrate" else f"block {trial.block}"
        print(f"{number:5}  {block:12}  {trial.id}")
    print(
        f"\n{told.measured} trials and {told.calibration} for calibration on {_lanes(lanes)}: "
        f"about {_time(told.likely_s)}, at most {_time(told.upper_s)}"
    )
    print("; ".join(f"on {_lanes(n)} about {_time(seconds)}" for n, seconds in told.lanes_s.items()))
    for look in told.looks:
        print(f"\nLook {look.look}, after {look.repeat} repeats:")
        print("\n".join(f"  {proof}" for proof in look.proofs))
    if told.looks:
        print("An arm stops at a look when its targets are proven, or one is missed.\n\nAt the end:", end="")
    for proof in told.proofs:
        print(f"\n{proof}" + (f"\n  {proof.hint}" if proof.hint else ""))
    if likely is not None:
        print("\n" + "\n".join(filter(None, likely.lines())))


def _lanes(n: int) -> str:
    return f"{n} lane{'s' if n != 1 else ''}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _simulate(made: Plan, matrix: Path, truth_file: Path, out: Path, lanes: int, *, as_json: bool) -> None:
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.planning import simulated_folder
    from smartops_chaos.planning.rehearsal import rehearse
    from smartops_chaos.planning.simulate import Truth, simulate
    from smartops_chaos.schema import yamlfile

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
    print(f"\n{trials} trials would take {_time(found.duration_s)} on {_lanes(lanes)}")
    if looks is not None:
        arms = ", ".join(f"{stop.arm} after {stop.repeat} repeats" for stop in looks.stopped) or "no arm"
        print(f"looks would stop {arms}: {looks.trials} trials, {looks.duration_s / 3600:.2f} h; the table has all")


def _published(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The JSON keys of today: a proof's `hint` has always been published as `mend`."""
    return {"mend" if name == "hint" else name: value for name, value in fields}
