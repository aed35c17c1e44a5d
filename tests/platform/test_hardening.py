"""What a pod may do, call and reach: read from the rendered objects. docs/hardening.md is the list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.platform.conftest import ENVIRONMENTS, ROOT, Object, Render
from tests.platform.network import Pair, Peer, pairs

PAGE = ROOT / "docs" / "hardening.md"
ROOTS = {"collector-logs"}  # reads the node's log files, which are root's; nothing else may
RUNNER = ("--set", "runner.enabled=true")
every = pytest.mark.parametrize("environment", [*ENVIRONMENTS, "runner", "nightly"])


def rendered(render: Render, environment: str) -> list[Object]:
    if environment == "runner":
        return render("telemetry", "small", *RUNNER)
    if environment == "nightly":
        return render("telemetry", "small", *RUNNER, "--set", "runner.schedule=17 2 * * *")
    return render(environment)


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    for one in objects:
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], spec
        elif "template" in spec:
            yield one["metadata"]["name"], spec["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    return [*pod["containers"], *pod.get("initContainers", ())]


# All that it says of itself: what it does not say is its pod's.
OF_A_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


@every
def test_pods_keep_the_rules_of_pod_security_restricted(render: Render, environment: str) -> None:
    for name, pod in pods(rendered(render, environment)):
        outer = pod["securityContext"]
        assert outer["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        if name in ROOTS:
            assert outer["runAsUser"] == 0, name
        else:
            assert outer["runAsNonRoot"] is True, name
            assert outer["runAsUser"] > 0, name
        folders = [volume["hostPath"]["path"] for volume in pod.get("volumes", ()) if "hostPath" in volume]
        assert folders == (["/var/log/pods"] if name in ROOTS else []), name
        for container in containers(pod):
            assert container["securityContext"] == OF_A_CONTAINER, name
            assert not [port for port in container.get("ports", ()) if "hostPort" in port], name


@every
def test_root_file_systems_cannot_be_written(render: Render, environment: str) -> None:
    for name, pod in pods(rendered(render, environment)):
        for mount in (m for container in containers(pod) for m in container.get("volumeMounts", [])):
            (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
            writable = "emptyDir" in volume or "persistentVolumeClaim" in volume
            assert writable != mount.get("readOnly", False), f"{name} {mount['name']}"


@every
def test_every_container_asks_for_what_it_needs_and_is_limited(render: Render, environment: str) -> None:
    for name, pod in pods(rendered(render, environment)):
        for container in containers(pod):
            resources = container["resources"]
            assert resources["requests"].keys() >= {"cpu", "memory"}, name
            assert resources["limits"].keys() >= {"memory"}, name


@every
def test_a_pod_has_a_token_only_if_its_account_has_rights(render: Render, environment: str) -> None:
    objects = rendered(render, environment)
    bound = {subject["name"] for one in objects if one["kind"] == "RoleBinding" for subject in one.get("subjects", [])}
    bound.add("smartops-chaos")  # its Roles follow from the matrix: `smartops-chaos doctor --rbac`
    accounts = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
    for name, pod in pods(objects):
        account = pod["serviceAccountName"]
        assert account in accounts, name
        assert pod["automountServiceAccountToken"] is (account in bound), name
        assert not [volume for volume in pod.get("volumes", ()) if "projected" in volume], name
        assert pod["enableServiceLinks"] is False, name
    for one in objects:
        if one["kind"] == "ServiceAccount":
            assert one["automountServiceAccountToken"] is False, one["metadata"]["name"]


@every
def test_no_object_holds_a_secret(render: Render, environment: str) -> None:
    assert not [one for one in rendered(render, environment) if one["kind"] == "Secret"]


def test_what_the_operator_wants_as_a_secret_is_the_plain_file(render: Render) -> None:
    (one,) = [o for o in render("telemetry", "upstream") if o["kind"] == "Secret"]
    assert (one["metadata"]["name"], set(one["stringData"])) == ("alertmanager-config", {"alertmanager.yaml"})


Rights = set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]
ERP = ("smartops-erp-simulator",)
READ_PODS = ("", "pods", ())
RIGHTS: dict[str, dict[str, Rights]] = {
    "dev": {
        "smartops-orchestrator": {
            (*READ_PODS, ("get", "list", "watch")),
            ("apps", "deployments", (), ("list", "watch")),
            ("apps", "deployments", ERP, ("get", "patch", "update")),
            ("apps", "deployments/scale", ERP, ("get", "patch", "update")),
        },
        "smartops-chaos-monitor": {
            (*READ_PODS, ("list", "watch")),
            ("apps", "deployments", (), ("list", "watch")),
            ("", "pods/log", (), ("get",)),
            ("", "events", (), ("list", "watch")),
        },
        "telemetry/prometheus": {(*READ_PODS, ("list", "watch"))},
        "telemetry/kube-state": {(*READ_PODS, ("list", "watch")), ("apps", "deployments", (), ("list", "watch"))},
    },
    "telemetry": {
        "prometheus": {(*READ_PODS, ("list", "watch"))},
        "kube-state": {(*READ_PODS, ("list", "watch")), ("apps", "deployments", (), ("list", "watch"))},
    },
}
RIGHTS["stage"] = RIGHTS["prod"] = RIGHTS["dev"]
RIGHTS["testbed"] = {
    "smartops-orchestrator": {
        (*READ_PODS, ("list",)),
        ("apps", "deployments", ERP, ("get", "patch")),
        ("apps", "deployments/scale", ERP, ("patch",)),
    },
    "smartops-chaos-monitor": RIGHTS["dev"]["smartops-chaos-monitor"],
    "prometheus": RIGHTS["telemetry"]["prometheus"],
    "kube-state": RIGHTS["telemetry"]["kube-state"],
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_accounts_have_exactly_these_rights(render: Render, environment: str) -> None:
    objects = render(environment)
    assert not [one for one in objects if one["kind"].startswith("Cluster")], "a right in every namespace"
    roles = {one["metadata"]["name"]: one["rules"] for one in objects if one["kind"] == "Role"}
    found: dict[str, Rights] = {}
    for binding in (one for one in objects if one["kind"] == "RoleBinding"):
        (subject,) = binding["subjects"]
        assert binding["roleRef"]["kind"] == "Role", binding["metadata"]["name"]
        own = subject["namespace"] == f"smartops-{environment}"
        account = subject["name"] if own else f"{subject['namespace']}/{subject['name']}"
        found[account] = {
            (group, resource, tuple(rule.get("resourceNames", ())), tuple(sorted(rule["verbs"])))
            for rule in roles.pop(binding["roleRef"]["name"])
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
    assert roles == {}, "a Role that nobody has"
    assert found == RIGHTS[environment]


def test_what_changes_things_is_limited_to_one_name(render: Render) -> None:
    """Whatever is said above: a right to change without a name is a right to change everything of a namespace."""
    reading = {"get", "list", "watch"}
    for environment in ENVIRONMENTS:
        for role in (one for one in render(environment) if one["kind"] in ("Role", "ClusterRole")):
            for rule in role["rules"]:
                assert set(rule["verbs"]) <= reading or rule.get("resourceNames"), role["metadata"]["name"]
                assert not {"*", "secrets", "pods/exec"} & {*rule["resources"], *rule["apiGroups"], *rule["verbs"]}


def test_where_digests_are_asked_for_no_way_leads_around_it(render: Render) -> None:
    """What the cluster's test asks for real, tests/cluster/test_deploy.py; here, what a healthy cluster never shows."""
    objects = {one["kind"]: one["spec"] for one in render("telemetry") if "Admission" in one["kind"]}
    policy, binding = (objects[f"ValidatingAdmissionPolicy{part}"] for part in ("", "Binding"))
    assert policy["failurePolicy"] == "Fail"
    (rule,) = policy["matchConstraints"]["resourceRules"]
    assert set(rule["operations"]) == {"CREATE", "UPDATE"}
    assert set(rule["resources"]) == {"pods", "pods/ephemeralcontainers"}
    asked = " ".join(one["expression"] for one in policy["validations"])
    assert all(f"object.spec.?{part}" in asked for part in ("containers", "initContainers", "ephemeralContainers"))
    assert asked.count("all(one, one.image.matches('@sha256:[0-9a-f]{64}$'))") == len(policy["validations"]) == 3
    assert binding["validationActions"] == ["Deny"]
    (where,) = binding["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert (where["operator"], where["values"]) == ("In", ["smartops-stage", "smartops-prod"])


def test_a_disruption_takes_one_replica_at_a_time(render: Render) -> None:
    (budget,) = [one for one in render("prod") if one["kind"] == "PodDisruptionBudget"]
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == "smartops-erp-simulator"
    # Of a single replica none could ever be taken away: a budget for it would stop every drain of a node.
    assert not [one for one in render("dev") if one["kind"] == "PodDisruptionBudget"]


def peers(objects: list[Object], namespace: str) -> dict[str, Peer]:
    found = {}
    for one in objects:
        if one["kind"] in ("Deployment", "DaemonSet"):
            template = one["spec"]["template"]
            ports = {p["name"]: p["containerPort"] for p in template["spec"]["containers"][0].get("ports", [])}
            name = one["metadata"]["name"]
            ports["debug"] = 9999  # of a program that listens where nobody has said so
            found[name] = Peer(name, namespace, template["metadata"]["labels"], ports)
    return found


def policies(objects: list[Object], namespace: str) -> list[tuple[str, Any]]:
    return [(namespace, one) for one in objects if one["kind"] == "NetworkPolicy"]


# What is no pod: no policy can name it, so only a rule that names nobody lets anything reach it.
BEYOND = [
    Peer("api", ports={"443": 443, "6443": 6443}),
    Peer("names", ports={"53": 53}),
    Peer("outside", ports={str(port): port for port in (80, 443, 4317, 6443, 8000, 8001, 8002)}),
]


def strangers(environment: str, telemetry: str) -> list[Peer]:
    """Pods that nobody has named, one in each namespace and one beside them; and `helm test`, which has a name."""
    return [
        Peer("stranger", environment, {"app": "x"}, {"http": 8000}),
        Peer("stranger-telemetry", telemetry, {"app": "x"}, {"http": 8000}),
        Peer("other", "elsewhere", {"app": "x"}, {"http": 8000}),
        Peer("helm-test", environment, {"app.kubernetes.io/component": "helm-test"}),
    ]


def reachable(objects: list[Object], telemetry: list[Object]) -> set[Pair]:
    """Every pair of which one may call the other's port, among an environment, the telemetry, and strangers."""
    ours = [*peers(objects, "smartops-prod").values(), *peers(telemetry, "telemetry").values()]
    ours += strangers("smartops-prod", "telemetry")
    known = policies(objects, "smartops-prod") + policies(telemetry, "telemetry")
    return pairs(known, [*ours, Peer("outside")], ours) | pairs(known, ours, BEYOND)


ERP_OPEN = "smartops-erp-simulator:http"
CALLS = {
    # SmartOps: who needs whom.
    ("smartops-agent-detect-sim", ERP_OPEN),
    ("smartops-agent-diagnose-sim", ERP_OPEN),
    ("smartops-agent-detect-sim", "smartops-orchestrator:http"),
    ("smartops-agent-diagnose-sim", "smartops-orchestrator:http"),
    ("smartops-orchestrator", "smartops-policy-engine:http"),
    ("smartops-orchestrator", "api:443"),
    ("smartops-chaos-monitor", ERP_OPEN),
    ("smartops-chaos-monitor", "smartops-orchestrator:http"),
    ("smartops-chaos-monitor", "smartops-policy-engine:http"),
    ("smartops-chaos-monitor", "api:443"),
    # Users are everybody who can send at all.
    ("outside", ERP_OPEN),
    ("other", ERP_OPEN),
    # Scraping.
    ("prometheus", ERP_OPEN),
    ("prometheus", "smartops-orchestrator:http"),
    ("prometheus", "smartops-policy-engine:http"),
    ("prometheus", "smartops-chaos-monitor:http"),
    ("prometheus", "api:443"),
    ("kube-state", "api:443"),
    # `helm test`.
    ("helm-test", ERP_OPEN),
    ("helm-test", "smartops-orchestrator:http"),
    ("helm-test", "smartops-policy-engine:http"),
    ("helm-test", "smartops-chaos-monitor:http"),
    # Alerts go wherever the webhook is.
    ("alertmanager", ERP_OPEN),
    ("alertmanager", "api:443"),
    ("alertmanager", "other:http"),
    ("outside", "other:http"),
}
# Alerts go anywhere; and where no policy is, nobody is held back.
CALLS |= {(name, f"{one.name}:{port}") for name in ("alertmanager", "other") for one in BEYOND for port in one.ports}
# The API server is no pod, so whoever may call it may call these ports of anybody who is none.
CALLS |= {
    (name, f"{there}:{port}")
    for name, door in CALLS
    if door == "api:443"
    for there in ("api", "outside")
    for port in (443, 6443)
}
SERVICES = [
    "smartops-erp-simulator",
    "smartops-orchestrator",
    "smartops-policy-engine",
    "smartops-agent-detect-sim",
    "smartops-agent-diagnose-sim",
    "smartops-chaos-monitor",
]
# `helm test` may ask any port.
CALLS |= {("helm-test", f"{name}:debug") for name in SERVICES}
# Traces, from every service to wherever the collector takes them.
CALLS |= {(name, f"collector:{port}") for name in SERVICES for port in ("otlp", "otlp-http")}
CALLS |= {(name, "traces:otlp") for name in SERVICES}
TELEMETRY = ["prometheus", "alertmanager", "logs", "traces", "collector", "collector-logs", "kube-state"]
OTHERS = ["helm-test", "stranger", "stranger-telemetry"]
CALLS |= {(name, "names:53") for name in (*SERVICES, *TELEMETRY, *OTHERS)}


def between(found: set[Pair]) -> set[Pair]:
    """But for what the telemetry calls of itself: it is one system."""
    return {(a, b) for a, b in found if not (a in TELEMETRY and b.partition(":")[0] in TELEMETRY)}


def test_exactly_these_may_call_each_other(render: Render) -> None:
    telemetry = render("telemetry")
    inside = peers(telemetry, "telemetry")
    assert {*inside} == {*TELEMETRY}
    found = reachable(render("prod"), telemetry)
    own = {(a, f"{b}:{port}") for a in inside for b, peer in inside.items() for port in peer.ports if a != b}
    assert own <= found
    assert between(found) == CALLS


DOORS = {
    "ERP": [ERP_OPEN],
    "orchestrator": ["smartops-orchestrator:http"],
    "policy engine": ["smartops-policy-engine:http"],
    "monitor": ["smartops-chaos-monitor:http"],
    "traces in": ["collector:otlp", "collector:otlp-http", "traces:otlp"],
    "other telemetry": [],  # whatever else the telemetry has
    "API server": ["api:443"],
    "names": ["names:53"],
    "outside 443": ["outside:443"],
    "outside 8000": ["outside:8000"],
}


_WORDS = {frozenset({True}): "yes", frozenset({False}): "-", frozenset(): "", frozenset({True, False}): "some"}


def table(found: set[Pair], receivers: Iterable[Peer]) -> str:
    """The table of docs/hardening.md."""
    named = {door for doors in DOORS.values() for door in doors}
    beyond = {f"{one.name}:{port}" for one in BEYOND for port in one.ports}
    ports = {f"{one.name}:{port}" for one in receivers if one.name in TELEMETRY for port in one.ports}
    columns = {**DOORS, "other telemetry": sorted(ports - named)}
    lines = [["from / to", *columns], ["---"] * (len(columns) + 1)]
    for sender in (*SERVICES, *TELEMETRY, *OTHERS, "other", "outside"):
        cells = []
        for doors in columns.values():
            known = [door for door in doors if sender != "outside" or door not in beyond]  # its own affair
            asked = {(sender, door) in found for door in known if door.partition(":")[0] != sender}
            cells.append(_WORDS[frozenset(asked)])
        lines.append([f"`{sender}`", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def test_the_page_has_the_table(render: Render) -> None:
    objects, telemetry = render("prod"), render("telemetry")
    made = table(reachable(objects, telemetry), peers(telemetry, "telemetry").values())
    assert made in PAGE.read_text(encoding="utf-8"), made


def test_without_any_one_policy_the_table_is_another(render: Render) -> None:
    """So that the test above notices whichever policy is changed."""
    objects, telemetry = render("prod"), render("telemetry")
    whole = reachable(objects, telemetry)
    for changed in (objects, telemetry):
        for one in [o for o in changed if o["kind"] == "NetworkPolicy"]:
            name = one["metadata"]["name"]
            if name == "names" or (changed is telemetry and name in ("scraped", "traces", "tested", "tests")):
                continue  # DNS is UDP, and that release has no service of SmartOps
            if name.endswith("erp-in"):
                continue  # everybody may call the ERP
            less = [o for o in changed if o is not one]
            assert (
                reachable(less if changed is objects else objects, less if changed is telemetry else telemetry) != whole
            ), name


def test_every_pod_may_ask_for_names(render: Render) -> None:
    for environment in ENVIRONMENTS:
        (one,) = [o for o in render(environment) if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == "names"]
        assert one["spec"]["podSelector"] == {}
        assert {(p["port"], p["protocol"]) for p in one["spec"]["egress"][0]["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_what_the_page_calls_unused_is_granted() -> None:
    """Or its row is too old. Of the runner, `smartops-chaos doctor --rbac` prints the rights."""
    granted = {
        (account, f"{verb} {resource.partition('/')[0]}{f'.{group}' if group else ''}{f'/{sub}' if sub else ''}{name}")
        for account, rights in RIGHTS["testbed"].items()
        for group, resource, names, verbs in rights
        for sub in [resource.partition("/")[2]]
        for name in [f" {one}" for one in names] or [""]
        for verb in verbs
    }
    assert {one for one in unused_on_the_page() if one[0] != "smartops-chaos"} <= granted


def unused_on_the_page() -> set[tuple[str, str]]:
    """Rights that docs/hardening.md says an evaluation may leave unused, each with a reason: account and right."""
    part = PAGE.read_text(encoding="utf-8").partition("### Granted, and not used")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("| `")]
    assert all(len(row) == 3 and row[2] for row in rows), "a row has an account, rights and a reason"
    return {(account.split("`")[1], right.strip("`")) for account, rights, _ in rows for right in rights.split(", ")}
