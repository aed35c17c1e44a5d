"""Faults by what the API server itself does to objects: a pod deleted, a Deployment scaled to zero."""

from __future__ import annotations

import re
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Gone, connect
from smartops_chaos.kubernetes.container import each_within
from smartops_chaos.kubernetes.victims import Mark, in_words

SCALE = "scale-to-zero"
KILL = "pod-kill"


@in_words
def pod_kill(
    namespace: str, context: str, deployment: str, fault_id: str, seed: int, pods: str = "one"
) -> dict[str, Any]:
    """Delete one ready pod (or all) with no grace: SIGKILL, as when its node is lost. Through chaosk8s.

    The pod is looked at again right before, since a healer may have replaced it meanwhile. Who was killed stands on the
    Deployment until the revert, for the probe: the pods themselves cannot be asked any more.
    """
    from chaosk8s.pod.actions import terminate_pods

    cluster = connect(context)
    chosen = victims.choose(cluster, namespace, deployment, seed, pods)
    killed = {victim.container.pod: victim.uid for victim in chosen}
    victims.mark(cluster, namespace, "deployments", deployment, fault_id, {"fault": KILL, "pods": killed})
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


@in_words
def pod_gone(namespace: str, context: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether every pod that was killed is gone from the API server."""
    cluster = connect(context)
    found = victims.marks(cluster, namespace, "deployments", fault_id)

    def gone(pod: tuple[str, str]) -> bool:
        return victims.pod(cluster, namespace, *pod) is None

    return bool(found) and each_within(within_s, found[0].detail["pods"].items(), gone)


@in_words
def unmark_kill(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """A killed pod is replaced by its Deployment: there is nothing to put back, and only the mark goes."""
    cluster = connect(context)
    for one in victims.marks(cluster, namespace, "deployments", fault_id):
        victims.unmark(cluster, namespace, one)
    return {"in_force": False}


@in_words
def scale_to_zero(namespace: str, context: str, deployment: str, fault_id: str) -> dict[str, Any]:
    """No replica any more. The former number stays on the Deployment, written by the same patch."""
    cluster = connect(context)

    def once() -> dict[str, Any]:
        found = victims.deployment(cluster, namespace, deployment)
        replicas = int(found["spec"].get("replicas", 1))
        if replicas == 0:
            raise ActivityFailed(f"deployment {namespace}/{deployment} has no replicas already")
        hit = [victims.victim(namespace, deployment, one) for one in victims.pods_of(cluster, namespace, deployment)]
        version, detail = found["metadata"]["resourceVersion"], {"fault": SCALE, "replicas": replicas}
        spec = {"replicas": 0}
        victims.mark(cluster, namespace, "deployments", deployment, fault_id, detail, version=version, spec=spec)
        return {"fault": SCALE, "momentary": False, "objects": [one.object for one in hit], "replicas": replicas}

    return cluster.amend(f"deployment {namespace}/{deployment}", once)


@in_words
def scaled(namespace: str, context: str, deployment: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether no pod of the Deployment is ready any more."""
    cluster = connect(context)
    if not victims.marks(cluster, namespace, "deployments", fault_id):
        return False

    def empty(name: str) -> bool:
        return not any(map(victims.is_ready, victims.pods_of(cluster, namespace, name)))

    return each_within(within_s, [deployment], empty)


@in_words
def scale_back(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """Put the former number back, unless somebody has scaled the Deployment up since. Safe to repeat."""
    cluster = connect(context)

    def once() -> dict[str, Any]:
        found = victims.marks(cluster, namespace, "deployments", fault_id)
        if not found:
            return {"in_force": False}
        one = found[0]
        try:
            now = victims.deployment(cluster, namespace, one.name)
        except Gone:
            return {"in_force": False}
        zero = int(now["spec"].get("replicas", 1)) == 0
        spec = {"spec": {"replicas": int(one.detail["replicas"])}} if zero else {}
        victims.unmark(cluster, namespace, one, version=now["metadata"]["resourceVersion"], **spec)
        effect = f"no replicas instead of {one.detail['replicas']}"
        return {"in_force": zero, "effect": effect, "gone": "" if zero else "scaled"}

    return cluster.amend(f"{namespace}: the Deployment of {fault_id}", once)


def in_force(namespace: str, context: str, one: Mark) -> bool:
    """Whether the Deployment still has no replica; a kill is over at once."""
    if one.detail["fault"] == KILL:
        return False
    return int(victims.deployment(connect(context), namespace, one.name)["spec"].get("replicas", 1)) == 0
