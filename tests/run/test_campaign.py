"""Campaigns on the real lab, through the command line: whole, cut off, resumed, and lied to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.store.campaign_folder import Store
from tests.conftest import until

pytestmark = pytest.mark.lab
TRIALS = {"cpu.steady.off.default.1", "cpu.steady.zscore.default.1", "none.steady.zscore.default.1"}


def ours(folder: Path) -> list[int]:
    """Processes that were started with a path below `folder`, or whose working directory it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in command or place.startswith(str(folder)):
            found.append(int(process.name))
    return found


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    until(lambda: not ours(tmp_path), 15)


def phase(folder: Path, wanted: str) -> Callable[[], list[Path]]:
    """Trials whose log has reached a phase and that have no record."""
    return lambda: [
        log
        for log in folder.glob("results/*/trials/*/log.txt")
        if f"phase {wanted}" in log.read_text(encoding="utf-8") and not log.with_name("record.json").exists()
    ]


def rows(folder: Path, campaign: str = "small-1") -> dict[str, dict[str, Any]]:
    records = folder.glob(f"results/{campaign}/trials/*/record.json")
    found = [
        json.loads(record.read_text(encoding="utf-8"))["row"] for record in records if "~" not in record.parent.name
    ]
    return {row["trial"]: row for row in found}


def test_a_campaign_from_matrix_to_report(cli: Any, matrix: Path, tmp_path: Path) -> None:
    done = cli("run", matrix, "--report", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "CampaignStarted"
    assert events[-1]["event"] == "CampaignFinished"
    found = rows(tmp_path)
    assert set(found) == TRIALS
    assert found["cpu.steady.off.default.1"]["outcome"] == "unrecovered"
    healed = found["cpu.steady.zscore.default.1"]
    assert healed["outcome"] in ("healed", "prevented")
    assert found["none.steady.zscore.default.1"]["outcome"] == "clean"
    for name in ("report.pdf", "report.html", "trials.csv", "summary.json"):
        assert (tmp_path / "reports" / "small-1" / name).stat().st_size > 0
    assert not (tmp_path / "results" / "small-1" / ".lanes").exists()
    assert "3 records unchanged, 0 changed" in cli("derive").stdout
    assert "detected" in cli("derive", "--explain", "cpu.steady.zscore.default.1").stdout
    data = api.load(tmp_path / "results" / "small-1")
    assert len(data.table) == 3
    again = cli("report", "--json")
    assert json.loads(again.stdout) == json.loads(
        (tmp_path / "reports/small-1/summary.json").read_text(encoding="utf-8")
    )
    assert cli("run", matrix, "--only", "chaos=none").returncode == 0, "a finished campaign is followed by a new one"
    assert set(rows(tmp_path, "small-2")) == {"none.steady.zscore.default.1"}


def test_a_killed_runner_leaves_nothing_and_the_same_command_resumes(
    cli: Any, start: Any, matrix: Path, tmp_path: Path
) -> None:
    runner = start("run", matrix)
    until(phase(tmp_path, "observe"))
    runner.kill()
    runner.communicate()
    until(lambda: not ours(tmp_path), 15)
    done = cli("run", matrix)
    assert done.returncode == 0, done.stderr
    assert "undid" in done.stderr
    assert set(rows(tmp_path)) == TRIALS
    assert not Store(tmp_path / "results" / "small-1").open_ledgers()


def test_ctrl_c_reverts_records_and_resumes(cli: Any, start: Any, matrix: Path, tmp_path: Path) -> None:
    runner = start("run", matrix)
    until(phase(tmp_path, "observe"))
    runner.send_signal(signal.SIGINT)
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert not Store(tmp_path / "results" / "small-1").open_ledgers()
    changed = matrix.read_text(encoding="utf-8").replace("250ms", "300ms")
    matrix.with_name("changed.yaml").write_text(changed, encoding="utf-8")
    refused = cli("run", "changed.yaml")
    assert refused.returncode == 2
    assert "has been changed" in refused.stderr
    assert cli("run", matrix).returncode == 0
    assert set(rows(tmp_path)) == TRIALS


def test_a_killed_child_is_an_error_and_its_fault_is_reverted(
    cli: Any, start: Any, matrix: Path, tmp_path: Path
) -> None:
    runner = start("run", matrix, "--only", "chaos=cpu", "--only", "model=off")
    log = until(phase(tmp_path, "observe"))[0]
    os.kill(holder(log.with_name(".lock")), signal.SIGKILL)
    said, _ = runner.communicate(timeout=120)
    assert runner.returncode == 6, said
    row = rows(tmp_path)["cpu.steady.off.default.1"]
    assert (row["outcome"], row["time_s"]) == ("error", None)
    assert not Store(tmp_path / "results" / "small-1").open_ledgers()
    done = cli("run", matrix, "--only", "chaos=cpu", "--only", "model=off", "--retry", "error")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path)["cpu.steady.off.default.1"]["outcome"] == "unrecovered"


def test_a_killed_node_is_an_error_never_health_and_the_campaign_goes_on(
    start: Any, matrix: Path, tmp_path: Path
) -> None:
    runner = start("run", matrix, "--lanes", "1")
    until(phase(tmp_path, "observe"))
    lane = json.loads(next(tmp_path.glob("results/*/.lanes/*/lane.json")).read_text(encoding="utf-8"))
    os.kill(lane["pid"], signal.SIGKILL)
    said, _ = runner.communicate(timeout=120)
    assert runner.returncode == 6, said
    found = rows(tmp_path)
    assert set(found) == TRIALS
    assert [row["outcome"] for row in found.values()].count("error") == 1


def test_a_killed_prometheus_empties_phases_and_not_the_outcome(start: Any, matrix: Path, tmp_path: Path) -> None:
    runner = start("run", matrix, "--only", "model=off")
    until(phase(tmp_path, "observe"))
    pids = [pid for pid in ours(tmp_path) if b"prometheus\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    said, _ = runner.communicate(timeout=120)
    assert runner.returncode == 0, said
    row = rows(tmp_path)["cpu.steady.off.default.1"]
    assert row["outcome"] == "unrecovered"
    assert "telemetry_missing" in row["flags"]


def test_max_time_ends_after_a_block_and_a_second_runner_is_refused(
    cli: Any, start: Any, matrix: Path, tmp_path: Path
) -> None:
    runner = start("run", matrix, "--lanes", "1", "--max-time", "1s")
    until(phase(tmp_path, "warm-up"))
    second = cli("run", matrix)
    assert second.returncode == 4
    assert "is in use by process" in second.stderr
    said, _ = runner.communicate(timeout=120)
    assert runner.returncode == 0, said
    assert "out of time" in said
    assert 0 < len(rows(tmp_path)) < len(TRIALS)


def holder(lock: Path) -> int:
    """The process that holds a lock, by the kernel's list."""
    inode = str(lock.stat().st_ino)
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[5].endswith(f":{inode}") and fields[1] == "FLOCK":
            return int(fields[4])
    raise AssertionError("nobody holds it")


def test_chaos_toolkit_itself_takes_the_experiment(cli: Any, matrix: Path, tmp_path: Path) -> None:
    done = cli("run", matrix, "--only", "chaos=none")
    assert done.returncode == 0, done.stderr
    experiment = next(tmp_path.glob("results/*/trials/*/experiment.json"))
    environment = {**os.environ, "SMARTOPS_LANE": "x", "SMARTOPS_WORKLOAD_URL": "x"}
    program = str(Path(sys.executable).with_name("chaos"))
    checked = subprocess.run(
        [program, "--no-version-check", "validate", str(experiment)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_query_about_a_load_of_ones_own_decides_instead_of_requests(cli: Any, tmp_path: Path) -> None:
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
horizon: {after: 12s, because: test}
stop_after_good: 3s
""",
        encoding="utf-8",
    )
    done = cli("run", "own.yaml")
    assert done.returncode == 0, done.stderr
    row = rows(tmp_path, "own-1")["kill.default.off.default.1"]
    assert (row["outcome"], row["reason"]) == ("platform", "no-action")  # the kubelet starts the pod again
    assert row["impacted_hi_s"] < row["recovered_lo_s"]
    assert row["recovered_hi_s"] - row["recovered_lo_s"] == pytest.approx(1.5, abs=0.3)  # one value, and the lag
    store = Store(tmp_path / "results" / "own-1")
    values = store.trial("kill.default.off.default.1").requests()
    assert {value.status for value in values} == {200, 503}
    assert values[1].sched_ns - values[0].sched_ns == 500_000_000
    assert store.read().provenance["Requests"].startswith("none of ours")
