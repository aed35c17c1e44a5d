"""Waiting for a cluster by watch: until Deployments are rolled out, and nothing of their old pods is left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, path
from smartops_chaos.kubernetes.objects import Json
from smartops_chaos.kubernetes.victims import is_ready

Done = Callable[[Iterable[Json]], bool]

_WATCH_S = 30.0  # then the list is read again: a watch that has silently died costs no more than this


def settle(cluster: Cluster, namespace: str, names: Sequence[str], limit_s: float) -> str:
    """Wait until the Deployments are as their specs say, with ready pods only; what is still missing, or nothing.

    Old pods hold out their grace period: a second, shorter one is not obeyed by every runtime. Raises ClusterError.
    """
    deadline = time.monotonic() + limit_s
    found: dict[str, Json] = {}

    def rolled_out(items: Iterable[Json]) -> bool:
        found.update({one["metadata"]["name"]: one for one in items})
        return all(name in found and complete(found[name]) for name in names)

    if not wait(cluster, path(namespace, "deployments"), rolled_out, deadline):
        late = [_progress(found.get(name), name) for name in names if name not in found or not complete(found[name])]
        pods = cluster.request("GET", path(namespace, "pods"))["items"]
        why = _waiting(pods, [found[name] for name in names if name in found])
        return f"not rolled out after {limit_s:.0f} s: {', '.join([*late, *why])}"
    left: list[str] = []

    def only_new(items: Iterable[Json]) -> bool:
        pods = list(items)
        left.clear()
        for name in names:
            mine = [pod for pod in pods if selects(found[name], pod)]
            left.extend(
                pod["metadata"]["name"]
                for pod in mine
                if pod["metadata"].get("deletionTimestamp") or not (over(pod) or is_ready(pod))
            )
        return not left

    if not wait(cluster, path(namespace, "pods"), only_new, deadline):
        return f"old or unready pods are left after {limit_s:.0f} s: {', '.join(left)}"
    return ""


def wait(cluster: Cluster, collection: str, done: Done, deadline: float) -> bool:
    """Follow a collection until `done` or the deadline (of the monotonic clock). Raises ClusterError."""
    while True:
        listed = cluster.request("GET", collection)
        items = {one["metadata"]["uid"]: one for one in listed["items"]}
        if done(items.values()):
            return True
        version = listed["metadata"]["resourceVersion"]
        while version:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            limit_s = min(left_s, _WATCH_S)
            query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(max(1, round(limit_s)))}
            version = ""  # after the watch has ended, by whatever cause, the list is read again
            with suppress(ClusterError):
                for line in cluster.stream(collection, query, limit_s + 1):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    uid = event["object"]["metadata"]["uid"]
                    if event["type"] == "DELETED":
                        items.pop(uid, None)
                    else:
                        items[uid] = event["object"]
                    if done(items.values()):
                        return True
                    if time.monotonic() > deadline:
                        return False


def complete(deployment: Json) -> bool:
    """Whether its controller has seen the last change and all replicas are new and available, none too many."""
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and all(
        status.get(count, 0) == replicas for count in ("replicas", "updatedReplicas", "availableReplicas")
    )


def selects(deployment: Json, pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    wanted: dict[str, str] = deployment["spec"]["selector"].get("matchLabels") or {}
    return bool(wanted) and wanted.items() <= labels.items()


def over(pod: Json) -> bool:
    """Evicted or finished: it stays in the list, but is no pod of its Deployment any more."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _waiting(pods: Iterable[Json], deployments: Sequence[Json]) -> list[str]:
    """What containers wait for, as the platform calls it."""
    told = []
    for pod in pods:
        if any(selects(one, pod) for one in deployments):
            for container in pod.get("status", {}).get("containerStatuses") or ():
                waits = (container.get("state") or {}).get("waiting") or {}
                ended = (container.get("lastState") or {}).get("terminated") or {}
                if waits:
                    code = f" after exit code {ended['exitCode']}" if "exitCode" in ended else ""
                    told.append(f"{pod['metadata']['name']} waits: {waits.get('reason', '?')}{code}")
    return told


def _progress(deployment: Json | None, name: str) -> str:
    if deployment is None:
        return f"{name} (there is none)"
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    told = f"{status.get('updatedReplicas', 0)} new, {status.get('availableReplicas', 0)} available of {replicas}"
    why = [one.get("message", "") for one in status.get("conditions") or () if one["status"] == "False"]
    return f"{name} ({told}{'; ' + why[0] if why and why[0] else ''})"
