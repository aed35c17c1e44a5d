"""Many trials at once, shards, and campaigns with something broken in them; `benchmarks/scale.py` measures."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.store.campaign_folder import CampaignFolder

TRIALS = 60


def test_a_campaign_of_many_trials_is_whole_and_its_commands_agree(
    cli: Any, standins: Any, rows: Any, tmp_path: Path
) -> None:
    matrix = standins(repeats=TRIALS // 4, lanes=6)
    done = cli("run", matrix, "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    finished = [event for event in events if event["event"] == "TrialFinished"]
    assert [event["done"] for event in finished] == list(range(1, TRIALS + 1))
    assert {event["lane"] for event in finished} == {f"lane-{n}" for n in range(1, 7)}
    found = rows(tmp_path / "results" / "standin-1")
    assert set(found) == {trial.id for trial in api.plan(matrix).trials}
    outcomes = {"clean": TRIALS // 2, "unrecovered": TRIALS // 4, "platform": TRIALS // 4}
    assert Counter(row["outcome"] for row in found.values()) == outcomes
    (state,) = json.loads(cli("status", "--json").stdout)
    assert state.pop("last") == events[-1]["at"]
    assert state.pop("command").endswith(" --campaign standin-1")
    assert state == {
        **{"campaign": "standin-1", "trials": TRIALS, "spared": 0, "done": TRIALS, "outcomes": outcomes},
        **{"stopped": [], "runner": 0, "chosen": TRIALS, "open": [], "invalid": {}, "problems": []},
    }
    again = cli("run", matrix, "--campaign", "standin-1", "--json")
    assert [json.loads(line)["event"] for line in again.stdout.splitlines()] == ["CampaignStarted", "CampaignFinished"]
    assert f"{TRIALS} records unchanged, 0 changed" in cli("derive").stdout
    arms = json.loads(cli("report", "--json").stdout)["arms"]
    assert {(arm["model"], arm["trials"]) for arm in arms} == {("off", TRIALS // 2), ("on", TRIALS // 2)}


def test_nothing_about_one_trial_looks_at_all_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CampaignFolder(tmp_path)
    listed: list[str] = []
    for function in ("scandir", "listdir"):
        real = getattr(os, function)
        monkeypatch.setattr(os, function, lambda path, real=real: listed.append(Path(path).name) or real(path))
    for attempt in (1, 2, 3):
        assert store.set_aside("t") == attempt
        store.trial("t").begin({}, ())
        assert store.outcome("t") is None
        assert store.trial("t").is_open()
    assert "trials" not in listed, "that takes longer the more trials there are"
    store.open_ledgers()
    assert "trials" in listed, "or this test sees nothing"


def test_shards_are_disjoint_whole_blocks_and_one_campaign_in_the_report(
    cli: Any, standins: Any, rows: Any, tmp_path: Path
) -> None:
    matrix = standins(repeats=4, lanes=4)
    shards = [tmp_path / "a" / "standin-1", tmp_path / "b" / "standin-1"]
    for number, shard in enumerate(shards, 1):
        done = cli("run", matrix, "--shard", f"{number}/2", "--results", shard.parent)
        assert done.returncode == 0, done.stderr
    first, second = map(rows, shards)
    assert set(first).isdisjoint(second)
    assert set(first) | set(second) == {trial.id for trial in api.plan(matrix).trials}
    assert {row["block"] for row in first.values()}.isdisjoint(row["block"] for row in second.values())
    both = json.loads(cli("report", *shards, "--json").stdout)
    assert [arm["trials"] for arm in both["arms"]] == [8, 8]
    overlapping = cli("report", shards[0], shards[1], shards[0], "--json")
    assert overlapping.returncode == 2
    assert "is in " in overlapping.stderr
    changed = matrix.with_name("changed.yaml")
    changed.write_text(matrix.read_text(encoding="utf-8").replace("50ms", "60ms"), encoding="utf-8")
    assert cli("run", changed, "--shard", "2/2", "--results", tmp_path / "c").returncode == 0
    other = cli("report", shards[0], tmp_path / "c" / "standin-1", "--json")
    assert other.returncode == 2
    assert "has another plan than" in other.stderr


def test_one_broken_file_is_named_and_breaks_nothing_else(cli: Any, standins: Any, tmp_path: Path) -> None:
    matrix = standins(repeats=1, lanes=4)
    for name in ("whole", "newer", "broken"):
        assert cli("run", matrix, "--campaign", name).returncode == 0
    results = tmp_path / "results"
    (results / "broken" / "campaign.json").write_text("{", encoding="utf-8")
    record = results / "newer" / "trials" / "none.steady.on.default.1" / "record.json"
    told = record.read_text(encoding="utf-8")
    assert told.count('"schema_version": 1') == 1
    record.write_text(told.replace('"schema_version": 1', '"schema_version": 2'), encoding="utf-8")

    status = cli("status")
    assert status.returncode == 0
    assert "whole   4/4  " in status.stdout
    assert "newer   3/4  " in status.stdout
    assert (
        "record.json has schema_version 2, this program reads 1: use the smartops-chaos that wrote it" in status.stderr
    )
    assert "broken/campaign.json cannot be read" in status.stderr
    assert cli("run", matrix).returncode == 0, "another campaign is none of its business"
    for command in (["report", "newer"], ["run", matrix, "--campaign", "newer"]):
        refused = cli(*command)
        assert refused.returncode == 2
        assert "record.json has schema_version 2" in refused.stderr
    assert "campaign.json cannot be read" in cli("report", "broken").stderr

    assert "3 records unchanged, 1 changed" in cli("derive", "newer").stdout
    assert record.read_text(encoding="utf-8") == told
    evidence = results / "newer" / "trials" / "none.steady.off.default.1" / "samples" / "evidence.json.gz"
    evidence.write_bytes(evidence.read_bytes()[:-20])
    cut = cli("derive", "newer")
    assert cut.returncode == 2
    assert "3 records unchanged, 0 changed" in cut.stdout
    assert "evidence.json.gz cannot be read" in cut.stderr
