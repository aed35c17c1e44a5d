"""What a results folder tells a monitor beside it."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.store.trial_folder import TrialFolder

SAMPLE = Path(__file__).parents[2] / "results" / "sample"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A campaign of which one trial is under way, its fault injected a moment ago."""
    trial = next(one for one in sorted((SAMPLE / "trials").iterdir()) if one.name.startswith("slow."))
    there = tmp_path / "results" / "sample" / "trials" / trial.name
    shutil.copytree(trial, there)
    shutil.copy(SAMPLE / "campaign.json", there.parents[1])
    notes = (there / "samples" / "calls.ndjson").read_text().splitlines()
    begun = next(i for i, note in enumerate(notes) if json.loads(note)["name"].startswith("inject"))
    (there / "samples" / "calls.ndjson").write_text("\n".join(notes[: begun + 1]) + "\n")
    (there / "record.json").unlink()
    ledger = json.loads((there / "ledger.json").read_text())
    (there / "ledger.json").write_text(json.dumps({**ledger, "state": "open"}))
    for path in (there.parents[1], there.parent):
        os.utime(path)
    return tmp_path / "results"


def trial_of(results: Path) -> Path:
    return next((results / "sample" / "trials").iterdir())


def test_a_fault_is_told_while_its_ledger_is_open_and_as_over_after_that(results: Path) -> None:
    marks = CampaignMarks(results)
    marks.look()
    (fault,) = marks.faults
    assert (fault.fault, fault.campaign, fault.hi_ns) == ("slow", "sample", None)
    assert marks.active() == {(fault.namespace, "slow", "sample"): True}
    assert marks.in_force(fault.namespace, fault.lo_ns + 1, fault.lo_ns + 2) == f"sample/{trial_of(results).name}"
    assert marks.in_force(fault.namespace, 0, fault.lo_ns - 1) == ""
    assert marks.in_force("another", 0, time.time_ns()) == ""
    assert marks.lanes[0]["trial"] == trial_of(results).name
    TrialFolder(trial_of(results)).close()
    marks.look()
    assert marks.active() == {(fault.namespace, "slow", "sample"): False}
    assert marks.lanes == []


def test_files_that_are_half_written_tell_nothing(results: Path) -> None:
    (trial_of(results) / "experiment.json").write_text('{"extensions": [')
    marks = CampaignMarks(results)
    marks.look()
    assert marks.faults == []


def test_without_results_there_is_nothing(tmp_path: Path) -> None:
    for marks in (CampaignMarks(None), CampaignMarks(tmp_path / "none")):
        marks.look()
        assert (marks.faults, marks.lanes, dict(marks.mttr())) == ([], [], {})


def test_the_last_campaign_s_mttr_is_that_of_its_report(tmp_path: Path, cli: Callable[..., Any]) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "sample").symlink_to(SAMPLE)
    found = CampaignMarks(tmp_path / "results").mttr()
    arms = json.loads(cli("report", SAMPLE, "--json").stdout)["arms"]
    assert {arm: bounds["estimate"] for arm, bounds in found.items()} == {
        arm["model"]: arm["mttr"]["rmst_s"] for arm in arms
    }
    assert all(bounds["low"] <= bounds["estimate"] <= bounds["high"] for bounds in found.values())


def test_a_campaign_of_another_pod_is_over_when_it_says_so_or_is_silent_for_an_hour(tmp_path: Path) -> None:
    """Its runner is no process of this machine; what it has said last is all that there is to see."""
    there = tmp_path / "results" / "sample"
    shutil.copytree(SAMPLE, there)
    events = there / "events.ndjson"
    finished = events.read_text()
    *before, _ = finished.splitlines(keepends=True)
    events.write_text("".join(before))
    assert not CampaignMarks(tmp_path / "results").mttr()
    for file in (there, there / "trials", events):
        os.utime(file, (time.time() - 4000,) * 2)
    assert CampaignMarks(tmp_path / "results").mttr()
    events.write_text(finished)
    assert CampaignMarks(tmp_path / "results").mttr()


def test_an_incident_during_a_fault_names_it(
    results: Path, shop: Any, standing: Callable[..., Any], until: Callable[..., Any]
) -> None:
    experiment = trial_of(results) / "experiment.json"
    text = json.loads(experiment.read_text())
    text["extensions"][0]["job"]["environment"]["SMARTOPS_NAMESPACE"] = "shop"
    experiment.write_text(json.dumps(text))
    monitor = standing(f"results: {results}", horizon=600)
    told = 'smartops_chaos_fault_active{campaign="sample",fault="slow",namespace="shop"} '
    until(lambda: told + "1.0" in monitor.get("/metrics"))
    began = shop.be(1.0)
    monitor.asked(began.hi_ns)
    TrialFolder(trial_of(results)).close()
    shop.be(0)
    (found,) = monitor.over(1)
    assert found.fault == f"sample/{trial_of(results).name}"
    until(lambda: told + "0.0" in monitor.get("/metrics"))
