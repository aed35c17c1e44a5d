"""`compare OLD NEW`: a table in words, JSON for programs, and the gate for a pipeline."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import RESULTS, JsonOption, ResultsOption, arm_of, campaign_path
from smartops_chaos.cli.terminal import ASIDE, BAD, Terminal
from smartops_chaos.errors import MISSED, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from smartops_chaos.analysis.regression import ArmChange, Regression, Slowdown

Require = Literal["not-slower", "non-inferior"]
_COLOURS = {"exceeded": BAD, "kept": "green", "open": ""}


def compare(
    old: Annotated[
        Path,
        typer.Argument(metavar="OLD", autocompletion=completion.campaigns, help="A campaign, or a bare trials table."),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", autocompletion=completion.campaigns, help="As OLD.")],
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if an arm is shown to be slower than allowed.")
    ] = False,
    max_slowdown: Annotated[str, typer.Option(help="What is allowed, such as 10%.")] = "10%",
    require: Annotated[
        Require, typer.Option(help="What --check asks for; non-inferior: more than the allowed is ruled out.")
    ] = "not-slower",
    baseline: Annotated[
        str, typer.Option(metavar="ARM", help="For bare trials tables: model=off,policy=default.")
    ] = "",
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Which arm and scenario became slower or faster, each campaign relative to its own baseline."""
    from dataclasses import asdict, replace

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
    found = replace(found, cautions=(*found.cautions, *_too_busy(before, now)))
    passed, lines = verdict(found, non_inferior=require == "non-inferior")
    if as_json:
        print(json.dumps({**asdict(found), "check": {"require": require, "passed": passed, "why": lines}}))
    else:
        tell(Terminal(), found)
    if check:
        print("\n".join(lines), file=sys.stderr)
        if not passed:
            raise typer.Exit(MISSED)


def _too_busy(*campaigns: Path) -> list[str]:
    """A campaign that gives no verdict of its own, since the machine was busy, may be compared: it is only said."""
    from smartops_chaos.store.campaign_folder import CampaignFolder
    from smartops_chaos.timeline.before import disturbed

    folders = [CampaignFolder(path) for path in campaigns if path.is_dir()]
    return [f"{store.name}: {why}" for store in folders if (why := disturbed(store.disturbances()))]


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


def tell(terminal: Terminal, found: Regression) -> None:
    """The comparison for people: what it is of, a row for each arm and its scenarios, what follows, what to mind."""
    for line in _simulated(found):
        terminal.say(line, BAD)
    terminal.say(
        f"NEW is {found.new}, OLD is {found.old}. Both columns: an arm's mean time to recover as a share of the "
        "baseline's in the same campaign. change: from OLD to NEW; what the baseline changed by too, beyond its own "
        "scatter, is the machine's and taken out."
    )
    if found.arms:
        terminal.say()
        terminal.table(_table(found))
        terminal.say()
    for arm in found.arms:
        terminal.say(f"{arm.arm}: {says(arm, found.limit)}", _COLOURS[arm.gate] if not arm.why else "")
    if not found.arms:
        terminal.say("no arm is in both campaigns, so nothing can be compared")
    minded = dict.fromkeys((*found.cautions, *(line for arm in found.arms for line in arm.mind)))
    notes = {"not compared:": [f"{what}: {why}" for what, why in found.not_compared.items()], "mind:": list(minded)}
    for title, lines in notes.items():
        for number, line in enumerate(lines):
            terminal.say(("" if number else f"\n{title}\n") + f"  {line}")


def _table(found: Regression) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=ASIDE)
    table.add_column("", overflow="fold")
    for head in ("OLD", "NEW", "change", f"{100 * (1 - 2 * found.alpha):g} % interval"):
        table.add_column(head, justify="right")
    for arm in found.arms:
        relative = ["–" if r is None else f"{r:.0%}" for r in (arm.old_relative, arm.new_relative)]
        table.add_row(str(arm.arm), *relative, *_change(arm.slowdown))
        for name, change in arm.by_scenario.items():
            table.add_row(f"  {name}", "", "", *_change(change))
    return table


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


def _signed(fraction: float) -> str:
    """No change is +0%, though sums of the same times may differ in their last digits."""
    return f"{round(fraction, 12) + 0.0:+.0%}"


def _change(change: Slowdown) -> tuple[str, str]:
    estimate = "–" if change.estimate is None else _signed(change.estimate)
    if change.lo is None and change.hi is None:
        return estimate, "no interval"
    low = "no lower end" if change.lo is None else _signed(change.lo)
    high = "no upper end" if change.hi is None else _signed(change.hi)
    return estimate, f"{low} to {high}"
