"""The runner, through the command line, on stand-in lanes: cut off, resumed, killed, out of time, refused."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

from smartops_chaos import api
from smartops_chaos.store.campaign_folder import CampaignFolder
from tests.conftest import until
from tests.run.conftest import holder, phase


def test_ctrl_c_reverts_records_and_resumes(cli: Any, start: Any, standins: Any, rows: Any, tmp_path: Path) -> None:
    matrix, campaign = standins(repeats=1, lanes=2, least_s=2, most_s=2), tmp_path / "results" / "standin-1"
    runner = start("run", matrix)
    until(phase(tmp_path, "observe"))
    runner.send_signal(signal.SIGINT)
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert not CampaignFolder(campaign).open_ledgers()
    changed = matrix.read_text(encoding="utf-8").replace("50ms", "60ms")
    matrix.with_name("changed.yaml").write_text(changed, encoding="utf-8")
    refused = cli("run", "changed.yaml")
    assert refused.returncode == 2
    assert "has been changed" in refused.stderr
    assert cli("run", matrix).returncode == 0
    assert set(rows(campaign)) == {trial.id for trial in api.plan(matrix).trials}


def test_a_killed_child_is_an_error_until_it_is_asked_for_again(
    cli: Any, start: Any, standins: Any, rows: Any, tmp_path: Path
) -> None:
    one = (standins(repeats=1, lanes=1, least_s=2, most_s=2), "--only", "chaos=nothing,model=off")
    campaign, trial = tmp_path / "results" / "standin-1", "nothing.steady.off.default.1"
    runner = start("run", *one)
    log = until(phase(tmp_path, "observe"))[0]
    os.kill(holder(log.with_name(".lock")), signal.SIGKILL)
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 6, said
    assert (rows(campaign)[trial]["outcome"], rows(campaign)[trial]["time_s"]) == ("error", None)
    assert not CampaignFolder(campaign).open_ledgers()
    done = cli("run", *one, "--retry", "error")
    assert done.returncode == 0, done.stderr
    assert rows(campaign)[trial]["outcome"] == "unrecovered"


def test_max_time_ends_after_a_block_and_a_second_runner_is_refused(
    cli: Any, start: Any, standins: Any, rows: Any, tmp_path: Path
) -> None:
    matrix = standins(repeats=2, lanes=1, least_s=1, most_s=1)
    runner = start("run", matrix, "--max-time", "1s")
    until(phase(tmp_path, "observe"))
    runner.send_signal(signal.SIGSTOP)  # so that it has not ended when the second comes, however slow that is
    second = cli("run", matrix)
    runner.send_signal(signal.SIGCONT)
    assert second.returncode == 4
    assert "is in use by process" in second.stderr
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, said
    assert "out of time" in said
    assert {row["block"] for row in rows(tmp_path / "results" / "standin-1").values()} == {1}


def test_a_run_ends_with_its_answer_and_a_command_that_runs(cli: Any, standins: Any, tmp_path: Path) -> None:
    matrix = standins(repeats=2, lanes=4)
    done = cli("run", matrix.relative_to(tmp_path), "--only", "chaos=nothing", "--results", "r", "--reports", "p")
    assert done.returncode == 0, done.stderr
    assert any(re.match(r"off +2\.00.s +the baseline +0 of 2 ", line) for line in done.stdout.splitlines())
    assert "This is about what --only chaos=nothing chose" in done.stdout
    assert "all of the 4 that the last run chose" in cli("status", "--results", "r").stdout
    (following,) = (line.removeprefix("next: ") for line in done.stdout.splitlines() if line.startswith("next: "))
    assert following == "smartops-chaos report standin-1 --results r --reports p"
    assert cli(*following.split()[1:]).returncode == 0
    assert (tmp_path / "p" / "standin-1" / "report.html").exists()
    alone = cli("run", matrix, "--only", "model=on", "--campaign", "alone")
    assert alone.returncode == 0
    assert "Nothing can be compared yet: the baseline off has no trial" in alone.stdout


def test_status_tells_what_runs_now_from_what_may_be_in_force(
    cli: Any, standins: Any, start: Any, until: Any, tmp_path: Path
) -> None:
    matrix = standins(repeats=1, lanes=1, least_s=60.0, most_s=60.0)
    runner = start("run", matrix, "--only", "chaos=nothing")
    trials = tmp_path / "results" / "standin-1" / "trials"
    (ledger,) = until(lambda: list(trials.glob("*/ledger.json")))
    told = cli("status").stdout
    assert f"running now (process {runner.pid})" in told
    assert "MAY BE IN FORCE" not in told
    runner.send_signal(signal.SIGINT)
    runner.communicate()
    left = cli("status", "standin-1").stdout
    assert "unfinished\n  go on: smartops-chaos run " in left
    assert " --only chaos=nothing --campaign standin-1\n" in left  # what is printed is what was asked for
    ledger.write_text('{"state": "open", "faults": []}', encoding="utf-8")
    assert f"MAY BE IN FORCE: {ledger.parent.name}" in cli("status").stdout
