"""`lab up` and `lab down`: one lane of the embedded lab, to play with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.errors import UsageError


def up(
    folder: Annotated[Path, typer.Option("--dir", help="Where the lane keeps its files.")] = Path(".lab"),
    detector: Annotated[str, typer.Option(help="none, threshold, zscore or isolation-forest.")] = "zscore",
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
