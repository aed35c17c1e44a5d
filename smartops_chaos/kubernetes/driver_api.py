"""Faults by what the API server itself does to objects: a pod deleted, a controller scaled to zero."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, Gone, connect
from smartops_chaos.kubernetes.container import each_within
from smartops_chaos.kubernetes.controller import Controller, is_ready
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure, on_controllers
from smartops_chaos.kubernetes.victims import Mark, Victim
from smartops_chaos.model import FaultPart

KILL, SCALE = "pod-kill", "scale-to-zero"
FAULTS: tuple[str, ...] = (KILL, SCALE)


@as_activity_failure
def pod_kill(
    namespace: str, context: str, deployment: str, fault_id: str, seed: int, pods: str = "one"
) -> dict[str, Any]:
    """Delete one ready pod (or all) with no grace: SIGKILL, as when its node is lost. Through chaosk8s.

    The pod is looked at again right before, since a healer may have replaced it meanwhile. Who was killed stands on the
    controller until the revert, for the probe: the pods themselves cannot be asked any more.
    """
    from chaosk8s.pod.actions import terminate_pods

    cluster = connect(context)
    kind = Controller.read(cluster, namespace, deployment).kind
    chosen = victims.choose(cluster, namespace, deployment, seed, pods)
    killed = {victim.container.pod: victim.uid for victim in chosen}
    victims.mark(cluster, namespace, kind.plural, deployment, fault_id, {"fault": KILL, "pods": killed})
    for victim in chosen:
        name = victim.container.pod
        if victims.pod(cluster, namespace, name, victim.uid) is None:
            raise ActivityFailed(f"pod {name} was replaced before it could be killed")
        secrets = {"KUBERNETES_CONTEXT": context} if context else None
        # chaosk8s chooses by itself among what matches, so only one may match. It calls a kill of nothing a success.
        gone = terminate_pods(name_pattern=f"^{re.escape(name)}$", ns=namespace, grace_period=0, qty=1, secrets=secrets)
        if gone != [name]:
            raise ActivityFailed(f"pod {name} was not killed: chaosk8s deleted {gone or 'nothing'}")
    return {"fault": KILL, "momentary": True, "objects": [victim.object for victim in chosen]}


@as_activity_failure
def pod_gone(namespace: str, context: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether every pod that was killed is gone from the API server."""
    cluster = connect(context)
    found = victims.marks(cluster, namespace, fault_id)

    def gone(pod: tuple[str, str]) -> bool:
        return victims.pod(cluster, namespace, *pod) is None

    return bool(found) and each_within(within_s, found[0].detail["pods"].items(), gone)


@as_activity_failure
def unmark_kill(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """A killed pod is replaced by its controller: there is nothing to put back, and only the mark goes."""
    return end(connect(context), namespace, fault_id)


@as_activity_failure
def scale_to_zero(namespace: str, context: str, deployment: str, fault_id: str) -> dict[str, Any]:
    """No replica any more. The former number stays on the controller, written by the same patch."""
    cluster = connect(context)

    def once() -> dict[str, Any]:
        found = Controller.read(cluster, namespace, deployment)
        if found.replicas == 0:
            raise ActivityFailed(f"{found.kind.name} {namespace}/{deployment} has no replicas already")
        hit = [victims.victim(namespace, deployment, one) for one in victims.pods_of(cluster, namespace, deployment)]
        plural, detail = found.kind.plural, {"fault": SCALE, "replicas": found.replicas}
        change = {"version": found.version, "spec": {"replicas": 0}}
        victims.mark(cluster, namespace, plural, deployment, fault_id, detail, **change)
        return {**detail, "momentary": False, "objects": [one.object for one in hit]}

    return cluster.amend(f"{namespace}/{deployment}", once)


@as_activity_failure
def scaled(namespace: str, context: str, deployment: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether no pod of the controller is ready any more."""
    cluster = connect(context)
    if not victims.marks(cluster, namespace, fault_id):
        return False

    def empty(name: str) -> bool:
        return not any(map(is_ready, victims.pods_of(cluster, namespace, name)))

    return each_within(within_s, [deployment], empty)


@as_activity_failure
def scale_back(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """Put the former number back, unless somebody has scaled the controller up since. Safe to repeat."""
    return end(connect(context), namespace, fault_id)


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    del part
    if func == "pod_kill":
        marking = on_controllers(namespace, ("patch",), f"{why}: to mark it", (controller,))
        return [Right(namespace, "pods", ("delete",), why), *marking]
    return on_controllers(namespace, ("patch",), why, (controller,)) if func == "scale_to_zero" else []


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    del cluster, victim, part
    if os.pathsep in os.environ.get("KUBECONFIG", ""):
        yield "chaosk8s reads one kubeconfig only, and KUBECONFIG lists several", "export KUBECONFIG with one file"


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    del cluster, namespace, controller
    return faults


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """Whether the controller still has no replica; a kill is over at once."""
    return mark.detail["fault"] == SCALE and Controller.read(cluster, mark.namespace, mark.name).replicas == 0


def end(cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
    def once() -> dict[str, Any]:
        answer: dict[str, Any] = {"in_force": False}
        for mark in victims.marks(cluster, namespace, fault_id):
            if mark.detail["fault"] == KILL:
                victims.unmark(cluster, mark)
                continue
            try:
                now = Controller.read(cluster, namespace, mark.name)
            except Gone:
                continue
            zero, before = now.replicas == 0, int(mark.detail["replicas"])
            spec = {"spec": {"replicas": before}} if zero else {}
            victims.unmark(cluster, mark, version=now.version, **spec)
            effect = f"no replicas instead of {before}"
            answer = {"in_force": zero, "effect": effect, "gone": "" if zero else "scaled"}
        return answer

    return cluster.amend(f"{namespace}: what {fault_id} has scaled", once)
