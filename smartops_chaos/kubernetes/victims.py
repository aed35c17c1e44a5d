"""Which pods a fault hits, and the marks by which it is found again: the cluster itself is the ledger.

A marked object carries the label `smartops-chaos/fault` and one annotation per fault with all that a revert needs.
The mark is written before the fault begins: then no crash in between can leave a fault that nobody finds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes.cluster import MERGE, Cluster, Gone, Json, path
from smartops_chaos.kubernetes.container import Container
from smartops_chaos.kubernetes.controller import KINDS, Controller, is_leaving, is_ready

LABEL = "smartops-chaos/fault"
OURS = "smartops-chaos/proxy"  # on pods that a fault brings with it: they are no part of the system under test
_MARKED = ("pods", *(kind.plural for kind in KINDS.values()))  # collections whose objects may carry marks


@dataclass(frozen=True, slots=True)
class Victim:
    """A ready pod of a controller, with the container that the fault is for."""

    controller: str
    uid: str
    container: Container

    @property
    def object(self) -> str:
        """Its name in evidence."""
        return f"{self.controller}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault's annotation on an object."""

    namespace: str
    collection: str
    name: str
    fault_id: str
    detail: dict[str, Any]

    @property
    def container(self) -> Container:
        """The container that a pod's mark is about, as it was then."""
        return Container(self.namespace, self.name, str(self.detail["container"]), str(self.detail["container_id"]))


def pods_of(cluster: Cluster, namespace: str, name: str) -> list[Json]:
    """The pods of a controller, by name, without those that are on their way out."""
    labels = Controller.read(cluster, namespace, name).labels
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    found = cluster.request("GET", path(namespace, "pods"), query={"labelSelector": selector})["items"]
    return sorted((pod for pod in found if not is_leaving(pod)), key=lambda pod: str(pod["metadata"]["name"]))


def choose(
    cluster: Cluster, namespace: str, name: str, seed: int, pods: str = "one", container: str = ""
) -> list[Victim]:
    """One ready pod of the controller by the seed, or all of them. Raises ActivityFailed if there is none."""
    ready = [pod for pod in pods_of(cluster, namespace, name) if is_ready(pod)]
    if not ready:
        raise ActivityFailed(f"{namespace}/{name} has no ready pod to choose from")
    chosen = ready if pods == "all" else [random.Random(int(seed)).choice(ready)]
    return [victim(namespace, name, pod, container) for pod in chosen]


def victim(namespace: str, name: str, pod: Json, container: str = "") -> Victim:
    """The pod as a victim; without a container's name the one named like the controller, else the first."""
    names = [one["name"] for one in pod["spec"]["containers"]]
    if container and container not in names:
        raise ActivityFailed(f"pod {pod['metadata']['name']} has no container {container}: it has {', '.join(names)}")
    chosen = container or (name if name in names else names[0])
    found = Container(namespace, pod["metadata"]["name"], chosen, container_id(pod, chosen))
    return Victim(name, pod["metadata"]["uid"], found)


def container_id(pod: Json, name: str) -> str:
    """The runtime's ID of a pod's container; empty unless it runs."""
    for one in pod["status"].get("containerStatuses") or ():
        if one["name"] == name and "running" in (one.get("state") or {}):
            return str(one.get("containerID", ""))
    return ""


def pod(cluster: Cluster, namespace: str, name: str, uid: str = "") -> Json | None:
    """A pod as it is now; None if there is none, or another one of that name."""
    try:
        found: Json = cluster.request("GET", path(namespace, "pods", name))
    except Gone:
        return None
    return found if not uid or found["metadata"]["uid"] == uid else None


def mark(
    cluster: Cluster,
    namespace: str,
    collection: str,
    name: str,
    fault_id: str,
    detail: dict[str, Any],
    **change: Any,
) -> None:
    """Write a fault's mark, and `change` in the same patch: a `spec`, a `version` that it is for. Raises ClusterError.

    With `version` somebody else's change in between makes it fail with 409, see `Cluster.amend`.
    """
    body = _patch(marking(fault_id, detail), change)
    cluster.request("PATCH", path(namespace, collection, name), body=body, content=MERGE)


def marking(fault_id: str, detail: dict[str, Any]) -> Json:
    """The metadata of an object that carries a fault's mark."""
    told = json.dumps({"id": fault_id, **detail}, sort_keys=True)
    return {"labels": {LABEL: "in-force"}, "annotations": {f"{LABEL}.{key(fault_id)}": told}}


def unmark(cluster: Cluster, mark: Mark, **change: Any) -> None:
    """Remove a mark, and the label with the last one; nothing to do on an object that is gone. Raises ClusterError."""
    here = [one for one in marks(cluster, mark.namespace) if (one.collection, one.name) == (mark.collection, mark.name)]
    labels = {LABEL: None} if here == [mark] else {}
    body = _patch({"labels": labels, "annotations": {f"{LABEL}.{key(mark.fault_id)}": None}}, change)
    try:
        cluster.request("PATCH", path(mark.namespace, mark.collection, mark.name), body=body, content=MERGE)
    except Gone:
        return


def _patch(metadata: Json, change: dict[str, Any]) -> Json:
    version = {"resourceVersion": change.pop("version")} if "version" in change else {}
    return {"metadata": metadata | version, **change}


def marks(cluster: Cluster, namespace: str, fault_id: str = "") -> list[Mark]:
    """Every mark in the namespace, or those of one fault. Raises ClusterError."""
    found: list[Mark] = []
    for collection in _MARKED:
        for one in cluster.request("GET", path(namespace, collection), query={"labelSelector": LABEL})["items"]:
            for key, value in (one["metadata"].get("annotations") or {}).items():
                if key.startswith(f"{LABEL}."):
                    detail = json.loads(value)
                    found.append(Mark(namespace, collection, one["metadata"]["name"], detail.pop("id"), detail))
    return [one for one in found if fault_id in ("", one.fault_id)]


def still_runs(cluster: Cluster, mark: Mark) -> bool:
    """Whether the very container of a pod's mark still runs; with it a fault inside ends."""
    found = pod(cluster, mark.namespace, mark.name)
    now = container_id(found, mark.container.name) if found is not None else ""
    return now != "" and now == mark.container.container_id


def end_inside(cluster: Cluster, namespace: str, fault_id: str, end_one: Callable[[Mark], str]) -> dict[str, Any]:
    """`Driver.end` of faults inside pods; `end_one` says what was in force at a mark until now, or nothing."""
    found = marks(cluster, namespace, fault_id)
    effects, gone = [], "" if found else "pod"
    for mark in found:
        if effect := end_one(mark):
            effects.append(effect)
        else:
            gone = "process" if still_runs(cluster, mark) else "container"
        unmark(cluster, mark)
    return {"in_force": bool(effects), "effect": "; ".join(effects), "gone": gone}


def key(fault_id: str) -> str:
    """A fault's ID as it fits into the name of an annotation."""
    return hashlib.sha256(fault_id.encode()).hexdigest()[:16]
