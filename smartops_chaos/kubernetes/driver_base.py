"""What a driver is: a module whose functions experiments name, and with these five that the rest of the wing calls.

A driver is registered by one line in `drivers.DRIVERS`, and by a module in `smartops_chaos/faults` with the names that
its experiments use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes.cluster import GROUPS, Cluster, ClusterError
from smartops_chaos.kubernetes.controller import KINDS, kind_of
from smartops_chaos.kubernetes.victims import Mark, Victim
from smartops_chaos.model import FaultPart
from smartops_chaos.schema import names as names_of

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Right:
    """What one rule of a Role allows. `resource` may have a subresource, as pods/log; without names it is for all."""

    namespace: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()
    of_group: str = ""  # of a resource that is not one of ours
    optional: bool = False  # without it less is told, and nothing fails

    @property
    def group(self) -> str:
        return self.of_group or GROUPS.get(self.resource, "")


def on_controllers(namespace: str, verbs: tuple[str, ...], why: str, names: tuple[str, ...]) -> list[Right]:
    """A right on controllers, by the names that files give them: each of its own kind."""
    by_kind: dict[str, list[str]] = {}
    for name in names:
        by_kind.setdefault(kind_of(name).plural, []).append(names_of.split_controller(name)[1])
    return [Right(namespace, plural, verbs, why, tuple(listed)) for plural, listed in by_kind.items()]


def on_kinds(namespace: str, verbs: tuple[str, ...], why: str, kinds: Iterable[str]) -> list[Right]:
    """A right on all controllers of some kinds."""
    return [Right(namespace, KINDS[kind].plural, verbs, why) for kind in kinds]


class Driver(Protocol):
    FAULTS: tuple[str, ...]  # `fault` of its marks

    def rights(self, func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
        """What a function of the driver needs that attacks this controller for this fault."""

    def problems(self, cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
        """(why a fault could not be injected there, how to mend it). Injects nothing. Raises ClusterError."""

    def abilities(self, cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
        """Which of its faults work there, for a person to read. Raises ClusterError, ActivityFailed."""

    def in_force(self, cluster: Cluster, mark: Mark) -> bool:
        """Whether the fault of this mark still acts. Raises ClusterError when that cannot be told."""

    def end(self, cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
        """End a fault wherever its marks are, from any process. Safe to repeat. Raises ClusterError.

        The answer is what `drivers.facts` reads: whether the fault was `in_force` until now, its measured `effect`, and
        else what was `gone`: pod, container or process, or that it was scaled.
        """


def as_activity_failure(func: Callable[P, R]) -> Callable[P, R]:
    """Turn ClusterError into Chaos Toolkit's ActivityFailed, so that the journal has the message and no traceback."""

    @functools.wraps(func)
    def activity(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        except ClusterError as error:
            raise ActivityFailed(str(error)) from error

    return activity
