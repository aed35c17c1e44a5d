"""A whole campaign on real pods: a real healer repairs a real fault, and the record says so."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.kubernetes import cluster
from tests.conftest import command

_RESTARTED = "kubectl.kubernetes.io/restartedAt"
_MATRIX = """\
version: 1
name: real
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {lab}}}], allow: [{lab}]}}
factors:
  chaos: {{cpu: {{fault: cpu-stress, workers: 12, pods: all}}}} # so much that it hurts before the healer has acted
  model: {{off: {{healer: off}}, threshold: {{detector: threshold}}}}
  workload: {{steady: {{rate: 20/s}}}}
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 300ms, objective: 95%, hold: 2s}}
horizon: {{after: 20s}}
stop_after_good: 3s
"""


def _specs(lab: str) -> dict[str, Any]:
    """The Deployments, without the stamp that a healer's own restart leaves on a pod template."""
    found = {}
    for one in cluster.connect().request("GET", f"/apis/apps/v1/namespaces/{lab}/deployments")["items"]:
        (one["spec"]["template"]["metadata"].get("annotations") or {}).pop(_RESTARTED, None)
        one["spec"]["template"]["metadata"].pop("annotations", None)
        found[one["metadata"]["name"]] = (one["metadata"].get("labels"), one["spec"])
    return found


@pytest.fixture(scope="module")
def campaign(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    before = _specs(lab)
    (folder / "m.yaml").write_text(_MATRIX.format(lab=lab), encoding="utf-8")
    done = subprocess.run(command("run", "m.yaml", "--report"), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _specs(lab) == before
    return folder


def _trial(folder: Path, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A trial's record and evidence."""
    path = folder / "results" / "real-1" / "trials" / f"cpu.steady.{model}.default.1"
    record = json.loads((path / "record.json").read_text(encoding="utf-8"))
    return record, json.loads(gzip.decompress((path / "samples" / "evidence.json.gz").read_bytes()))


def test_without_its_healer_the_service_does_not_recover(campaign: Path) -> None:
    record, evidence = _trial(campaign, "off")
    assert (record["row"]["outcome"], record["row"]["reason"]) == ("unrecovered", "undetected")
    assert evidence["missing"] == []
    assert evidence["faults"][0]["confirmed"]
    # On a busy node the service's own readiness may come and go: that is the platform's doing, and nobody has acted.
    assert {event["cause"] for event in evidence["platform"] if event["kind"] == "ready"} <= {"platform"}
    assert record["row"]["actions"] == 0


def test_the_healer_repairs_it_and_every_source_agrees(campaign: Path) -> None:
    record, evidence = _trial(campaign, "threshold")
    row = record["row"]
    assert row["outcome"] == "healed"
    assert not {"conflict", "contested", "telemetry_missing", "clock_step"} & set(row["flags"].split(","))
    assert 0 < row["detected_hi_s"] < row["acted_hi_s"] < row["time_s"]
    acted = record["timeline"]["events"]["acted"]["sources"]
    assert "log of the action" in acted
    assert any(source.startswith("increase of") for source in acted)
    ready = [event for event in evidence["platform"] if event["kind"] == "ready"]
    assert {event["cause"] for event in ready} == {"action"}
    hit = evidence["faults"][0]
    assert hit["ended_by"] == "system"
    assert hit["objects"][0] in {event["object"] for event in evidence["platform"] if event["kind"] == "exited"}


def test_the_nodes_clock_is_known(campaign: Path) -> None:
    _, evidence = _trial(campaign, "threshold")
    node = [clock for clock in evidence["clocks"] if clock["source"] == "node"]
    assert node
    assert all(clock["hi_ns"] - clock["lo_ns"] < 500_000_000 for clock in node)


def test_what_the_cluster_did_is_kept_with_the_trial(campaign: Path) -> None:
    path = campaign / "results" / "real-1" / "trials" / "cpu.steady.threshold.default.1" / "samples"
    kept = [json.loads(line) for line in gzip.decompress((path / "cluster.ndjson.gz").read_bytes()).splitlines()]
    assert any("event" in entry and entry["event"]["reason"] == "Killing" for entry in kept)
    assert any("pod" in entry and entry["gone"] for entry in kept)


def test_the_report_is_written(campaign: Path) -> None:
    assert (campaign / "reports" / "real-1" / "report.pdf").stat().st_size > 10_000
