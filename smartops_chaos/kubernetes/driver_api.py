"""Faults by what the API server itself does to objects: a pod deleted, a controller scaled to zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, connect, path
from smartops_chaos.kubernetes.container import each_within
from smartops_chaos.kubernetes.controller import DEPLOYMENT, KINDS, Controller, is_ready, kind_of
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure, on_controllers
from smartops_chaos.kubernetes.victims import Mark, Victim
from smartops_chaos.model import FaultPart

KILL, SCALE = "pod-kill", "scale-to-zero"
FAULTS: tuple[str, ...] = (KILL, SCALE)


@as_activity_failure
def pod_kill(
    namespace: str, context: str, deployment: str, fault_id: str, seed: int, pods: str = "one"
) -> dict[str, Any]:
    """Delete one ready pod (or all) with no grace: SIGKILL, as when its node is lost.

    With the UID of the one that was chosen, since a healer may have replaced it meanwhile. Who was killed stands on the
    controller until the revert, for the probe: the pods themselves cannot be asked any more.
    """
    cluster = connect(context)
    found = Controller.read(cluster, namespace, deployment)
    chosen = victims.choose(cluster, namespace, deployment, seed, pods)
    killed = {victim.container.pod: victim.uid for victim in chosen}
    victims.mark(cluster, namespace, found.kind.plural, found.plain, fault_id, {"fault": KILL, "pods": killed})
    for victim in chosen:
        order = {"gracePeriodSeconds": 0, "preconditions": {"uid": victim.uid}}
        try:
            cluster.request("DELETE", path(namespace, "pods", victim.container.pod), body=order)
        except ClusterError as error:
            if isinstance(error, Gone) or error.status == 409:
                raise ActivityFailed(f"pod {victim.container.pod} was replaced before it could be killed") from error
            raise
    return {"fault": KILL, "momentary": True, "objects": [victim.object for victim in chosen]}


@as_activity_failure
def pod_gone(namespace: str, context: str, fault_id: str, within_s: float = 10.0, deployment: str = "") -> bool:
    """Whether every pod that was killed is gone from the API server."""
    cluster = connect(context)
    found = victims.marks(cluster, namespace, _where(deployment), fault_id)

    def gone(pod: tuple[str, str]) -> bool:
        return victims.pod(cluster, namespace, *pod) is None

    return bool(found) and each_within(within_s, found[0].told.pods.items(), gone)


@as_activity_failure
def unmark_kill(namespace: str, context: str, fault_id: str, deployment: str = "") -> dict[str, Any]:
    """A killed pod is replaced by its controller: there is nothing to put back, and only the mark goes."""
    return end(connect(context), namespace, fault_id, deployment)


@as_activity_failure
def scale_to_zero(namespace: str, context: str, deployment: str, fault_id: str) -> dict[str, Any]:
    """No replica any more. The former number stays on the controller, written by the same patch."""
    cluster = connect(context)
    if not kind_of(deployment).sized:
        raise ActivityFailed(f"a {kind_of(deployment).name} has no number of replicas: it has a pod on each node")
    hit: list[Victim] = []
    before: list[int] = []

    def once() -> dict[str, Any]:
        found = Controller.read(cluster, namespace, deployment)
        told = {"momentary": False, "fault": SCALE}
        if before and found.replicas == 0 and victims.is_marked(found.found, fault_id):
            # Our own patch, whose answer was lost.
            return {**told, "replicas": before[-1], "objects": [one.object for one in hit]}
        if found.replicas == 0:
            raise ActivityFailed(f"{found.kind.name} {namespace}/{found.plain} has no replicas already")
        pods = victims.pods_of_controller(cluster, namespace, found)
        hit[:] = [victims.victim(namespace, found, one) for one in pods]
        before.append(found.replicas)
        detail = {"fault": SCALE, "replicas": found.replicas}
        change = {"version": found.version, "spec": {"replicas": 0}}
        victims.mark(cluster, namespace, found.kind.plural, found.plain, fault_id, detail, **change)
        return {**told, **detail, "objects": [one.object for one in hit]}

    return cluster.amend(f"{namespace}/{deployment}", once)


@as_activity_failure
def scaled(namespace: str, context: str, deployment: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether no pod of the controller is ready any more."""
    cluster = connect(context)
    if not victims.marks(cluster, namespace, _where(deployment), fault_id):
        return False

    def empty(name: str) -> bool:
        return not any(map(is_ready, victims.pods_of(cluster, namespace, name)))

    return each_within(within_s, [deployment], empty)


@as_activity_failure
def scale_back(namespace: str, context: str, fault_id: str, deployment: str = "") -> dict[str, Any]:
    """Put the former number back, unless somebody has scaled the controller up since. Safe to repeat."""
    return end(connect(context), namespace, fault_id, deployment)


def _where(deployment: str) -> tuple[str, ...]:
    """The collection that has the marks of a fault; experiments of earlier versions do not name the controller."""
    return (kind_of(deployment).plural,) if deployment else (DEPLOYMENT.plural,)


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    del part
    if func == "pod_kill":
        marking = on_controllers(namespace, ("patch",), f"{why}: to mark it", (controller,))
        return [Right(namespace, "pods", ("delete",), why), *marking]
    return on_controllers(namespace, ("patch",), why, (controller,)) if func == "scale_to_zero" else []


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    del cluster
    if part.fault == SCALE and not kind_of(victim.controller).sized:
        yield f"{victim.controller} has no number of replicas: it has a pod on each node", "attack another controller"


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    del cluster, namespace, controller
    return faults


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """Whether the controller still has no replica; a kill is over at once."""
    return mark.told.fault == SCALE and Controller.read(cluster, mark.namespace, _controller(mark)).replicas == 0


def end(cluster: Cluster, namespace: str, fault_id: str, deployment: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = {"in_force": False}

    def once() -> dict[str, Any]:
        for mark in victims.marks(cluster, namespace, _where(deployment), fault_id):
            if mark.told.fault == KILL:
                victims.unmark(cluster, mark)
                continue
            try:
                now = Controller.read(cluster, namespace, _controller(mark))
            except Gone:
                continue
            zero, before = now.replicas == 0, mark.told.replicas
            spec = {"spec": {"replicas": before}} if zero else {}
            effect = f"no replicas instead of {before}"
            # Noted before: should the answer of a patch that was applied be lost, the next round finds no mark.
            answer.update({"in_force": zero, "effect": effect, "gone": "" if zero else "scaled"})
            victims.unmark(cluster, mark, version=now.version, **spec)
        return answer

    return cluster.amend(f"{namespace}: what {fault_id} has scaled", once)


def _controller(mark: Mark) -> str:
    return f"{next(kind.name for kind in KINDS.values() if kind.plural == mark.collection)}/{mark.name}"
