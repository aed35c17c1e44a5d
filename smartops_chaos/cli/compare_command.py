"""`compare OLD NEW`: a table in words, JSON for programs, and the gate for a pipeline."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from smartops_chaos.cli.options import RESULTS, JsonOption, ResultsOption, arm_of, campaign_path
from smartops_chaos.errors import MISSED, UsageError

if TYPE_CHECKING:
    from smartops_chaos.analysis.regression import ArmChange, Regression, Slowdown

Require = Literal["not-slower", "non-inferior"]


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A campaign, or a bare trials table.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="As OLD.")],
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if an arm is shown to be slower than allowed.")
    ] = False,
    max_slowdown: Annotated[str, typer.Option(help="What is allowed, such as 10%.")] = "10%",
    require: Annotated[
        Require, typer.Option(help="What --check asks for; non-inferior: more than the allowed is ruled out.")
    ] = "not-slower",
    baseline: Annotated[str, typer.Option(help="For bare trials tables: model=off,policy=default.")] = "",
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Which arm and scenario became slower or faster, each campaign relative to its own baseline."""
    from dataclasses import asdict

    from smartops_chaos import api
    from smartops_chaos.schema.units import UnitError, parse_fraction

    try:
        limit = parse_fraction(max_slowdown)
    except UnitError as error:
        raise UsageError(f"--max-slowdown {max_slowdown}: {error}") from None
    arm = arm_of(baseline) if baseline else None
    before, now = (campaign_path(path, results) for path in (old, new))
    found = api.compare(
        api.load(before, baseline=arm),
        api.load(now, baseline=arm),
        max_slowdown=limit,
        nights=api.nights_before(now),
    )
    passed, lines = verdict(found, non_inferior=require == "non-inferior")
    if as_json:
        print(json.dumps({**asdict(found), "check": {"require": require, "passed": passed, "why": lines}}))
    else:
        print("\n".join(told(found)))
    if check:
        print("\n".join(lines), file=sys.stderr)
        if not passed:
            raise typer.Exit(MISSED)


def verdict(found: Regression, *, non_inferior: bool) -> tuple[bool, list[str]]:
    """Whether a gate passes, and for each arm why; with `non_inferior` what is not ruled out fails too.

    It fails when nothing can be said of an arm, or when no arm is in both campaigns: silence is no consent. Nor does
    what is simulated pass.
    """
    lines, passed = _simulated(found), bool(found.arms) and not found.simulated
    if not found.arms:
        lines.append(f"FAIL no arm is in both {found.old} and {found.new}")
    for arm in found.arms:
        ok = arm.gate == "kept" or (arm.gate == "open" and not non_inferior)
        passed &= ok
        if arm.why:
            lines.append(f"FAIL {arm.arm}: undecidable: {arm.why}")
            continue
        estimate = "not known" if arm.slowdown.estimate is None else f"{100 * arm.slowdown.estimate:+.1f} %"
        p = arm.p_kept if non_inferior else arm.p_exceeded
        asked = "more is ruled out" if non_inferior else "more is shown"
        lines.append(
            f"{'ok  ' if ok else 'FAIL'} {arm.arm}: time to recover {estimate}, {100 * found.limit:g} % slower is "
            f"allowed; {asked}: {'yes' if (arm.gate == ('kept' if non_inferior else 'exceeded')) else 'no'} "
            f"(p = {p:.3g} after Holm over {sum(not a.why for a in found.arms)}; {_of_nights(arm)})"
        )
    return passed, lines


def told(found: Regression) -> list[str]:
    """The comparison as lines of text."""
    level = f"{100 * (1 - 2 * found.alpha):g} %"
    lines = [
        *_simulated(found),
        f"{found.new} against {found.old}: mean time to recover, each relative to its own baseline",
        "",
        f"{'':34}{'OLD':>8}{'NEW':>8}{'change':>10}  {level + ' interval':<24}says",
    ]
    for arm in found.arms:
        relative = "".join(f"{'-' if r is None else f'{r:.2f}':>8}" for r in (arm.old_relative, arm.new_relative))
        lines.append(f"{arm.arm!s:34}{relative}{_change(arm.slowdown)}{says(arm, found.limit)}")
        lines += [f"  {name:48}{_change(change)}" for name, change in arm.by_scenario.items()]
    if not found.arms:
        lines.append("no arm is in both campaigns, so nothing can be compared")
    if found.not_compared:
        lines += ["", "not compared:", *(f"  {what}: {why}" for what, why in found.not_compared.items())]
    told = dict.fromkeys((*found.cautions, *(line for arm in found.arms for line in arm.mind)))
    if told:
        lines += ["", "mind:", *(f"  {line}" for line in told)]
    return lines


def _simulated(found: Regression) -> list[str]:
    return [f"SIMULATED: nothing was measured in {' and '.join(found.simulated)}"] if found.simulated else []


def says(arm: ArmChange, limit: float) -> str:
    if arm.why:
        return f"undecidable: {arm.why}"
    gate = {
        "exceeded": f"more than {limit:.0%} slower is shown",
        "kept": f"more than {limit:.0%} slower is ruled out",
        "open": f"more than {limit:.0%} slower is neither shown nor ruled out",
    }
    return f"{arm.direction}; {gate[arm.gate]} ({_of_nights(arm)})"


def _of_nights(arm: ArmChange) -> str:
    """What the gate knows of how much nights differ."""
    if not arm.nights or arm.night_spread is None:
        return "of these two nights"
    return f"with what {arm.nights} nights before differ by, {math.expm1(arm.night_spread):.0%}"


def _change(change: Slowdown) -> str:
    estimate = "-" if change.estimate is None else f"{change.estimate:+.0%}"
    if change.lo is None and change.hi is None:
        return f"{estimate:>10}  {'no interval':<24}"
    low = "no lower end" if change.lo is None else f"{change.lo:+.0%}"
    high = "no upper end" if change.hi is None else f"{change.hi:+.0%}"
    return f"{estimate:>10}  {f'{low} to {high}':<24}"
