"""The two interfaces of a target: what opens lanes (in the runner) and what a trial does with one (in its child)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from smartops_chaos.clock import Clock
from smartops_chaos.model import ClockOffset, FaultFact, LogLine, PlatformEvent, Series, Variant

When = Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class LaneAddress:
    """How another process reaches a lane: enough to act on it, and to undo."""

    kind: str
    name: str
    environment: dict[str, str]  # what an experiment's `configuration` reads


class LaneLost(RuntimeError):
    """The lane is gone or does not answer: the trial cannot be measured."""


class Lane(Protocol):
    """One isolated copy of the target, as a trial's child sees it. Every method raises LaneLost when it is gone."""

    address: LaneAddress

    def apply(self, model: Variant, policy: Variant) -> None:
        """Set the arm on the healer."""

    def reset(self) -> None:
        """Put back all that carries over from one trial to the next; returns when the target is ready."""

    def armed(self) -> bool:
        """Whether the healer can detect by now; true where there is no healer."""

    def leaks(self) -> list[str]:
        """IDs of faults in force."""

    def faults(self, ids: Sequence[str]) -> tuple[FaultFact, ...]:
        """What became of each part of the fault."""

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]: ...

    def logs(self, since_ns: int) -> tuple[LogLine, ...]: ...

    def series(self, names: Sequence[str], start_ns: int, end_ns: int) -> tuple[tuple[Series, ...], float]:
        """Raw samples and the longest scrape in seconds; raises telemetry errors as RuntimeError."""

    def clocks(self, when: When, clock: Clock) -> tuple[ClockOffset, ...]:
        """Offset bounds of every source that can be asked."""


class Target(Protocol):
    """Opens lanes, keeps them alive, and closes them, however the campaign ended."""

    def check(self) -> list[tuple[str, str]]:
        """Preflight: (what is missing, how to mend it)."""

    def open(self, directory: Path) -> Sequence[LaneAddress]:
        """Start every lane, clearing away what an earlier campaign left in `directory`."""

    def revive(self, lane: LaneAddress) -> LaneAddress:
        """The same lane, started again if it has died."""

    def close(self) -> None:
        """End every lane; idempotent."""
