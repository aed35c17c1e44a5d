"""The real Alertmanager takes the routes, sends what should be sent, and holds back what a test has caused."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest
import requests
import yaml

from tests.conftest import until
from tests.platform.conftest import CHART, tool
from tests.platform.promql import rules
from tests.telemetry.conftest import Answer, programs, prometheus_server, serving

_TEXT = (CHART / "alertmanager.yaml").read_text(encoding="utf-8")
_ALERTS = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "alert" in rule})


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "alertmanager.yaml"
    file.write_text(_TEXT.replace("WEBHOOK_URL", "http://127.0.0.1:1/"), encoding="utf-8")
    return file


def test_alertmanager_takes_it(config: Path) -> None:
    done = subprocess.run([tool("amtool"), "check-config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("alert", "severity"), _ALERTS)
def test_each_alert_goes_where_its_severity_says(config: Path, alert: str, severity: str) -> None:
    labels = [f"alertname={alert}", f"severity={severity}", "namespace=smartops-dev"]
    command = [tool("amtool"), "config", "routes", "test", f"--config.file={config}", *labels]
    done = subprocess.run(command, capture_output=True, text=True)
    wanted = {"critical": "page", "warning": "notice", "info": "nobody", "none": "nobody"}[severity]
    assert done.stdout.split() == [wanted]


def test_what_is_held_back_is_an_alert_of_ours() -> None:
    """A renamed alert must not slip out of a rule that holds it back."""
    ours = {alert for alert, _ in _ALERTS}
    for rule in yaml.safe_load(_TEXT)["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            _, names = matcher.replace('"', "").replace("=~", "=").split("=")
            assert set(names.strip().split("|")) <= ours, matcher


@pytest.fixture
def webhook() -> Iterator[tuple[str, Queue[Any]]]:
    """An address, and what is posted to it."""
    received: Queue[Any] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def alertmanager(tmp_path: Path, webhook: tuple[str, Queue[Any]]) -> Iterator[str]:
    file = tmp_path / "alertmanager.yaml"
    file.write_text(_TEXT.replace("WEBHOOK_URL", webhook[0]), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [tool("alertmanager"), f"--config.file={file}", f"--storage.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _answers(address), within_s=60)
        yield address
    finally:
        server.terminate()
        server.wait()


def test_a_test_holds_back_its_effects_in_its_own_namespace_only(
    alertmanager: str, webhook: tuple[str, Queue[Any]]
) -> None:
    """Of a fault in dev, a breach in dev and in prod, and a gone monitor in dev, the last two are told."""
    _, received = webhook
    _post(alertmanager, "SmartOpsFaultActive", "info", namespace="smartops-dev")
    _post(alertmanager, "SmartOpsSlaBreach", "critical", namespace="smartops-dev", service="erp")
    _post(alertmanager, "SmartOpsSlaBreach", "critical", namespace="smartops-prod", service="erp")
    _post(alertmanager, "SmartOpsMonitorGone", "critical", namespace="smartops-dev")
    told: set[tuple[str, str]] = set()
    while len(told) < 2:
        for alert in received.get(timeout=60)["alerts"]:
            told.add((alert["labels"]["alertname"], alert["labels"]["namespace"]))
    assert told == {("SmartOpsSlaBreach", "smartops-prod"), ("SmartOpsMonitorGone", "smartops-dev")}

    def held_back() -> list[str]:
        alerts = requests.get(f"{alertmanager}/api/v2/alerts", timeout=10).json()
        return [one["labels"]["alertname"] for one in alerts if one["status"]["inhibitedBy"]]

    until(lambda: held_back() == ["SmartOpsSlaBreach"], within_s=60)


_POD = 'namespace="smartops-dev",container="erp",pod='
_ERP = 'kube_deployment_spec_replicas{namespace="smartops-dev",deployment="smartops-erp-simulator"}'
_WELL = {
    "smartops_chaos_monitor_up": 1,
    "orchestrator_closed_loop_queue_depth": 0,
    'kube_deployment_spec_replicas{namespace="smartops-dev",deployment="smartops-orchestrator"}': 1,
    'kube_deployment_spec_replicas{namespace="smartops-dev",deployment="smartops-chaos-monitor"}': 1,
    _ERP: 1,
    f'kube_pod_container_status_restarts_total{{{_POD}"erp-1"}}': 0,
    'orchestrator_closed_loop_signals_total{kind="anomaly",result="accepted"}': 1,
    "smartops_policy_conflicts_total": 0,
    **{
        f'smartops_{step}_seconds_bucket{{le="{le}"}}': 1
        for step in ("detect", "diagnose")
        for le in ("2", "10", "+Inf")
    },
}
# Each alert but those on hours, and on an incident of two minutes: what its cause changes, None for a series that goes.
_CAUSES: dict[str, dict[str, int | None]] = {
    "SmartOpsMonitorGone": {"smartops_chaos_monitor_up": None},
    "SmartOpsOrchestratorMetricsMissing": {"orchestrator_closed_loop_queue_depth": None},
    "SmartOpsPodRestarted": {f'kube_pod_container_status_restarts_total{{{_POD}"erp-1"}}': 1},
    "SmartOpsPodCrashLooping": {
        f'kube_pod_container_status_waiting_reason{{{_POD}"erp-2",reason="CrashLoopBackOff"}}': 1
    },
    "SmartOpsAnomalySpike": {'orchestrator_closed_loop_signals_total{kind="anomaly",result="accepted"}': 11},
    "SmartOpsInferenceSlow": {
        f'smartops_{step}_seconds_bucket{{le="{le}"}}': 11 for step in ("detect", "diagnose") for le in ("10", "+Inf")
    },
    "SmartOpsPolicyConflicts": {"smartops_policy_conflicts_total": 1},
    "SmartOpsSlaBreach": {},  # requests that fail
    "SmartOpsScaleStorm": {},  # a size that changes at every reading
}


class Page:
    """What a target exports. 50 requests between two readings; when things go wrong, bad ones, and a size changes."""

    def __init__(self) -> None:
        self.wrong = False
        self.answers = {"good": 0, "bad": 0}
        self.samples = dict(_WELL)

    def go_wrong(self) -> None:
        self.wrong = True
        for changes in _CAUSES.values():
            for name, value in changes.items():
                if value is None:
                    del self.samples[name]
                else:
                    self.samples[name] = value

    def read(self) -> str:
        self.answers["bad" if self.wrong else "good"] += 50
        self.samples[_ERP] = self.samples[_ERP] % 2 + 1 if self.wrong else 1
        requests_of = 'smartops_chaos_requests_total{namespace="smartops-dev",service="erp",answer='
        answers = {f'{requests_of}"{answer}"}}': count for answer, count in self.answers.items()}
        return "".join(f"{name} {value}\n" for name, value in (self.samples | answers).items())


def test_each_cause_reaches_the_webhook(
    tmp_path: Path, alertmanager: str, webhook: tuple[str, Queue[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Scrape, rules, routes in one: a real Prometheus with the chart's rules; all causes at once, each is told."""
    page = Page()
    with serving(lambda _: Answer(page.read())) as target:
        here = f'{{targets: ["{target.removeprefix("http://")}"], labels: {{namespace: smartops-dev}}}}'
        config = f"""\
global: {{scrape_interval: 5s, scrape_timeout: 4s}}
rule_files: [{CHART}/rules/*.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager.removeprefix("http://")}"]}}]}}]}}
scrape_configs: [{{job_name: page, honor_labels: true, static_configs: [{here}]}}]
"""
        found = programs()
        with prometheus_server(found.get("3") or found["2"], tmp_path, config) as address:

            def ask(path: str) -> Any:
                return requests.get(f"{address}/api/v1/{path}", timeout=10).json()["data"]

            until(lambda: ask("query?query=smartops:sli:ratio_rate30s==1")["result"])
            loaded = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
            assert len(loaded) == len(rules())
            assert not [rule for rule in loaded if rule.get("lastError")]
            firing = {rule["name"] for rule in loaded if rule.get("state") == "firing"}
            assert not firing & set(_CAUSES)
            begin = time.monotonic()
            page.go_wrong()
            seen: dict[str, float] = {}
            while not set(_CAUSES) <= set(seen):
                for alert in webhook[1].get(timeout=120)["alerts"]:
                    if alert["labels"].get("namespace") == "smartops-dev":
                        seen.setdefault(alert["labels"]["alertname"], time.monotonic() - begin)
    with capsys.disabled():
        print(" from cause to webhook:", ", ".join(f"{name} {seen[name]:.0f} s" for name in sorted(_CAUSES)))


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/-/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def _post(address: str, alert: str, severity: str, **labels: str) -> None:
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = [{"labels": {"alertname": alert, "severity": severity, **labels}, "endsAt": ends}]
    requests.post(f"{address}/api/v2/alerts", json=body, timeout=10).raise_for_status()
