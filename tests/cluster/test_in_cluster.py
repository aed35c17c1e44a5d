"""A whole evaluation in the cluster: the chart's services, and the runner as a Job with the printed Role alone.

The runner is evicted in the middle, its results are reported, and what every account used is held against what it may.
The image localhost/smartops-chaos:1 must be on the node, and the node must be this machine: its disk has the results.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from smartops_chaos.kubernetes import drivers, rbac
from smartops_chaos.kubernetes.cluster import Cluster, connect, path, proxy
from smartops_chaos.plan.expand import load_plan
from tests.cluster.conftest import rolled_out
from tests.cluster.test_deploy import PLATFORM, TAG, call, deploy
from tests.platform.conftest import ROOT, tool
from tests.platform.promql import series_names
from tests.platform.test_dashboards import QUERIES, Asked
from tests.platform.test_hardening import unused_on_the_page

DEPLOY = ROOT / "deploy"
AUDIT = Path(os.environ.get("TESTBED", "/var/tmp/testbed")) / "log"
MATRIX = """\
version: 1
name: inside
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {namespace}}}], allow: [{namespace}]}}
factors:
  chaos: {{errors: {{fault: error-burst}}, kill: {{fault: pod-kill}}}}
  model: {{off: {{healer: off}}}}
  workload: {{steady: {{rate: 10/s}}}}
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 1s, objective: 80%, hold: 2s}}
horizon: {{after: 6s, because: "a test"}}
stop_after_good: 2s
seed: 1
"""
# As the chart's, but that an incident is soon over, and that it sees the campaign.
MONITOR = """\
version: 1
namespace: {{ .Release.Namespace }}
service: smartops-erp-simulator
healer: {{ .Values.healer }}
url: http://smartops-erp-simulator:8000
rate: 10/s
slo: {latency: 1s, objective: 80%, hold: 3s}
settle: 5s
horizon: 15m
cluster: {}
signals: http://smartops-orchestrator:8001
policy: http://smartops-orchestrator:8001
results: /data/results
listen: 0.0.0.0:9109
"""
JOBS = "/apis/batch/v1/namespaces/{}/jobs"


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """A folder of the node, which is this machine."""
    made = Path("/var/tmp/smartops-chaos-test-results")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    made.chmod(0o777)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def environment(api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The chart's services with a Prometheus; what stores logs and traces is nobody's of a campaign."""
    tool("helm")
    name = f"smartops-e-{uuid.uuid4().hex[:6]}"
    stores = ("alertmanager", "logs", "traces", "collector-logs")
    sets = [f"telemetry.small.{one}.enabled=false" for one in stores]
    file = tmp_path_factory.mktemp("monitor") / "monitor.yaml"
    file.write_text(MONITOR)
    of_it = ("--set-string", f"monitor.image.tag={TAG}", "--set-file", f"monitor.files.data.monitor\\.yaml={file}")
    done = deploy("testbed", name, "--no-test", "--", "--set", ",".join(sets), *of_it)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield name
    finally:
        client.CoreV1Api(api).delete_namespace(name)


def install(cluster: Cluster, runner: str, namespace: str, text: str, disk: Path, folder: Path) -> None:
    """What docs/in_cluster.md says, with a folder of the node instead of a claim."""
    (folder / "matrix.yaml").write_text(text, encoding="utf-8")
    (role,) = rbac.roles(load_plan(folder / "matrix.yaml"))
    binding = manifest("binding")
    binding["subjects"][0]["namespace"] = runner
    config = {"metadata": {"name": "smartops-chaos-matrix"}, "data": {"matrix.yaml": text}}
    job = manifest("job")
    job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "150m"  # there are others
    for volume in job["spec"]["template"]["spec"]["volumes"]:
        if volume["name"] == "results":
            del volume["persistentVolumeClaim"]
            volume["hostPath"] = {"path": str(disk)}
    cluster.request("POST", path(runner, "serviceaccounts"), body=manifest("account"))
    cluster.request("POST", path(namespace, "roles"), body=yaml.safe_load(role))
    cluster.request("POST", path(namespace, "rolebindings"), body=binding)
    cluster.request("POST", path(runner, "configmaps"), body=config)
    cluster.request("POST", JOBS.format(runner), body=job)


def heal_once(api: client.ApiClient, namespace: str, until: Callable[..., Any]) -> None:
    """The campaign has the healer off, so that no false alarm of a busy machine ends it: the healer works before it."""
    apps, core, erp = client.AppsV1Api(api), client.CoreV1Api(api), "smartops-erp-simulator"
    for pod in core.list_namespaced_pod(namespace, label_selector=f"app={erp}").items:
        switch = "chaos/error-burst/enable"
        with contextlib.suppress(client.ApiException):  # it restarts already: a busy machine looked like a fault
            core.connect_post_namespaced_pod_proxy_with_path(f"{pod.metadata.name}:8000", namespace, switch)

    def restarted() -> bool:
        template = apps.read_namespaced_deployment(erp, namespace).spec.template
        return "kubectl.kubernetes.io/restartedAt" in template.metadata.annotations

    until(restarted, 180)
    until(lambda: rolled_out(api, namespace, erp), 180)


def test_a_campaign_survives_the_eviction_of_its_runner(
    environment: str,
    namespace: str,
    api: client.ApiClient,
    cli: Any,
    disk: Path,
    tmp_path: Path,
    until: Callable[..., Any],
) -> None:
    cluster = connect()
    heal_once(api, environment, until)
    install(cluster, namespace, environment, MATRIX.format(namespace=environment), disk, tmp_path)

    def runners() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cluster.items(path(namespace, "pods"), {"labelSelector": "app=smartops-chaos"})
        return found

    def said() -> str:
        told = []
        for pod in runners():
            name, status = pod["metadata"]["name"], pod["status"]
            ended = [one.get("state", {}).get("terminated") for one in status.get("containerStatuses", ())]
            try:
                log = client.CoreV1Api(api).read_namespaced_pod_log(name, namespace, tail_lines=15)
            except client.ApiException as error:
                log = str(error.reason)
            told.append(f"{name} {status.get('phase')} {status.get('reason')} {ended}\n{log}")
        return "\n".join(told)

    def injected() -> bool:
        return any(
            '"inject"' in file.read_text(encoding="utf-8")
            for file in disk.glob("results/*/trials/*/samples/calls.ndjson")
        )

    until(injected, 300, why=said)
    show(environment, disk)
    (first,) = runners()
    name = first["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    cluster.request("POST", f"{path(namespace, 'pods', name)}/eviction", body=eviction)

    def ended() -> set[str]:
        status = cluster.request("GET", f"{JOBS.format(namespace)}/smartops-chaos").get("status", {})
        conditions = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
        return conditions & {"Complete", "Failed"}

    assert until(ended, 600, why=said) == {"Complete"}, said()
    assert name not in [pod["metadata"]["name"] for pod in runners()], "an eviction deletes its pod"
    assert drivers.leaks(cluster, environment) == []
    recorded = {file.parent.name for file in disk.glob("results/inside-1/trials/*/record.json")}
    whole = {"kill.steady.off.default.1", "errors.steady.off.default.1"}
    assert {one.removesuffix("~1") for one in recorded} == whole <= recorded  # what was cut off is kept beside it
    assert len(list((disk / "results").iterdir())) == 1
    done = cli("report", str(disk / "results" / "inside-1"))
    assert done.returncode == 0, done.stderr


def show(environment: str, disk: Path) -> None:
    """Give the monitor the campaign's folder as it is now: a folder of the node is nothing that a chart mounts."""
    tar = subprocess.run(["tar", "--create", "--directory", disk, "results"], capture_output=True, check=False).stdout
    unpack = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('/data')"
    there = ["kubectl", "-n", environment, "exec", "-i", "deploy/smartops-chaos-monitor", "--", "python3", "-c", unpack]
    path = {**os.environ, "PATH": f"{os.environ['PATH']}:/var/tmp/testbed/bin"}
    done = subprocess.run(there, input=tar, capture_output=True, check=False, env=path)
    assert done.returncode == 0, done.stderr


# What has no answer here, by how a series that it reads begins, and why.
NO_ANSWER = {
    **dict.fromkeys(
        ("smartops_k8s_", "smartops_orchestrator_action_latency", "smartops_orchestrator_verification_latency"),
        "SmartOps' orchestrator exports it; the lab's healer, which stands for it, does not",
    ),
    "container_": "it is cAdvisor's, which the small telemetry does not read",
    "smartops_anomaly_score_drift": "a drift needs 70 scores",
    "smartops:detect": "the lab's detector does not say which window it has judged",
    "smartops:diagnose": "a first diagnosis is no increase, and there may be no second one",
    "smartops:inference": "the lab's detector does not say which window it has judged",
    "orchestrator_closed_loop_guardrail_blocks": "nothing was held back",
    "orchestrator_closed_loop_cooldown_skips": "nothing was held back",
    "orchestrator_closed_loop_retries": "nothing was tried again",
    "smartops_guardrail_hits": "nothing was held back",
    "smartops_chaos_campaign_mttr": "the image `run` makes no report; tests/platform/test_accuracy.py compares it",
}


def test_every_panel_answers_about_the_campaign(
    environment: str, disk: Path, until: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each query of each board, asked of the environment's own Prometheus; all of them are PromQL."""
    cluster = connect()
    show(environment, disk)

    def ask(query: str) -> bool:
        window = {"start": str(time.time() - 1800), "end": str(time.time()), "step": "5"}
        there = proxy(environment, "services", "prometheus", 9090, "/api/v1/query_range")
        answer = cluster.request("GET", there, query={"query": query, **window}, compare=False)
        return any(math.isfinite(float(value)) for one in answer["data"]["result"] for _, value in one["values"])

    until(lambda: ask("increase(smartops_chaos_recovery_seconds_count[1h]) > 0"), 240)
    empty = [one for one in QUERIES if not ask(one.of(environment))]

    def why(one: Asked) -> str:
        names = series_names(one.filled)
        return "; ".join(dict.fromkeys(said for of, said in NO_ANSWER.items() if any(n.startswith(of) for n in names)))

    with capsys.disabled():
        print(f"\n{len(QUERIES) - len(empty)} of {len(QUERIES)} queries of the boards have an answer; these have none:")
        for one in empty:
            print(f"{one.board}, {one.panel}: {why(one) or one.filled}")

    # A counter that is born with its first event has no increase before the second, which may not come.
    def may_come(one: Asked) -> bool:
        return all(ask(f"count({name})") for name in series_names(one.filled))

    assert [one for one in empty if not (why(one) or may_come(one))] == []
    assert len(empty) < len(QUERIES) / 3


def test_what_the_accounts_used_is_within_what_they_may_and_the_rest_has_a_reason(
    environment: str, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the API server's audit log of the evaluation above; docs/hardening.md has the reasons."""
    logs = sorted(AUDIT.glob("audit*.log"))
    if not logs:
        pytest.skip(f"the API server's audit log is not in {AUDIT}: ./platform/testbed/up writes one there")
    objects = call("kubectl", "--namespace", environment, "get", "roles,rolebindings", "--output=json").stdout
    command = [sys.executable, PLATFORM / "rights.py", *logs]
    told = subprocess.run(command, input=objects, capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\n{told.stdout}")
    refused = re.findall(r"^refused \d+ times: (.*)$", told.stdout, re.MULTILINE)
    cluster = f"{namespace}/smartops-chaos: get namespaces kube-system in kube-system"  # which cluster it is
    assert set(refused) <= {cluster}, "a Role of a namespace cannot give the right to read another one"
    lines = re.findall(r"^\| ([^/|]+)/(\S+) \| (.+) \| (\d+) \|$", told.stdout, re.MULTILINE)
    assert {place for place, *_ in lines} == {environment, namespace}
    used = {(account, right) for _, account, right, times in lines if int(times)}
    assert {account for account, _ in used} == {
        "smartops-chaos",
        "smartops-chaos-monitor",
        "smartops-orchestrator",
        "prometheus",
        "kube-state",
    }
    unused = {(account, right) for _, account, right, _ in lines} - used
    assert unused <= unused_on_the_page(), unused - unused_on_the_page()
