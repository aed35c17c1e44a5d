"""The roles that `doctor --rbac` prints are enough; without any one of their rights preflight says which is missing."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from smartops_chaos.kubernetes import autoscalers, cluster, preflight, rbac
from smartops_chaos.kubernetes.cluster import Cluster
from smartops_chaos.kubernetes.cluster_target import ClusterTarget
from smartops_chaos.kubernetes.driver_base import Right
from smartops_chaos.model import Plan
from smartops_chaos.plan.expand import load_plan

MATRIX = """\
version: 1
name: rights
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {namespace}}}], allow: [{namespace}]}}
factors:
  chaos:
    pod-kill: {{fault: pod-kill}}
    cpu: {{fault: cpu-stress, workers: 2}}
    errors: {{fault: error-burst}}
    zero: {{fault: scale-to-zero}}
  model: {{off: {{healer: off}}, zscore: {{detector: zscore}}}}
  policy: {{default: {{file: own.policy}}}}
repeats: 1
baseline: {{model: off}}
slo: {{latency: 250ms, objective: 95%, hold: 2s}}
horizon: {{after: 12s, because: "a test"}}
"""
POLICY = 'POLICY "restart":\n  WHEN anomaly.score >= 0.5\n  THEN restart(service)\n  PRIORITY 1\n'
ACCOUNT = "outside"


@pytest.fixture(scope="module")
def plan(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("rights")
    (folder / "own.policy").write_text(POLICY, encoding="utf-8")
    (folder / "matrix.yaml").write_text(MATRIX.format(namespace=lab), encoding="utf-8")
    return load_plan(folder / "matrix.yaml")


@pytest.fixture(scope="module")
def account(api: client.ApiClient, lab: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A service account that may do nothing: its token, and a kubeconfig with it."""
    core = client.CoreV1Api(api)
    core.create_namespaced_service_account(lab, {"metadata": {"name": ACCOUNT}})
    token = str(core.create_namespaced_service_account_token(ACCOUNT, lab, {"spec": {}}).status.token)
    given: Any = api.configuration
    authority = base64.b64encode(Path(given.ssl_ca_cert).read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": given.host, "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path_factory.mktemp("account") / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return token, str(file)


@pytest.fixture
def outside(account: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster as that account sees it."""
    monkeypatch.setenv("KUBECONFIG", account[1])
    cluster.connect.cache_clear()
    yield cluster.connect()
    cluster.connect.cache_clear()


def grant(api: client.ApiClient, namespace: str, rules: list[dict[str, Any]]) -> None:
    """Give the account exactly these rules."""
    rbac, named = client.RbacAuthorizationV1Api(api), {"name": "smartops-chaos"}
    role = {"metadata": named, "rules": rules}
    binding = {
        "metadata": named,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "smartops-chaos"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }
    rbac.replace_namespaced_role("smartops-chaos", namespace, role)  # made if it is not there
    rbac.replace_namespaced_role_binding("smartops-chaos", namespace, binding)


def printed(plan: Plan) -> list[dict[str, Any]]:
    """The rules of the one Role that is printed."""
    (text,) = rbac.roles(plan)
    rules: list[dict[str, Any]] = yaml.safe_load(text)["rules"]
    return rules


def test_the_printed_roles_are_enough(
    api: client.ApiClient, lab: str, plan: Plan, outside: Cluster, until: Callable[..., Any]
) -> None:
    assert rbac.missing(outside, plan)
    grant(api, lab, printed(plan))
    until(lambda: not rbac.missing(outside, plan), 20, lambda: str(rbac.missing(outside, plan)))
    assert [*ClusterTarget(plan.target).check(), *preflight.problems(plan, complete=True)] == []


def without(rules: list[dict[str, Any]], at: int, verb: str, name: str) -> list[dict[str, Any]]:
    """The rules but for one verb of one of them, on one object if it names any."""
    left = [*rules[:at], *rules[at + 1 :]]
    rule, names = rules[at], rules[at].get("resourceNames")
    if others := [one for one in rule["verbs"] if one != verb]:
        left.append({**rule, "verbs": others})
    if names and len(names) > 1:
        left.append({**rule, "verbs": [verb], "resourceNames": [one for one in names if one != name]})
    return left


def test_each_right_that_is_missing_is_named(
    api: client.ApiClient, lab: str, plan: Plan, outside: Cluster, until: Callable[..., Any]
) -> None:
    rules = printed(plan)
    every = [
        (at, verb, name)
        for at, rule in enumerate(rules)
        if rule["resources"][0] not in autoscalers.COLLECTIONS  # without these nothing fails, and less is told
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]
    assert len(every) > 20
    for at, verb, name in every:
        grant(api, lab, without(rules, at, verb, name))
        (resource,) = rules[at]["resources"]
        expected = f"{lab}: {resource}{f' {name}' if name else ''}: no right to {verb} ("

        def told(expected: str = expected) -> bool:
            return [what.startswith(expected) for what, _ in rbac.missing(outside, plan)] == [True]

        until(told, why=lambda expected=expected: f"{expected} but {rbac.missing(outside, plan)}")
    grant(api, lab, rules)


def test_nobody_asks_for_a_right_twice(plan: Plan) -> None:
    rules = printed(plan)
    given = [
        (rule["resources"][0], verb, name)
        for rule in rules
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]
    assert len(given) == len(set(given))
    assert all(isinstance(right, Right) for right in rbac.needed(plan))


SHORT = {
    "model: {off: {healer: off}, zscore: {detector: zscore}}": "model: {off: {healer: off}}",
    "after: 12s": "after: 5s",
    "hold: 2s}": "hold: 1s}\nstop_after_good: 1s\ncalibrate: 0",
}


def test_a_campaign_needs_no_more_and_keeps_its_credentials_to_itself(
    api: client.ApiClient,
    lab: str,
    account: tuple[str, str],
    outside: Cluster,
    cli: Any,
    tmp_path: Path,
    until: Callable[..., Any],
) -> None:
    text = MATRIX.format(namespace=lab)
    for old, new in SHORT.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "own.policy").write_text(POLICY, encoding="utf-8")
    (tmp_path / "matrix.yaml").write_text(text, encoding="utf-8")
    plan = load_plan(tmp_path / "matrix.yaml")
    grant(api, lab, printed(plan))
    until(lambda: not rbac.missing(outside, plan))
    done = cli("run", "matrix.yaml", "--report")
    assert done.returncode == 0, done.stdout + done.stderr
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "report.pdf" for file in files)
    token = account[0].encode()
    told = [gzip.decompress(one.read_bytes()) if one.suffix == ".gz" else one.read_bytes() for one in files]
    assert not [file for file, content in zip(files, told, strict=True) if token in content]
    assert token.decode() not in done.stdout + done.stderr
    logs = [content for file, content in zip(files, told, strict=True) if file.name == "log.txt"]
    assert len(logs) == 4
    assert not any(b"forbidden" in log for log in logs)


def test_without_a_right_nothing_is_touched(
    api: client.ApiClient, lab: str, plan: Plan, outside: Cluster, cli: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    (tmp_path / "own.policy").write_text(POLICY, encoding="utf-8")
    (tmp_path / "matrix.yaml").write_text(MATRIX.format(namespace=lab), encoding="utf-8")
    rules = printed(plan)
    at = next(n for n, rule in enumerate(rules) if rule["resources"] == ["pods/exec"])
    grant(api, lab, without(rules, at, "create", ""))
    until(lambda: rbac.missing(outside, plan))
    before = versions(api, lab)
    done = cli("run", "matrix.yaml")
    assert done.returncode == 4
    assert f"{lab}: pods/exec: no right to create (the fault cpu-stress of `cpu`)" in done.stderr
    assert versions(api, lab) == before


def versions(api: client.ApiClient, namespace: str) -> dict[str, str]:
    """Which version every Deployment's spec and every ConfigMap has."""
    deployments = client.AppsV1Api(api).list_namespaced_deployment(namespace).items
    maps = client.CoreV1Api(api).list_namespaced_config_map(namespace).items
    return {
        **{one.metadata.name: str(one.metadata.generation) for one in deployments},
        **{f"configmap {one.metadata.name}": str(one.metadata.resource_version) for one in maps},
    }
