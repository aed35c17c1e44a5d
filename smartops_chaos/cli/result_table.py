"""The answer of a campaign for a terminal: a row for each arm, what makes it weak, and the command that comes next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from smartops_chaos.analysis.summary import ArmSummary, Summary, Verdict
from smartops_chaos.analysis.words import NONE, k_of_n, percent, percent_range, seconds, target_value, with_range
from smartops_chaos.cli.terminal import ASIDE, COLOURS
from smartops_chaos.model import Goal

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_MOST_ARMS = 12  # the report has them all
_HEADS: dict[Goal, str] = {"mttr_reduction": "MTTR reduction", "auto_heal": "auto-heal", "sla": "availability"}
_COMMAND = re.compile(r"`(smartops-chaos [^`]+)`")
_PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b")


def result_table(summary: Summary) -> Table:
    """The arm with the largest reduction first, the baseline last; beneath each number its verdict."""
    from rich.table import Table

    wanted = {v.target: v.wanted for v in summary.verdicts}
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style=ASIDE)
    table.add_column("arm", overflow="fold")
    table.add_column("MTTR", justify="right", no_wrap=True)
    for goal, head in _HEADS.items():
        aim = f"\nat least {percent(wanted[goal])}" if goal in wanted else ""
        table.add_column(head + aim, overflow="fold")
    arms = _sorted(summary)
    for arm in arms[:_MOST_ARMS]:
        cells = (_cell(summary, arm, goal) for goal in _HEADS)
        table.add_row(str(arm.arm), seconds(arm.mttr.rmst_s), *cells)
    return table


def left_over(summary: Summary) -> int:
    """Arms that the table has no place for."""
    return max(0, len(summary.arms) - _MOST_ARMS)


def verdicts_in_a_line(summary: Summary) -> Iterable[Text]:
    """Such as "zscore: MTTR reduction 84 % proven, healed 100 % proven": a line for each judged arm."""
    from rich.text import Text

    for arm in _sorted(summary)[:_MOST_ARMS]:
        if not (mine := _verdicts(summary, arm)):
            continue
        line = Text(f"{arm.arm}: ")
        for at, (goal, verdict) in enumerate(mine.items()):
            line.append(f"{', ' if at else ''}{_HEADS[goal]} {target_value(verdict.value, goal)} ")
            line.append(verdict.verdict, COLOURS[verdict.verdict])
        yield line


def next_command(summary: Summary) -> str:
    """The first command in the warnings that runs as it stands; "" if there is none."""
    found = (text for warning in summary.warnings for text in _COMMAND.findall(warning))
    return next((text for text in found if not _PLACEHOLDER.search(text)), "")


def _sorted(summary: Summary) -> list[ArmSummary]:
    def place(arm: ArmSummary) -> tuple[bool, float]:
        comparison = summary.deciding(arm.arm)
        value = comparison.mttr_reduction.estimate if comparison else None
        return arm.baseline, float("inf") if value is None else -value

    return sorted(summary.arms, key=place)


def _verdicts(summary: Summary, arm: ArmSummary) -> dict[Goal, Verdict]:
    return {v.target: v for v in summary.verdicts if v.arm == arm.arm}


def _cell(summary: Summary, arm: ArmSummary, goal: Goal) -> Text:
    from rich.text import Text

    cell = Text(_value(summary, arm, goal))
    if verdict := _verdicts(summary, arm).get(goal):
        cell.append(f"\n{verdict.verdict}", COLOURS[verdict.verdict])
    return cell


def _value(summary: Summary, arm: ArmSummary, goal: Goal) -> str:
    if goal == "auto_heal":
        return k_of_n(arm.auto_heal.successes, arm.auto_heal.n)
    if goal == "sla":
        return target_value(arm.sla.availability, goal)
    if arm.baseline:
        return "the baseline"
    comparison = summary.deciding(arm.arm)
    if comparison is None:
        return NONE
    found = comparison.mttr_reduction
    return with_range(percent(found.estimate), percent_range(found.lo, found.hi))
