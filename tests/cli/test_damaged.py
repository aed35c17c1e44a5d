"""A campaign directory with something broken in it: each command names the file and the mend, with its exit code."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import command as program

SAMPLE = Path(__file__).parents[2] / "results" / "sample"
TRIAL = "cpu-90.steady.off.default.1"


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "results" / "c-1"))


@pytest.fixture
def trial(campaign: Path) -> Path:
    return campaign / "trials" / TRIAL


def refused(done: Any, code: int = 2) -> str:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return str(done.stderr)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"row": {"outco', "cannot be read: EOF"),
        (b"\xff", "cannot be read"),
        (
            b'{"schema_version": 2}',
            "has schema_version 2, this program reads 1\n  use the smartops-chaos that wrote it",
        ),
        (b'{"schema_version": 1, "timeline": null, "row": {"outcome": "healed"}}', "horizon_s: must be above 0"),
    ],
)
def test_a_damaged_record_is_named_with_its_hint(cli: Any, trial: Path, content: bytes, told: str) -> None:
    (trial / "record.json").write_bytes(content)
    for command in (["report", "c-1"], ["report", "c-1", "--json"], ["compare", "c-1", "c-1"]):
        error = refused(cli(*command))
        assert f"results/c-1/trials/{TRIAL}/record.json" in error
        assert told in error
    assert cli("status").returncode == 0


def test_derive_writes_a_truncated_record_again(cli: Any, trial: Path) -> None:
    (trial / "record.json").write_bytes((trial / "record.json").read_bytes()[:300])
    assert "smartops-chaos derive" in refused(cli("report", "c-1"))
    assert cli("derive", "c-1").returncode == 0
    assert cli("report", "c-1", "--json").returncode == 0


def test_a_trial_that_may_be_in_force_gets_no_record(cli: Any, trial: Path) -> None:
    (trial / "record.json").unlink()
    (trial / "ledger.json").write_text(json.dumps({"state": "open", "faults": []}), encoding="utf-8")
    done = cli("derive", "c-1")
    assert f"{TRIAL}: its fault may be in force" in done.stdout + done.stderr
    assert not (trial / "record.json").exists()


def test_a_damaged_healer_is_named(cli: Any, campaign: Path) -> None:
    file = campaign / "campaign.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["plan"]["healer"]["version"] = {}
    file.write_text(json.dumps(content), encoding="utf-8")
    for command in ("report", "derive"):
        assert "campaign.json: plan.healer is damaged: version: " in refused(cli(command, "c-1"))


@pytest.mark.parametrize("arguments", [["status"], ["--help"], ["report", "c-1", "--json"]])
def test_an_output_that_is_full_is_told_in_words(campaign: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            program(*arguments), cwd=campaign.parents[1], stdout=full, stderr=subprocess.PIPE, text=True, timeout=180
        )
    assert (done.returncode, done.stderr.splitlines()[0]) == (4, "a file or the output: No space left on device")
    assert "Traceback" not in done.stderr


def test_damaged_requests_are_named(cli: Any, trial: Path) -> None:
    (trial / "samples" / "requests.csv.gz").write_bytes(gzip.compress(b"1,2\n"))
    assert f"{TRIAL}/samples/requests.csv.gz cannot be read" in refused(cli("report", "c-1"))


def test_trials_without_their_campaign_file_are_not_overlooked(cli: Any, campaign: Path, trial: Path) -> None:
    (campaign / "campaign.json").unlink()
    (trial / "ledger.json").write_text(json.dumps({"state": "open", "faults": []}), encoding="utf-8")
    for command in ("report", "derive"):
        assert "has trials, but its campaign.json is missing\n  put it back" in refused(cli(command, "c-1"))
    status = cli("status")
    assert f"MAY BE IN FORCE: {TRIAL}" in status.stdout
    assert "campaign.json is missing" in status.stderr
    reverted = cli("revert", "c-1")
    assert reverted.returncode == 2, "what was set cannot be put back"
    assert "1 trial reverted" in reverted.stdout
    assert "MAY BE IN FORCE" not in cli("status").stdout


@pytest.mark.parametrize("content", [b'{"schema_version": 1, "plan": {', b"{}", b'{"schema_version": 2}'])
def test_a_damaged_campaign_file_is_named(cli: Any, campaign: Path, content: bytes) -> None:
    (campaign / "campaign.json").write_bytes(content)
    for command in ("report", "derive", "revert"):
        done = cli(command, "c-1")
        assert done.returncode == 2
        assert "results/c-1/campaign.json" in done.stderr
        assert "use the smartops-chaos that wrote it" in done.stderr
    assert "results/c-1/campaign.json" in cli("status").stderr


def test_what_is_no_campaign_is_called_that(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "results" / "empty").mkdir(parents=True)
    (tmp_path / "results" / "file").write_text("hello", encoding="utf-8")
    for name in ("empty", "file", "nowhere"):
        for command in ("derive", "revert"):
            assert f"results/{name} is no campaign\n  `smartops-chaos status`" in refused(cli(command, name))
    assert "results/empty is no campaign" in refused(cli("report", "empty"))
    assert "results/file is a bare trials table" in refused(cli("report", "file"))
    assert "no campaign in results" in cli("status").stderr
    assert not (tmp_path / "results" / "nowhere").exists()
