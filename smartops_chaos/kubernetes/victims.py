"""Which pods a fault hits, and the marks by which it is found again: the cluster itself is the ledger.

A marked object carries the label `smartops-chaos/fault` and one annotation per fault with all that a revert needs.
The mark is written before the fault begins: then no crash in between can leave a fault that nobody finds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from chaoslib.exceptions import ActivityFailed
from pydantic import BaseModel, ConfigDict, Field

from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, Json, path
from smartops_chaos.kubernetes.container import Container
from smartops_chaos.kubernetes.controller import DEPLOYMENT, Controller, is_leaving, is_ready
from smartops_chaos.schema.names import AnyContainerName, ObjectName

LABEL = "smartops-chaos/fault"
OURS = "smartops-chaos/proxy"  # on pods that a fault brings with it: they are no part of the system under test
PODS = ("pods",)
_MARKED = ("pods", DEPLOYMENT.plural)  # collections whose objects may carry marks, where nothing says others


class MarkDetail(BaseModel):
    """What a mark says. Whoever may annotate a pod can write one, so nothing in it is taken as it comes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: str
    container: AnyContainerName = ""
    container_id: str = ""
    mode: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    pods: dict[ObjectName, str] = {}  # that were killed, each with its UID
    replicas: Annotated[int, Field(ge=0, le=100_000)] = 0  # before they were none
    # Of the driver proxy: the Service, whether the trouble has begun and until when (by the API server's clock), what
    # it is, and the UID of the pod that is hit, empty for all.
    service: ObjectName | None = None
    begun: bool = False
    over: bool = False
    until: float = 0.0
    params: dict[str, float | bool] = {}
    pod: str = ""
    seed: int = 0
    # Of the driver chaos_mesh: container IDs of the pods, and what they had used of CPU time and memory.
    container_ids: dict[ObjectName, str] = {}
    used: dict[ObjectName, tuple[float, float]] = {}


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
    detail: MarkDetail | None  # None: it cannot be read, so whether its fault is in force is not known
    key: str  # of its annotation

    @property
    def container(self) -> Container:
        """The container that a pod's mark is about, as it was then."""
        return Container(self.namespace, self.name, self.told.container, self.told.container_id)

    @property
    def told(self) -> MarkDetail:
        """Raises ClusterError where it cannot be read."""
        if self.detail is None:
            raise ClusterError(
                f"{self.collection} {self.name} in {self.namespace} has a mark that cannot be read, {self.key}: "
                "whether its fault is in force is not known; look there, end it by hand, then remove that annotation"
            )
        return self.detail


def pods_of(cluster: Cluster, namespace: str, name: str) -> list[Json]:
    """The pods of a controller, by name, without those that are on their way out."""
    return pods_of_controller(cluster, namespace, Controller.read(cluster, namespace, name))


def pods_of_controller(cluster: Cluster, namespace: str, controller: Controller) -> list[Json]:
    found = cluster.items(
        path(namespace, "pods"), {"labelSelector": controller.selector} if controller.selector else None
    )
    own = (pod for pod in found if controller.owns(pod) and not is_leaving(pod))
    return sorted(own, key=lambda pod: str(pod["metadata"]["name"]))


def choose(
    cluster: Cluster, namespace: str, name: str, seed: int, pods: str = "one", container: str = ""
) -> list[Victim]:
    """One ready pod of the controller by the seed, or all of them. Raises ActivityFailed if there is none."""
    controller = Controller.read(cluster, namespace, name)
    ready = [pod for pod in pods_of_controller(cluster, namespace, controller) if is_ready(pod)]
    if not ready:
        raise ActivityFailed(f"{namespace}/{name} has no ready pod to choose from")
    chosen = ready if pods == "all" else [random.Random(int(seed)).choice(ready)]
    return [victim(namespace, controller, pod, container) for pod in chosen]


def victim(namespace: str, controller: Controller, pod: Json, container: str = "") -> Victim:
    """The pod as a victim, with the container that is meant, see `Controller.container_of`."""
    try:
        chosen = controller.container_of(pod, container)
    except KeyError as error:
        raise ActivityFailed(str(error.args[0])) from None
    found = Container(namespace, pod["metadata"]["name"], chosen, container_id(pod, chosen))
    return Victim(controller.name, pod["metadata"]["uid"], found)


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
    return {"labels": {LABEL: "in-force"}, "annotations": {_key(fault_id): told}}


def unmark(cluster: Cluster, mark: Mark, **change: Any) -> None:
    """Remove a mark, and the label with the last one; nothing to do on an object that is gone. Raises ClusterError."""
    here = [one for one in marks(cluster, mark.namespace, (mark.collection,)) if one.name == mark.name]
    labels = {LABEL: None} if [one.key for one in here] == [mark.key] else {}
    body = _patch({"labels": labels, "annotations": {mark.key: None}}, change)
    try:
        cluster.request("PATCH", path(mark.namespace, mark.collection, mark.name), body=body, content=MERGE)
    except Gone:
        return


def _patch(metadata: Json, change: dict[str, Any]) -> Json:
    version = {"resourceVersion": change.pop("version")} if "version" in change else {}
    return {"metadata": metadata | version, **change}


def marks(cluster: Cluster, namespace: str, collections: Iterable[str] = _MARKED, fault_id: str = "") -> list[Mark]:
    """Every mark on objects of these collections, or those of one fault. Raises ClusterError."""
    found = [
        _read(namespace, collection, one["metadata"]["name"], key, value)
        for collection in dict.fromkeys(collections)
        for one in cluster.items(path(namespace, collection), {"labelSelector": LABEL})
        for key, value in (one["metadata"].get("annotations") or {}).items()
        if key.startswith(f"{LABEL}.")
    ]
    return [one for one in found if not fault_id or one.key == _key(fault_id)]


def is_marked(found: Json, fault_id: str) -> bool:
    return _key(fault_id) in (found["metadata"].get("annotations") or {})


def _read(namespace: str, collection: str, name: str, key: str, text: str) -> Mark:
    try:
        content = json.loads(text)
        fault_id = content.pop("id")
        if isinstance(fault_id, str) and _key(fault_id) == key:
            return Mark(namespace, collection, name, fault_id, MarkDetail.model_validate(content), key)
    except (ValueError, KeyError, TypeError, AttributeError):  # pydantic's is a ValueError
        pass
    return Mark(namespace, collection, name, f"{collection}/{name} ({key})", None, key)


def still_runs(cluster: Cluster, mark: Mark) -> bool:
    """Whether the very container of a pod's mark still runs; with it a fault inside ends."""
    found = pod(cluster, mark.namespace, mark.name)
    now = container_id(found, mark.container.name) if found is not None else ""
    return now != "" and now == mark.container.container_id


def end_inside(cluster: Cluster, namespace: str, fault_id: str, end_one: Callable[[Mark], str]) -> dict[str, Any]:
    """`Driver.end` of faults inside pods; `end_one` says what was in force at a mark until now, or nothing."""
    found = marks(cluster, namespace, PODS, fault_id)
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


def _key(fault_id: str) -> str:
    """Of the annotation."""
    return f"{LABEL}.{key(fault_id)}"
