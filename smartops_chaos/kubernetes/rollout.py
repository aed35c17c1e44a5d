"""Waiting for a cluster by watch: until controllers are rolled out, and nothing of their old pods is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Json, path
from smartops_chaos.kubernetes.collection import Collection
from smartops_chaos.kubernetes.controller import (
    Controller,
    ControllerKind,
    is_leaving,
    is_over,
    is_ready,
)

_WATCH_S = 30.0


def settle(cluster: Cluster, namespace: str, controllers: Sequence[Controller], limit_s: float) -> str:
    """Wait until the controllers are as their specs say, with ready pods only; what is still missing, or nothing.

    Old pods hold out their grace period: a second, shorter one is not obeyed by every runtime. Raises ClusterError.
    """
    deadline = time.monotonic() + limit_s
    found: dict[str, Controller] = {}
    for kind in dict.fromkeys(one.kind for one in controllers):
        names = [one.name for one in controllers if one.kind == kind]
        found |= _rolled_out(cluster, namespace, kind, names, deadline)
    gone = [f"{one.name} (there is none)" for one in controllers if one.name not in found]
    if late := [*gone, *(one.progress() for one in found.values() if not one.rolled_out())]:
        pods = cluster.items(path(namespace, "pods"))
        waits = _waiting([pod for pod in pods if any(one.owns(pod) for one in found.values())])
        return f"not rolled out after {limit_s:.0f} s: {', '.join([*late, *waits])}"
    left: list[str] = []

    def only_new(pods: Iterable[Json]) -> bool:
        left[:] = [
            pod["metadata"]["name"]
            for pod in pods
            if any(one.owns(pod) for one in found.values()) and (is_leaving(pod) or not (is_over(pod) or is_ready(pod)))
        ]
        return not left

    if not wait(cluster, path(namespace, "pods"), only_new, deadline):
        return f"old or unready pods are left after {limit_s:.0f} s: {', '.join(left)}"
    return ""


def _rolled_out(
    cluster: Cluster, namespace: str, kind: ControllerKind, names: Sequence[str], deadline: float
) -> dict[str, Controller]:
    """The controllers of these names as they were last seen: all rolled out, or at the deadline."""
    found: dict[str, Controller] = {}

    def all_done(items: Iterable[Json]) -> bool:
        found.clear()
        found.update((one.name, one) for one in (Controller(kind, item) for item in items))
        return all(name in found and found[name].rolled_out() for name in names)

    wait(cluster, path(namespace, kind.plural), all_done, deadline)
    return {name: found[name] for name in names if name in found}


def wait(cluster: Cluster, where: str, done: Callable[[Iterable[Json]], bool], deadline: float) -> bool:
    """Follow the collection at this path until `done` or the deadline (of the monotonic clock). Raises ClusterError.

    Blocking on purpose, unlike the recorder's watch: a stop signal may arrive at any moment here, and if its exception
    were raised inside a callback of an event loop, the loop would swallow it.
    """
    known = Collection()
    while True:
        known.listed(cluster.listing(where))
        if done(known.items.values()):
            return True
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        limit_s = min(left_s, _WATCH_S)
        with _ended():
            for line in cluster.stream(where, known.watched(limit_s), limit_s + 1):
                known.changed(line)
                if not known.version:
                    break
                if done(known.items.values()):
                    return True
                if time.monotonic() > deadline:
                    return False
        time.sleep(known.pause_s())


@contextmanager
def _ended() -> Iterator[None]:
    """Whatever ended a watch, the list is read again, and that tells; but a missing right does not come back."""
    try:
        yield
    except ClusterError as error:
        if error.status == 403:
            raise


def _waiting(pods: Iterable[Json]) -> list[str]:
    """What containers wait for, as the platform calls it."""
    told = []
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses") or ():
            waits = (container.get("state") or {}).get("waiting") or {}
            ended = (container.get("lastState") or {}).get("terminated") or {}
            if waits:
                code = f" after exit code {ended['exitCode']}" if "exitCode" in ended else ""
                told.append(f"{pod['metadata']['name']} waits: {waits.get('reason', '?')}{code}")
    return told
