"""A cluster that goes away in the middle of a trial: a correct record or exit 5, never silence, never for ever."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from smartops_chaos.kubernetes import cluster, drivers
from tests.conftest import command

Until = Callable[..., Any]
_MATRIX = """\
version: 1
name: cut
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {lab}}}], allow: [{lab}]}}
factors:
  chaos: {{cpu: {{fault: cpu-stress, pods: all}}}}
  model: {{off: {{healer: off}}}}
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 300ms, objective: 90%, hold: 2s}}
horizon: {{after: 15s}}
"""


def _kubeconfig(folder: Path, server: str, user: dict[str, Any]) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def _admin() -> dict[str, Any]:
    """The credentials of the kubeconfig under test, for another address."""
    here = cluster.connect().connection()
    files: dict[str, Any] = {"client-certificate": here.client_cert, "client-key": here.client_key}
    found = files if here.client_cert else {}
    token = here.headers.get("authorization", "")
    return found | ({"token": token.partition(" ")[2]} if token else {})


def _run(folder: Path, lab: str, config: Path) -> subprocess.Popen[str]:
    (folder / "m.yaml").write_text(_MATRIX.format(lab=lab), encoding="utf-8")
    return subprocess.Popen(
        command("run", "m.yaml"),
        cwd=folder,
        env={**os.environ, "KUBECONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _log(folder: Path) -> str:
    logs = list(folder.glob("results/cut-1/trials/*/log.txt"))
    return logs[0].read_text(encoding="utf-8") if logs else ""


def _observing(folder: Path) -> bool:
    return "phase observe" in _log(folder)


def _revert(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("revert", "cut-1"),
        cwd=folder,
        env={**os.environ, "KUBECONFIG": str(config)},
        capture_output=True,
        text=True,
    )


def _labelled(lab: str) -> list[str]:
    here, found = cluster.connect(), []
    for path in (f"/apis/apps/v1/namespaces/{lab}/deployments", f"/api/v1/namespaces/{lab}/configmaps"):
        listed = here.request("GET", path, query={"labelSelector": "smartops-chaos/campaign"})
        found += [one["metadata"]["name"] for one in listed["items"]]
    return found


def test_an_api_server_that_goes_away_ends_in_exit_5_and_revert_does_the_rest(
    wire: Any, lab: str, tmp_path: Path, until: Until
) -> None:
    config = _kubeconfig(tmp_path, f"https://127.0.0.1:{wire.port}", _admin())
    runner = _run(tmp_path, lab, config)
    until(lambda: _observing(tmp_path) or runner.poll() is not None, 90)
    wire.closed = True
    wire.cut()
    told, _ = runner.communicate(timeout=240)
    assert runner.returncode == 5, told
    assert "Traceback" not in told
    assert "smartops-chaos revert cut-1" in told
    record = json.loads(next(tmp_path.glob("results/cut-1/trials/*/record.json")).read_text(encoding="utf-8"))
    assert record["row"]["outcome"] == "error"
    wire.closed = False
    done = _revert(tmp_path, config)
    assert done.returncode == 0, done.stderr
    assert _labelled(lab) == []
    assert drivers.leaks(cluster.connect(), lab) == []


def test_credentials_that_expire_are_named_and_nothing_is_taken_for_an_outage_of_the_service(
    api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    core, name = client.CoreV1Api(api), "runner"
    core.create_namespaced_service_account(lab, {"metadata": {"name": name}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": lab}]
    rights = client.RbacAuthorizationV1Api(api)
    rights.create_cluster_role_binding({"metadata": {"name": lab}, "roleRef": role, "subjects": subjects})
    try:
        token = core.create_namespaced_service_account_token(name, lab, {"spec": {}}).status.token
        config = _kubeconfig(tmp_path, api.configuration.host, {"token": token})
        runner = _run(tmp_path, lab, config)
        until(lambda: _observing(tmp_path) or runner.poll() is not None, 90)
        core.delete_namespaced_service_account(name, lab)  # its tokens end with it
        told, _ = runner.communicate(timeout=240)
    finally:
        rights.delete_cluster_role_binding(lab)
    assert runner.returncode == 5, told
    assert "the cluster does not accept the credentials (401)" in told
    record = json.loads(next(tmp_path.glob("results/cut-1/trials/*/record.json")).read_text(encoding="utf-8"))
    assert record["row"]["outcome"] == "error"
    left = [file for file in tmp_path.rglob("*") if file.is_file() and file != config]
    assert not [file for file in left if token.encode() in file.read_bytes()]
    done = _revert(tmp_path, _kubeconfig(tmp_path, api.configuration.host, _admin()))
    assert done.returncode == 0, done.stderr
    assert _labelled(lab) == []


def test_a_namespace_that_is_deleted_ends_the_lane_with_words(
    api: client.ApiClient, tmp_path: Path, until: Until, lab: str
) -> None:
    config = Path(os.environ["KUBECONFIG"])
    runner = _run(tmp_path, lab, config)
    until(lambda: _observing(tmp_path) or runner.poll() is not None, 90)
    client.CoreV1Api(api).delete_namespace(lab, grace_period_seconds=0)
    told, _ = runner.communicate(timeout=240)
    assert runner.returncode == 6, told
    assert "Traceback" not in told
    record = json.loads(next(tmp_path.glob("results/cut-1/trials/*/record.json")).read_text(encoding="utf-8"))
    assert record["row"]["outcome"] == "error"
    assert "the namespace was deleted during the trial" in _log(tmp_path)


@pytest.fixture(autouse=True)
def _lab_is_whole(lab: str, until: Until) -> None:
    here = cluster.connect()
    path = f"/apis/apps/v1/namespaces/{lab}/deployments"

    def whole() -> bool:
        items = here.request("GET", path)["items"]
        return bool(items) and all(one["status"].get("availableReplicas") == one["spec"]["replicas"] for one in items)

    until(whole, 60)
