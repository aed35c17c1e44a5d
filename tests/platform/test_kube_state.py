"""What stands in for kube-state-metrics on the testbed: its numbers by names that Prometheus takes."""

from __future__ import annotations

import re
import subprocess

import kube_state

from tests.platform.conftest import ROOT

DEPLOYMENT = {
    "metadata": {"name": "erp", "namespace": "dev"},
    "spec": {"replicas": 3},
    "status": {"availableReplicas": 2},
}
POD = {
    "metadata": {"name": "erp-1", "namespace": "dev", "uid": "u"},
    "status": {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {
                "name": "erp",
                "restartCount": 4,
                "image": 'a"b',
                "imageID": "sha256:1",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            }
        ],
    },
}


def test_promtool_takes_the_page() -> None:
    page = kube_state.page([DEPLOYMENT], [POD, {"metadata": POD["metadata"] | {"uid": "v"}, "status": {}}])
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "help text" not in line and "_total" not in line]
    assert complaints == []
    assert 'kube_deployment_status_replicas_available{namespace="dev",deployment="erp"} 2' in page
    assert 'reason="CrashLoopBackOff"} 1' in page


def test_it_tells_whatever_rules_dashboards_and_gates_ask_for() -> None:
    asked: set[str] = set()
    for folder in ("platform/helm/smartops/rules", "platform/helm/smartops/dashboards"):
        for file in (ROOT / folder).iterdir():
            asked |= set(re.findall(r"\bkube_[a-z_]+", file.read_text(encoding="utf-8")))
    asked |= set(re.findall(r"\bkube_[a-z_]+", (ROOT / "platform" / "gates.yaml").read_text(encoding="utf-8")))
    assert asked
    assert asked <= {text.partition("{")[0] for text in kube_state.page([DEPLOYMENT], [POD]).splitlines()}
