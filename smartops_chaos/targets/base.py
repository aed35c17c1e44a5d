"""The two interfaces of a target: what opens lanes (in the runner) and what a trial does with one (in its child)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from smartops_chaos.clock import Clock
from smartops_chaos.model import Call, ClockOffset, FaultFact, LogLine, PlatformEvent, Series, Span, Variant
from smartops_chaos.schema.healerfile import LokiLogs
from smartops_chaos.telemetry.alerts import Alerts
from smartops_chaos.telemetry.loki import Found

When = Literal["start", "end"]
Tell = Callable[[str], None]  # a line for the person who waits


def silent(_: str) -> None:
    """Nobody waits."""


@dataclass(frozen=True, slots=True)
class LaneAddress:
    """How another process reaches a lane: enough to act on it, and to undo."""

    kind: str
    name: str
    environment: dict[str, str]  # what an experiment's `configuration` reads


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """How busy the replicas of a service were over the last seconds, as they tell it themselves.

    Means over all orders (one request's work) and replicas. Two trials whose loads differ were not measured under the
    same conditions.
    """

    service_ms: float  # for how long an order has its replica
    spread_ms: float  # standard deviation of that
    work_ms: float  # how much of it is real work: what a slower machine makes longer, also where the rest hides it
    utilisation: float  # share of the time for which a replica is busy; from 1 on a backlog grows


class LaneLost(RuntimeError):
    """The lane is gone or does not answer: the trial cannot be measured."""


class LaneEnded(LaneLost):
    """The lane is gone for good, and everything in it."""


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

    def watch(self, folder: Path, clock: Clock) -> None:
        """Begin to record in `folder` what happens to the target, where it does not keep that itself."""

    def unwatch(self) -> None:
        """End the recording; called when it has been read."""

    def load(self) -> LaneLoad | None:
        """How busy the service was in the last seconds; None where the target cannot tell, or nothing was asked."""
        return None

    def repairable(self) -> tuple[str, ...]:
        """What the trial itself may act on in the healer's place: "<namespace>/<deployment>", the service first."""
        return ()

    def repair(self, target: str, replicas: int | None) -> None:  # noqa: ARG002
        """Begin to replace every pod of it, or to have so many of them; as a healer does, and the reset undoes it."""
        return

    def faults(self, ids: Sequence[str], calls: Sequence[Call]) -> tuple[FaultFact, ...]:
        """What became of each part of the fault; none for a part that this target does not know."""

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]: ...

    def lost(self, since_ns: int) -> tuple[str, ...]:  # noqa: ARG002
        """What of the target's own account could not be read."""
        return ()

    def logs(self, since_ns: int) -> tuple[LogLine, ...]: ...

    def series(self, names: Sequence[str], start_ns: int, end_ns: int) -> tuple[tuple[Series, ...], float]:
        """Raw samples and the longest scrape in seconds; raises telemetry errors as RuntimeError."""

    def alerts(self, names: Sequence[str], start_ns: int, end_ns: int) -> Alerts:  # noqa: ARG002
        """Evaluations of the named alerts, on Prometheus' clock; raises telemetry errors as RuntimeError."""
        return Alerts((), ())

    def stored_logs(self, logs: LokiLogs, start_ns: int, end_ns: int) -> Found | None:  # noqa: ARG002
        """What Loki has, with stamps of the node's clock; None where there is no Loki. Raises as `alerts`."""
        return None

    def traces(self, ids: Sequence[str]) -> tuple[Span, ...] | None:  # noqa: ARG002
        """Spans of these traces, on the node's clock; None where there is no store of them. Raises as `alerts`."""
        return None

    def clocks(self, when: When, clock: Clock) -> tuple[ClockOffset, ...]:
        """Offset bounds of every source that can be asked."""


class Target(Protocol):
    """Opens lanes, keeps them alive, and closes them, however the campaign ended."""

    def check(self) -> list[tuple[str, str]]:
        """Preflight: (what is missing, how to mend it)."""

    def clear(self, directory: Path) -> None:
        """End what an earlier runner may have left running in `directory`; called before its trials are undone."""

    def open(self, directory: Path, say: Tell = silent) -> Sequence[LaneAddress]:
        """Start every lane, clearing away what an earlier campaign left in `directory`; tell `say` what takes long.

        There may be fewer lanes than were asked for, if the reason has been said.
        """

    def revive(self, lane: LaneAddress) -> LaneAddress:
        """The same lane, started again if it has died."""

    def close(self) -> None:
        """End every lane; idempotent. Raises RevertFailed."""

    def restore(self, directory: Path) -> list[str]:
        """Put back what a dead runner has left changed, with `directory` alone; notes on it. Raises RevertFailed."""


class Kind(Protocol):
    """What `kind: package.module:Class` in a matrix names: the class of a Target, made from the matrix's `target`."""

    def __call__(self, options: dict[str, Any], lanes: int) -> Target: ...

    def connect(self, options: dict[str, Any], address: LaneAddress) -> Lane:
        """A lane by its address, in the process of a trial; a static method."""
