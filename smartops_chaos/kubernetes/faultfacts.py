"""What became of the faults of the drivers kubernetes, exec and app, and what is left of them in a namespace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from smartops_chaos.faults import app, exec, kubernetes
from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone
from smartops_chaos.kubernetes.victims import Kind, Mark
from smartops_chaos.model import Call, EndedBy, FaultFact, Interval, PlatformEvent

_KINDS: tuple[Kind, ...] = ("pods", "deployments")


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
    if receipt.get("fault") == kubernetes.KILL and confirmed:
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


def leaks(cluster: Cluster, namespace: str) -> list[str]:
    """IDs of faults in force. Marks of those that are over are taken away."""
    return [one.fault_id for one in _marks(cluster, namespace) if _acts(cluster, namespace, one)]


def revert_all(cluster: Cluster, namespace: str) -> list[str]:
    """End every fault that has a mark in the namespace, by nothing else; their IDs. Raises ClusterError."""
    reverts: dict[str, Callable[[str, str, str], object]] = {
        "app": app.revert,
        kubernetes.SCALE: kubernetes.scale_back,
        kubernetes.KILL: kubernetes.unmark_kill,
    }
    found = _marks(cluster, namespace)
    for fault_id in dict.fromkeys(one.fault_id for one in found):
        kind = next(str(one.detail["fault"]) for one in found if one.fault_id == fault_id)
        reverts.get(kind, exec.revert)(namespace, cluster.context, fault_id)
    return list(dict.fromkeys(one.fault_id for one in found))


def _marks(cluster: Cluster, namespace: str) -> list[Mark]:
    return [one for kind in _KINDS for one in victims.marks(cluster, namespace, kind)]


def _acts(cluster: Cluster, namespace: str, one: Mark) -> bool:
    acting: dict[str, Callable[[str, str, Mark], bool]] = {"app": app.in_force}
    acting |= dict.fromkeys((kubernetes.SCALE, kubernetes.KILL), kubernetes.in_force)
    try:
        if acting.get(str(one.detail["fault"]), exec.in_force)(namespace, cluster.context, one):
            return True
        victims.unmark(cluster, namespace, one)
    except Gone:
        return False
    except ClusterError:
        return True  # nobody can say that it is over
    return False
