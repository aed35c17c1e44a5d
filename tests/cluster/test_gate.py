"""The promotion gate on a real API server: workloads as they are, and a release's history as Helm leaves it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.gate import workloads
from smartops_chaos.gate.judge import RuleResult
from smartops_chaos.gate.questions import RELEASE
from smartops_chaos.schema.gatefile import EnvironmentRules
from tests.conftest import until
from tests.platform.conftest import tool

LAB = "localhost/smartops-chaos-lab:1"


def _rules(namespace: str, **golden: Any) -> EnvironmentRules:
    return EnvironmentRules.model_validate(
        {
            "namespace": namespace,
            "window": "1h",
            "witness": {"watchdog": "ALERTS", "targets": "up"},
            "workloads": {"quiet": "5m"},
            **({"golden": golden} if golden else {}),
        }
    )


def _judged(namespace: str) -> RuleResult:
    rules = _rules(namespace)
    assert rules.workloads is not None
    return workloads.judge_workloads(rules.workloads, workloads.ask_cluster(rules), time.time())


def _deployment(command: str, image: str = LAB) -> dict[str, Any]:
    labels = {"app": "idle"}
    container = {"name": "idle", "image": image, "imagePullPolicy": "Never", "command": ["sh", "-c", command]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {"metadata": {"name": "idle"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


def test_workloads_are_judged_as_they_are(api: client.ApiClient, namespace: str) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment(namespace, _deployment("sleep 3600"))
    until(lambda: _judged(namespace).ruling == "open", why=lambda: str(_judged(namespace)))
    answer = workloads.ask_cluster(_rules(namespace))["cluster"].answer
    assert {name: len(found) for name, found in workloads.digests(answer).items()} == {"idle": 1}

    apps.patch_namespaced_deployment("idle", namespace, _deployment("exit 3"))
    until(lambda: "restarted at" in _judged(namespace).why or "waits: CrashLoopBackOff" in _judged(namespace).why)
    assert _judged(namespace).ruling == "closed"

    apps.patch_namespaced_deployment("idle", namespace, _deployment("sleep 3600", "localhost/not-there:1"))
    until(lambda: "is not rolled out" in _judged(namespace).why)
    assert _judged(namespace).ruling == "closed"
    apps.delete_namespaced_deployment("idle", namespace)


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: small, version: 0.1.0}")
    text = '{apiVersion: v1, kind: ConfigMap, metadata: {name: small}, data: {x: "{{ .Values.x }}"}}'
    (tmp_path / "templates" / "map.yaml").write_text(text)
    return tmp_path


def test_a_release_changes_when_what_it_applies_changes(namespace: str, chart: Path) -> None:
    def deploy(value: str) -> None:
        words = [tool("helm"), "upgrade", "--install", "small", str(chart), "-n", namespace, "--set", f"x={value}"]
        subprocess.run(words, check=True, capture_output=True, timeout=60)

    def changes() -> list[str]:
        asked = workloads.ask_cluster(_rules(namespace, release="small"))[RELEASE]
        assert not asked.error, asked.error
        return [why for _, why in workloads.release_changes(asked.answer, time.time() + 60)]

    deploy("1")
    deploy("1")
    assert changes() == ["the release changed with revision 1"]
    deploy("2")
    assert changes()[1:] == ["the release changed with revision 3"]
    subprocess.run(
        [tool("helm"), "rollback", "small", "1", "-n", namespace], check=True, capture_output=True, timeout=60
    )
    assert changes()[2:] == ["the release changed with revision 4"]
