"""What a plan needs on a cluster beyond its objects: rights, metrics, and what its faults need in the attacked pods."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import autoscalers, rbac, rollout, victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, Json, connect, path
from smartops_chaos.kubernetes.cluster_target import located
from smartops_chaos.kubernetes.controller import Controller, is_leaving, is_ready
from smartops_chaos.kubernetes.driver_api import SCALE
from smartops_chaos.kubernetes.drivers import DRIVERS
from smartops_chaos.model import FaultPart, Plan
from smartops_chaos.schema.clustertarget import touched_elsewhere
from smartops_chaos.schema.faultfile import shipped_faults
from smartops_chaos.schema.healer_kubernetes import KubernetesBlock
from smartops_chaos.telemetry import lateness, prometheus
from smartops_chaos.telemetry.connection import connection

_READY_S = 60.0
_GLANCE_S = 3.0
_SHOWN = 5  # pods that are named


def problems(plan: Plan, *, complete: bool) -> list[tuple[str, str]]:
    """(what is missing, how to mend it). A cluster that does not answer is told by the target's own check.

    Pods are asked only if the target is `complete` and all rights are there: else the same is told once more.
    """
    try:
        cluster = connect(plan.target["context"])
        found = [
            (f"{name} is not in `allow`, but the plan changes things there", "add it, if trials may break things in it")
            for name in touched_elsewhere(((one.namespace, one.verbs) for one in rbac.needed(plan)), plan.target)
        ]
        found += rbac.missing(cluster, plan)
        return found if found or not complete else [*_metrics(plan), *_faults(cluster, plan)]
    except ClusterError:
        return []


def _metrics(plan: Plan) -> Iterator[tuple[str, str]]:
    address, query = KubernetesBlock.from_plan(plan.target).prometheus, plan.analysis.slo.query
    if address is None:
        if query:
            yield (
                "`slo.query` has no Prometheus to ask",
                "name one: `prometheus: {service: ..., port: 9090}` in `target`",
            )
        return
    for lane in plan.target["lanes"]:
        url = located(address, plan.target["context"], lane["namespace"])
        try:
            prometheus.data(connection(url), "/api/v1/query", {"query": "1"}, retries=0)
        except prometheus.PrometheusError as error:
            yield str(error), "mend it, or correct `prometheus` in the matrix's target or in the healer file"
            continue
        if query:
            yield from _value(url, query.replace("${namespace}", lane["namespace"]), plan.analysis.slo.lag_s)


def _value(where: str, query: str, lag_s: float) -> Iterator[tuple[str, str]]:
    try:
        found = prometheus.instant(where, query)["result"]
        late = lateness.understated(where, query, lag_s)
    except prometheus.PrometheusError as error:
        yield str(error), "correct `slo.query`"
        return
    if not found:
        yield f"`slo.query` has no value now: {query}", "correct it, and see that your own load runs"
    if late:
        yield late


def _faults(cluster: Cluster, plan: Plan) -> list[tuple[str, str]]:
    """Faults of the plan that could not be injected. Injects nothing; runs `:` or `pass` in pods."""
    found: dict[str, str] = {}
    for lane in plan.target["lanes"]:
        for level, part in rbac.faults(plan):
            attacked = str(part.params.get("deployment") or KubernetesBlock.from_plan(plan.target).service)
            for what, hint in _of_part(cluster, lane["namespace"], attacked, part):
                found.setdefault(f"`{level}` in {lane['namespace']}: {what}", hint)
    return list(found.items())


def _of_part(cluster: Cluster, namespace: str, name: str, part: FaultPart) -> Iterator[tuple[str, str]]:
    try:
        controller = Controller.read(cluster, namespace, name)
        pod = _ready(cluster, namespace, controller)
        if pod is None:
            yield f"{controller.kind.name} {name} has no ready pod", "wait for it, or mend it"
            return
        victim = victims.victim(namespace, controller, pod, str(part.params.get("container") or ""))
        for driver in dict.fromkeys(driver for driver, _ in rbac.activities(part) if driver in DRIVERS):
            yield from DRIVERS[driver].problems(cluster, victim, part)
    except Gone as error:
        yield str(error), "correct the fault's `deployment`"
    except (ClusterError, ActivityFailed) as error:
        yield str(error), "mend what it says, or use a fault of another driver"


def _ready(cluster: Cluster, namespace: str, controller: Controller) -> Json | None:
    """A ready pod; one that was undone a moment ago, or is being replaced, is waited for."""
    found: list[Json] = []

    def there(pods: Iterable[Json]) -> bool:
        found[:] = [pod for pod in pods if controller.owns(pod) and is_ready(pod) and not is_leaving(pod)]
        return bool(found)

    deadline = time.monotonic() + (_READY_S if controller.replicas else 0)
    return found[0] if rollout.wait(cluster, path(namespace, "pods"), there, deadline) else None


def notes(plan: Plan) -> list[str]:
    """What works on this cluster, and what does not, for a person to read."""
    block, namespace = KubernetesBlock.from_plan(plan.target), plan.target["lanes"][0]["namespace"]
    try:
        cluster = connect(plan.target["context"])
    except ClusterError:
        return []
    found = targeted(plan)
    for name, driver in DRIVERS.items():
        faults = ", ".join(fault for fault, file in shipped_faults("kubernetes").items() if file.parent.name == name)
        try:
            found.append(f"driver {name}: {driver.abilities(cluster, namespace, block.service, faults)}")
        except (ClusterError, ActivityFailed) as error:
            found.append(f"driver {name}: not possible: {error}")
    found += [f"rights that faults of {module} need are not known here" for module in rbac.unknown(plan)]
    for lane in plan.target["lanes"]:
        found += _limits(cluster, plan, lane["namespace"])
    if block.prometheus is None:
        found.append("no Prometheus is named: moments come from log lines alone, unless `target` names one")
    return found


def targeted(plan: Plan) -> list[str]:
    """Which cluster, pods and container each fault of a plan would hit now, for a person to read before the first."""
    context = plan.target["context"]
    try:
        cluster = connect(context)
        cluster.request("GET", "/version", limit_s=_GLANCE_S, patience_s=0)  # a plan does not wait for a cluster
        found = [f"cluster: {cluster.where}"]
        for lane in plan.target["lanes"]:
            namespace = lane["namespace"]
            found += [f"`{level}` in {namespace}: {told}" for level, told in _victims(cluster, plan, namespace)]
    except ClusterError as error:
        return [f"which pods would be hit cannot be told: {error}"]
    return found


def _victims(cluster: Cluster, plan: Plan, namespace: str) -> Iterator[tuple[str, str]]:
    for level, part in rbac.faults(plan):
        name = str(part.params.get("deployment") or KubernetesBlock.from_plan(plan.target).service)
        which = "all of" if part.params.get("pods") == "all" or part.fault == SCALE else "one of"
        try:
            controller = Controller.read(cluster, namespace, name)
            pods = victims.pods_of_controller(cluster, namespace, controller)
            ready = [pod for pod in pods if is_ready(pod)]
            if not ready:
                yield level, f"{part.fault} would find no ready pod of {name}"
                continue
            container = controller.container_of(ready[0], str(part.params.get("container") or ""))
            names = ", ".join(str(pod["metadata"]["name"]) for pod in ready[:_SHOWN])
            more = f" and {len(ready) - _SHOWN} more" if len(ready) > _SHOWN else ""
            yield level, f"{part.fault} hits {which} {names}{more}, container {container}"
        except KeyError as error:
            yield level, str(error.args[0])
        except Gone as error:
            yield level, str(error)


def _limits(cluster: Cluster, plan: Plan, namespace: str) -> list[str]:
    block = KubernetesBlock.from_plan(plan.target)
    attacked = {str(part.params.get("deployment") or block.service) for _, part in rbac.faults(plan)}
    try:
        there = Controller.listed(cluster, namespace, attacked)
        labels = {name: one.pod_labels for name, one in there.items() if name in attacked}
        return list(autoscalers.notes(autoscalers.found(cluster, namespace), namespace, labels))
    except ClusterError as error:
        return [f"{namespace}: what limits the system cannot be told: {error}"]
