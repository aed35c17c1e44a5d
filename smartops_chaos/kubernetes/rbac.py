"""The rights that a plan needs on a cluster: as Roles to print, and as questions to the API server before a run.

for role in roles(plan): print(role)
problems = missing(connect(context), plan)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from smartops_chaos.kubernetes import autoscalers
from smartops_chaos.kubernetes.changes import LOCK
from smartops_chaos.kubernetes.cluster import Cluster
from smartops_chaos.kubernetes.driver_base import Right, on_controllers, on_kinds
from smartops_chaos.kubernetes.drivers import DRIVERS
from smartops_chaos.model import REFERENCE_HEALERS, FaultPart, Plan
from smartops_chaos.schema.clustertarget import kinds_of
from smartops_chaos.schema.healer_kubernetes import Address, Change, KubernetesBlock

_FAULTS = "smartops_chaos.faults."
_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def needed(plan: Plan) -> list[Right]:
    """Every right, in the order of a Role. Pure."""
    system = KubernetesBlock.from_plan(plan.target)
    rights: list[Right] = []
    for lane in plan.target["lanes"]:
        rights += _of_lane(plan, system, lane["namespace"])
        rights += _of_addresses(plan, system, lane["namespace"])
    return list(dict.fromkeys(rights))


def _of_lane(plan: Plan, system: KubernetesBlock, namespace: str) -> Iterator[Right]:
    resets = plan.target["between"] == "reset"
    changes = _changes(plan, system)
    maps = sorted({change.configmap for change in system.all_changes() if change.configmap})
    set_maps = sorted({change.configmap for change in changes if change.configmap})
    patched = {change.deployment for change in changes if change.deployment}
    if resets:
        patched |= {*system.reset.replicas, *system.reset.remove, *system.reset.restart}
    yield Right(namespace, "namespaces", ("get",), "labels that say production", (namespace,))
    yield Right(namespace, "pods", ("get", "list", "watch"), "to see what the platform does")
    yield Right(namespace, "pods/log", ("get",), "to read what the healer says")
    yield Right(namespace, "events", ("list", "watch"), "to see what the platform does")
    for elsewhere in system.elsewhere:
        yield Right(elsewhere, "pods", ("get", "list", "watch"), "to find the healer's pods")
        yield Right(elsewhere, "pods/log", ("get",), "to read what the healer says")
        yield from on_kinds(elsewhere, ("list",), "to find the healer", kinds_of(plan.target))
    for one in system.watch:
        why = "to see fields of objects change"
        yield Right(one.namespace or namespace, one.resource, ("get", "list", "watch"), why, of_group=one.group)
    yield from on_kinds(namespace, ("get", "list", "watch"), "to wait for rollouts", kinds_of(plan.target))
    yield Right(namespace, "configmaps", ("create", "list"), "the mark of the campaign that has the namespace")
    yield Right(namespace, "configmaps", ("get", "delete"), "the mark of the campaign that has the namespace", (LOCK,))
    if maps:
        yield Right(namespace, "configmaps", ("get",), "the settings of the arms", tuple(maps))
    if set_maps:
        yield Right(namespace, "configmaps", ("patch",), "to set the arms", tuple(set_maps))
    for change in system.all_changes():
        if change.other is not None:
            of, api, resource = change.other[0].split(":")
            why, group = "to set the arms", api.rpartition("/")[0]
            yield Right(of or namespace, resource, ("list",), why, of_group=group)
            yield Right(of or namespace, resource, ("get", "patch"), why, (change.other[1],), of_group=group)
    if patched:
        yield from on_controllers(namespace, ("patch",), "to set the arms and to reset", tuple(sorted(patched)))
    for collection in autoscalers.COLLECTIONS:
        yield Right(namespace, collection, ("list",), "to tell what else sets sizes or limits them", optional=True)
    for name, part in faults(plan):
        yield from _of_fault(name, part, system.service, namespace)


def _of_fault(level: str, part: FaultPart, service: str, namespace: str) -> Iterator[Right]:
    for driver, func in activities(part):
        if driver in DRIVERS:
            attacked = str(part.params.get("deployment") or service)
            yield from DRIVERS[driver].rights(func, namespace, attacked, f"the fault {part.fault} of `{level}`", part)


def _of_addresses(plan: Plan, system: KubernetesBlock, lane: str) -> Iterator[Right]:
    verb = _VERBS.get(str(plan.healer["workload"]["method"]).upper(), "create")
    wanted: list[tuple[Address | None, str, str]] = [
        (None if plan.analysis.slo.query else system.workload, verb, "to send requests"),
        (system.prometheus, "get", "to read metrics"),
        (system.loki, "get", "to read logs"),
        (system.traces, "get", "to read traces"),
    ]
    for address, verb, why in wanted:
        if address is not None and address.service:
            names = (f"{address.service}:{address.port}",)
            yield Right(address.namespace or lane, "services/proxy", (verb,), f"{why} through the API server", names)


def _changes(plan: Plan, system: KubernetesBlock) -> list[Change]:
    """The changes of every arm that the plan has, the healer being off in calibration among them."""
    arms = {(trial.model, trial.policy) for trial in plan.trials}
    settings = [plan.models[model].over(plan.policies[policy]) for model, policy in arms]
    alone = [one for one in settings if one.get("healer") in REFERENCE_HEALERS]  # then it is off, too
    settings = [one for one in settings if one not in alone]
    if alone or any(trial.phase == "calibrate" for trial in plan.trials):
        settings.append({"healer": "off"})
    return [change for one in settings for change in system.changes(one)]


def faults(plan: Plan) -> list[tuple[str, FaultPart]]:
    """The faults of the chaos levels that trials have, each with its level's name."""
    used = dict.fromkeys(trial.chaos for trial in plan.trials)
    return [(name, part) for name in used for part in plan.chaos[name].parts]


def activities(part: FaultPart) -> list[tuple[str, str]]:
    """Driver and function of every activity of a fault; of somebody else's the module stands for the driver."""
    listed = [*part.definition.get("method", ()), *part.definition.get("rollbacks", ())]
    found = [(str(a["provider"].get("module", "")), str(a["provider"].get("func", ""))) for a in listed]
    return list(dict.fromkeys((module.removeprefix(_FAULTS), func) for module, func in found))


def unknown(plan: Plan) -> list[str]:
    """Modules of other Chaos Toolkit extensions that faults call: nobody but them knows which rights they need."""
    modules = {driver for _, part in faults(plan) for driver, _ in activities(part)}
    return sorted(module for module in modules if module and module not in DRIVERS)


def missing(cluster: Cluster, plan: Plan) -> list[tuple[str, str]]:
    """(right that the API server would refuse, how to mend it), asked for each right by itself. Raises ClusterError."""
    hint = "`smartops-chaos doctor --rbac MATRIX` prints the roles; an administrator applies and binds them"
    found: dict[str, str] = {}
    for right in needed(plan):
        for verb in () if right.optional else right.verbs:
            for name in right.names or ("",):
                if not _allowed(cluster, right, verb, name):
                    what = f"{right.resource}{f' {name}' if name else ''}: no right to {verb}"
                    found.setdefault(f"{right.namespace}: {what}", right.why)
    return [(f"{what} ({why})", hint) for what, why in found.items()]


def _allowed(cluster: Cluster, right: Right, verb: str, name: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "namespace": right.namespace,
        "verb": verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "name": name,
    }
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = cluster.request("POST", _REVIEW, body={**kind, "spec": {"resourceAttributes": attributes}})
    return bool(answer["status"]["allowed"])


def roles(plan: Plan) -> list[str]:
    """One Role a namespace with nothing in it that this plan does not need, as YAML."""
    rights = needed(plan)
    names = dict.fromkeys(right.namespace for right in rights)
    return [_role(namespace, [right for right in rights if right.namespace == namespace]) for namespace in names]


def _role(namespace: str, rights: Sequence[Right]) -> str:
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        "kind: Role",
        f"metadata: {{name: smartops-chaos, namespace: {namespace}}}",
        "rules:",
    ]
    return "\n".join([*lines, *(_rule(*rule) for rule in _merged(rights))]) + "\n"


def _merged(rights: Iterable[Right]) -> list[tuple[Right, list[str], list[str]]]:
    """Rules with their verbs and reasons; rights on the same objects are one rule, and none is given twice."""
    given: set[tuple[str, str, str]] = set()  # resource, verb, name ("" = all)
    found: dict[tuple[str, tuple[str, ...]], tuple[Right, list[str], list[str]]] = {}
    for right in sorted(rights, key=lambda right: bool(right.names)):
        for verb in right.verbs:
            named = [(right.resource, verb, name) for name in (right.names or ("",))]
            if (right.resource, verb, "") in given or given.issuperset(named):
                continue
            given.update(named)
            _, verbs, reasons = found.setdefault((right.resource, right.names), (right, [], []))
            verbs.append(verb)
            if right.why not in reasons:
                reasons.append(right.why)
    return list(found.values())


def _rule(right: Right, verbs: list[str], reasons: list[str]) -> str:
    listed: dict[str, Any] = {"apiGroups": [right.group], "resources": [right.resource]}
    if right.names:
        listed["resourceNames"] = list(right.names)
    listed["verbs"] = verbs
    inside = ", ".join(f"{key}: {json.dumps(value)}" for key, value in listed.items())
    return f"  - {{{inside}}} # {'; '.join(reasons)}"
