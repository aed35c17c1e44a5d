"""Which fault drivers work on a cluster, and why another does not: asked of a ready pod of each attacked Deployment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.faults import app
from smartops_chaos.kubernetes import rollout, victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, path, proxy
from smartops_chaos.kubernetes.cluster_target import block
from smartops_chaos.kubernetes.rbac import FAULTS, faults, providers, unknown
from smartops_chaos.model import FaultPart, Plan
from smartops_chaos.schema.faultfile import shipped_faults

_NETWORK = (
    "packet loss and delay: no driver here can do them; on real pods they need Chaos Mesh or root on the node, "
    "so use the lab for them"
)
_READY_S = 60.0
_NOTHING = "use a fault of another driver, or name another `container` in the fault"


def problems(cluster: Cluster, plan: Plan) -> list[tuple[str, str]]:
    """(fault of the plan that could not be injected, how to mend it). Injects nothing; runs `:` or `pass` in pods."""
    found: dict[str, str] = {}
    for lane in plan.target["lanes"]:
        for level, part in faults(plan):
            deployment = str(part.params.get("deployment") or block(plan.target).service)
            for what, hint in _of_part(cluster, lane["namespace"], deployment, part):
                found.setdefault(f"`{level}` in {lane['namespace']}: {what}", hint)
    return list(found.items())


def _of_part(cluster: Cluster, namespace: str, deployment: str, part: FaultPart) -> Iterator[tuple[str, str]]:
    modules = {module.removeprefix(FAULTS): func for module, func in providers(part)}
    try:
        if "kubernetes" in modules and os.pathsep in os.environ.get("KUBECONFIG", ""):
            yield "chaosk8s reads one kubeconfig only, and KUBECONFIG lists several", "export KUBECONFIG with one file"
        pod = _ready(cluster, namespace, deployment)
        if pod is None:
            yield f"deployment {deployment} has no ready pod", "wait for it, or mend it"
            return
        container = victims.victim(namespace, deployment, pod, str(part.params.get("container") or "")).container
        if "exec" in modules:
            tools = container.tools(cluster)
            shell_will_do = part.fault == "cpu-stress" and part.params.get("load") == 1
            if "python3" not in tools and not (shell_will_do and "sh" in tools):
                needs = "python3 or sh" if shell_will_do else "python3"
                yield f"{part.fault} needs {needs} in container {container.name} of {deployment}", _NOTHING
        if "app" in modules:
            port = int(part.params.get("port", 8000))
            cluster.request("GET", proxy(namespace, "pods", container.pod, port, app.MODES))
    except Gone as error:
        yield str(error), "correct the fault's `deployment` or `port`"
    except (ClusterError, ActivityFailed) as error:
        yield str(error), "mend what it says, or use a fault of another driver"


def _ready(cluster: Cluster, namespace: str, deployment: str) -> dict[str, Any] | None:
    """A ready pod; one that was undone a moment ago, or is being replaced, is waited for."""
    target, found = victims.deployment(cluster, namespace, deployment), list[dict[str, Any]]()

    def there(pods: Iterable[dict[str, Any]]) -> bool:
        found[:] = [pod for pod in pods if _in_service(target, pod)]
        return bool(found)

    deadline = time.monotonic() + (_READY_S if target["spec"]["replicas"] else 0)
    return found[0] if rollout.wait(cluster, path(namespace, "pods"), there, deadline) else None


def _in_service(deployment: dict[str, Any], pod: dict[str, Any]) -> bool:
    return rollout.selects(deployment, pod) and victims.is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def notes(cluster: Cluster, plan: Plan) -> list[str]:
    """What each driver can do to the service under attack, for a person to read."""
    service, namespace = block(plan.target).service, plan.target["lanes"][0]["namespace"]
    found = [f"driver kubernetes: {_names('kubernetes')}", *_inside(cluster, namespace, service), _NETWORK]
    return [*found, *(f"rights that faults of {module} need are not known here" for module in unknown(plan))]


def _names(driver: str) -> str:
    return ", ".join(name for name, path in shipped_faults("kubernetes").items() if path.parent.name == driver)


def _inside(cluster: Cluster, namespace: str, service: str) -> Iterator[str]:
    try:
        (chosen,) = victims.choose(cluster, namespace, service, 0)
        tools = chosen.container.tools(cluster)
        what = {2: _names("exec"), 0: "not possible"}.get(
            len(tools), _names("exec") if tools == ("python3",) else "cpu-stress alone"
        )
        yield f"driver exec: {what}: {' and '.join(tools) or 'neither sh nor python3'} in {service}"
    except (ClusterError, ActivityFailed) as error:
        yield f"driver exec: not possible: {error}"
        return
    try:
        switches = proxy(namespace, "pods", chosen.container.pod, 8000, app.MODES)
        cluster.request("GET", switches, patience_s=0)
        yield f"driver app: {_names('app')}: {service} has the switches; a healer that reads them knows the answer"
    except ClusterError as error:
        yield f"driver app: not possible: {error}"
