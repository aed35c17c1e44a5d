"""Healers, and others, that do what nobody expects in the middle of a trial: the record says what happened.

A small service, and a healer of which every mode is a wrong one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes import drivers, victims
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, connect, path
from smartops_chaos.kubernetes.controller import Controller, is_ready
from tests.conftest import command

Until = Callable[..., Any]
Json = dict[str, Any]
_IMAGE = "localhost/smartops-chaos-lab:1"
_WEB = """
import http.server, time
class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        end = time.process_time() + 0.004
        while self.path == "/" and time.process_time() < end: pass
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Server).serve_forever()
"""
_HEALER = """
import json, os, ssl, time, urllib.request
ROOT, MODE = "/var/run/secrets/kubernetes.io/serviceaccount/", os.environ["MODE"]
namespace = open(ROOT + "namespace").read()
trust = ssl.create_default_context(cafile=ROOT + "ca.crt")
def call(method, path, body=None):
    head = {"Authorization": "Bearer " + open(ROOT + "token").read(), "Content-Type": "application/merge-patch+json"}
    url, data = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + path, body and json.dumps(body).encode()
    request = urllib.request.Request(url, data, head, method=method)
    with urllib.request.urlopen(request, None, 5, context=trust) as answer:
        return json.loads(answer.read())
def seconds(pod):
    begun = time.monotonic()
    try:
        urllib.request.urlopen("http://" + pod["status"]["podIP"] + ":8000", timeout=0.5).read()
    except (OSError, KeyError):
        return 0.5
    return time.monotonic() - begun
PODS = "/api/v1/namespaces/" + namespace + "/pods"
WEB = "/apis/apps/v1/namespaces/" + namespace + "/deployments/web"
SCALE = "ClosedLoop: {} on " + namespace + "/web {}"
sick = done = 0
while True:
    time.sleep(0.1 if done else 0.3)
    if MODE == "zero-again":  # once the service was gone, it stays gone
        try:
            if call("GET", WEB)["spec"]["replicas"] == 0:
                done = 1
            elif done:
                call("PATCH", WEB, {"spec": {"replicas": 0}})
        except Exception as error:  # a new process would not know that the service was gone
            print(repr(error), flush=True)
        continue
    pods = [pod for pod in call("GET", PODS + "?labelSelector=app%3Dweb")["items"]
            if "deletionTimestamp" not in pod["metadata"]]
    times = {seconds(pod): pod["metadata"]["name"] for pod in pods}
    sick = sick + 1 if times and max(times) > 0.3 else 0
    if sick < 3 or done:
        continue
    done = 1
    print("web is sick", flush=True)
    print(SCALE.format(MODE, "begun"), flush=True)
    if MODE == "delete":
        call("DELETE", PODS + "/" + times[max(times)])
    if MODE == "zero":
        call("PATCH", WEB, {"spec": {"replicas": 0}})
    print(SCALE.format(MODE, "success"), flush=True)
"""
_FILE = """\
version: 1
name: hostile
poll: 300ms
warm_up: 1s
workload: {method: GET, path: /, timeout: 2s}
settings: {healer: [on, off], mode: text}
moments: {detected: [{log: web is sick, component: healer}]}
actions:
  start: [{log: 'ClosedLoop: (?P<kind>\\S+) on (?P<target>\\S+) begun', component: healer}]
  end: [{log: 'ClosedLoop: (?P<kind>\\S+) on (?P<target>\\S+) (?P<status>success)', component: healer}]
kubernetes:
  service: web
  workload: {service: web, port: 8000}
  components: [healer]
  settings:
    healer: {on: [{deployment: healer, replicas: 1}], off: [{deployment: healer, replicas: 0}]}
    mode: [{deployment: healer, env: {MODE: "{value}"}}]
  reset: {replicas: {web: 1, healer: 1}, restart: [healer]}
  limit: 30s
"""
_MATRIX = """\
version: 1
name: hostile
target: {{kind: kubernetes, healer: healer.yaml, lanes: [{{namespace: {namespace}}}], allow: [{namespace}]{more}}}
factors:
  chaos: {{cpu: {{fault: cpu-stress, load: 100%, workers: 8}}, gone: {{fault: scale-to-zero}}, none: {{}}}}
  model: {{off: {{healer: off}}, delete: {{mode: delete}}, zero: {{mode: zero}}, zero-again: {{mode: zero-again}}}}
  workload: {{steady: {{rate: 20/s}}}}
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 300ms, objective: 90%, hold: 1s}}
horizon: {{after: 12s}}
stop_after_good: 3s
"""


def _deployment(name: str, program: str, replicas: int, **more: Any) -> Json:
    container = {
        "name": "main",
        "image": _IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", program],
        "resources": {"limits": {"cpu": "300m"}, "requests": {"cpu": "50m"}},
        **more,
    }
    spec = {"terminationGracePeriodSeconds": 1, "serviceAccountName": "healer", "containers": [container]}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


@pytest.fixture(scope="module")
def web(api: client.ApiClient, namespace: str, until: Until) -> str:
    core, rbac, apps = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api), client.AppsV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "healer"}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    subjects = [{"kind": "ServiceAccount", "name": "healer", "namespace": namespace}]
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "healer"}, "roleRef": role, "subjects": subjects}
    )
    core.create_namespaced_service(
        namespace, {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 8000}]}}
    )
    probe = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1, "failureThreshold": 30}
    apps.create_namespaced_deployment(namespace, _deployment("web", _WEB, 1, readinessProbe=probe))
    env = [{"name": "MODE", "value": "none"}]
    apps.create_namespaced_deployment(namespace, _deployment("healer", _HEALER, 0, env=env))
    until(lambda: len(_ready(namespace)) == 1)
    return namespace


@pytest.fixture(autouse=True)
def _whole(web: str, until: Until) -> Iterator[None]:
    """Before a test the service is whole; after it nothing of ours is in the namespace, and the service whole again."""
    until(lambda: len(_ready(web)) == 1, 60)
    yield
    assert drivers.leaks(connect(), web) == []
    assert Controller.read(connect(), web, "web").replicas == 1


def _ready(namespace: str) -> list[Json]:
    return [pod for pod in victims.pods_of(connect(), namespace, "web") if is_ready(pod)]


def _start(folder: Path, namespace: str, cell: str, more: str = "") -> subprocess.Popen[str]:
    (folder / "m.yaml").write_text(_MATRIX.format(namespace=namespace, more=more), encoding="utf-8")
    (folder / "healer.yaml").write_text(_FILE, encoding="utf-8")
    only = [part for name in cell.split() for part in ("--only", name)]
    return subprocess.Popen(
        command("run", "m.yaml", *only), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _observing(folder: Path) -> bool:
    return any("phase observe" in log.read_text(encoding="utf-8") for log in folder.glob("results/*/trials/*/log.txt"))


def _rows(folder: Path) -> dict[str, Json]:
    """Rows of the records, by trial."""
    files = sorted(folder.glob("results/*/trials/*/record.json"))
    return {file.parent.name: json.loads(file.read_text(encoding="utf-8"))["row"] for file in files}


def _row(folder: Path) -> Json:
    (row,) = _rows(folder).values()
    return row


def test_a_healer_that_deletes_the_faulted_pod_has_healed(web: str, tmp_path: Path) -> None:
    runner = _start(tmp_path, web, "chaos=cpu model=delete")
    _, told = runner.communicate(timeout=240)
    assert runner.returncode == 0, told
    row = _row(tmp_path)
    assert (row["outcome"], row["fault_end_by"]) == ("healed", "system"), row
    assert row["actions"] == 1


def test_a_healer_that_scales_to_zero_has_not(web: str, tmp_path: Path) -> None:
    runner = _start(tmp_path, web, "chaos=cpu model=zero")
    _, told = runner.communicate(timeout=240)
    assert runner.returncode == 0, told
    row = _row(tmp_path)
    assert (row["outcome"], row["reason"]) == ("unrecovered", "insufficient"), row
    assert row["fault_end_by"] == "system"


def test_a_healer_that_undoes_our_revert_does_not_have_the_last_word(web: str, tmp_path: Path) -> None:
    runner = _start(tmp_path, web, "chaos=gone model=zero-again")
    _, told = runner.communicate(timeout=240)
    assert runner.returncode == 0, told
    row = _row(tmp_path)
    assert (row["outcome"], row["reason"], row["fault_end_by"]) == ("unrecovered", "undetected", "harness"), row
    assert Controller.read(connect(), web, "web").replicas == 1


def test_what_nobody_can_put_back_ends_in_exit_5(
    web: str, api: client.ApiClient, cluster: Cluster, tmp_path: Path, until: Until
) -> None:
    """An operator that is no part of the trial, and so goes on when the campaign is over."""
    apps, label = client.AppsV1Api(api), {"labelSelector": "app=operator"}

    def gone_on() -> list[Json]:
        found: list[Json] = cluster.request("GET", path(web, "pods"), query=label)["items"]
        return found

    env = [{"name": "MODE", "value": "zero-again"}]
    apps.create_namespaced_deployment(web, _deployment("operator", _HEALER, 1, env=env))
    try:
        runner = _start(tmp_path, web, "chaos=gone model=off")
        _, told = runner.communicate(timeout=240)
    finally:
        apps.delete_namespaced_deployment("operator", web)
        until(lambda: not gone_on(), 60)
        cluster.request("PATCH", path(web, "deployments", "web"), body={"spec": {"replicas": 1}}, content=MERGE)
    assert runner.returncode == 5, told
    assert "somebody changes again what was put back: deployment web: replicas was 1 before" in told
    assert _row(tmp_path)["outcome"] == "unrecovered"
    done = subprocess.run(command("revert", "hostile-1"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_eviction_is_the_platforms_doing(web: str, cluster: Cluster, tmp_path: Path, until: Until) -> None:
    runner = _start(tmp_path, web, "chaos=cpu model=off")
    until(lambda: _observing(tmp_path) or runner.poll() is not None)
    (mark,) = victims.marks(cluster, web)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": mark.name, "namespace": web}}
    cluster.request("POST", path(web, "pods", mark.name) + "/eviction", body=body)
    _, told = runner.communicate(timeout=240)
    assert runner.returncode == 0, told
    row = _row(tmp_path)
    assert (row["outcome"], row["reason"], row["fault_end_by"]) == ("platform", "no-action", "system"), row


def test_spacing_in_place_of_the_reset_restarts_nobody(web: str, tmp_path: Path) -> None:
    before = {pod["metadata"]["uid"] for pod in _ready(web)}
    runner = _start(tmp_path, web, "chaos=none model=off,delete", ", between: {spacing: 2s}")
    _, told = runner.communicate(timeout=240)
    assert runner.returncode == 0, told
    assert {row["outcome"] for row in _rows(tmp_path).values()} == {"clean"}
    assert {pod["metadata"]["uid"] for pod in _ready(web)} == before
