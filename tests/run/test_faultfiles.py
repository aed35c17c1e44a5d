"""Faults of one's own, through the command line: the guide's, and those that do not behave."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from smartops_chaos.schema import faultfile
from smartops_chaos.store.campaign_folder import CampaignFolder
from tests.conftest import until

GUIDE = Path(__file__).parents[2] / "docs" / "faults.md"
FAULT = """\
title: {name}
configuration: {{fault_id: by-hand}}
method:
  - {{type: action, name: inject, provider: {{{inject}}}}}
  - {{type: probe, name: confirm, tolerance: true, provider: {{{confirm}}}}}
rollbacks:
  - {{type: action, name: revert, provider: {{{revert}}}}}
extensions: [{{name: smartops-chaos, family: odd, lasting: true, limit_s: 1, hits: [smartops-erp-simulator]}}]
"""
MATRIX = """\
version: 1
name: odd
target: {{kind: "benchmarks.standin:StandIn", healer: ./healer.yaml, protocol: benchmarks.standin, lanes: 2,
  least_s: 0.0, most_s: 0.0}}
factors:
  chaos: {{{chaos}}}
  model: {{off: {{healer: off}}}}
  workload: {{steady: {{rate: 10/s}}}}
repeats: 1
calibrate: 0
baseline: {{model: off, policy: default}}
slo: {{latency: 1s, objective: 60%, hold: 1s}}
horizon: {{after: 2s, because: "a test"}}
stop_after_good: 1s
seed: 1
"""
ODD = '''\
import time
from pathlib import Path


def fine():
    return True


def raises():
    raise ValueError("no such disk")


def hangs():
    time.sleep(3600)


def deaf():
    while True:
        try:
            Path(__file__).with_name("entered").touch()
            time.sleep(60)
        except BaseException:
            pass


def lies():
    return False


def stuck():
    """Until somebody mends it."""
    if not Path(__file__).with_name("mended").exists():
        raise ValueError("the disk is still full")
'''


def python(function: str) -> str:
    return f"type: python, module: odd, func: {function}"


FAULTS = {
    "raising": {"inject": python("raises")},
    "hanging": {"inject": python("hangs")},
    "lying": {"confirm": python("lies")},
    "failing": {"inject": "type: process, path: sh, arguments: [-c, echo no space >&2; exit 3]"},
}


@pytest.fixture
def folder(tmp_path: Path, standins: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the faults are found, and a stand-in for the target: how a fault misbehaves is not the target's affair."""
    standins(repeats=1, lanes=2)
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    (tmp_path / "faults").mkdir()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    return tmp_path


def write(folder: Path, faults: dict[str, dict[str, str]]) -> Path:
    fine = {"inject": python("fine"), "confirm": python("fine"), "revert": python("fine")}
    for name, parts in faults.items():
        (folder / "faults" / f"{name}.yaml").write_text(FAULT.format(name=name, **(fine | parts)), encoding="utf-8")
    chaos = ", ".join(f"{name}: {{fault: faults/{name}.yaml}}" for name in faults)
    matrix = folder / "odd.yaml"
    matrix.write_text(MATRIX.format(chaos=chaos), encoding="utf-8")
    return matrix


def test_a_fault_that_does_not_behave_makes_its_trial_invalid_and_leaves_nothing_behind(
    cli: Any, rows: Any, folder: Path
) -> None:
    matrix = write(folder, FAULTS)
    for pair in (("raising", "hanging"), ("failing", "lying")):  # with more to do, two invalid trials would be the end
        done = cli(
            "run", matrix, "--campaign", "odd-1", *(text for name in pair for text in ("--only", f"chaos={name}"))
        )
        assert done.returncode == 6, done.stderr
        assert "2 of 2 trials are invalid" in done.stderr
    found = {row["chaos"]: (row["outcome"], row["reason"]) for row in rows(folder / "results" / "odd-1").values()}
    injected = ("invalid", "not-injected")
    assert found == {
        "raising": injected,
        "hanging": injected,
        "failing": injected,
        "lying": ("invalid", "not-confirmed"),
    }
    said = {log.parent.name.partition(".")[0]: log.read_text() for log in folder.glob("results/odd-1/trials/*/log.txt")}
    assert "no such disk" in said["raising"]
    assert "did not return within 1 s" in said["hanging"]
    assert "exit code 3: no space" in said["failing"]
    assert not CampaignFolder(folder / "results" / "odd-1").open_ledgers()


def test_what_cannot_be_undone_is_said_aloud_until_revert_can_from_anywhere(
    cli: Any, folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = write(folder, {"stuck": {"revert": python("stuck")}})
    text = (folder / "faults" / "stuck.yaml").read_text(encoding="utf-8")
    (folder / "faults" / "stuck.yaml").write_text(text.replace("hits: [smartops-erp-simulator]", "hits: []"))
    done = cli("run", matrix)
    assert done.returncode == 5, done.stderr
    assert "still in force" in done.stderr
    matrix.unlink()
    shutil.rmtree(folder / "faults")
    campaign = folder / "results" / "odd-1"
    assert "MAY BE IN FORCE" in cli("status").stdout
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    again = cli("revert", campaign)
    assert again.returncode == 5, again.stdout
    assert "stuck" in again.stderr
    (folder / "mended").touch()
    mended = cli("revert", campaign)
    assert mended.returncode == 0, mended.stderr
    assert "1 trial reverted" in mended.stdout
    assert not CampaignFolder(campaign).open_ledgers()


def test_a_second_ctrl_c_does_not_wait_for_a_trial_that_does_not_listen(start: Any, folder: Path) -> None:
    runner = start("run", write(folder, {"deaf": {"inject": python("deaf")}}))
    until((folder / "entered").exists)
    runner.send_signal(signal.SIGINT)
    until(lambda: "stopping" in (folder / "results" / "odd-1" / "events.ndjson").read_text(encoding="utf-8"))
    runner.send_signal(signal.SIGINT)
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, said
    assert "not waiting for the trials" in said
    store = CampaignFolder(folder / "results" / "odd-1")
    assert not store.open_ledgers()
    row = store.trial("deaf.steady.off.default.1").row()
    assert row is not None
    assert row["outcome"] == "aborted"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("hits: [smartops-erp-simulator]", "hits: erp"), "hits"),
        (("limit_s: 1", "limit_s: 0"), "limit_s"),
        (("family: odd", "familie: odd"), "familie"),
        (
            ("rollbacks:\n  - {type: action, name: revert, provider: {type: python, module: odd, func: fine}}\n", ""),
            "rollbacks",
        ),
    ],
)
def test_a_mistake_in_a_fault_file_is_told_with_its_place(
    cli: Any, folder: Path, change: tuple[str, str], said: str
) -> None:
    matrix = write(folder, {"wrong": {}})
    file = folder / "faults" / "wrong.yaml"
    text = file.read_text(encoding="utf-8")
    assert change[0] in text
    file.write_text(text.replace(*change), encoding="utf-8")
    done = cli("run", matrix)
    assert done.returncode == 2
    assert re.search(rf"wrong\.yaml:\d+:\d+: .*{said}", done.stderr), done.stderr
    assert not (folder / "results").exists()


def guide() -> dict[str, str]:
    """The files of the guide by name."""
    text = GUIDE.read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w/]+\.\w+)`\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.mark.lab
@pytest.mark.skipif(shutil.which("pgrep") is None, reason="one of the guide's faults needs pgrep: install procps")
def test_the_guide_does_what_it_says(cli: Any, rows: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its faults hurt until they are undone; whether the lab's healer is quicker is not their affair."""
    for name, text in guide().items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder / "faults"), os.environ["PYTHONPATH"]]))
    done = cli("run", "mine.yaml", "--only", "model=off")
    assert done.returncode == 0, done.stderr
    found = {row["chaos"]: row["outcome"] for row in rows(folder / "results" / "mine-1").values()}
    assert found == {"frozen": "unrecovered", "hung": "unrecovered"}


def test_an_action_of_an_installed_extension_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTOPS_NAMESPACE", "somewhere")
    file = tmp_path / "terminate.yaml"
    file.write_text(guide()["faults/terminate.yaml"], encoding="utf-8")
    fault = faultfile.load(file)
    ensure_experiment_is_valid({"version": "1.0.0", "description": "from the guide", **fault.definition})
