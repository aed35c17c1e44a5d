"""Faults of the network by a TCP proxy that takes a Service's place in front of its pods. It needs no right on a node.

The proxy (`inside/proxy.py`) is a Deployment of one pod. The Service's selector and ports are changed to lead to it,
and what they were stands in an annotation of the Service. `prepare` does that before anything is injected, with a proxy
that does nothing: requests under way go on over the connections that they have, and new ones over the proxy. `trouble`
and `revert` only write marks on the proxy's Deployment, which the proxy follows: so both take effect within
milliseconds. Several faults on one Service share its proxy.

Who puts the Service back when the runner was killed: the proxy itself, when the time of all its marks is over. Its pod
has an account of its own, which may do just that: read and patch this one Service, delete this one Deployment. It is a
Deployment and not a bare pod, because a proxy that is evicted must come back: without it the Service leads nowhere. The
Deployment owns the account and its role, so when it goes everything goes.

What is not touched: connections that were open before and are kept open, calls to a pod's own address (the kubelet's
probes, Prometheus), other protocols than TCP, and the handshake of a connection.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.inside.proxy import FORMER, former
from smartops_chaos.kubernetes import rollout, victims
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, Json, connect, path, proxy
from smartops_chaos.kubernetes.container import text, until
from smartops_chaos.kubernetes.controller import DEPLOYMENT, Controller, is_leaving, is_ready, main_container
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure
from smartops_chaos.kubernetes.victims import OURS, Mark, Victim
from smartops_chaos.model import FaultPart
from smartops_chaos.schema.names import split_controller

logger = logging.getLogger("smartops_chaos")

NETWORK = "network"
FAULTS: tuple[str, ...] = (NETWORK,)
_FIRST_PORT = 20000  # that the proxy listens at, one for each of the Service
_CONTROL = 19999
_READY_S = 60.0  # for an image that is not on the node yet
_ACTS_S = 5.0
_MEASURE_S = 40.0
_EXCHANGES = 1000
_MEASUREMENTS = 3
_DELAY_WITHIN, _DELAY_AT_LEAST_S = 0.05, 0.01
_LOSS_WITHIN, _RESET_WITHIN, _RATE_WITHIN = 0.02, 0.02, 0.1
_OF_SERVICE = "kubernetes.io/service-name"
_OWNED = ("serviceaccounts", "roles", "rolebindings")


@as_activity_failure
def prepare(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    service: str = "",
    image: str = "",
) -> str:
    """Put a proxy that does nothing yet in front of the Service's pods. A second fault of a Service shares it."""
    cluster, service = connect(context), _service(service, deployment)
    name = proxy_name(service)
    found = cluster.request("GET", path(namespace, "services", service))
    if refused := list(_refusals(found)):
        raise ActivityFailed(refused[0][0])
    detail = {"fault": NETWORK, "service": service, "begun": False}
    there = _proxy(cluster, namespace, name)
    if there is None:
        if FORMER in (found["metadata"].get("annotations") or {}):
            _put_back(cluster, namespace, service, name)  # its proxy was deleted by somebody: it leads nowhere
            found = cluster.request("GET", path(namespace, "services", service))
        image = image or _image(cluster, namespace, deployment)
        _build(
            cluster, found, name, victims.marking(fault_id, detail), image, _template(cluster, namespace, deployment)
        )
    else:
        victims.mark(cluster, namespace, "deployments", name, fault_id, detail)
    pod = _ready_pod(cluster, namespace, name)
    _lead(cluster, namespace, service, name, pod)
    return f"{service} leads to pod {pod['metadata']['name']}"


@as_activity_failure
def trouble(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    seed: int,
    expires_s: float,
    pods: str = "one",
    delay: float = 0.0,
    jitter: float = 0.0,
    loss: float = 0.0,
    rate: float = 0.0,
    reset: float = 0.0,
    cut: bool = False,
) -> dict[str, Any]:
    """Have the proxy trouble what goes to one ready pod (or to all, also to later ones), from now on."""
    cluster = connect(context)
    mark = _mark(cluster, namespace, fault_id)
    if mark is None:
        raise ActivityFailed("no proxy was prepared for this fault, or somebody has removed it")
    chosen = victims.choose(cluster, namespace, deployment, seed, pods)
    params = {"delay": delay, "jitter": jitter, "loss": loss, "rate": rate, "reset": reset, "cut": bool(cut)}
    detail = {
        **_detail(mark),
        "begun": True,
        "until": _status(cluster, mark)["now"] + float(expires_s),
        "pod": chosen[0].uid if pods == "one" else "",
        "params": {name: value for name, value in params.items() if value},
        "seed": int(seed),
    }
    victims.mark(cluster, namespace, mark.collection, mark.name, fault_id, detail)
    if not _acting(cluster, mark, True):
        raise ActivityFailed(f"the proxy {mark.name} has not begun within {_ACTS_S:.0f} s")
    objects = [victim.object for victim in chosen]
    return {"fault": NETWORK, "momentary": False, "objects": objects, "expires_s": float(expires_s)}


@as_activity_failure
def took_effect(namespace: str, context: str, fault_id: str) -> bool:
    """Whether 1,000 exchanges over the proxy meet what was asked: delay within 5 %, loss within 2 points.

    The exchanges are the proxy's own, over real connections through the same path as the traffic, timed at both ends.
    """
    cluster = connect(context)
    mark = _mark(cluster, namespace, fault_id)
    if mark is None:
        return False
    name = mark.told.service or ""
    service = cluster.request("GET", path(namespace, "services", name))
    if mark.name not in (service["spec"].get("selector") or {}).values():
        logger.warning("somebody has changed the Service %s: it does not lead to the proxy", name)
        return False
    for _ in range(_MEASUREMENTS):  # one is off where the node is busy for a moment
        what = f"/measure/{victims.key(fault_id)}/{_EXCHANGES}"
        measured = _ask(cluster, mark.namespace, mark.name, what, _MEASURE_S)
        logger.info("measured over the proxy: %s", in_words(measured))
        wrong = list(differences(mark.told.params, measured))
        if not wrong:
            return True
        logger.warning("not what was asked: %s", "; ".join(wrong))
    return False


@as_activity_failure
def revert(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """End the trouble; with the last one of a Service the proxy goes, and the Service is as it was. Safe to repeat."""
    return end(connect(context), namespace, fault_id)


def _service(service: str, deployment: str) -> str:
    """The Service that is meant: without a name the one that is called like the controller."""
    return service or split_controller(deployment)[1]


def _marks(cluster: Cluster, namespace: str, fault_id: str = "") -> list[Mark]:
    found = victims.marks(cluster, namespace, (DEPLOYMENT.plural,), fault_id)
    return [one for one in found if one.detail is not None and one.detail.fault == NETWORK]


def _mark(cluster: Cluster, namespace: str, fault_id: str) -> Mark | None:
    return next(iter(_marks(cluster, namespace, fault_id)), None)


def _detail(mark: Mark) -> dict[str, Any]:
    return {"fault": NETWORK, **mark.told.model_dump(exclude_unset=True)}


def proxy_name(service: str) -> str:
    """Of the Deployment and all that it owns: the same for every fault of a Service, so that roles can name it."""
    return f"smartops-chaos-proxy-{victims.key(service)[:8]}"


def differences(asked: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[str]:
    """What was measured and is not what was asked, in words. Pure."""
    if asked.get("cut"):
        if measured["passed"]:
            yield f"{measured['passed']} of {measured['exchanges']} exchanges passed where none should"
        return
    delay_s, found_s = float(asked.get("delay", 0)), measured["delay"]
    if found_s is None or abs(found_s - delay_s) > max(_DELAY_WITHIN * delay_s, _DELAY_AT_LEAST_S):
        yield f"a delay of {delay_s * 1000:.0f} ms was asked, {_ms(found_s)} was measured"
    loss, found = float(asked.get("loss", 0)), measured["loss"]
    if found is None or abs(found - loss) > _LOSS_WITHIN:
        yield f"a loss of {loss:.1%} was asked, {'nothing' if found is None else f'{found:.1%}'} was measured"
    reset = float(asked.get("reset", 0))
    if abs(measured["reset"] - reset) > _RESET_WITHIN:
        yield f"{reset:.1%} resets were asked, {measured['reset']:.1%} were measured"
    rate = float(asked.get("rate", 0))
    if rate and measured["rate"] > rate * (1 + _RATE_WITHIN):
        yield f"{rate:.0f} bytes a second were asked, {measured['rate']:.0f} were measured"


def in_words(measured: Mapping[str, Any]) -> str:
    """What the proxy has measured, for a person to read. Pure."""
    told = [f"{measured['exchanges']} exchanges", f"delay {_ms(measured['delay'])}"]
    if measured["loss"]:
        told.append(f"loss {measured['loss']:.1%}")
    if measured["reset"]:
        told.append(f"resets {measured['reset']:.1%}")
    if measured.get("rate"):
        told.append(f"{measured['rate']:.0f} bytes a second")
    if measured["passed"] < measured["exchanges"]:
        told.append(f"{measured['passed']} arrived in time")
    return ", ".join(told)


def _ms(seconds: float | None) -> str:
    return "nothing" if seconds is None else f"{seconds * 1000:.0f} ms"


# ---- the proxy's objects ---------------------------------------------------------------------------------------------


def _refusals(service: Json) -> Iterator[tuple[str, str]]:
    """Why no proxy can stand in front of this Service's pods, and what to do instead. Pure."""
    spec, name = service["spec"], service["metadata"]["name"]
    if spec.get("clusterIP") == "None":
        yield (
            f"the Service {name} is headless: its clients call the pods' own addresses, so no proxy can come between",
            "use a fault of another driver, or a Service with an address of its own",
        )
    elif spec.get("type") == "ExternalName" or not spec.get("selector"):
        yield f"the Service {name} selects no pods", "name another `service` in the fault"
    elif others := sorted({port["protocol"] for port in spec["ports"] if port.get("protocol", "TCP") != "TCP"}):
        yield (
            f"the Service {name} has ports that are {' and '.join(others)}: the proxy carries TCP alone, "
            "and behind it they would be gone",
            "give them a Service of their own",
        )
    elif spec.get("sessionAffinity", "None") != "None":
        yield (
            f"the Service {name} has session affinity: behind one proxy its clients would lose their pods",
            "set `sessionAffinity: None` for the evaluation, or use a fault of another driver",
        )
    elif "Local" in (spec.get("internalTrafficPolicy"), spec.get("externalTrafficPolicy")):
        yield (
            f"the Service {name} leads to pods of the caller's own node alone: the proxy is on one node",
            "set its traffic policy to Cluster for the evaluation",
        )


def _proxy(cluster: Cluster, namespace: str, name: str) -> Json | None:
    try:
        found: Json = cluster.request("GET", path(namespace, "deployments", name))
    except Gone:
        return None
    return None if is_leaving(found) else found


def _template(cluster: Cluster, namespace: str, deployment: str) -> Json:
    """The attacked pods' own spec: the proxy may run where they may."""
    template: Json = Controller.read(cluster, namespace, deployment).found["spec"]["template"]["spec"]
    return template


def _image(cluster: Cluster, namespace: str, deployment: str) -> str:
    """That of the attacked container, which is on a node already."""
    found = Controller.read(cluster, namespace, deployment).found
    name = main_container(found)
    return str(next(one for one in found["spec"]["template"]["spec"]["containers"] if one["name"] == name)["image"])


def _build(cluster: Cluster, service: Json, name: str, metadata: Json, image: str, like: Json) -> None:
    """Make the proxy. Its Deployment, with the mark in it, comes first, and begins to run when its account is there."""
    namespace = service["metadata"]["namespace"]
    body = _deployment(service, name, image, like)
    body["metadata"] = {"name": name, **metadata}
    made = cluster.request("POST", path(namespace, "deployments"), body=body)
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": made["metadata"]["uid"]}
    for collection, one in zip(_OWNED, _account(namespace, name, service["metadata"]["name"]), strict=True):
        one["metadata"] = {"name": name, "ownerReferences": [owner], "labels": {OURS: name}}
        try:
            cluster.request("POST", path(namespace, collection), body=one)
        except ClusterError as error:
            if error.status != 409:
                raise
            # Of a proxy that is gone, and about to be collected: the collector knows it by another UID.
            with suppress(Gone):
                cluster.request("DELETE", path(namespace, collection, name))
            cluster.request("POST", path(namespace, collection), body=one)
    start = {"spec": {"replicas": 1}}
    cluster.request("PATCH", path(namespace, "deployments", name), body=start, content=MERGE)


def _account(namespace: str, name: str, service: str) -> tuple[Json, Json, Json]:
    """The proxy's own account, and what it may do: put this Service back, see the pods behind it, and end itself."""
    group = "rbac.authorization.k8s.io"
    own = ["list", "watch", "delete"]
    rules = [
        {"apiGroups": [""], "resources": ["services"], "resourceNames": [service], "verbs": ["get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": [name], "verbs": own},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    ]
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {"apiVersion": f"{group}/v1", "kind": "Role", "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
    )


def _deployment(service: Json, name: str, image: str, like: Json) -> Json:
    meta, spec = service["metadata"], service["spec"]
    settings = {
        "namespace": meta["namespace"],
        "name": name,
        "service": meta["name"],
        "selector": ",".join(f"{key}={value}" for key, value in sorted(spec["selector"].items())),
        "unready": bool(spec.get("publishNotReadyAddresses")),
        "ports": [
            {"listen": _FIRST_PORT + number, "target": port.get("targetPort", port["port"])}
            for number, port in enumerate(spec["ports"])
        ],
        "control": _CONTROL,
    }
    container = {
        "name": "proxy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", text("proxy.py"), json.dumps(settings)],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": _CONTROL}, "periodSeconds": 1, "timeoutSeconds": 3},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    same: Json = {
        key: like[key] for key in ("imagePullSecrets", "tolerations", "nodeSelector", "affinity") if key in like
    }
    pod: Json = {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": 30,  # what is under way ends first
        "enableServiceLinks": False,
        "containers": [container],
        **same,
    }
    template = {"metadata": {"labels": {OURS: name, "sidecar.istio.io/inject": "false"}}, "spec": pod}
    selector = {"matchLabels": {OURS: name}}
    strategy = {"type": "Recreate"}
    body: Json = {
        "replicas": 0,
        "strategy": strategy,
        "revisionHistoryLimit": 0,
        "selector": selector,
        "template": template,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": body}


def _pods(cluster: Cluster, namespace: str, name: str) -> list[Json]:
    found = cluster.request("GET", path(namespace, "pods"), query={"labelSelector": f"{OURS}={name}"})["items"]
    return [pod for pod in found if not is_leaving(pod)]


def _ready_pod(cluster: Cluster, namespace: str, name: str) -> Json:
    """The proxy's pod when it can put the Service back and reaches a pod behind. Raises ActivityFailed."""
    deadline = time.monotonic() + _READY_S
    while True:
        pods = _pods(cluster, namespace, name)
        if ready := [pod for pod in pods if is_ready(pod)]:
            return ready[0]
        if not until(deadline):
            raise ActivityFailed(f"the proxy {name} is not ready after {_READY_S:.0f} s: {_why(namespace, pods)}")


def _why(namespace: str, pods: list[Json]) -> str:
    for pod in pods:
        for one in pod.get("status", {}).get("containerStatuses") or ():
            waits = one.get("state", {}).get("waiting") or one.get("lastState", {}).get("terminated") or {}
            if waits:
                return f"{waits.get('reason', '')} {waits.get('message', '')}".strip()
        if pod.get("status", {}).get("phase") == "Running":
            return "it reaches no pod behind the Service, or not the API server; a NetworkPolicy may forbid it"
    return f"no pod of it runs; look at the events of {namespace}"


def _lead(cluster: Cluster, namespace: str, service: str, name: str, pod: Json) -> None:
    """Have the Service lead to the proxy, and wait until the cluster knows."""
    where = path(namespace, "services", service)

    def once() -> None:
        found = cluster.request("GET", where)
        spec = found["spec"]
        if name in spec["selector"].values():
            return
        was = {"selector": spec["selector"], "ports": spec["ports"]}
        ports = [{**port, "targetPort": _FIRST_PORT + number} for number, port in enumerate(spec["ports"])]
        metadata = {
            "annotations": {FORMER: json.dumps(was, sort_keys=True)},
            "resourceVersion": found["metadata"]["resourceVersion"],
        }
        selector = {**dict.fromkeys(spec["selector"]), OURS: name}
        body = {"metadata": metadata, "spec": {"selector": selector, "ports": ports}}
        cluster.request("PATCH", where, body=body, content=MERGE)

    cluster.amend(f"the Service {namespace}/{service}", once)

    def only_ours(slices: Iterable[Json]) -> bool:
        mine = [one for one in slices if (one["metadata"].get("labels") or {}).get(_OF_SERVICE) == service]
        ends = [end for one in mine for end in one.get("endpoints") or ()]
        uids = {(end.get("targetRef") or {}).get("uid") for end in ends}
        return uids == {pod["metadata"]["uid"]}

    if not rollout.wait(cluster, path(namespace, "endpointslices"), only_ours, time.monotonic() + _READY_S):
        raise ActivityFailed(f"the Service {service} does not lead to the proxy {name} after {_READY_S:.0f} s")


def _put_back(cluster: Cluster, namespace: str, service: str, name: str) -> bool:
    """The Service as it says that it was; whether it led to the proxy until now. Nothing to do if it is gone."""
    where = path(namespace, "services", service)

    def once() -> bool:
        try:
            found = cluster.request("GET", where)
        except Gone:
            return False
        patch = former(found, name)
        if patch:
            cluster.request("PATCH", where, body=patch, content=MERGE)
        return "spec" in patch

    return cluster.amend(f"the Service {namespace}/{service}", once)


def _ask(cluster: Cluster, namespace: str, name: str, what: str, limit_s: float = 5.0, patience_s: float = 0.0) -> Any:
    """An answer of the proxy. Raises ClusterError when it has no ready pod or does not answer."""
    ready = [pod for pod in _pods(cluster, namespace, name) if is_ready(pod)]
    if not ready:
        raise ClusterError(f"the proxy {name} has no ready pod")
    there = proxy(namespace, "pods", ready[0]["metadata"]["name"], _CONTROL, what)
    return cluster.request("GET", there, limit_s=limit_s, patience_s=patience_s)


def _status(cluster: Cluster, mark: Mark) -> Any:
    return _ask(cluster, mark.namespace, mark.name, "/status", patience_s=5.0)


def _acting(cluster: Cluster, mark: Mark, wanted: bool) -> bool:
    """Whether the trouble has begun (or ended) before long, by the proxy's own word."""
    deadline = time.monotonic() + _ACTS_S
    while True:
        with suppress(ClusterError):
            known = _ask(cluster, mark.namespace, mark.name, "/status")["troubles"].get(victims.key(mark.fault_id), {})
            if bool(known.get("in_force")) == wanted:
                return True
        if not until(deadline, 0.02):
            return False


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    """The runner needs all that it gives the proxy, or the API server refuses to let it."""
    if func != "prepare":
        return []
    service = _service(str(part.params.get("service") or ""), controller)
    name = proxy_name(service)
    owned = [Right(namespace, one, ("create",), f"{why}: the proxy's account") for one in _OWNED]
    return [
        Right(namespace, "services", ("get", "patch"), f"{why}: to lead it to the proxy", (service,)),
        Right(namespace, "endpointslices", ("list", "watch"), f"{why}: to see that it does"),
        Right(namespace, "deployments", ("create",), f"{why}: the proxy"),
        Right(namespace, "deployments", ("get", "list", "watch"), f"{why}: the proxy"),
        Right(namespace, "deployments", ("patch", "delete"), f"{why}: the proxy", (name,)),
        Right(namespace, "pods/proxy", ("get",), f"{why}: to ask the proxy"),
        *owned,
        *(Right(namespace, one, ("delete",), f"{why}: what is left of the proxy's account", (name,)) for one in _OWNED),
    ]


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    namespace, name = victim.container.namespace, _service(str(part.params.get("service") or ""), victim.controller)
    try:
        service = cluster.request("GET", path(namespace, "services", name))
    except Gone as error:
        yield str(error), f"name the Service in front of {victim.controller}: `service: ...` in the fault"
        return
    yield from _refusals(service)
    pod = victims.pod(cluster, namespace, victim.container.pod)
    labels = (pod or {"metadata": {}})["metadata"].get("labels") or {}
    selector = service["spec"].get("selector") or {}
    if OURS not in selector and pod is not None and not selector.items() <= labels.items():
        yield f"the Service {name} does not lead to pods of {victim.controller}", "name another `service` in the fault"
    if not part.params.get("image") and not _has_python(cluster, victim):
        yield (
            f"the proxy runs python3, and the image of {victim.controller} has none",
            "name one that has it: `image: ...` in the fault",
        )


def _has_python(cluster: Cluster, victim: Victim) -> bool:
    try:
        return "python3" in victim.container.tools(cluster)
    except ClusterError as error:
        if error.status == 403:  # nobody may look, and the pod will show it
            return True
        raise


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    name = _service("", controller)
    service = cluster.request("GET", path(namespace, "services", name))
    if refused := list(_refusals(service)):
        return f"not possible: {refused[0][0]}"
    return (
        f"{faults}: for what goes over the Service {name}; not for calls to a pod's own address (probes, "
        "Prometheus), connections that are open already, other protocols than TCP"
    )


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """As long as the proxy is there, the Service is not as it was."""
    return _proxy(cluster, mark.namespace, mark.name) is not None


def end(cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
    every = _marks(cluster, namespace)
    answer: dict[str, Any] = {"in_force": False, "effect": "", "gone": "process"}
    for mark in (one for one in every if one.fault_id == fault_id):
        service = mark.told.service or ""
        seen: dict[str, Any] = {}
        with suppress(ClusterError):
            seen = _ask(cluster, namespace, mark.name, "/status")["troubles"].get(victims.key(fault_id), {})
        alone = not any(other.name == mark.name and other.fault_id != fault_id for other in every)
        over = {**_detail(mark), "over": True}
        with suppress(Gone):  # the proxy has just put all back by itself
            victims.mark(cluster, namespace, mark.collection, mark.name, fault_id, over)
        if seen.get("in_force"):
            _acting(cluster, mark, False)
        led = _put_back(cluster, namespace, service, mark.name) if alone else True
        acted = bool(seen.get("in_force")) and led
        # Where the proxy has put the Service back by itself, its trouble is over as well.
        fell_off = bool(seen.get("in_force")) and not led
        gone = "pod" if seen and not seen["there"] else "service" if fell_off else "process"
        answer = {"in_force": acted and gone != "pod", "effect": _effect(seen), "gone": gone}
        if alone:
            with suppress(Gone):
                where = path(namespace, mark.collection, mark.name)
                cluster.request("DELETE", where, body={"propagationPolicy": "Background"})
        else:
            victims.unmark(cluster, mark)
    return answer


def _effect(seen: Mapping[str, Any]) -> str:
    if not seen:
        return ""
    met = f"{seen['exchanges']} exchanges of the service met it, and waited {_ms(seen['mean_wait_s'])} in the mean"
    told = [met] if seen["exchanges"] else ["no exchange of the service met it"]
    if seen["lost"]:
        told.append(f"{seen['lost']} of {seen['sent']} segments were lost")
    if seen["resets"]:
        told.append(f"{seen['resets']} connections were reset")
    if seen["measured"]:
        told.append(f"measured: {in_words(seen['measured'])}")
    return "; ".join(told)
