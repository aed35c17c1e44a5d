"""The drivers of faults on a cluster by name, what became of their faults, and what is left of them in a namespace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from smartops_chaos.kubernetes import driver_api, driver_app, driver_chaos_mesh, driver_exec, driver_proxy, victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone
from smartops_chaos.kubernetes.controller import DEPLOYMENT, KINDS
from smartops_chaos.kubernetes.driver_base import Driver
from smartops_chaos.kubernetes.victims import Mark
from smartops_chaos.model import Call, EndedBy, FaultFact, Interval, PlatformEvent

# As the folder of `experiments/` and the module of `smartops_chaos/faults` are named.
DRIVERS: dict[str, Driver] = {
    "kubernetes": driver_api,
    "exec": driver_exec,
    "app": driver_app,
    "proxy": driver_proxy,
    "chaos_mesh": driver_chaos_mesh,
}


def facts(ids: Sequence[str], calls: Sequence[Call], events: Sequence[PlatformEvent] = ()) -> tuple[FaultFact, ...]:
    """One fact for each part, from its activities' answers; `events` say more precisely when a pod was gone.

    All on the runner's clock. An action of another extension leaves no receipt: then only its brackets are known.
    """
    return tuple(_fact(part, fault_id, calls, events) for part, fault_id in enumerate(ids))


def _fact(part: int, fault_id: str, calls: Sequence[Call], events: Sequence[PlatformEvent]) -> FaultFact:
    own = [call for call in calls if call.part == part]
    injected = next((call for call in own if call.what == "inject" and call.ok), None)
    receipt: dict[str, Any] = injected.output if injected and isinstance(injected.output, dict) else {}
    confirms = [call for call in own if call.what == "confirm"]
    confirmed = bool(confirms) and all(call.ok for call in confirms)
    reverts = [call for call in own if call.what == "revert" and call.ok]
    objects = tuple(receipt.get("objects", ()))
    effect = _effect(receipt, reverts, confirmed)
    ended, by = _end(injected, receipt, reverts, objects, events)
    return FaultFact(part, fault_id, confirmed, effect, objects, ended, by, clock="runner")


def _effect(receipt: dict[str, Any], reverts: Sequence[Call], confirmed: bool) -> str:
    told = [call.output["effect"] for call in reverts if isinstance(call.output, dict) and call.output.get("effect")]
    if told:
        return str(told[0])
    if receipt.get("fault") == driver_api.KILL and confirmed:
        return f"gone: {', '.join(receipt['objects'])}"
    return ""


def _end(
    injected: Call | None,
    receipt: dict[str, Any],
    reverts: Sequence[Call],
    objects: Sequence[str],
    events: Sequence[PlatformEvent],
) -> tuple[Interval | None, EndedBy | Literal[""]]:
    """When the part ended, and by whom: the first revert found it in force, or found out what it was not."""
    if injected is None:
        return None, ""
    if receipt.get("momentary"):
        return injected.at, "momentary"
    if not reverts:
        return None, ""
    first = reverts[0]
    answer: dict[str, Any] = first.output if isinstance(first.output, dict) else {"in_force": True}
    if answer.get("in_force", True):
        return first.at, "harness"
    between = Interval(injected.at.lo_ns, first.at.hi_ns)
    if answer.get("gone") != "process":  # its pod or container is another one, or somebody scaled the Deployment up
        exits = [event.at for event in events if event.object in objects and event.kind == "exited"]
        inside = [at for at in exits if at.lo_ns >= between.lo_ns and at.hi_ns <= between.hi_ns]
        return min([*inside, between], key=lambda at: at.hi_ns), "system"
    expires_s = receipt.get("expires_s")
    over_ns = injected.at.lo_ns + round(expires_s * 1e9) if expires_s else first.at.hi_ns + 1
    if first.at.hi_ns >= over_ns:
        return Interval(min(over_ns, first.at.lo_ns), first.at.hi_ns), "expiry"
    return between, "injector"


def leaks(cluster: Cluster, namespace: str, kinds: Iterable[str] = (DEPLOYMENT.name,)) -> list[str]:
    """IDs of faults in force, on pods and on controllers of these kinds. Marks of those that are over are taken away.

    A fault of which that cannot be told counts as in force.
    """
    found = [mark.fault_id for mark in _marks(cluster, namespace, kinds) if _acts(cluster, mark)]
    return list(dict.fromkeys(found))  # a fault may have several marks


def revert_all(cluster: Cluster, namespace: str, kinds: Iterable[str] = (DEPLOYMENT.name,)) -> list[str]:
    """End every fault that has a mark in the namespace, by nothing else; their IDs. Raises ClusterError.

    What cannot be ended is told after all the others were.
    """
    found = {mark.fault_id: mark for mark in _marks(cluster, namespace, kinds)}
    failed = []
    for fault_id, mark in found.items():
        try:
            driver = _driver(mark)
            if driver is driver_api:
                driver_api.end(cluster, namespace, fault_id, f"{_kind(mark)}/{mark.name}")
            else:
                driver.end(cluster, namespace, fault_id)
        except ClusterError as error:
            failed.append(str(error))
    if failed:
        raise ClusterError("; ".join(failed))
    return list(found)


def _marks(cluster: Cluster, namespace: str, kinds: Iterable[str]) -> list[Mark]:
    """Those on pods and controllers, on the Deployments of proxies, and on Chaos Mesh's resources."""
    collections = [*victims.PODS, *(KINDS[kind].plural for kind in kinds)]
    found = victims.marks(cluster, namespace, collections)
    if DEPLOYMENT.plural not in collections:
        try:
            found += victims.marks(cluster, namespace, (DEPLOYMENT.plural,))
        except ClusterError as error:
            if error.status != 403:  # who may not see Deployments has made no proxy
                raise
    return [*found, *driver_chaos_mesh.marks(cluster, namespace)]


def _kind(mark: Mark) -> str:
    return next((kind.name for kind in KINDS.values() if kind.plural == mark.collection), DEPLOYMENT.name)


def _driver(mark: Mark) -> Driver:
    """The one that wrote the mark; of one that we do not know at least its processes are found."""
    return next((driver for driver in DRIVERS.values() if mark.told.fault in driver.FAULTS), driver_exec)


def _acts(cluster: Cluster, mark: Mark) -> bool:
    try:
        if _driver(mark).in_force(cluster, mark):
            return True
        victims.unmark(cluster, mark)
    except Gone:
        return False
    except ClusterError:
        return True  # nobody can say that it is over
    return False
