"""What the agents' APIs tell, as metrics: from answers by hand, and from the lab's healer itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from scipy import stats

from smartops_chaos.model import LogLine
from smartops_chaos.monitor.agents import AgentNumbers, NewItems, conflicts, distance
from smartops_chaos.resources import shipped
from smartops_chaos.schema import healerfile
from tests.telemetry.conftest import Answer, serving

scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(scores, scores)
def test_the_distance_is_that_of_kolmogorov_and_smirnov(one: list[float], other: list[float]) -> None:
    assert distance(one, other) == pytest.approx(stats.ks_2samp(one, other, method="asymp").statistic)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 6))
def test_every_item_is_new_once_however_it_is_read(numbers: list[int], step: int) -> None:
    """Items that differ, in answers that overlap; the first answer has what was there before."""
    items = [{"n": number, "at": at} for at, number in enumerate(numbers)]
    seen, fresh = NewItems(), []
    for end in range(0, len(items) + step, step):
        found, later = seen.of(items[max(0, end - 2 * step) : end])
        assert later is (end > 0)
        fresh += found
    assert sorted(one["at"] for one in fresh) == list(range(len(items)))


@pytest.fixture
def told(tmp_path: Path) -> tuple[AgentNumbers, Callable[[], str]]:
    registry = CollectorRegistry()
    numbers = AgentNumbers(registry, healerfile.load("smartops"), "", "", tmp_path)
    return numbers, lambda: generate_latest(registry).decode()


def answer(count: int, score: float = 0.9, begin: int = 0) -> dict[str, Any]:
    anomalies = [{"windowId": f"w-{i}", "score": score, "modelVersion": "iso"} for i in range(begin, begin + count)]
    return {"anomalies": anomalies, "rcas": []}


def test_nothing_is_told_of_what_nobody_tells(told: Any) -> None:
    numbers, text = told
    assert numbers.ask() == []
    assert "smartops_" not in text()


def test_what_was_there_before_is_not_counted_and_a_score_is_compared_with_the_first_ones(told: Any) -> None:
    numbers, text = told
    numbers.signals(answer(3))
    assert 'smartops_anomalies_total{model="iso"} 0.0' in text()
    assert 'smartops_anomaly_score{model="iso"} 0.9' in text()
    numbers.signals(answer(50))
    assert 'smartops_anomalies_total{model="iso"} 47.0' in text()
    assert "smartops_anomaly_score_drift" not in text()
    numbers.signals(answer(30, 0.4, 100))
    assert 'smartops_anomaly_score_drift{model="iso"} 1.0' in text()


def test_the_first_scores_outlive_the_monitor(told: Any, tmp_path: Path) -> None:
    numbers, _ = told
    numbers.signals(answer(60))
    registry = CollectorRegistry()
    later = AgentNumbers(registry, healerfile.load("smartops"), "", "", tmp_path)
    later.signals(answer(30, 0.9, 200))
    assert 'smartops_anomaly_score_drift{model="iso"} 0.0' in generate_latest(registry).decode()


def event(at: str, decision: str = "action", replicas: int | None = None, reason: str = "allowed") -> dict[str, Any]:
    plan = {"type": "scale" if replicas else "restart", "target": {"name": "erp"}}
    plan |= {"scale": {"replicas": replicas}} if replicas else {}
    return {"ts_utc": f"2026-11-30T10:{at}Z", "decision": decision, "guardrail_reason": reason, "action_plan": plan}


def test_decisions_guardrails_and_conflicts(told: Any) -> None:
    numbers, text = told
    numbers.audit({"events": []})
    assert "smartops_policy" not in text()
    events = [event("00:00"), event("00:30", replicas=4), event("05:00", "blocked", reason="max_actions")]
    numbers.audit({"events": events})
    assert 'smartops_policy_decisions_total{decision="approved"} 2.0' in text()
    assert 'smartops_policy_decisions_total{decision="blocked"} 1.0' in text()
    assert 'smartops_guardrail_hits_total{rule="max_actions"} 1.0' in text()
    assert "smartops_policy_conflicts_total 1.0" in text()
    assert "smartops_policy_evaluation_seconds" not in text()
    numbers.audit({"events": [*events, event("06:00") | {"evaluation_ms": 12}]})
    assert "smartops_policy_evaluation_seconds_sum 0.012" in text()
    assert "smartops_policy_conflicts_total 1.0" in text()


def test_only_contradictions_about_one_target_within_a_minute_are_conflicts() -> None:
    assert not list(conflicts([event("00:00"), event("00:30")]))
    assert not list(conflicts([event("00:00"), event("02:00", replicas=3)]))
    other = event("00:10", replicas=3)
    other["action_plan"]["target"] = {"name": "db"}
    assert not list(conflicts([event("00:00"), other]))


def test_lines_tell_how_long_a_diagnosis_and_an_evaluation_take(told: Any) -> None:
    numbers, text = told
    lines = [
        (0, '"POST /v1/signals/anomaly HTTP/1.1" 202 Accepted'),
        (250, 'POLICY_ENGINE payload={"signal": {}}'),
        (300, 'POLICY_ENGINE_RESPONSE={"decision": "no_action"}'),
        (2000, '"POST /v1/signals/rca HTTP/1.1" 202 Accepted'),
    ]
    for at_ms, line in lines:
        numbers.line(LogLine(1_796_000_000_000_000_000 + at_ms * 1_000_000, "smartops-orchestrator", line))
    assert "smartops_diagnose_seconds_sum 2.0" in text()
    assert "smartops_policy_evaluation_seconds_sum 0.05" in text()
    assert "smartops_detect_seconds" not in text()  # no anomaly has said which window it was found in


@pytest.mark.parametrize("line_first", [True, False])
def test_a_window_belongs_to_the_signal_after_it_whichever_is_known_first(tmp_path: Path, line_first: bool) -> None:
    """A slow one of 20 s, and half a minute later a fast one; the API answers seconds after the line, or before it."""
    registry = CollectorRegistry()
    numbers = AgentNumbers(registry, healerfile.load("smartops"), "", "", tmp_path)
    numbers.signals({"anomalies": [], "rcas": []})
    begin_s, known = 1_796_000_000.0, []
    for ends_s, signalled_s in ((0.0, 20.0), (50.0, 50.25)):
        known.append({"windowId": str(ends_s), "tsRange": {"end": begin_s + ends_s}})
        at_ns = round((begin_s + signalled_s) * 1e9)
        line = LogLine(at_ns, "smartops-orchestrator", '"POST /v1/signals/anomaly HTTP/1.1" 202 Accepted')
        steps = [partial(numbers.line, line), partial(numbers.signals, {"anomalies": known, "rcas": []})]
        for step in steps if line_first else reversed(steps):
            step()
    assert registry.get_sample_value("smartops_detect_seconds_sum") == pytest.approx(20.25, abs=0.01)
    assert registry.get_sample_value("smartops_detect_seconds_count") == 2


@pytest.mark.parametrize(
    "answer", ["[]", '{"anomalies": 5, "rcas": []}', '{"signals": []}', '{"anomalies": [7], "rcas": []}']
)
def test_an_api_that_says_something_else_is_named_and_the_other_is_read(answer: str, tmp_path: Path) -> None:
    """As after a change of SmartOps: a key that is renamed, or a list that is none."""
    registry = CollectorRegistry()
    audit = json.dumps({"events": [event("00:00")]})
    with serving(lambda asked: Answer(audit if "audit" in asked.path else answer)) as url:
        said = AgentNumbers(registry, healerfile.load("smartops"), url, url, tmp_path).ask()
    assert len(said) == 1
    assert said[0].startswith(f"/v1/signals/recent of {url} says something else (")
    assert said[0].endswith("): check `signals`")
    assert registry.get_sample_value("smartops_policy_decisions_total", {"decision": "approved"}) == 0


def post(address: str, path: str, body: str) -> int:
    request = urllib.request.Request(address + path, body.encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as got:
        return int(got.status)


@pytest.fixture
def healer(until: Callable[..., Any], tmp_path: Path) -> Iterator[str]:
    """The lab's healer as a process, without a node to act on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    policy = shipped("matrix", "policies", "default.policy")
    command = [sys.executable, "-m", "smartops_chaos.lab.smartops.healer", "--port", str(port), "--detector", "none"]
    command += ["--policy", str(policy), "--node", "http://127.0.0.1:9", "--gateway", "http://127.0.0.1:9"]
    with (tmp_path / "healer.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{address}/healthz", timeout=10) as got:
                return bool(got.status == 200)
        except OSError:
            return False

    until(answers, 120, (tmp_path / "healer.log").read_text)
    yield address
    process.kill()
    process.wait()


def test_a_running_monitor_tells_what_the_healer_does_not_export(
    healer: str, standing: Callable[..., Any], until: Callable[..., Any]
) -> None:
    monitor = standing(f"signals: {healer}\npolicy: {healer}", horizon=600)
    post(healer, "/v1/policy/evaluate", '{"signal": {"anomaly.type": "resource", "anomaly.score": 0.9}}')
    body = (
        '{"windowId": "w-1", "service": "erp", "isAnomaly": true, "score": 0.8, "type": "error", "modelVersion": "z"}'
    )
    assert post(healer, "/v1/signals/anomaly", body) == 202
    causes = '[{"svc": "erp", "cause": "Service Timeout", "probability": 1.0}]'
    rca = f'{{"windowId": "w-1", "service": "erp", "rankedCauses": {causes}, "confidence": 0.75}}'
    assert post(healer, "/v1/signals/rca", rca) == 202
    until(lambda: 'smartops_rca_confidence{model="unknown"} 0.75' in monitor.get("/metrics"), 120, monitor.said)
    text = monitor.get("/metrics")
    assert 'smartops_anomaly_score{model="z"} 0.8' in text
    assert "smartops_anomalies_total" in text
    until(lambda: "smartops_policy_decisions_total" in monitor.get("/metrics"), 120, monitor.said)
