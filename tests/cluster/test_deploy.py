"""platform/deploy on a real cluster, from nothing; and what pods may do there. What goes wrong: platform/drill.

The lab's service and healer stand for SmartOps, as in values-testbed.yaml. The images of platform/images/build must be
on the nodes.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes import recorder
from smartops_chaos.kubernetes.cluster import Cluster, proxy
from tests.cluster import probe
from tests.platform.conftest import TOOLS, tool
from tests.platform.network import Pair, Peer, pairs
from tests.platform.test_hardening import BEYOND, CALLS, RIGHTS, between, strangers

PLATFORM = Path(__file__).parents[2] / "platform"
LAB = "localhost/smartops-chaos-lab"
TAG = os.environ.get("IMAGES_TAG", "1")  # of the lab's and of our image, where somebody else loads theirs as `:1`
# Programs of the small telemetry, and their images. Without Prometheus nothing is seen, so it must be there.
TELEMETRY = {"alertmanager": "alertmanager", "logs": "victoria-logs", "traces": "jaeger", "collector": "collector"}
Until = Callable[..., Any]


def call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    path = f"{TOOLS}:{os.environ['PATH']}:/var/tmp/testbed/bin"
    words = list(map(str, command))
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})


def deploy(environment: str, namespace: str, *more: str) -> subprocess.CompletedProcess[str]:
    return call(PLATFORM / "deploy", environment, "--namespace", namespace, "--timeout", "4m", *more)


def history(namespace: str) -> list[tuple[int, str]]:
    told = call("helm", "history", namespace, "--namespace", namespace, "--output", "json")
    return [(one["revision"], one["status"]) for one in json.loads(told.stdout)]


def on_nodes(api: client.ApiClient, wanted: set[str]) -> set[str]:
    """The images that the nodes tell of, once the wanted ones are there: a kubelet tells a minute after it has them."""
    deadline = time.monotonic() + 90
    while True:
        nodes = client.CoreV1Api(api).list_node().items
        there = {name for node in nodes for one in node.status.images or [] for name in one.names or []}
        if wanted <= there or time.monotonic() > deadline:
            return there
        time.sleep(2)


@pytest.fixture(scope="module")
def without(api: client.ApiClient) -> list[str]:
    """Arguments that switch off what has no image on the node."""
    tool("helm")
    there = on_nodes(api, {f"localhost/smartops-{image}:1" for image in ("prometheus", *TELEMETRY.values())})
    if "localhost/smartops-prometheus:1" not in there:
        pytest.skip("no image of Prometheus is on the node: ./platform/images/build and ./platform/testbed/load-image")
    missing = [name for name, image in TELEMETRY.items() if f"localhost/smartops-{image}:1" not in there]
    missing += ["collector-logs"] if "collector" in missing else []
    return [part for name in missing for part in ("--set", f"telemetry.small.{name}.enabled=false")]


@pytest.fixture(scope="module")
def names() -> tuple[str, str]:
    """Of an environment with its telemetry, and of one beside it. Log files are read of namespaces that begin so."""
    mark = uuid.uuid4().hex[:6]
    return f"smartops-a-{mark}", f"smartops-b-{mark}"


@pytest.fixture(scope="module")
def first(api: client.ApiClient, without: list[str], names: tuple[str, str]) -> Iterator[str]:
    namespace, second = names
    # Nothing heals here: on a busy machine a healer's false alarm restarts the service while helm waits for it.
    sets = ("--set", f"telemetry.watches={{{second}}}", "--set", "orchestrator.env.DETECTOR=none")
    done = deploy("testbed", namespace, "--", *sets, *without)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield namespace
    finally:
        client.CoreV1Api(api).delete_namespace(namespace)


@pytest.fixture(scope="module")
def second(api: client.ApiClient, first: str, names: tuple[str, str]) -> Iterator[str]:
    """All services, where only restricted pods are taken. The lab's ERP stands for all three that have a port."""
    arguments = []
    for one, port in (("erp-simulator", 8000), ("orchestrator", 8001), ("policy-engine", 8002)):
        command = ["python", "-m", "smartops_chaos.lab.smartops.erp", "--host=0.0.0.0", f"--port={port}"]
        arguments += ["--set-json", f"{one}.command={json.dumps(command)}"]
    for one in ("erp-simulator", "orchestrator", "policy-engine", "agents.detect", "agents.diagnose", "helmTest"):
        arguments += ["--set", f"{one}.image.repository={LAB}", "--set-string", f"{one}.image.tag=1"]
    for one in ("agents.detect", "agents.diagnose"):
        arguments += ["--set-json", f'{one}.command=["python", "-c", "import time; time.sleep(1e6)"]']
    namespace = names[1]
    done = deploy("dev", namespace, "--telemetry", first, "--", *arguments)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield namespace
    finally:
        client.CoreV1Api(api).delete_namespace(namespace)


def test_from_nothing_everything_is_ready_and_answers(api: client.ApiClient, first: str) -> None:
    deployments = client.AppsV1Api(api).list_namespaced_deployment(first).items
    assert {one.metadata.name for one in deployments} >= {
        "smartops-erp-simulator",
        "smartops-orchestrator",
        "prometheus",
    }
    assert all(one.status.available_replicas == one.spec.replicas for one in deployments)
    assert history(first) == [(1, "deployed")]


def test_a_release_is_under_500_kb(api: client.ApiClient, first: str) -> None:
    (stored,) = client.CoreV1Api(api).list_namespaced_secret(first, label_selector="owner=helm").items
    assert len(stored.data["release"]) < 500_000


def test_the_second_environment_is_watched_by_the_telemetry_of_the_first(
    cluster: Cluster, first: str, second: str, until: Until
) -> None:
    def seen() -> set[str]:
        path = proxy(first, "services", "prometheus", 9090, "/api/v1/query")
        found = cluster.request("GET", path, query={"query": "up == 1"}, compare=False)["data"]["result"]
        return {one["metric"]["job"] for one in found if one["metric"].get("namespace") == second}

    until(lambda: seen() >= {"smartops-erp-simulator", "smartops-orchestrator"}, why=lambda: str(seen()))


ASKED = [
    (verb, group, resource, name)
    for verb in ("get", "list", "watch", "create", "patch", "update", "delete")
    for group, resource, name in (
        ("", "pods", ""),
        ("", "secrets", ""),
        ("", "configmaps", ""),
        ("", "pods/exec", ""),
        ("apps", "deployments", ""),
        ("apps", "deployments", "smartops-erp-simulator"),
        ("apps", "deployments", "smartops-orchestrator"),
        ("apps", "deployments/scale", "smartops-erp-simulator"),
        ("rbac.authorization.k8s.io", "roles", ""),
    )
]


def test_accounts_can_what_the_table_says_and_nothing_else(api: client.ApiClient, second: str) -> None:
    """Asked of the API server, in the environment and outside of it."""
    review = client.AuthorizationV1Api(api)

    def may(account: str, namespace: str, verb: str, group: str, resource: str, name: str) -> bool:
        kind, _, sub = resource.partition("/")
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": group,
            "resource": kind,
            "subresource": sub,
            "name": name,
        }
        user = f"system:serviceaccount:{second}:{account}"
        asked = {"spec": {"user": user, "resourceAttributes": attributes}}
        return bool(review.create_subject_access_review(asked).status.allowed)

    granted = RIGHTS["dev"]["smartops-orchestrator"]
    for account in (
        "smartops-orchestrator",
        "smartops-erp-simulator",
        "smartops-policy-engine",
        "smartops-agent-detect-sim",
    ):
        rights = granted if account == "smartops-orchestrator" else set()
        for verb, group, resource, name in ASKED:
            wanted = any(
                (group, resource) == (g, r) and verb in verbs and (not limited or name in limited)
                for g, r, limited, verbs in rights
            )
            assert may(account, second, verb, group, resource, name) is wanted, (account, verb, resource, name)
            assert not may(account, "kube-system", verb, group, resource, name), (account, verb, resource)


def test_the_namespace_refuses_a_pod_that_breaks_a_rule(api: client.ApiClient, second: str) -> None:
    good: dict[str, Any] = {
        "metadata": {"name": "tried"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "tried",
                    "image": f"{LAB}:1",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(second, good, dry_run="All")
    for break_it in (
        lambda spec: spec.update(hostNetwork=True),
        lambda spec: spec["securityContext"].update(runAsUser=0),
        lambda spec: spec["containers"][0]["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
        lambda spec: spec.update(volumes=[{"name": "host", "hostPath": {"path": "/"}}]),
    ):
        bad = json.loads(json.dumps(good))
        break_it(bad["spec"])
        with pytest.raises(client.ApiException, match="violates PodSecurity"):
            core.create_namespaced_pod(second, bad, dry_run="All")


OURS = {"put-here-by": "tests"}
NODE = "10.244.0.1"  # of the testbed


@dataclass(frozen=True)
class Place:
    """A pod, with what a policy sees of it, and where it is."""

    peer: Peer
    namespace: str
    pod: str
    address: str


@pytest.fixture(scope="module")
def elsewhere(api: client.ApiClient) -> Iterator[str]:
    core, name = client.CoreV1Api(api), f"smartops-c-{uuid.uuid4().hex[:6]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="module")
def places(api: client.ApiClient, first: str, second: str, elsewhere: str, until: Until) -> dict[str, Place]:
    """One pod of every service of the environment and of the telemetry, and pods that nobody has named."""
    if os.geteuid() != 0 or call("iptables", "-w", "-S", "TESTBED-POLICIES").returncode != 0:
        pytest.skip("policies are asked on the testbed, by root, who can be somebody outside: ./platform/testbed/up")
    core = client.CoreV1Api(api)
    inside = {"environment": second, "telemetry": first, "elsewhere": elsewhere}
    outer = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
    for one in strangers("environment", "telemetry"):
        container = {
            "name": "main",
            "image": probe.IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-m", "http.server", "8000"],
            "ports": [{"name": name, "containerPort": port} for name, port in one.ports.items()],
            "securityContext": probe.RESTRICTED,
            "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        }
        body = {
            "metadata": {"name": one.name, "labels": {**one.labels, **OURS}},
            "spec": {"securityContext": outer, "containers": [container], "terminationGracePeriodSeconds": 0},
        }
        core.create_namespaced_pod(inside[str(one.namespace)], body)

    def found() -> dict[str, Place]:
        return {place.peer.name: place for place in _places(api, first, second, elsewhere)}

    wanted = {one.name for one in strangers("", "")}
    until(lambda: wanted <= found().keys(), why=lambda: str(found().keys()))
    return found()


def _places(api: client.ApiClient, first: str, second: str, elsewhere: str) -> Iterator[Place]:
    for namespace in (elsewhere, first, second):
        found = client.CoreV1Api(api).list_namespaced_pod(namespace, field_selector="status.phase=Running").items
        for pod in found:
            labels, status = pod.metadata.labels or {}, pod.status
            ready = {one.type: one.status for one in status.conditions or []}.get("Ready") == "True"
            if pod.metadata.deletion_timestamp or not ready:
                continue
            name = labels.get("app.kubernetes.io/name") or pod.metadata.name
            if namespace == first and labels.get("app.kubernetes.io/part-of") == "smartops":
                name = f"first-{name}"
            ports = {one.name: one.container_port for one in pod.spec.containers[0].ports or []}
            yield Place(Peer(name, namespace, labels, ports), namespace, pod.metadata.name, status.pod_ip)


def stored(*namespaces: str) -> list[tuple[str, Any]]:
    """The network policies as the API server has them."""
    told = [call("kubectl", "--namespace", one, "get", "networkpolicy", "--output=json") for one in namespaces]
    return [(one["metadata"]["namespace"], one) for text in told for one in json.loads(text.stdout)["items"]]


def computed(places: dict[str, Place], policies: list[tuple[str, Any]]) -> set[Pair]:
    peers = [one.peer for one in places.values()]
    return pairs(policies, [*peers, Peer("outside")], peers) | pairs(policies, peers, BEYOND)


def measured(api: client.ApiClient, places: dict[str, Place], senders: list[str]) -> set[Pair]:
    """What answered when every sender has knocked at every door."""
    service = client.CoreV1Api(api).read_namespaced_service("kubernetes", "default").spec.cluster_ip
    ports = {one.name: one.ports.values() for one in BEYOND}
    with probe.outside(*ports["outside"]) as (outside, address):
        doors = {
            f"{one.peer.name}:{name}": probe.Door(one.address, port)
            for one in places.values()
            for name, port in one.peer.ports.items()
        }
        told = {"outside": probe.ask_outside(outside, doors)} if "outside" in senders else {}
        doors |= {"api:443": probe.Door(service, 443), "api:6443": probe.Door(NODE, 6443)}
        doors |= {"names:53": probe.Door(NODE, 53), "names:53 by UDP": probe.Door(NODE, 53, udp=True)}
        doors |= {f"outside:{port}": probe.Door(address, port) for port in ports["outside"]}
        pods = {(places[name].namespace, places[name].pod): name for name in senders if name != "outside"}
        told |= {pods[pod]: answers for pod, answers in probe.ask(api, [*pods], doors).items()}
    states = {(a, b): state for a, answers in told.items() for b, state in answers.items() if b.partition(":")[0] != a}
    assert {pair for pair, state in states.items() if state == "shut"} == set(), "nobody listens there"
    for name in pods.values():  # names are for everybody by either way
        assert states[name, "names:53 by UDP"] == states.pop((name, "names:53")) == "open", name
        states[name, "names:53"] = states.pop((name, "names:53 by UDP"))
    return {pair for pair, state in states.items() if state == "open"}


def test_every_pair_of_pods_is_let_through_or_not_as_the_table_says(
    api: client.ApiClient, places: dict[str, Place], first: str, second: str, until: Until
) -> None:
    """docs/hardening.md, asked for real: who answers is who is computed to, and that is who should."""
    found, expected = set(), computed(places, stored(first, second))

    def same() -> bool:
        found.clear()
        found.update(measured(api, places, [*places, "outside"]))
        return found == expected

    until(same, 120, why=lambda: str(found ^ expected))  # a busy machine's answer may come too late
    doors = {
        f"{one.name}:{port}" for one in (*(place.peer for place in places.values()), *BEYOND) for port in one.ports
    }
    wanted = {(a, b) for a, b in CALLS if a in {*places, "outside"} and b in doors}
    assert between({(a, b) for a, b in found if not (a + b).count("first-")}) == wanted


def test_without_one_of_its_policies_a_pair_is_refused(
    api: client.ApiClient, places: dict[str, Place], first: str, second: str, until: Until
) -> None:
    """So that the test above would see a pair that is missing."""
    sender, door = "smartops-agent-detect-sim", "smartops-orchestrator:http"
    before = {pair for pair in computed(places, stored(first, second)) if pair[0] == sender}
    assert (sender, door) in before
    client.NetworkingV1Api(api).delete_namespaced_network_policy("detect-orchestrator-in", second)
    until(lambda: measured(api, places, [sender]) == before - {(sender, door)}, 60)


def test_where_digests_are_asked_for_a_tag_is_refused_whoever_makes_the_pod(
    api: client.ApiClient, elsewhere: str, tmp_path: Path, until: Until
) -> None:
    """The policy of the release that a cluster has once, for another namespace."""
    assert call(PLATFORM / "helm" / "prepare", tmp_path / "chart").returncode == 0
    values = PLATFORM / "helm" / "smartops" / "values-telemetry.yaml"
    only = ("--show-only", "templates/admission.yaml", "--set", f"admission.digests={{{elsewhere}}}")
    text = call("helm", "template", elsewhere, tmp_path / "chart", "--values", values, *only).stdout
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    core = client.CoreV1Api(api)

    def refused(part: str, image: str) -> bool:
        containers = [{"name": "main", "image": f"registry.example/erp@sha256:{'0' * 64}"}]
        spec = {"containers": containers, part: [{"name": "tried", "image": image}]}
        try:
            core.create_namespaced_pod(elsewhere, {"metadata": {"name": "tried"}, "spec": spec}, dry_run="All")
        except client.ApiException as error:
            return "takes digests only" in str(error.body)
        return False

    assert not refused("containers", "registry.example/erp:1.4.0")
    assert call("kubectl", "apply", "--filename", tmp_path / "policy.yaml").returncode == 0
    try:
        until(lambda: refused("containers", "registry.example/erp:1.4.0"), 30)
        assert refused("containers", "registry.example/erp")
        assert refused("initContainers", "registry.example/erp:1.4.0")
        assert not refused("initContainers", f"registry.example/erp:1.4.0@sha256:{'1' * 64}")
    finally:
        call("kubectl", "delete", "--filename", tmp_path / "policy.yaml")


BUSY = """
import sys, threading, time, urllib.request
order = urllib.request.Request(sys.argv[1], b"{}", {"Content-Type": "application/json"})
def users():
    while True:
        try:
            urllib.request.urlopen(order, timeout=5).read()
        except OSError:
            pass
        time.sleep(0.1)
for _ in range(4):
    threading.Thread(target=users).start()
"""


def test_an_autoscaler_owns_the_number_of_replicas(
    api: client.ApiClient, first: str, elsewhere: str, until: Until
) -> None:
    """It scales under load, an upgrade leaves its number alone, and the harness knows whose number that is.

    Last in this file: what it has added it takes away later, when others would ask that pod.
    """
    if call("kubectl", "get", "apiservice", "v1beta1.metrics.k8s.io").returncode != 0:
        pytest.skip("the cluster has no metrics API, so nothing can scale by it")
    apps, core, erp = client.AppsV1Api(api), client.CoreV1Api(api), "smartops-erp-simulator"
    autoscaling = (
        "--set",
        "erp-simulator.autoscaling.enabled=true,erp-simulator.autoscaling.max=3,erp-simulator.autoscaling.cpu=30",
    )
    on = deploy("testbed", first, "--no-test", "--", "--reuse-values", *autoscaling)
    assert on.returncode == 0, on.stderr
    command = ["python3", "-c", BUSY, f"http://{erp}.{first}:8000/simulate/load"]
    container = {"name": "main", "image": probe.IMAGE, "imagePullPolicy": "IfNotPresent", "command": command}
    spec = {"containers": [container], "activeDeadlineSeconds": 180, "terminationGracePeriodSeconds": 0}
    core.create_namespaced_pod(elsewhere, {"metadata": {"name": "busy"}, "spec": spec})
    try:
        until(lambda: apps.read_namespaced_deployment(erp, first).spec.replicas == 3, 150, why=lambda: hpa(first))
        used = call("kubectl", "--namespace", first, "top", "pod", "--no-headers").stdout
        assert erp in used, used
        again = deploy("testbed", first, "--no-test", "--", "--reuse-values", "--set", "orchestrator.env.MARK=again")
        assert again.returncode == 0, again.stderr
        found = json.loads(
            call("kubectl", "-n", first, "get", "deploy", erp, "-o=json", "--show-managed-fields").stdout
        )
        assert found["spec"]["replicas"] == 3
        assert recorder.sizer(found) == "kube-controller-manager"
    finally:
        core.delete_namespaced_pod("busy", elsewhere)


def hpa(namespace: str) -> str:
    return call("kubectl", "--namespace", namespace, "describe", "hpa").stdout
