"""What the Tab key offers: campaigns, trials of a campaign, levels of a matrix. Never raises: a shell is waiting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from smartops_chaos.errors import ChaosError, UsageError


def campaigns(ctx: typer.Context, incomplete: str) -> list[str]:
    from smartops_chaos.store.campaign_folder import campaigns as found

    return _begins(incomplete, (store.name for store in found(_results(ctx))))


def trials(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the campaign that is named already, else of the one that was begun last."""
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    named, results = _named(ctx, "campaign", "campaigns"), _results(ctx)
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
        plan = load_plan(matrix_in(Path(_named(ctx, "matrix"))))
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
        return _begins(incomplete, (f"{name}={level}" for name, levels in of.items() for level in levels))
    *there, last = rest.split(",")
    before = f"{factor}=" + "".join(f"{level}," for level in there)
    return [before + name for name in _begins(last, of.get(factor, ())) if name not in there]


def healers(incomplete: str) -> list[str]:
    from smartops_chaos.schema.healerfile import shipped_names

    return _begins(incomplete, shipped_names())


def _begins(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _results(ctx: typer.Context) -> Path:
    return Path(ctx.params.get("results") or "results")


def _named(ctx: typer.Context, *parameters: str) -> str:
    """What is typed already for one of these arguments; "" if nothing is.

    An option that still waits for its value stops typer's parser, which leaves the words before it in `ctx.args`.
    """
    for parameter in parameters:
        if value := ctx.params.get(parameter):
            return str(value[0] if isinstance(value, list | tuple) else value)
    return next((word for word in ctx.args if not word.startswith("-")), "")


def matrix_in(path: Path) -> Path:
    """`run my` means what `init my` has written. Raises UsageError for a folder that has no matrix."""
    if not path.is_dir():
        return path
    if not (path / "matrix.yaml").exists():
        raise UsageError(f"{path} is a folder without a matrix.yaml", "name the matrix file")
    return path / "matrix.yaml"
