"""Campaigns with looks, through the command line, on stand-in lanes: who stops, that it stays so, what is left."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.analysis import load
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.store.campaign_folder import CampaignFolder
from tests.conftest import REPEATS, until

FIRST = REPEATS // 2
Make = Callable[..., Path]


def trials(found: dict[str, dict[str, Any]]) -> Counter[str]:
    return Counter(row["model"] for row in found.values())


def test_a_decided_arm_stops_and_the_others_run_on(cli: Any, looking: Make, rows: Any, tmp_path: Path) -> None:
    matrix = looking()
    done = cli("run", matrix, "--json", "--report")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (look,) = [event for event in events if event["event"] == "LookTaken"]
    assert (look["look"], look["repeat"], look["stopped"], look["spared"]) == (1, FIRST, ["off"], 2 * FIRST)
    before = [e["trial"] for e in events[: events.index(look)] if e["event"] == "TrialFinished"]
    assert len(before) == 3 * 2 * FIRST
    assert all(int(trial.rpartition(".")[2]) <= FIRST for trial in before)
    assert (events[-1]["done"], events[-1]["trials"]) == (50, 50)
    campaign = tmp_path / "results" / "standin-1"
    found = rows(campaign)
    assert trials(found) == {"on": 20, "other": 20, "off": 10}
    assert max(row["repeat"] for row in found.values() if row["model"] == "off") == FIRST

    status = cli("status").stdout
    assert "50/50" in status
    assert "off was decided at look 1, after 5 repeats" in status
    (state,) = json.loads(cli("status", "--json").stdout)
    assert (state["trials"], state["spared"], state["done"]) == (60, 10, 50)
    assert state["stopped"] == [{"arm": {"model": "off", "policy": "default"}, "look": 1, "repeat": FIRST}]

    summary = json.loads((tmp_path / "reports/standin-1/summary.json").read_text(encoding="utf-8"))
    assert summary["plan"]["stopped"] == {"off": {"look": 1, "repeat": FIRST}}
    told = {(v["arm"]["model"], v["target"]): v for v in summary["verdicts"]}
    assert told["off", "auto_heal"]["verdict"] == "missed"
    assert told["off", "auto_heal"]["why"].endswith("decided at look 1, after 5 repeats")
    assert "look" not in told["other", "auto_heal"]["why"]
    assert "decided at look 1" in (tmp_path / "reports/standin-1/report.html").read_text(encoding="utf-8")
    assert not [w for w in summary["warnings"] if "not recorded" in w]
    side = load.side(api.load(campaign))
    assert not any(cell.not_recorded for cell in side.cells), "nor are they lost in `compare`"

    assert cli("run", matrix).returncode == 0
    assert (tmp_path / "results" / "standin-2").exists(), "a campaign that spares the rest is finished"
    again = cli("run", matrix, "--campaign", "standin-1", "--retry", "unrecovered,platform")
    assert again.returncode == 0, again.stderr
    assert f"{2 * FIRST} trials are not run again: an arm was decided by them at a look" in again.stderr
    attempts = Counter((row["model"], row["attempt"]) for row in rows(campaign).values())
    assert attempts["off", 2] == 0
    assert attempts["on", 2] == REPEATS - FIRST
    assert attempts["other", 2] == REPEATS


def test_without_an_arm_to_compare_the_baseline_stops_too(cli: Any, looking: Make, rows: Any, tmp_path: Path) -> None:
    done = cli("run", looking(other=False))
    assert done.returncode == 0, done.stderr
    assert "look 1, after 5 repeats: off decided, 20 trials are spared" in done.stderr
    assert "20 of 20 trials recorded" in done.stderr
    assert trials(rows(tmp_path / "results" / "standin-1")) == {"on": 10, "off": 10}


def deciding(campaign: Path) -> bool:
    """Whether the process that decides is at work."""
    wanted = b"smartops_chaos.analysis.interim\0" + str(campaign).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("when", ["while it is decided", "before the next trial"])
def test_a_runner_killed_at_a_look_goes_on_by_the_same_decision(
    when: str, cli: Any, start: Callable[..., subprocess.Popen[str]], looking: Make, rows: Any, tmp_path: Path
) -> None:
    matrix, campaign = looking(), tmp_path / "results" / "standin-1"
    file = campaign / "look-1.json"
    runner = start("run", matrix)
    until(file.exists if when == "before the next trial" else lambda: deciding(campaign), pause_s=0.002)
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    if when == "while it is decided":
        assert not file.exists(), "only a runner writes"
    else:
        decided = file.stat().st_mtime_ns, file.read_bytes()
        assert max(row["repeat"] for row in rows(campaign).values()) <= FIRST + 1
    done = cli("run", matrix)
    assert done.returncode == 0, done.stderr
    assert "50 of 50 trials recorded" in done.stderr
    assert ("look 1, after 5 repeats: off decided" in done.stderr) == (when == "while it is decided")
    if when == "before the next trial":
        assert (file.stat().st_mtime_ns, file.read_bytes()) == decided
    assert trials(rows(campaign)) == {"on": 20, "other": 20, "off": 10}
    assert not CampaignFolder(campaign).open_ledgers()


def test_what_looks_cannot_do_is_refused_with_the_hint(cli: Any, looking: Make, tmp_path: Path) -> None:
    matrix = looking()
    for option in (("--shard", "1/2"), ("--only", "model=off")):
        refused = cli("run", matrix, *option)
        assert refused.returncode == 2
        assert f"leave out {option[0]}, or write `looks: 1` in standin.yaml" in refused.stderr
    few = cli("run", matrix, "--repeats", "1")
    assert few.returncode == 2
    assert "2 looks are more than the 1 repeats after which they could be" in few.stderr
    assert not (tmp_path / "results").exists()


def test_a_look_that_cannot_be_taken_or_read_ends_the_run_and_no_arm_runs_on(
    cli: Any, start: Callable[..., subprocess.Popen[str]], looking: Make, rows: Any, tmp_path: Path
) -> None:
    matrix, campaign = looking(least_s=0.1, most_s=0.1), tmp_path / "results" / "standin-1"
    runner = start("run", matrix)
    until(lambda: rows(campaign))
    runner.send_signal(signal.SIGINT)
    runner.communicate()
    done = {name for name, row in rows(campaign).items() if row["outcome"] != "aborted"}
    assert 0 < len(done) < 3 * 2 * FIRST
    record = campaign / "trials" / min(done) / "record.json"  # one that no table takes: no horizon is so long
    whole = record.read_text(encoding="utf-8")
    row = json.loads(whole)
    row["row"]["horizon_s"] = 1e6
    record.write_text(json.dumps(row), encoding="utf-8")
    stuck = cli("run", matrix)
    assert stuck.returncode == 6
    assert "look 1 could not be taken" in stuck.stderr
    assert f"{record}: horizon_s: is more than a day" in stuck.stderr
    assert max(row["repeat"] for row in rows(campaign).values()) == FIRST
    record.write_text(whole, encoding="utf-8")
    (off,) = [arm for arm in api.load(campaign).summary.arms if arm.model == "off"]
    assert off.auto_heal.hi > wilson(0, FIRST, 0.025)[1], "an interval that holds at every look is wider"
    assert cli("run", matrix).returncode == 0
    (campaign / "look-1.json").write_text("{", encoding="utf-8")
    assert "look-1.json cannot be read" in cli("status").stderr
    refused = cli("run", matrix, "--campaign", "standin-1")
    assert refused.returncode == 2
    assert "what was decided cannot be decided again" in refused.stderr
