"""A matrix's `target: {kind: kubernetes}`: which namespaces may be touched, and where the parts of the system are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from smartops_chaos.schema.healer_kubernetes import FROM_DUMP, KubernetesBlock
from smartops_chaos.schema.names import DEPLOYMENT, split_controller
from smartops_chaos.schema.partial_matrix import PartialMatrix
from smartops_chaos.schema.slospec import QuerySpec
from smartops_chaos.schema.targetspec import KubernetesTargetSpec
from smartops_chaos.schema.yamlfile import did_you_mean

_READING = {"get", "list", "watch"}
_RESET_S = 15.0  # as measured: a healer's pods restarted, old ones gone
_PRODUCTION = re.compile(r"(^|[^a-z])(prod|prd|production|live)([^a-z]|$)")


def says_production(text: str) -> bool:
    """Whether a name, or the value of a label, means production."""
    return bool(_PRODUCTION.search(text.lower()))


def lane_count(target: Mapping[str, Any]) -> int:
    """Lanes of any kind of target: a number, or one for each that is named."""
    lanes = target.get("lanes", 1)
    return len(lanes) if isinstance(lanes, list) else int(lanes)


def kinds_of(target: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of controllers that a plan's target and its faults are about."""
    named = [split_controller(name)[0] for name in KubernetesBlock.from_plan(target).controllers()]
    return tuple(dict.fromkeys([DEPLOYMENT, *named, *target.get("kinds", ())]))


def between_s(target: Mapping[str, Any]) -> float:
    """What lies between two trials of a lane on a cluster, and not on the lab: rollouts, or the spacing."""
    if target["kind"] != "kubernetes":
        return 0.0
    return _RESET_S if target["between"] == "reset" else float(target["between"]["spacing"])


def longest_between_s(target: Mapping[str, Any]) -> float:
    """The most that it may take; beyond it a trial's process counts as hung."""
    return 0.0 if target["kind"] != "kubernetes" else between_s(target) + float(target["system"]["limit_s"])


def check(found: PartialMatrix, block: KubernetesBlock | None) -> None:
    """Refuse what is wrong with a cluster as a target beyond its schema; `block` is the healer file's."""
    target = found.target
    if not isinstance(target, KubernetesTargetSpec):
        return
    if block is None:
        what = f"the healer file of `{target.healer}` has no `kubernetes` block"
        found.refuse(("target", "healer"), what, "add one: it says where the system's parts are")
    seen: set[str] = set()
    for i, lane in enumerate(target.lanes):
        at, name = ("target", "lanes", i, "namespace"), lane.namespace
        if name not in target.allow:
            found.refuse(at, f"`{name}` is not in `allow`", "add it there, if trials may break things in it")
        elif says_production(name) and name not in target.production:
            found.refuse(at, f"the name of `{name}` says production", f"if you mean it: `production: [{name}]`")
        if name in seen:
            found.refuse(at, f"`{name}` stands here twice", "a lane needs a namespace of its own")
        seen.add(name)
    workload = target.workload or (block.workload if block is not None else None)
    if workload is not None and workload.namespace and not isinstance(found.slo, QuerySpec):
        place = ("target", "workload", "namespace") if target.workload else ("target", "healer")
        _allowed(found, target, place, workload.namespace, "requests are sent to it")
    for change in block.all_changes() if block is not None else ():
        if change.object is not None and change.object.namespace and len(target.lanes) > 1:
            what = f"the healer file changes {change.object.name} in {change.object.namespace}, which all lanes share"
            found.refuse(("target", "lanes"), what, "name one lane: two would set it at once")
            break
    for name in target.replicas:
        if block is not None and name not in block.controllers():
            hint = did_you_mean(name, block.controllers())
            found.refuse(("target", "replicas", name), f"no Deployment `{name}`", hint, at_key=True)


def _allowed(found: PartialMatrix, target: KubernetesTargetSpec, at: tuple[str, ...], name: str, why: str) -> None:
    """Refuse a namespace in which something is done that is more than reading, unless it is said that this may be."""
    if name not in target.allow:
        found.refuse(at, f"`{name}` is not in `allow`, and {why}", "add it there, if trials may break things in it")
    elif says_production(name) and name not in target.production:
        found.refuse(at, f"the name of `{name}` says production, and {why}", f"if you mean it: `production: [{name}]`")


def touched_elsewhere(rights: Iterable[tuple[str, Iterable[str]]], target: Mapping[str, Any]) -> list[str]:
    """Of (namespace, verbs) of all rights of a plan, the namespaces in which it does more than read, beyond `allow`."""
    changed = [name for name, verbs in rights if set(verbs) - _READING]
    return [name for name in dict.fromkeys(changed) if name not in target["allow"]]


def options(target: KubernetesTargetSpec, healer: Mapping[str, Any], attacked: Iterable[str] = ()) -> dict[str, Any]:
    """The target of a plan: the matrix's keys, and under `system` the healer file's block with the matrix's values.

    `attacked` are controllers that faults name; their kinds are noted where the system itself has none of them.
    """
    block = KubernetesBlock.model_validate(healer["kubernetes"], context=FROM_DUMP)
    given = target.model_dump()
    ours = {name: given.pop(name) for name in ("workload", "prometheus", "loki", "traces")}
    ours = {name: value for name, value in ours.items() if value is not None}
    system = block.model_dump(mode="json") | ours
    system["reset"]["replicas"] |= given.pop("replicas")
    plain = given | {"system": system}
    others = sorted({split_controller(name)[0] for name in attacked} - {*kinds_of(plain)})
    return plain | ({"kinds": others} if others else {})
