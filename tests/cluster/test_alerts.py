"""Each alert's cause made for real, on a cluster with the chart's small telemetry, and timed until a webhook is told.

The causes come in four waves, since one would hide another: without the service nothing can be scaled, without the
monitor no breach is seen, and without the cluster's numbers no crash. Two alerts have no cause here: an error budget
burns for hours, and a mean time to recover is above its limit after two minutes of outage. How soon each is told is
printed, and stands in docs/runbooks.md; what is asserted is that it is.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes.cluster import Cluster, proxy
from tests.cluster.test_deploy import LAB, TAG, call, deploy, on_nodes
from tests.conftest import until
from tests.platform.promql import rules

ERP, ORCHESTRATOR, MONITOR = "smartops-erp-simulator", "smartops-orchestrator", "smartops-chaos-monitor"
BRIEF = "smartops-brief"  # nobody else restarts it, as the healer does the ERP
_PATIENCE_S = 300.0

# Answers POSTs and prints each as one line.
RECEIVER = """\
import http.server
class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode().strip(), flush=True)
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Webhook).serve_forever()
"""
# Ends when it is told to, as nothing does by itself that is the first process of its container.
ENDS = "import signal; signal.signal(15, lambda *_: exit()); signal.pause()"
# Small, since the node has others, and with a service that may be slow, since it may be busy: neither is a cause.
# Anomalies of "other" are none of a policy's; those of the two others want two things of one target.
VALUES = """\
telemetry:
  small:
    kube-state: {image: {tag: "TAG"}, startup: 240, liveness: false}
    prometheus: {resources: {requests: {cpu: 10m}}, liveness: false}
erp-simulator: {image: {tag: "TAG"}, startup: 240, resources: {requests: {cpu: 10m}}}
monitor:
  image: {tag: "TAG"}
  startup: 240
  liveness: false
  resources: {requests: {cpu: 10m}}
  files:
    data:
      monitor.yaml: |
        version: 1
        namespace: {{ .Release.Namespace }}
        service: smartops-erp-simulator
        healer: lab-kubernetes
        url: http://smartops-erp-simulator:8000
        rate: 5/s
        slo: {latency: 2s, objective: 95%, hold: 10s}
        settle: 30s
        horizon: 15m
        cluster: {}
        signals: http://smartops-orchestrator:8001
        policy: http://smartops-orchestrator:8001
        listen: 0.0.0.0:9109
orchestrator:
  image: {tag: "TAG"}
  startup: 240
  resources: {requests: {cpu: 10m}}
  env: {DETECTOR: none}
  files:
    data:
      default.policy: |
        POLICY "restart":
          WHEN anomaly.type == "error" AND anomaly.score >= 0.5
          THEN restart(service)
          PRIORITY 250

        POLICY "scale":
          WHEN anomaly.type == "resource" AND anomaly.score >= 0.5
          THEN scale(service, 2)
          PRIORITY 210
"""


def pod(name: str, command: list[str], labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, **labels}},
                "spec": {
                    "containers": [{"name": name, "image": f"{LAB}:{TAG}", "command": command}],
                    "terminationGracePeriodSeconds": 1,
                },
            },
        },
    }


class Environment:
    """One namespace with everything, and what its webhook was told."""

    def __init__(self, api: client.ApiClient, cluster: Cluster, namespace: str) -> None:
        self._core: Any = client.CoreV1Api(api)
        self._apps: Any = client.AppsV1Api(api)
        self._cluster = cluster
        self.namespace = namespace

    def prepare(self) -> None:
        """The webhook, where the chart's Alertmanager looks for it, and a container that can be ended."""
        self._apps.create_namespaced_deployment(self.namespace, pod(BRIEF, ["python", "-c", ENDS], {}))
        labels = {"app.kubernetes.io/part-of": "smartops-telemetry"}  # who may be called by Alertmanager
        receiver = pod("alert-webhook", ["python", "-c", RECEIVER], labels)
        self._apps.create_namespaced_deployment(self.namespace, receiver)
        spec = {"selector": {"app": "alert-webhook"}, "ports": [{"port": 8080}]}
        self._core.create_namespaced_service(self.namespace, {"metadata": {"name": "alert-webhook"}, "spec": spec})

    def told(self) -> dict[str, float]:
        """Of each alert that fires by what the webhook was told when it was told first, by the node's clock."""
        (one,) = self._core.list_namespaced_pod(self.namespace, label_selector="app=alert-webhook").items
        log = self._core.read_namespaced_pod_log(one.metadata.name, self.namespace, timestamps=True)
        found: dict[str, float] = {}
        for line in log.splitlines():
            stamp, _, body = line.partition(" ")
            at_s = datetime.fromisoformat(stamp[:26].rstrip("Z") + "+00:00").timestamp()
            for alert in json.loads(body)["alerts"]:
                labels = alert["labels"]
                name = " of ".join(filter(None, (labels["alertname"], labels.get("blind"))))
                if alert["status"] == "firing":
                    found.setdefault(name, at_s)
                else:
                    found.pop(name, None)
        return found

    def query(self, text: str) -> list[dict[str, Any]]:
        path = proxy(self.namespace, "services", "prometheus", 9090, "/api/v1/query")
        answer = self._cluster.request("GET", path, query={"query": text}, compare=False)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def signal(self, kind: str, body: dict[str, Any]) -> None:
        path = proxy(self.namespace, "services", ORCHESTRATOR, 8001, f"/v1/signals/{kind}")
        self._cluster.request("POST", path, body=body, compare=False)

    def anomaly(self, kind: str, window_ended_s_ago: float = 0.0) -> None:
        window = {"end": time.time() - window_ended_s_ago}
        body = {"windowId": uuid.uuid4().hex, "service": "erp-simulator", "isAnomaly": True, "score": 0.9}
        self.signal("anomaly", {**body, "type": kind, "modelVersion": "test", "tsRange": window})

    def diagnosis(self) -> None:
        causes = [{"svc": "erp-simulator", "cause": "Unknown Failure", "probability": 0.5}]
        body = {"windowId": uuid.uuid4().hex, "service": "erp-simulator", "rankedCauses": causes, "confidence": 0.5}
        self.signal("rca", body)

    def scale(self, deployment: str, replicas: int) -> None:
        self._apps.patch_namespaced_deployment_scale(deployment, self.namespace, {"spec": {"replicas": replicas}})

    def nowhere(self, deployment: str) -> None:
        """A rollout to nodes that do not exist, and the old pod goes first: what is wanted does not run."""
        template = {"spec": {"nodeSelector": {"smartops": "nowhere"}}}
        strategy = {"type": "Recreate", "rollingUpdate": None}
        body = {"spec": {"strategy": strategy, "template": template}}
        self._apps.patch_namespaced_deployment(deployment, self.namespace, body)

    def crash(self, name: str) -> None:
        command = ["python", "-c", "raise SystemExit(1)"]
        self._apps.create_namespaced_deployment(self.namespace, pod(name, command, {}))

    def end_container(self, app: str) -> None:
        """End its process as from within, which nobody but the kubelet mends."""
        found = self._core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items
        name = found[0].metadata.name
        done = call(
            "kubectl", "--namespace", self.namespace, "exec", name, "--", "python", "-c", "import os; os.kill(1, 15)"
        )
        assert done.returncode in (0, 137), done.stderr  # it may be killed with its container


@pytest.fixture(scope="module")
def environment(
    api: client.ApiClient, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    wanted = {"localhost/smartops-prometheus:1", "localhost/smartops-alertmanager:1"}
    if not wanted <= on_nodes(api, wanted):
        pytest.skip("no image of Prometheus or Alertmanager is on the node: ./platform/images/build")
    namespace = f"smartops-alerts-{uuid.uuid4().hex[:6]}"
    values = tmp_path_factory.mktemp("alerts") / "values.yaml"
    values.write_text(VALUES.replace("TAG", TAG))
    off = [f"telemetry.small.{name}.enabled=false" for name in ("logs", "traces", "collector", "collector-logs")]
    done = deploy("testbed", namespace, "--no-test", "--", "--values", str(values), "--set", ",".join(off))
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield Environment(api, cluster, namespace)
    finally:
        client.CoreV1Api(api).delete_namespace(namespace)


Cause = Callable[[], Any]


def told_within(environment: Environment, causes: dict[str, Cause]) -> dict[str, float]:
    """Make all causes at once; of each alert the seconds from just before its cause to the webhook's having it."""
    begun: dict[str, float] = {}

    def make(alert: str) -> None:
        begun[alert] = time.time()  # before the call: what is measured is no shorter than the truth
        causes[alert]()

    # A busy machine is a cause of its own, which passes.
    until(lambda: not environment.told().keys() & causes.keys(), _PATIENCE_S, lambda: str(environment.told()), 1.0)
    with ThreadPoolExecutor(len(causes)) as pool:
        list(pool.map(make, causes))
    seen: dict[str, float] = {}
    while causes.keys() - seen.keys():
        seen |= {name: at_s - begun[name] for name, at_s in environment.told().items() if name in causes}
        missing = causes.keys() - seen.keys()
        assert time.time() - max(begun.values()) < _PATIENCE_S, f"never told: {missing}; told: {seen}"
        time.sleep(1)
    return seen


def test_each_cause_reaches_the_webhook_and_how_soon(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.prepare()
    there = environment.namespace

    def served() -> bool:
        return bool(environment.query(f'smartops:sli:ratio_rate30s{{namespace="{there}"}} == 1'))

    def well() -> bool:
        """Everything is scraped, and nothing fires but what always does."""
        brief = f'kube_pod_container_status_restarts_total{{namespace="{there}", container="{BRIEF}"}} == 0'
        return (
            served()
            and bool(environment.query(brief))
            and not environment.query('ALERTS{alertstate="firing",severity=~"critical|warning"}')
        )

    until(well, 240, lambda: str(environment.query("ALERTS")))
    # A first detection that is fast, and a first decision: a counter that is born with its cause has not risen.
    environment.anomaly("error")
    environment.diagnosis()
    until(
        lambda: environment.query("smartops_policy_conflicts_total == 0 and on () smartops_detect_seconds_count > 0"),
        120,
    )
    until(well, 240, lambda: str(environment.query("ALERTS")))

    def scaled() -> None:
        for replicas in (1, 2, 1):  # each long enough to be scraped
            environment.scale(ERP, replicas)
            seen = f'kube_deployment_spec_replicas{{deployment="{ERP}"}} == {replicas}'
            until(lambda seen=seen: environment.query(seen), 120)

    def slow() -> None:
        for _ in range(6):
            environment.anomaly("other", 20.0)
            environment.diagnosis()

    def conflict() -> None:
        environment.anomaly("error")
        environment.anomaly("resource")

    measured = told_within(
        environment,
        {
            "SmartOpsPodRestarted": lambda: environment.end_container(BRIEF),
            "SmartOpsPodCrashLooping": lambda: environment.crash("smartops-broken"),
            "SmartOpsAnomalySpike": slow,
            "SmartOpsInferenceSlow": lambda: None,
            "SmartOpsPolicyConflicts": conflict,
        },
    )
    until(served, 240)  # again, after what its healer did
    scaled()
    down = {
        "SmartOpsScaleStorm": lambda: environment.scale(ERP, 0),
        "SmartOpsSlaBreach": lambda: None,
        "SmartOpsOrchestratorMetricsMissing": lambda: environment.nowhere(ORCHESTRATOR),
        "SmartOpsNoData of SmartOpsAnomalySpike": lambda: None,
    }
    measured |= told_within(environment, down)
    measured |= told_within(environment, {"SmartOpsMonitorGone": lambda: environment.nowhere(MONITOR)})
    blind = ("SmartOpsPodRestarted", "SmartOpsPodCrashLooping", "SmartOpsScaleStorm")
    gone: dict[str, Cause] = {f"SmartOpsNoData of {alert}": lambda: None for alert in blind}
    gone[f"SmartOpsNoData of {blind[0]}"] = lambda: environment.scale("kube-state", 0)
    measured |= told_within(environment, gone)
    with capsys.disabled():
        print("\n".join(["", *(f"| `{name}` | {seconds:.0f} s |" for name, seconds in sorted(measured.items()))]))
    made = {name.partition(" of ")[0] for name in measured}
    every = {rule["alert"] for rule in rules() if rule.get("labels", {}).get("severity") in ("critical", "warning")}
    assert every - made == {"SmartOpsErrorBudgetBurn", "SmartOpsMttrAboveLimit"}
