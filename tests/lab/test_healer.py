"""The healer on a real lane: that it heals, that its brakes hold, and that its log says so in SmartOps' words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from smartops_chaos.resources import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import Lane, OpenLoop

pytestmark = pytest.mark.lab

SCALE = 'POLICY "up": WHEN anomaly.type == "resource" THEN scale(service, {}) PRIORITY 1'
CAUSES = {
    "cpu-stress": "Resource Saturation",
    "memory-leak": "Resource Saturation",
    "network-delay": "Dependency Latency",
    "network-loss": "Dependency Latency",
    "pod-kill": "Service Timeout",
}


def anomaly(lane: Lane, kind: str = "error", window: str = "w-1") -> int:
    body = {"windowId": window, "service": "erp-simulator", "isAnomaly": True, "score": 0.9, "type": kind}
    return post(lane, "anomaly", json=body)


def post(lane: Lane, path: str, **body: Any) -> int:
    headers = {"Authorization": f"Bearer {lane.file.healer_token}"}
    return requests.post(f"{lane.file.healer}/v1/signals/{path}", headers=headers, timeout=5, **body).status_code


def metrics(lane: Lane) -> str:
    return requests.get(f"{lane.file.healer}/metrics", timeout=5).text


@pytest.mark.parametrize(
    ("detector", "kind"),
    [
        ("zscore", "cpu-stress"),
        ("zscore", "pod-kill"),
        ("zscore", "memory-leak"),
        ("threshold", "network-delay"),
        ("isolation-forest", "network-loss"),
    ],
)
def test_it_heals(lane: Lane, load: Callable[[], OpenLoop], detector: str, kind: str) -> None:
    lane.arm(detector)
    assert lane.client.get("/state")["armed"] is False
    loop = load()
    lane.until(lambda: lane.client.get("/state")["armed"])
    receipt = lane.inject("fault", kind)
    lane.until(lambda: loop.healthy_since(receipt["after_ns"] + 500_000_000))
    text = lane.until(lambda: "SIGNAL_RAW | kind=rca" in (log := lane.log(receipt["before_ns"])) and log)
    story = [
        r'INFO:     127\.0\.0\.1:\d+ - "POST /v1/signals/anomaly HTTP/1\.1" 202 Accepted',
        r"SIGNAL_RAW \| kind=anomaly \| type=AnomalySignal \| data=\{'windowId': '\w+', .*<AnomalyType\.",
        r'POLICY_ENGINE payload=\{"service": "erp-simulator", "signal": \{"anomaly\.type": ',
        r'POLICY_ENGINE_RESPONSE=\{.*"decision": "action", "policy": "restart_on_anomaly_\w+"',
        r"ClosedLoopManager: executing restart on lab/smartops-erp-simulator \(attempt=0 windowId=\w+\)",
        r"Action completed: type=restart target=Deployment lab/smartops-erp-simulator status=success duration=",
        r"ClosedLoopManager: action restart on lab/smartops-erp-simulator verified successfully in \d+\.\d\ds",
        r"CLOSED_LOOP_SUMMARY \| .*\| result=SUCCESS \| attempt=1 \| windowId=\w+",
        r"SIGNAL_RAW \| kind=rca \| type=RcaSignal \| data=\{.*'cause': '" + CAUSES[kind],
    ]
    for line in story:
        assert re.search(line, text), line
    (trace,) = re.findall(r"trace_id=(\w{32}) .*kind=anomaly", text)[:1]
    assert re.search(rf"trace_id={trace} .*kind=rca", text)
    spans = lane.client.get(f"/api/v3/traces/{trace}")["result"]["resourceSpans"]
    names = {one["scopeSpans"][0]["spans"][0]["name"] for one in spans}
    assert {name.partition(":")[0] for name in names} >= {"detect", "diagnose", "ask the policy engine", "act"}
    fault = lane.fault("fault")
    assert fault["ended_by"] == ("momentary" if kind == "pod-kill" else "system")
    assert receipt["objects"][0].split("/")[1] not in {pod["name"] for pod in lane.pods()}
    assert "action" in {cause for kind, cause in lane.events(receipt["after_ns"]) if kind == "started"}


@pytest.mark.parametrize(("kind", "helps"), [("pod-kill", True), ("network-delay", False)])
def test_scaling_first_helps_where_a_replica_is_away_and_not_where_it_is_slow(
    lane: Lane, load: Callable[[], OpenLoop], kind: str, helps: bool
) -> None:
    """The default policy heals both, as the test above shows."""
    lane.arm("zscore", shipped("matrix", "policies", "scale-first.policy").read_text(encoding="utf-8"))
    loop = load()
    lane.until(lambda: lane.client.get("/state")["armed"])
    receipt = lane.inject("fault", kind)
    lane.until(lambda: "executing scale on lab/smartops-erp-simulator" in lane.log(receipt["before_ns"]))
    lane.until(lambda: [pod["ready"] for pod in lane.pods()].count(True) >= (2 if helps else 3))
    scaled = loop.now_ns()
    if helps:
        lane.until(lambda: loop.healthy_since(scaled))
        assert len(lane.pods()) == 3
    else:
        bad: Any = lane.until(lambda: loop.bad_share(scaled, 3))
        assert bad > 0.05
        assert lane.fault("fault")["state"] == "in_force"


def test_without_a_detector_it_does_nothing(lane: Lane, load: Callable[[], OpenLoop]) -> None:
    lane.arm("none")
    loop = load()
    receipt = lane.inject("fault", "network-delay")
    bad: Any = lane.until(lambda: loop.bad_share(receipt["after_ns"], 3))
    assert bad > 0.05
    assert lane.log(receipt["before_ns"]) == ""
    there = {line.partition(" ")[0] for line in metrics(lane).splitlines() if line.startswith("orchestrator_")}
    assert there == {"orchestrator_closed_loop_queue_depth"}  # from the start: its absence is an alert
    assert lane.fault("fault")["state"] == "in_force"


def test_signals_do_not_wait_for_the_action_and_the_cooldown_holds(lane: Lane) -> None:
    lane.arm("threshold")
    since = lane.client.get("/state")["now_ns"]
    assert "signals_total" not in metrics(lane)
    assert [anomaly(lane, window="w-1"), anomaly(lane, window="w-2")] == [202, 202]
    lane.until(lambda: "cooldown active for ('lab', 'smartops-erp-simulator', 'restart')" in lane.log(since))
    lines = lane.log(since).splitlines()
    accepted = [n for n, line in enumerate(lines) if "202 Accepted" in line]
    taken = [n for n, line in enumerate(lines) if "SIGNAL_RAW" in line]
    assert accepted[1] < taken[1]
    found = metrics(lane)
    for line in (
        'orchestrator_closed_loop_signals_total{kind="anomaly",result="accepted"} 2',
        'orchestrator_closed_loop_actions_total{status="success",type="restart",verification_status="SUCCESS"} 1',
        'orchestrator_closed_loop_actions_total{status="skipped",type="restart",verification_status="COOLDOWN"} 1',
        'orchestrator_closed_loop_cooldown_skips_total{type="restart"} 1',
        'deployment="smartops-erp-simulator",dry_run="false",namespace="lab",source="actions_execute_restart"',
        "smartops_orchestrator_last_action_timestamp{",
    ):
        assert line in found
    lane.client.post("/reset", {"replicas": 2})
    assert "signals_total" not in metrics(lane)


def test_a_scale_adds_replicas_and_the_guardrail_bounds_them(lane: Lane) -> None:
    lane.arm("threshold", SCALE.format(3))
    assert anomaly(lane, "resource") == 202
    lane.until(lambda: 'type="scale",verification_status="SUCCESS"' in metrics(lane))
    assert [pod["ready"] for pod in lane.pods()] == [True] * 3
    lane.arm("threshold", SCALE.format(9))
    since = lane.client.get("/state")["now_ns"]
    assert anomaly(lane, "resource") == 202
    lane.until(lambda: "guardrail max_replicas for ('lab', 'smartops-erp-simulator', 'scale')" in lane.log(since))
    assert 'guardrail_blocks_total{reason="max_replicas",type="scale"} 1' in metrics(lane)
    assert len(lane.pods()) == 2


def test_a_signal_that_no_policy_wants_is_denied(lane: Lane) -> None:
    lane.arm("threshold", SCALE.format(3))
    since = lane.client.get("/state")["now_ns"]
    anomaly(lane, "latency")
    lane.until(lambda: "ClosedLoopManager: policy denied execution (no policy matched)" in lane.log(since))
    recent = requests.get(f"{lane.file.healer}/v1/signals/recent?limit=5", timeout=5).json()
    assert [signal["type"] for signal in recent["anomalies"]] == ["latency"]
    audit = requests.get(f"{lane.file.healer}/v1/policy/audit/latest?n=1", timeout=5).json()
    assert (audit["returned"], audit["events"][0]["decision"]) == (1, "no_action")


def test_a_signal_that_makes_no_sense_is_unprocessable(lane: Lane) -> None:
    lane.arm("threshold")
    assert anomaly(lane, "weather") == 422
    for path in ("anomaly", "rca"):
        for body in ("{", "[]", '{"windowId": "w", "rankedCauses": [], "confidence": 1}'):
            assert post(lane, path, data=body) == 422


def test_the_log_file_has_the_runtimes_form(lane: Lane) -> None:
    lane.arm("threshold", SCALE.format(3))
    anomaly(lane, "latency", "w-file")
    path = Path(lane.file.directory, "healer.log")
    lane.until(lambda: "w-file" in path.read_text())
    lines = path.read_text().splitlines()
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) F .+")
    assert all(form.fullmatch(line) for line in lines)
