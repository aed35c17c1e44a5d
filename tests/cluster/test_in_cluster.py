"""The runner as a Job in the cluster: with the printed role alone, evicted in the middle, and its results reported.

The image localhost/smartops-chaos:1 must be on the node, and the node must be this machine: its disk has the results.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from smartops_chaos.kubernetes import drivers, rbac
from smartops_chaos.kubernetes.cluster import Cluster, connect, path
from smartops_chaos.plan.expand import load_plan

DEPLOY = Path(__file__).parents[2] / "deploy"
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
JOBS = "/apis/batch/v1/namespaces/{}/jobs"


@pytest.fixture
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


def install(cluster: Cluster, namespace: str, text: str, disk: Path, folder: Path) -> None:
    """What docs/in_cluster.md says, with a folder of the node instead of a claim."""
    (folder / "matrix.yaml").write_text(text, encoding="utf-8")
    (role,) = rbac.roles(load_plan(folder / "matrix.yaml"))
    binding = manifest("binding")
    binding["subjects"][0]["namespace"] = namespace
    config = {"metadata": {"name": "smartops-chaos-matrix"}, "data": {"matrix.yaml": text}}
    job = manifest("job")
    for volume in job["spec"]["template"]["spec"]["volumes"]:
        if volume["name"] == "results":
            del volume["persistentVolumeClaim"]
            volume["hostPath"] = {"path": str(disk)}
    cluster.request("POST", path(namespace, "serviceaccounts"), body=manifest("account"))
    cluster.request("POST", path(namespace, "roles"), body=yaml.safe_load(role))
    cluster.request("POST", path(namespace, "rolebindings"), body=binding)
    cluster.request("POST", path(namespace, "configmaps"), body=config)
    cluster.request("POST", JOBS.format(namespace), body=job)


def test_a_campaign_survives_the_eviction_of_its_runner(
    lab: str, api: client.ApiClient, cli: Any, disk: Path, tmp_path: Path, until: Callable[..., Any]
) -> None:
    cluster = connect()
    install(cluster, lab, MATRIX.format(namespace=lab), disk, tmp_path)

    def runners() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = cluster.items(path(lab, "pods"), {"labelSelector": "app=smartops-chaos"})
        return found

    def said() -> str:
        told = []
        for pod in runners():
            name, status = pod["metadata"]["name"], pod["status"]
            ended = [one.get("state", {}).get("terminated") for one in status.get("containerStatuses", ())]
            try:
                log = client.CoreV1Api(api).read_namespaced_pod_log(name, lab, tail_lines=15)
            except client.ApiException as error:
                log = str(error.reason)
            told.append(f"{name} {status.get('phase')} {status.get('reason')} {ended}\n{log}")
        return "\n".join(told)

    def injected() -> bool:
        return any(
            '"inject"' in file.read_text(encoding="utf-8")
            for file in disk.glob("results/*/trials/*/samples/calls.ndjson")
        )

    until(injected, 120, why=said)
    (first,) = runners()
    name = first["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": lab}}
    cluster.request("POST", f"{path(lab, 'pods', name)}/eviction", body=eviction)

    def ended() -> set[str]:
        status = cluster.request("GET", f"{JOBS.format(lab)}/smartops-chaos").get("status", {})
        conditions = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
        return conditions & {"Complete", "Failed"}

    assert until(ended, 240, why=said) == {"Complete"}, said()
    assert name not in [pod["metadata"]["name"] for pod in runners()], "an eviction deletes its pod"
    assert drivers.leaks(cluster, lab) == []
    recorded = {file.parent.name for file in disk.glob("results/inside-1/trials/*/record.json")}
    whole = {"kill.steady.off.default.1", "errors.steady.off.default.1"}
    assert {one.removesuffix("~1") for one in recorded} == whole <= recorded  # what was cut off is kept beside it
    assert len(list((disk / "results").iterdir())) == 1
    done = cli("report", str(disk / "results" / "inside-1"))
    assert done.returncode == 0, done.stderr
