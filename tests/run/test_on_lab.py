"""Campaigns on the real lab, through the command line: whole, killed, lied to.

What they assert is true on a slow machine too: faults that surely hurt, a load that is light, limits that are wide.
How fast and how well the lab's healer heals is measured in `benchmarks/fresh_machine.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.trial import experiment
from tests.conftest import until
from tests.run.conftest import ours, phase

pytestmark = pytest.mark.lab
MATRIX = """\
version: 1
name: small
target: {kind: lab, lanes: 2, replicas: 2}
factors:
  chaos:
    slow: {fault: network-delay, delay: 1s}
    storm:
      faults:
        - {fault: cpu-stress, load: 80%}
        - {fault: network-loss, loss: 30%}
        - {fault: memory-leak, size: 800MB, ramp: 1s}
    none: {}
  model: {off: {healer: off}, idle: {detector: none}} # neither acts: what a healer makes of it, is not our theme
  workload: {steady: {rate: 10/s}}
exclude: [{model: off, chaos: none}, {model: idle, chaos: storm}]
repeats: 1
calibrate: 0
baseline: {model: off, policy: default}
slo: {latency: 800ms, objective: 90%, hold: 2s}
horizon: {after: 3s, because: "a test"}
stop_after_good: 2s
seed: 1
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Where the first campaign of the matrix beside it will be."""
    (tmp_path / "small.yaml").write_text(MATRIX, encoding="utf-8")
    return tmp_path / "results" / "small-1"


def test_a_campaign_from_matrix_to_report(cli: Any, rows: Any, campaign: Path, tmp_path: Path) -> None:
    done = cli("run", "small.yaml", "--report", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert "CampaignStarted" in [event["event"] for event in events]
    assert events[-1]["event"] == "CampaignFinished"
    found = {name.removesuffix(".default.1"): row["outcome"] for name, row in rows(campaign).items()}
    assert found.keys() == {"slow.steady.off", "slow.steady.idle", "storm.steady.off", "none.steady.idle"}
    assert found["slow.steady.off"] == found["slow.steady.idle"] == "unrecovered"
    assert found["none.steady.idle"] == "clean"
    for name in ("report.pdf", "report.html", "trials.csv", "summary.json"):
        assert (tmp_path / "reports" / "small-1" / name).stat().st_size > 0
    assert not (campaign / ".lanes").exists()
    assert "4 records unchanged, 0 changed" in cli("derive").stdout
    assert "detected" in cli("derive", "--explain", "slow.steady.idle.default.1").stdout
    assert len(api.load(campaign).table) == 4
    again = cli("report", "--json")
    assert json.loads(again.stdout) == json.loads(
        (tmp_path / "reports/small-1/summary.json").read_text(encoding="utf-8")
    )
    for file in campaign.glob("trials/*/experiment.json"):
        chaos_toolkit_takes(file)
    the_storm_is_reverted_in_reverse_order(CampaignFolder(campaign))


def chaos_toolkit_takes(experiment: Path) -> None:
    """Its own program has nothing to say against the experiment that we wrote."""
    checked = subprocess.run(
        [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "validate", str(experiment)],
        cwd=experiment.parent,
        env={**os.environ, "SMARTOPS_LANE": "x", "SMARTOPS_WORKLOAD_URL": "x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stderr


def the_storm_is_reverted_in_reverse_order(store: CampaignFolder) -> None:
    """Three faults were in force together, in two replicas."""
    assert not store.open_ledgers()
    trial = store.trial("storm.steady.off.default.1")
    evidence = trial.read_evidence()
    calls = [(call.what, call.part) for call in evidence.calls if call.ok]
    assert [call for call in calls if call[0] in ("inject", "confirm", "revert")] == [
        *(("inject", part) for part in range(3)),
        *(("confirm", part) for part in range(3)),
        *(("revert", part) for part in (2, 1, 0)),
    ]
    observed = next(call.at for call in evidence.calls if call.what == "observe")
    facts = {fact.part: fact for fact in evidence.faults}
    assert [facts[part].confirmed for part in range(3)] == [True] * 3
    # CPU stress is in its container; the leak is in another replica's, or took that container down.
    assert [facts[part].ended_by for part in (1, 2)] == ["harness"] * 2
    ended = {part: fact.ended.lo_ns for part, fact in facts.items() if fact.ended and fact.ended_by == "harness"}
    assert sorted(ended, key=lambda part: ended[part]) == sorted(ended, reverse=True)
    assert min(ended.values()) > observed.hi_ns
    assert len({name for fact in evidence.faults for name in fact.objects}) == 2
    configuration = json.loads((trial.path / "experiment.json").read_text(encoding="utf-8"))["configuration"]
    assert configuration["expires_s"] == experiment.expires_s(3.0, 2.0)  # of all three
    row = json.loads((trial.path / "record.json").read_text(encoding="utf-8"))["row"]
    assert row["family"] == "cpu+memory+network"
    assert row["outcome"] not in ("invalid", "error")


def test_a_killed_runner_leaves_nothing_and_the_same_command_resumes(
    cli: Any, start: Any, rows: Any, campaign: Path, tmp_path: Path
) -> None:
    command = ("run", "small.yaml", "--only", "chaos=slow,model=off", "--repeats", "2")
    runner = start(*command)
    until(phase(tmp_path, "observe"))
    runner.kill()
    runner.communicate()
    until(lambda: not ours(tmp_path))
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert "undid" in done.stderr
    assert set(rows(campaign)) == {f"slow.steady.off.default.{n}" for n in (1, 2)}
    assert not CampaignFolder(campaign).open_ledgers()


def test_a_killed_node_is_an_error_never_health_and_the_campaign_goes_on(
    start: Any, rows: Any, campaign: Path, tmp_path: Path
) -> None:
    runner = start("run", "small.yaml", "--only", "chaos=slow,model=off", "--repeats", "2", "--lanes", "1")
    until(phase(tmp_path, "observe"))
    lane = json.loads(next(tmp_path.glob("results/*/.lanes/*/lane.json")).read_text(encoding="utf-8"))
    os.kill(lane["pid"], signal.SIGKILL)
    said, _ = runner.communicate(timeout=180)
    assert runner.returncode == 6, said
    assert sorted(row["outcome"] for row in rows(campaign).values()) == ["error", "unrecovered"]


def test_a_killed_prometheus_empties_phases_and_not_the_outcome(
    start: Any, rows: Any, campaign: Path, tmp_path: Path
) -> None:
    runner = start("run", "small.yaml", "--only", "chaos=slow,model=off", "--lanes", "1")
    until(phase(tmp_path, "observe"))
    pids = [pid for pid in ours(tmp_path) if b"prometheus\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    said, _ = runner.communicate(timeout=180)
    assert runner.returncode == 0, said
    row = rows(campaign)["slow.steady.off.default.1"]
    assert row["outcome"] == "unrecovered"
    assert "telemetry_missing" in row["flags"]


def test_a_query_about_a_load_of_ones_own_decides_instead_of_requests(cli: Any, rows: Any, tmp_path: Path) -> None:
    """Nobody sends a request here: the pods that are ready are what counts."""
    (tmp_path / "own.yaml").write_text(
        """\
version: 1
name: own
target: {kind: lab, lanes: 1, replicas: 2}
factors: {chaos: {kill: {fault: pod-kill}}, model: {off: {healer: off}}}
repeats: 1
calibrate: 0
baseline: {model: off}
slo:
  query: "smartops_k8s_deployment_ready_replicas{deployment='smartops-erp-simulator'}"
  at_least: 2
  every: 500ms
  lag: 1s
  hold: 2s
horizon: {after: 40s, because: test} # when it is ready again, is the machine's to say
stop_after_good: 3s
""",
        encoding="utf-8",
    )
    done = cli("run", "own.yaml")
    assert done.returncode == 0, done.stderr
    row = rows(tmp_path / "results" / "own-1")["kill.default.off.default.1"]
    assert (row["outcome"], row["reason"]) == ("platform", "no-action")  # the kubelet starts the pod again
    assert row["impacted_hi_s"] < row["recovered_lo_s"]
    assert row["recovered_hi_s"] - row["recovered_lo_s"] > 1.4  # at least one value, and the lag
    store = CampaignFolder(tmp_path / "results" / "own-1")
    values = store.trial("kill.default.off.default.1").requests()
    assert {value.status for value in values} == {200, 503}
    assert values[1].sched_ns - values[0].sched_ns == 500_000_000
    assert store.read().provenance["Requests"].startswith("none of ours")


def test_ctrl_c_while_the_lanes_are_warmed_up_begins_no_trial(start: Any, campaign: Path) -> None:
    runner = start("run", "small.yaml", "--json")
    for line in runner.stdout:
        if "round 1" in line:
            runner.send_signal(signal.SIGINT)
            break
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert '"done": 0' in said
    assert not list((campaign / "trials").glob("*"))
