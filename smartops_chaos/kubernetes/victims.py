"""Which pods a fault hits, and the marks by which it is found again: the cluster itself is the ledger.

A marked object carries the label `smartops-chaos/fault` and one annotation per fault with all that a revert needs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, path
from smartops_chaos.kubernetes.container import Container

LABEL = "smartops-chaos/fault"
Kind = Literal["pods", "deployments"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Victim:
    """A ready pod of a Deployment, with the container that the fault is for."""

    deployment: str
    uid: str
    container: Container

    @property
    def object(self) -> str:
        """Its name in evidence."""
        return f"{self.deployment}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault's annotation on an object."""

    kind: Kind
    name: str
    fault_id: str
    detail: dict[str, Any]


def in_words(func: Callable[P, R]) -> Callable[P, R]:
    """What the cluster refuses is told as the activity's failure, without a traceback."""

    @functools.wraps(func)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        except ClusterError as error:
            raise ActivityFailed(str(error)) from error

    return told


def deployment(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.request("GET", path(namespace, "deployments", name))
    return found


def pods_of(cluster: Cluster, namespace: str, name: str) -> list[dict[str, Any]]:
    """The pods of a Deployment, by name, without those that are on their way out."""
    labels = deployment(cluster, namespace, name)["spec"]["selector"].get("matchLabels", {})
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    found = cluster.request("GET", path(namespace, "pods"), query={"labelSelector": selector})["items"]
    return sorted(
        (pod for pod in found if "deletionTimestamp" not in pod["metadata"]), key=lambda pod: pod["metadata"]["name"]
    )


def choose(
    cluster: Cluster, namespace: str, name: str, seed: int, pods: str = "one", container: str = ""
) -> list[Victim]:
    """One ready pod of the Deployment by the seed, or all of them. Raises ActivityFailed if there is none."""
    ready = [pod for pod in pods_of(cluster, namespace, name) if is_ready(pod)]
    if not ready:
        raise ActivityFailed(f"deployment {namespace}/{name} has no ready pod to choose from")
    chosen = ready if pods == "all" else [random.Random(int(seed)).choice(ready)]
    return [victim(namespace, name, pod, container) for pod in chosen]


def victim(namespace: str, name: str, pod: dict[str, Any], container: str = "") -> Victim:
    """The pod as a victim; without a container's name the one named like the Deployment, else the first."""
    names = [one["name"] for one in pod["spec"]["containers"]]
    if container and container not in names:
        raise ActivityFailed(f"pod {pod['metadata']['name']} has no container {container}: it has {', '.join(names)}")
    chosen = container or (name if name in names else names[0])
    found = Container(namespace, pod["metadata"]["name"], chosen, container_id(pod, chosen))
    return Victim(name, pod["metadata"]["uid"], found)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def container_id(pod: dict[str, Any], name: str) -> str:
    """The runtime's ID of a pod's container; empty unless it runs."""
    for one in pod["status"].get("containerStatuses") or ():
        if one["name"] == name and "running" in (one.get("state") or {}):
            return str(one.get("containerID", ""))
    return ""


def pod(cluster: Cluster, namespace: str, name: str, uid: str = "") -> dict[str, Any] | None:
    """A pod as it is now; None if there is none, or another one of that name."""
    try:
        found: dict[str, Any] = cluster.request("GET", path(namespace, "pods", name))
    except Gone:
        return None
    return found if not uid or found["metadata"]["uid"] == uid else None


def mark(
    cluster: Cluster, namespace: str, kind: Kind, name: str, fault_id: str, detail: dict[str, Any], **spec: Any
) -> None:
    """Write a fault's mark, and `spec` in the same patch; with `version` only onto that one. Raises ClusterError."""
    version = {"resourceVersion": spec.pop("version")} if "version" in spec else {}
    told = json.dumps({"id": fault_id, **detail}, sort_keys=True)
    body = {"metadata": {**version, "labels": {LABEL: "in-force"}, "annotations": {_key(fault_id): told}}, **spec}
    cluster.request("PATCH", path(namespace, kind, name), body=body, content=MERGE)


def unmark(cluster: Cluster, namespace: str, found: Mark, **spec: Any) -> None:
    """Remove a mark, and the label with the last one; nothing to do on an object that is gone. Raises ClusterError."""
    others = [one for one in marks(cluster, namespace, found.kind) if one.name == found.name and one != found]
    labels = {} if others else {LABEL: None}
    version = {"resourceVersion": spec.pop("version")} if "version" in spec else {}
    body = {"metadata": {**version, "labels": labels, "annotations": {_key(found.fault_id): None}}, **spec}
    try:
        cluster.request("PATCH", path(namespace, found.kind, found.name), body=body, content=MERGE)
    except Gone:
        return


def marks(cluster: Cluster, namespace: str, kind: Kind, fault_id: str = "") -> list[Mark]:
    """Every mark in the namespace on objects of that kind, or those of one fault. Raises ClusterError."""
    found: list[Mark] = []
    for one in cluster.request("GET", path(namespace, kind), query={"labelSelector": LABEL})["items"]:
        for key, value in (one["metadata"].get("annotations") or {}).items():
            if key.startswith(f"{LABEL}."):
                detail = json.loads(value)
                found.append(Mark(kind, one["metadata"]["name"], detail.pop("id"), detail))
    return [one for one in found if fault_id in ("", one.fault_id)]


def container_of(namespace: str, one: Mark) -> Container:
    """The container that a pod's mark is about, as it was then."""
    return Container(namespace, one.name, str(one.detail["container"]), str(one.detail["container_id"]))


def still_runs(cluster: Cluster, namespace: str, one: Mark) -> bool:
    """Whether that very container still runs; with it a fault inside ends."""
    found = pod(cluster, namespace, one.name)
    now = container_id(found, str(one.detail["container"])) if found is not None else ""
    return now != "" and now == one.detail["container_id"]


def end(cluster: Cluster, namespace: str, fault_id: str, end_one: Callable[[Mark], str]) -> dict[str, Any]:
    """End a fault wherever its marks on pods are; the answer is what `facts` reads. Safe to repeat, from any process.

    `end_one` says what was in force at a mark until now, or nothing.
    """
    found = marks(cluster, namespace, "pods", fault_id)
    effects, gone = [], "" if found else "pod"
    for one in found:
        if effect := end_one(one):
            effects.append(effect)
        else:
            gone = "process" if still_runs(cluster, namespace, one) else "container"
        unmark(cluster, namespace, one)
    return {"in_force": bool(effects), "effect": "; ".join(effects), "gone": gone}


def _key(fault_id: str) -> str:
    return f"{LABEL}.{hashlib.sha256(fault_id.encode()).hexdigest()[:16]}"
