"""The chart as text: what helm makes of it in every environment with both kinds of telemetry, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartops_chaos.schema import healerfile, monitorfile
from tests.platform.conftest import CHART, ENVIRONMENTS, KINDS, ROOT, Helm, Object, Render, run, tool, values

CONTROLLERS = ("Deployment", "DaemonSet", "StatefulSet")
LABELS = {f"app.kubernetes.io/{what}" for what in ("name", "instance", "component", "part-of")}
every = pytest.mark.parametrize(("environment", "kind"), [(e, k) for e in ENVIRONMENTS for k in KINDS])


class _Plain(yaml.SafeLoader):
    """Takes "=" as text."""


_Plain.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def text(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


@every
def test_helm_lint_finds_nothing(helm: Helm, chart: Path, environment: str, kind: str) -> None:
    done = helm("lint", "--strict", chart, *values(environment, kind))
    assert done.returncode == 0, done.stdout


@every
def test_no_object_is_there_twice(render: Render, environment: str, kind: str) -> None:
    seen = Counter(map(text, render(environment, kind)))
    assert [name for name, count in seen.items() if count > 1] == []


@every
def test_every_object_says_whose_it_is_and_leaves_the_namespace_to_the_release(
    render: Render, environment: str, kind: str
) -> None:
    for one in render(environment, kind):
        assert one["metadata"]["labels"].keys() >= LABELS, text(one)
        assert "namespace" not in one["metadata"], text(one)


@every
def test_selectors_hold_nothing_that_changes(render: Render, environment: str, kind: str) -> None:
    """A selector cannot be changed: a version in it would end every upgrade."""
    for one in render(environment, kind):
        if one["kind"] in CONTROLLERS:
            selector = one["spec"]["selector"]["matchLabels"]
            assert selector.keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}, text(one)
            assert selector.items() <= one["spec"]["template"]["metadata"]["labels"].items(), text(one)


@every
def test_every_service_finds_the_pods_that_it_names(render: Render, environment: str, kind: str) -> None:
    objects = render(environment, kind)
    pods = [one["spec"]["template"] for one in objects if one["kind"] in CONTROLLERS]
    for service in (one for one in objects if one["kind"] == "Service" and "selector" in one["spec"]):
        selected = [p for p in pods if service["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
        assert len(selected) == 1, text(service)
        ports = {port["name"] for port in selected[0]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, text(service)


@every
def test_what_a_pod_mounts_is_there(render: Render, environment: str, kind: str) -> None:
    objects = render(environment, kind)
    maps = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
    for one in (one for one in objects if one["kind"] in CONTROLLERS):
        pod = one["spec"]["template"]["spec"]
        mounted = {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        assert mounted <= maps, text(one)
        assert {m["name"] for m in pod["containers"][0]["volumeMounts"]} == {v["name"] for v in pod["volumes"]}, text(
            one
        )


def test_the_services_are_named_as_smartops_names_them(render: Render) -> None:
    """Matrices, healer files and SmartOps' own settings know these names and ports."""
    found = {
        one["metadata"]["name"]: one["spec"]["ports"][0]["port"]
        for one in render("dev")
        if one["kind"] == "Service" and "selector" in one["spec"]
    }
    assert found == {
        "smartops-erp-simulator": 8000,
        "smartops-orchestrator": 8001,
        "smartops-policy-engine": 5051,
        "smartops-chaos-monitor": 9109,
    }
    deployed = {one["metadata"]["name"] for one in render("dev") if one["kind"] == "Deployment"}
    assert deployed == {*found, "smartops-agent-detect-sim", "smartops-agent-diagnose-sim"}


def test_both_kinds_get_the_same_files(render: Render) -> None:
    small, upstream = render("telemetry", "small"), render("telemetry", "upstream")

    def one(objects: list[Object], name: str) -> dict[str, Any]:
        (found,) = [o for o in objects if o["metadata"]["name"] == name and o["kind"] in ("ConfigMap", "Secret")]
        data: dict[str, Any] = found.get("data") or found.get("stringData") or {}
        return data

    rules = {name: yaml.safe_load(content) for name, content in one(small, "prometheus-rules").items()}
    assert rules.keys() == {path.name for path in (CHART / "rules").glob("*.yaml")}
    operated = {o["metadata"]["name"]: o["spec"] for o in upstream if o["kind"] == "PrometheusRule"}
    assert operated == {f"smartops-{name.removesuffix('.yaml')}": content for name, content in rules.items()}
    assert one(small, "alertmanager-config") == one(upstream, "alertmanager-config")
    for name, content in one(small, "collector-config").items():
        assert one(upstream, f"collector-{name.removesuffix('.yaml')}-config")["relay"] == content
    boards = [
        {o["metadata"]["name"] for o in objects if "grafana_dashboard" in o["metadata"]["labels"]}
        for objects in (small, upstream)
    ]
    assert boards[0] == boards[1] == {f"dashboard-{path.stem}" for path in (CHART / "dashboards").glob("*.json")}


def test_a_release_whose_telemetry_is_elsewhere_installs_none(render: Render) -> None:
    objects = render("prod")
    assert not [
        text(o) for o in objects if o["metadata"]["labels"]["app.kubernetes.io/part-of"] == "smartops-telemetry"
    ]
    (collector,) = [o for o in objects if text(o) == "Service collector"]
    assert collector["spec"]["externalName"] == "collector.telemetry.svc.cluster.local"


def test_three_environments_share_no_name_outside_of_their_namespaces(render: Render) -> None:
    wide = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "PersistentVolume"}
    for environment in ("dev", "stage", "prod"):
        assert not wide & {one["kind"] for one in render(environment)}


@pytest.mark.parametrize("kubernetes", ["1.30", "1.37"])
def test_the_api_server_would_take_every_object(render: Render, kubernetes: str, tmp_path: Path) -> None:
    """Oldest and newest Kubernetes, by their own schemas, and the Prometheus operator's by its definitions."""
    program = tool("kubeconform")
    operated = _operators_schemas(tmp_path)
    assert operated >= {"PrometheusRule", "PodMonitor", "ServiceMonitor"}
    package = Path(str(importlib.util.find_spec("kubernetes_validate").origin)).parent  # type: ignore[union-attr]
    (folder,) = (package / "kubernetes-json-schema").glob(f"v{kubernetes}*-local-strict")
    for file in folder.iterdir():  # as kubeconform reads them
        schema = json.loads(file.read_text(encoding="utf-8"))
        content = json.dumps({key: value for key, value in schema.items() if key not in ("$id", "$schema")})
        content = content.replace("/api/_definitions.json#", "_definitions.json#")
        (tmp_path / file.name).write_text(content, encoding="utf-8")
    rendered = tmp_path / "rendered"
    rendered.mkdir()
    for environment in ENVIRONMENTS:
        for kind in KINDS:
            content = yaml.safe_dump_all(render(environment, kind))
            (rendered / f"{environment}-{kind}.yaml").write_text(content, encoding="utf-8")
    for more in (("runner.schedule=17 2 * * *",), ("runner.schedule=",)):
        objects = render("telemetry", "small", "--set", "runner.enabled=true", "--set", *more)
        (rendered / f"runner-{len(more[0])}.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")

    def checked(what: Path) -> subprocess.CompletedProcess[str]:
        schemas = str(tmp_path) + "/{{.ResourceKind}}{{.KindSuffix}}.json"
        return run(program, "-strict", "-schema-location", schemas, "-output", "json", what)

    done = checked(rendered)
    assert done.returncode == 0, done.stdout
    of_the_operator = [o for o in render("telemetry", "upstream") if o["kind"] in operated]
    assert {one["kind"] for one in of_the_operator} == {"PrometheusRule", "PodMonitor"}
    for one in of_the_operator:  # a key that nobody knows is not taken
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({**one, "spec": {**one["spec"], "intervall": "5s"}}))
        assert "intervall" in checked(tmp_path / "wrong.yaml").stdout


def _operators_schemas(folder: Path) -> set[str]:
    """The operator's kinds, each written where kubeconform looks for it; a key that is not named is refused."""

    def strict(schema: Any) -> Any:
        if isinstance(schema, list):
            return list(map(strict, schema))
        if not isinstance(schema, dict):
            return schema
        closed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
        return closed | {key: strict(value) for key, value in schema.items()}

    kinds = set()
    for file in Path(tool("crds")).glob("*.yaml"):
        # "=" is a word of YAML 1.1, and here an operator of Alertmanager.
        spec = yaml.load(file.read_text(encoding="utf-8"), _Plain)["spec"]
        kind, group = spec["names"]["kind"], spec["group"].partition(".")[0]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            path = folder / f"{kind.lower()}-{group}-{version['name']}.json"
            path.write_text(
                json.dumps(
                    strict(schema) | {"properties": strict(schema["properties"]) | {"metadata": {"type": "object"}}}
                )
            )
        kinds.add(kind)
    return kinds


def test_the_lock_is_that_of_the_dependencies(helm: Helm, tmp_path: Path) -> None:
    """helm compares the digest before it looks for anything: without repositories it fails, but not for the lock."""
    python = shutil.which("python") or "python3"
    assert run(python, ROOT / "platform" / "helm" / "lock", "--check").returncode == 0
    copy = tmp_path / "smartops"
    shutil.copytree(CHART, copy)
    assert "out of sync" not in helm("dependency", "build", "--skip-refresh", copy).stderr
    about = copy / "Chart.yaml"
    about.write_text(
        re.sub(r"version: 88\.\S+", "version: 87.0.0", about.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert "out of sync" in helm("dependency", "build", "--skip-refresh", copy).stderr


def test_versions_of_dependencies_are_exact() -> None:
    for one in yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["dependencies"]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", one["version"]), one["name"]
        assert one["name"] == "lib" or one["condition"].endswith(".enabled"), one["name"]


def test_a_release_is_small_enough_to_be_stored(render: Render) -> None:
    """helm keeps a release in one Secret of at most 1 MiB; here before it is packed, without the upstream charts."""
    rendered = sum(len(json.dumps(one)) for one in render("telemetry", "upstream"))
    ignored = ("values-", "README")
    files = sum(p.stat().st_size for p in CHART.rglob("*") if p.is_file() and not p.name.startswith(ignored))
    assert rendered + files < 3_000_000  # packed about a tenth of that
    for board in (CHART / "dashboards").glob("*.json"):
        assert board.stat().st_size < 100_000, board.name


REFUSED = {
    "a kind of telemetry that is not there": ("telemetry.kind=loki", "/telemetry/kind"),
    "a word for a number": ("orchestrator.replicas=two", "/orchestrator/replicas"),
    "a misspelt service": ("erp-simulater.replicas=2", "erp-simulater"),
    "a misspelt setting": ("erp-simulator.replica=2", "replica"),
    "a port that is none": ("erp-simulator.port=70000", "/erp-simulator/port"),
    "a tag that says nothing": ("orchestrator.image.tag=latest", "/orchestrator/image/tag"),
    "a digest that is none": ("orchestrator.image.digest=sha256:abc", "/orchestrator/image/digest"),
    "a repository with a tag": ("orchestrator.image.repository=Registry/X", "/orchestrator/image/repository"),
    "a number in the environment": ("erp-simulator.env.PORT=8000", "/erp-simulator/env/PORT"),
    "no time to end": ("erp-simulator.grace=0", "/erp-simulator/grace"),
    "a password in the environment": ("erp-simulator.env.DB_PASSWORD=x", "/erp-simulator/env"),
    "a password in a URL": ("telemetry.webhook=https://me:word@host/", "/telemetry/webhook"),
    "no memory limit": (
        "agents.detect.resources.limits=null",
        "smartops-agent-detect-sim: resources.limits.memory is missing",
    ),
    "an amount that is none": ("agents.detect.resources.limits.memory=lots", "/agents/detect/resources/limits/memory"),
    "two orchestrators": ("orchestrator.replicas=2", "/orchestrator/replicas"),
    "a schedule that is none": ("runner.schedule=nightly", "/runner/schedule"),
    "a pair without a port": ("network.pairs.new.from=a,network.pairs.new.to=b", "/network/pairs/new"),
    "a right to everything": ("orchestrator.rights[0].resources[0]=*", "/orchestrator/rights/0/resources/0"),
    "a right to secrets": ("orchestrator.rights[0].resources[0]=secrets", "/orchestrator/rights/0/resources/0"),
    "an autoscaler without bounds": (
        "erp-simulator.autoscaling.enabled=true,erp-simulator.autoscaling.max=null",
        "smartops-erp-simulator: autoscaling.max is missing",
    ),
    "a switch that is a word": ("agents.enabled=perhaps", "/agents/enabled"),
    "upstream without its charts": ("telemetry.kind=upstream", "add `-f values-upstream.yaml`"),
    "its charts without upstream": ("tags.upstream=true", "leave values-upstream.yaml out"),
    "no image at all": ("orchestrator.image.tag=null", "neither a tag nor a digest"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_wrong_values_are_refused_in_words(helm: Helm, chart: Path, why: str) -> None:
    setting, said = REFUSED[why]
    done = helm("template", "x", chart, "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


@every
def test_helm_4_makes_the_same_of_it(render: Render, chart: Path, environment: str, kind: str) -> None:
    """So that all that is said here of its text holds for both; the order is theirs."""
    release = f"smartops-{environment}"
    made = run(tool("helm4"), "template", release, chart, "--namespace", release, *values(environment, kind))
    assert made.returncode == 0, made.stderr
    assert sorted(filter(None, yaml.safe_load_all(made.stdout)), key=text) == sorted(
        render(environment, kind), key=text
    )
    done = run(tool("helm4"), "lint", "--strict", chart, *values(environment, kind))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("why", REFUSED)
def test_helm_4_refuses_wrong_values_in_the_same_words(chart: Path, why: str) -> None:
    setting, said = REFUSED[why]
    done = run(tool("helm4"), "template", "x", chart, "--set", setting)
    assert done.returncode != 0
    assert said in done.stderr


def test_telemetry_in_its_own_namespace_is_refused(helm: Helm, chart: Path) -> None:
    done = helm("template", "x", chart, "--namespace", "here", "--set", "telemetry.namespace=here")
    assert "leave it empty" in done.stderr


def test_a_digest_wins_over_a_tag(render: Render) -> None:
    digest = "sha256:" + "a" * 64
    objects = render("prod", "small", "--set", f"orchestrator.image.digest={digest}")
    (one,) = [o for o in objects if text(o) == "Deployment smartops-orchestrator"]
    assert one["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"/smartops-orchestrator@{digest}")


def test_under_an_autoscaler_the_chart_sets_no_number(render: Render) -> None:
    objects = render("prod", "small", "--set", "erp-simulator.autoscaling.enabled=true")
    (deployment,) = [o for o in objects if text(o) == "Deployment smartops-erp-simulator"]
    assert "replicas" not in deployment["spec"]
    (autoscaler,) = [o for o in objects if o["kind"] == "HorizontalPodAutoscaler"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "smartops-erp-simulator"


def test_a_changed_file_starts_the_pods_again(render: Render) -> None:
    def mark(*more: str) -> str:
        (one,) = [o for o in render("testbed", "small", *more) if text(o) == "Deployment smartops-orchestrator"]
        return str(one["spec"]["template"]["metadata"]["annotations"]["checksum/files"])

    assert mark() != mark("--set", "orchestrator.files.data.default\\.policy=other")


def test_the_matrixs_default_policy_is_the_testbeds() -> None:
    mine = yaml.safe_load((CHART / "values-testbed.yaml").read_text(encoding="utf-8"))
    policy = mine["orchestrator"]["files"]["data"]["default.policy"].strip()
    shipped = (ROOT / "matrix" / "policies" / "default.policy").read_text(encoding="utf-8")
    assert policy in shipped


@pytest.mark.parametrize("environment", ["dev", "stage", "prod", "testbed"])
def test_the_monitor_takes_its_file(render: Render, environment: str, tmp_path: Path) -> None:
    (found,) = [o for o in render(environment) if text(o) == "ConfigMap smartops-chaos-monitor"]
    file = tmp_path / "monitor.yaml"
    file.write_text(found["data"]["monitor.yaml"], encoding="utf-8")
    loaded = monitorfile.load(file)
    assert loaded.namespace == f"smartops-{environment}"
    assert healerfile.load(loaded.healer).name == loaded.healer
