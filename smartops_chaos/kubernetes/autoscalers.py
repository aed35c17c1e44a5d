"""What else sets sizes in a namespace, or limits what may happen in it: autoscalers, disruption budgets, quotas.

A size that an autoscaler sets is not ours to reset or to insist on, and its changes are not the healer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Json, path
from smartops_chaos.schema import names

AUTOSCALED = "SMARTOPS_AUTOSCALED"  # environment variable of a lane: controllers whose size an autoscaler sets
# Collections of autoscalers, each with the kind as people call it.
_AUTOSCALERS = {"horizontalpodautoscalers": "HorizontalPodAutoscaler", "scaledobjects": "ScaledObject of KEDA"}


COLLECTIONS = (*_AUTOSCALERS, "poddisruptionbudgets", "resourcequotas")


@dataclass(frozen=True, slots=True)
class Limits:
    """What was found in a namespace."""

    scaled: Mapping[str, str] = field(default_factory=dict)  # controller -> its autoscaler
    budgets: tuple[Json, ...] = ()  # PodDisruptionBudgets
    quotas: tuple[str, ...] = ()  # names of ResourceQuotas
    unseen: tuple[str, ...] = ()  # collections that may not be listed


def found(cluster: Cluster, namespace: str) -> Limits:
    """What may not be listed, or is not known on this cluster, is left out. Raises ClusterError without an answer."""
    scaled: dict[str, str] = {}
    unseen: list[str] = []

    def listed(collection: str) -> list[Json]:
        try:
            return cluster.items(path(namespace, collection))
        except ClusterError as error:
            if error.status == 403:
                unseen.append(collection)
            elif error.status != 404:
                raise
            return []

    for collection, word in _AUTOSCALERS.items():
        for one in listed(collection):
            if target := _target(one):
                scaled.setdefault(target, f"{word} {one['metadata']['name']}")
    budgets = tuple(listed("poddisruptionbudgets"))
    quotas = tuple(str(one["metadata"]["name"]) for one in listed("resourcequotas"))
    return Limits(scaled, budgets, quotas, tuple(unseen))


def notes(limits: Limits, namespace: str, attacked: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """What a person should know about the controllers under attack, each with the labels of its pods."""
    for name, word in limits.scaled.items():
        told = "which is attacked" if name in attacked else "a part of the system"
        yield (
            f"{namespace}: {word} sets the size of {name}, {told}: it is not reset, and what the autoscaler does "
            "counts as the platform's, not the healer's"
        )
    for budget in limits.budgets:
        wanted = (budget.get("spec", {}).get("selector") or {}).get("matchLabels") or {}
        hit = [name for name, labels in attacked.items() if wanted and wanted.items() <= labels.items()]
        if hit:
            yield (
                f"{namespace}: PodDisruptionBudget {budget['metadata']['name']} is about pods of {', '.join(hit)}: it "
                "limits what a healer or an operator may evict, and no fault of ours"
            )
    if limits.quotas:
        yield f"{namespace}: ResourceQuota {', '.join(limits.quotas)} may keep a healer from scaling up"
    if limits.unseen:
        yield f"{namespace}: {', '.join(limits.unseen)} may not be listed, so whether there are any is not known"


def _target(one: Json) -> str:
    """The controller that an autoscaler scales, as files name it; empty for anything else."""
    target = (one.get("spec") or {}).get("scaleTargetRef") or {}
    with suppress(ValueError, AttributeError):
        return names.controller(f"{str(target.get('kind') or 'Deployment').lower()}/{target.get('name')}")
    return ""
