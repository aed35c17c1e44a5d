"""The kinds of target by name. Another kind is another line in each of the two functions."""

from __future__ import annotations

from typing import Any

from smartops_chaos.errors import UsageError
from smartops_chaos.targets.base import Lane, LaneAddress, Target
from smartops_chaos.targets.lab import LabLane, LabTarget


def target(options: dict[str, Any], lanes: int | None = None) -> Target:
    """The target of a plan; `lanes` replaces the matrix's number."""
    if options["kind"] == "lab":
        return LabTarget(lanes or options["lanes"], options["replicas"])
    raise UsageError(f"target kind {options['kind']} is not built in")


def connect(options: dict[str, Any], address: LaneAddress) -> Lane:
    """A lane by its address. Raises LaneLost where its first use finds it gone."""
    if options["kind"] == "lab":
        return LabLane(address, options["replicas"])
    raise UsageError(f"target kind {options['kind']} is not built in")
