"""Faults by Chaos Mesh where it is installed: a fault is one or several of its resources, with one expiry.

A fault file gives the resources (`chaos`: kind and spec); which pods they are for, their containers and their duration
are set here, so that a resource can hit nothing else. What its status says was measured against a real installation:

- In force is what every record says (phase Injected), not the conditions: AllRecovered is true before an injection too.
- A record stays Injected when its pod or container is another one by now. So pods are known by UID and container ID.
- Some mistakes are accepted and do nothing (no workers) or hit everything (no selector): preflight looks for these
  itself, and has the API server check the rest in a dry run, with Chaos Mesh's own webhooks.
- A NetworkChaos that could not be applied cannot be deleted, until its pod is replaced.
- A resource that was stored is not posted again: its old status would be believed. Ours are made anew each time.

The mark of a fault is on its resources: each is made with it, so none can be there without.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chaoslib import substitute
from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.chaos_mesh_effect import FELT_S, Expected, effect, used
from smartops_chaos.kubernetes.chaos_mesh_spec import GROUP, KINDS, MOMENTARY, resource, traps
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, Json, connect, path
from smartops_chaos.kubernetes.container import Container, each_within, until
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure
from smartops_chaos.kubernetes.victims import LABEL, Mark, MarkDetail, Victim
from smartops_chaos.model import FaultPart

MESH = "chaos-mesh"
FAULTS: tuple[str, ...] = (MESH,)
_INJECTED_S = 15.0
_DELETED_S = 5.0  # a healthy one is gone after 0.5 s
_REPLACED_S = 20.0
_STRICT = {"fieldValidation": "Strict"}
_DRY = {**_STRICT, "dryRun": "All"}


@as_activity_failure
def inject(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    seed: int,
    expires_s: float,
    chaos: Sequence[Mapping[str, Any]],
    pods: str = "one",
    container: str = "",
) -> dict[str, Any]:
    """Have Chaos Mesh inject every resource of `chaos` into one ready pod (or all), and wait for its records."""
    cluster = connect(context)
    chosen = victims.choose(cluster, namespace, deployment, seed, pods, container)
    wanted = _resources(chosen, fault_id, expires_s, chaos)
    for one in wanted:
        _post(cluster, namespace, one, _DRY)
    metadata = victims.marking(fault_id, _detail(cluster, chosen, wanted))
    for one in wanted:
        one["metadata"] |= metadata
        _post(cluster, namespace, one, _STRICT)
    deadline = time.monotonic() + _INJECTED_S
    while left := [why for one in wanted if (why := _not_injected(cluster, namespace, one, chosen))]:
        if not until(deadline, 0.02):
            raise ActivityFailed("; ".join(left))
    return {
        "fault": MESH,
        "momentary": all(_momentary(one) for one in wanted),
        "objects": [victim.object for victim in chosen],
        "expires_s": float(expires_s),
    }


@as_activity_failure
def took_effect(namespace: str, context: str, fault_id: str) -> bool:
    """Whether the effect itself is there, where it can be probed; else whether every record still says Injected.

    Pods killed are gone, containers killed are others, stress uses CPU time or memory of the container, a delay or a
    loss is met by requests to the pod's own port.
    """
    cluster = connect(context)
    there = list(_stored(cluster, namespace, fault_id))
    if not there:
        return False
    mark = marks(cluster, namespace, fault_id)[0]
    expected = [Expected.of(one["kind"], one["spec"]) for one in there]

    def felt(one: tuple[Expected, str]) -> bool:
        kind, pod = one
        return effect(cluster, namespace, kind, pod, mark.told)

    pairs = [(one, pod) for one in expected for pod in mark.told.pods]
    return each_within(FELT_S, pairs, felt)


@as_activity_failure
def revert(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """Delete the fault's resources and wait until Chaos Mesh has undone them. Safe to repeat, from any process."""
    return end(connect(context), namespace, fault_id)


def _resources(
    chosen: Sequence[Victim], fault_id: str, expires_s: float, chaos: Sequence[Mapping[str, Any]]
) -> list[Json]:
    namespace = chosen[0].container.namespace
    pods, containers = [one.container.pod for one in chosen], sorted({one.container.name for one in chosen})
    name = f"smartops-chaos-{victims.key(fault_id)}"
    return [
        resource(f"{name}-{number}", namespace, pods, containers, expires_s, one) for number, one in enumerate(chaos)
    ]


def _detail(cluster: Cluster, chosen: Sequence[Victim], wanted: Sequence[Json]) -> dict[str, Any]:
    stressed = chosen if _is_stress(wanted) else ()
    return {
        "fault": MESH,
        "pods": {one.container.pod: one.uid for one in chosen},
        "container": chosen[0].container.name,
        "container_ids": {one.container.pod: one.container.container_id for one in chosen},
        "used": {one.container.pod: used(cluster, one.container) for one in stressed},
    }


def _is_stress(wanted: Iterable[Json]) -> bool:
    return any(one["kind"] == "StressChaos" for one in wanted)


def _momentary(one: Json) -> bool:
    return (one["kind"], one["spec"].get("action")) in MOMENTARY


def _post(cluster: Cluster, namespace: str, one: Json, query: dict[str, str]) -> None:
    try:
        cluster.request("POST", path(namespace, KINDS[one["kind"]]), query=query, body=one)
    except Gone as error:
        raise ClusterError(f"Chaos Mesh is not installed here: there is no {one['kind']}", 404) from error


def _not_injected(cluster: Cluster, namespace: str, one: Json, chosen: Sequence[Victim]) -> str:
    """What is wrong, or nothing when every pod that is meant has a record, and each says Injected."""
    what = f"{one['kind']} {one['metadata']['name']}"
    try:
        found = cluster.request("GET", path(namespace, KINDS[one["kind"]], one["metadata"]["name"]))
    except Gone:
        return f"{what} is gone"
    records = _records(found)
    meant = {f"{namespace}/{victim.container.pod}" for victim in chosen}
    if {"/".join(record["id"].split("/")[:2]) for record in records} != meant:
        return f"{what}: Chaos Mesh has selected {', '.join(one['id'] for one in records) or 'nothing'}"
    failed = [_failure(record) for record in records if not is_injected(record)]
    return f"{what} is not injected: {failed[0]}" if failed else ""


def _records(found: Mapping[str, Any]) -> list[Json]:
    """Those of the pods that are hit; a NetworkChaos has others of the pods beyond its network."""
    records = ((found.get("status") or {}).get("experiment") or {}).get("containerRecords") or []
    return [one for one in records if one.get("selectorKey", ".") == "."]


def is_injected(record: Mapping[str, Any]) -> bool:
    """Whether a fault is in, by its record: applied, and not recovered since."""
    applied, recovered = int(record.get("injectedCount", 0)), int(record.get("recoveredCount", 0))
    return record.get("phase") == "Injected" and applied >= 1 and applied > recovered


def _failure(record: Mapping[str, Any]) -> str:
    told = [event.get("message", "") for event in record.get("events") or () if event.get("type") == "Failed"]
    return f"{record.get('phase', '')} {told[-1] if told else ''}".strip()


def _installed(cluster: Cluster) -> list[str]:
    """Collections of the kinds that are known both here and there; none without Chaos Mesh. Raises ClusterError."""
    try:
        listed = cluster.request("GET", f"/apis/{GROUP}/v1alpha1")["resources"]
    except Gone:
        return []
    names = {one["name"] for one in listed}
    return [plural for plural in KINDS.values() if plural in names]


def _stored(cluster: Cluster, namespace: str, fault_id: str = "") -> Iterator[Json]:
    """Resources of our faults, or of one. A kind that is not installed has none; nor has one that we may not list,
    unless that is so of every kind: then nobody knows. Raises ClusterError."""
    refused: list[ClusterError] = []
    there = 0
    for plural in _installed(cluster):
        try:
            listed = cluster.items(path(namespace, plural), {"labelSelector": LABEL})
        except ClusterError as error:
            if error.status == 403:
                refused.append(error)
            elif error.status != 404:
                raise
            continue
        there += 1
        for one in listed:
            if not fault_id or victims.is_marked(one, fault_id):
                yield one
    if refused and not there and fault_id:
        raise refused[0]


def marks(cluster: Cluster, namespace: str, fault_id: str = "") -> list[Mark]:
    """Of faults whose resources are there. Raises ClusterError."""
    there = dict.fromkeys(KINDS[one["kind"]] for one in _stored(cluster, namespace))
    return victims.marks(cluster, namespace, there, fault_id)


# ---- the end ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ended:
    """What became of one resource."""

    acted: bool  # until now
    expired: bool


def end(cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
    there = list(_stored(cluster, namespace, fault_id))
    known = [mark for mark in marks(cluster, namespace, fault_id) if mark.detail is not None] if there else []
    was = known[0].told if known else MarkDetail(fault=MESH)
    itself = any(one["spec"].get("action") in ("pod-failure", "container-kill") for one in there)
    changed = {pod: _changed(cluster, namespace, pod, was, itself) for pod in was.pods}
    took = [text for pod in was.used if not changed.get(pod) if (text := _took(cluster, namespace, pod, was))]
    ended = [_end_one(cluster, namespace, one, was.pods) for one in there]
    acted = any(one.acted for one in ended) and not (changed and all(changed.values()))
    gone = "process"
    if not any(one.expired for one in ended):
        gone = next((why for why in changed.values() if why), "process")
    what = ", ".join(f"{one['kind']} {one['spec'].get('action', '')}".strip() for one in there)
    fell = [f"{pod} is another one by now" for pod, why in changed.items() if why]
    return {"in_force": acted, "effect": "; ".join(filter(None, [what, *took, *fell])), "gone": gone}


def _took(cluster: Cluster, namespace: str, pod: str, was: MarkDetail) -> str:
    """What a container has used since right before its stress, in words; empty where it cannot be asked."""
    with suppress(ClusterError):
        cpu_s, memory = used(cluster, Container(namespace, pod, was.container, was.container_ids[pod]))
        if memory:
            return f"{pod} used {cpu_s - was.used[pod][0]:.1f} s of CPU time and took {_mib(memory - was.used[pod][1])}"
    return ""


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"


def _changed(cluster: Cluster, namespace: str, name: str, was: MarkDetail, itself: bool) -> str:
    """Whether its fault has fallen off a pod: the pod is another one, or its container; empty if it is the same.

    `itself`: it is the fault that changes containers.
    """
    pod = victims.pod(cluster, namespace, name, was.pods[name])
    if pod is None:
        return "pod"
    same = victims.container_id(pod, was.container) == was.container_ids.get(name)
    return "" if itself or same else "container"


def _end_one(cluster: Cluster, namespace: str, one: Json, pods: Mapping[str, str]) -> _Ended:
    experiment = (one.get("status") or {}).get("experiment") or {}
    expired = experiment.get("desiredPhase") == "Stop"
    acted = not expired and any(map(is_injected, _records(one))) and not _momentary(one)
    where = path(namespace, KINDS[one["kind"]], one["metadata"]["name"])
    uid = one["metadata"]["uid"]

    def deleted(_: None) -> bool:
        try:
            return bool(cluster.request("GET", where)["metadata"]["uid"] != uid)
        except Gone:
            return True

    with suppress(Gone):
        cluster.request("DELETE", where)
    if each_within(_DELETED_S, [None], deleted):
        return _Ended(acted, expired)
    stuck = [record for record in _records(cluster.request("GET", where)) if not is_injected(record)]
    if one["kind"] == "NetworkChaos" and stuck:
        # It was never applied, and Chaos Mesh waits for ever to undo it; what it has noted of the pod would make every
        # later one fail as well. A pod in its place is clean.
        _replace(cluster, namespace, pods, stuck)
        if each_within(_REPLACED_S, [None], deleted):
            return _Ended(acted, expired)
        with suppress(Gone):
            cluster.request("PATCH", where, body={"metadata": {"finalizers": []}}, content=MERGE)
        if each_within(_DELETED_S, [None], deleted):
            return _Ended(acted, expired)
    raise ClusterError(
        f"{one['kind']} {one['metadata']['name']} is not deleted: Chaos Mesh does not undo it; is it up?"
    )


def _replace(cluster: Cluster, namespace: str, pods: Mapping[str, str], stuck: Iterable[Json]) -> None:
    for record in stuck:
        name = record["id"].split("/")[1]
        if name in pods:
            body = {"preconditions": {"uid": pods[name]}, "gracePeriodSeconds": 0}
            with suppress(ClusterError):  # it is another one already
                cluster.request("DELETE", path(namespace, "pods", name), body=body)


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    del controller
    if func != "inject":
        return []
    kinds = list(dict.fromkeys(KINDS[one["kind"]] for one in _chaos(part) if one.get("kind") in KINDS))
    verbs = ("create", "get", "list", "watch", "delete", "patch")
    mine = [Right(namespace, kind, verbs, why) for kind in kinds]
    probes = [Right(namespace, "pods/proxy", ("get",), f"{why}: to feel it")] if "networkchaos" in kinds else []
    if "networkchaos" in kinds:
        probes.append(Right(namespace, "pods", ("delete",), f"{why}: to free a pod on which it hangs"))
    if "stresschaos" in kinds:
        probes.append(Right(namespace, "pods/exec", ("get", "create"), f"{why}: to feel it"))
    return [*mine, *probes]


def _chaos(part: FaultPart) -> list[dict[str, Any]]:
    """The resources of a fault file with a matrix's values in them."""
    for activity in part.definition.get("method", ()):
        arguments = activity["provider"].get("arguments") or {}
        if activity["name"] == "inject" and "chaos" in arguments:
            given = {key: value for key, value in part.definition.get("configuration", {}).items() if _plain(value)}
            filled: list[dict[str, Any]] = substitute(arguments["chaos"], {**given, **part.params}, {})
            return filled
    return []


def _plain(value: object) -> bool:
    return not isinstance(value, dict)


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    """What Chaos Mesh would refuse, asked in a dry run, and what it would accept although it cannot act."""
    namespace, chaos = victim.container.namespace, _chaos(part)
    for one in chaos:
        yield from traps(one)
    if not all(one.get("kind") in KINDS for one in chaos):
        return
    for made in _resources([victim], "preflight", 10, chaos):
        try:
            _post(cluster, namespace, made, _DRY)
        except ClusterError as error:
            yield _told(made["kind"], error)


def _told(kind: str, error: ClusterError) -> tuple[str, str]:
    said = str(error)
    if error.status == 404:
        return said, "install Chaos Mesh (https://chaos-mesh.org), or use a fault of another driver: `proxy`, `exec`"
    if "vauth.kb.io" in said:
        return said, "Chaos Mesh itself asks for the right to create it in the namespace of the pods: add that right"
    if "failed calling webhook" in said:
        return f"Chaos Mesh's controller does not answer: {said}", "mend it: without it nothing is injected or undone"
    return said, f"correct the {kind} in the fault file"


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    del namespace, controller
    known = _installed(cluster)
    if not known:
        return "not possible: Chaos Mesh is not installed here"
    missing = [kind for kind, plural in KINDS.items() if plural not in known]
    return faults + (f"; without {', '.join(missing)}, which are not installed" if missing else "")


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """Whether the resource is there: also one that has expired is still to be deleted."""
    return bool(cluster.request("GET", path(mark.namespace, mark.collection, mark.name)))
