"""Whether what was measured is worth a verdict at all: a machine too busy to measure, a calibration that is off.

A reduction that is proven, or a target that is missed, is a statement about the healer only if the instrument tells the
truth. Where it does not, the numbers are still shown and no verdict is given: `undecidable`, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.summary import Comparison, Verdict
from smartops_chaos.model import Arm, Finding
from smartops_chaos.timeline.calibration import Calibration

AGAIN = "run it again on a quiet machine, or with fewer lanes"

Told = TypeVar("Told", Comparison, Verdict)


def noticed(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Sentences for page 1 about what else ran when the campaign was started, each with what mends it."""
    found = {finding.what: finding for finding in findings}
    return tuple(f"When this campaign was started, {what}: {finding.hint}." for what, finding in found.items())


def doubts(calibration: Sequence[Calibration]) -> tuple[str, ...]:
    """Sentences for page 1 about each calibration that is off."""
    off = [c.off[0].upper() + c.off[1:] for c in calibration if c.off]
    return tuple(f"{why}. No verdict that rests on this scenario is given: {AGAIN}." for why in off)


def hold_back(
    told: Sequence[Told], cells: Iterable[Cell], calibration: Sequence[Calibration], disturbed: str
) -> tuple[Told, ...]:
    """The verdicts, undecidable for each arm of which a scenario was not measured truly; the numbers stay."""
    off = {(c.chaos, c.workload): c.off for c in calibration if c.off}
    reasons: dict[Arm, str] = {}
    for cell in cells:
        if why := disturbed or off.get((cell.chaos, cell.workload), ""):
            reasons.setdefault(cell.arm, f"no verdict: {why}")
    return tuple(
        replace(one, verdict="undecidable", why=reasons[one.arm]) if one.arm in reasons else one for one in told
    )
