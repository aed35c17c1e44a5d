"""What the Tab key offers: campaigns, trials of a campaign, levels of a matrix. Never raises: a shell is waiting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from smartops_chaos.errors import ChaosError


def campaigns(ctx: typer.Context, incomplete: str) -> list[str]:
    from smartops_chaos.store.campaign_folder import campaigns as found

    return _begins(incomplete, (store.name for store in found(_results(ctx))))


def trials(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the campaign that is named already, else of the one that was begun last."""
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    named, results = _first(ctx.params.get("campaign") or ctx.params.get("campaigns")), _results(ctx)
    try:
        path = next(filter(Path.exists, (Path(named), results / named)), None) if named else newest(results)
        found = [trial.id for trial in CampaignFolder(path).read().plan.trials] if path else []
    except (ChaosError, OSError):
        return []
    return _begins(incomplete, found)


def levels(ctx: typer.Context, incomplete: str) -> list[str]:
    """`--only chaos=pod-kill,cpu-90`: a factor, then its levels, whichever are not there yet."""
    from smartops_chaos.plan.expand import load_plan

    try:
        plan = load_plan(Path(_first(ctx.params.get("matrix"))))
    except (ChaosError, OSError):
        return []
    of: dict[str, Iterable[str]] = {
        "chaos": plan.chaos,
        "model": plan.models,
        "policy": plan.policies,
        "workload": plan.workloads,
    }
    factor, equals, rest = incomplete.partition("=")
    if not equals:
        return _begins(incomplete, (f"{name}=" for name in of))
    *there, last = rest.split(",")
    before = f"{factor}=" + "".join(f"{level}," for level in there)
    return [before + name for name in _begins(last, of.get(factor, ())) if name not in there]


def _begins(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("results") or "results")


def _first(value: object) -> str:
    """Of an argument that may be given several times."""
    one = value[0] if isinstance(value, list | tuple) and value else value
    return str(one or "")
