"""The campaign's directory: completion, attempts, locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smartops_chaos import api
from smartops_chaos.errors import ChaosError, NothingSelected, PreflightFailed, UsageError
from smartops_chaos.model import COLUMNS, Record
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder, campaigns, newest, next_free


@pytest.fixture
def store(tmp_path: Path, matrix: Path) -> CampaignFolder:
    made = CampaignFolder(tmp_path / "results" / "small-1")
    made.create(CampaignFile("small.yaml", matrix.read_text(encoding="utf-8"), api.plan(matrix), {"Python": "3"}))
    return made


def record(outcome: str) -> Record:
    return Record({**dict.fromkeys(COLUMNS), "outcome": outcome}, None)


def test_a_campaign_reads_back_as_it_was_written(store: CampaignFolder, matrix: Path) -> None:
    assert store.read().plan == api.plan(matrix)
    assert [found.name for found in campaigns(store.path.parent)] == ["small-1"]
    assert next_free(store.path.parent, "small").name == "small-2"


def test_a_trial_is_done_when_its_record_is_there_and_its_attempts_are_kept(store: CampaignFolder) -> None:
    assert store.set_aside("t") == 1
    store.trial("t").begin({"a": 1}, ("f",))
    assert store.trial("t").is_open()
    assert store.outcome("t") is None
    (store.trial("t").path / ".record.json.4711").touch()  # whoever wrote it was killed
    assert store.set_aside("t") == 2
    kept = {path.name for path in (store.path / "trials" / "t~1").iterdir()}
    assert kept == {"experiment.json", "ledger.json", ".lock"}
    store.trial("t").begin({"a": 2}, ("f",))
    assert {trial.path.name for trial in store.open_ledgers()} == {"t", "t~1"}
    store.trial("t").close()
    store.trial("t").write_record(record("healed"))
    assert store.outcome("t") == "healed"
    assert store.trial("t").read_record() == record("healed")
    assert [trial.path.name for trial in store.open_ledgers()] == ["t~1"]


def test_an_aborted_trial_is_to_be_run_again(store: CampaignFolder) -> None:
    store.trial("t").begin({}, ())
    store.trial("t").write_record(record("aborted"))
    assert store.outcome("t") is None
    assert store.trial("t").read_record() is not None


def test_a_ledger_that_cannot_be_read_counts_as_open(store: CampaignFolder) -> None:
    store.trial("t").begin({}, ())
    (store.trial("t").path / "ledger.json").write_text("{", encoding="utf-8")
    assert store.trial("t").is_open()


def test_damaged_and_foreign_files_are_told(store: CampaignFolder, tmp_path: Path) -> None:
    store.trial("t").begin({}, ())
    (store.trial("t").path / "record.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ChaosError, match=r"record\.json cannot be read"):
        store.outcome("t")
    with pytest.raises(UsageError, match="is no campaign"):
        CampaignFolder(tmp_path / "nothing").read()
    (store.path / "campaign.json").write_text('{"matrix_file": 1}', encoding="utf-8")
    with pytest.raises(UsageError, match="cannot be read"):
        store.read()


def test_a_live_owner_keeps_the_lock_and_a_dead_one_does_not(store: CampaignFolder) -> None:
    program = (
        "import sys, time; from pathlib import Path; from smartops_chaos.store.campaign_folder import CampaignFolder\n"
        f"with CampaignFolder(Path({str(store.path)!r})).locked(): print('held', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(PreflightFailed, match=str(owner.pid)), store.locked():
        pass
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with store.locked():
        pass


def test_the_newest_campaign_is_the_last_one(tmp_path: Path, matrix: Path) -> None:
    with pytest.raises(NothingSelected):
        newest(tmp_path)
    CampaignFolder(tmp_path / "small-1").create(CampaignFile("small.yaml", "", api.plan(matrix), {}))
    assert newest(tmp_path).name == "small-1"


def test_a_command_names_a_campaign_as_it_is_found_from_here(
    store: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.typed == "small-1"
    monkeypatch.chdir(store.path)
    assert store.typed == str(store.path)


def test_the_runner_is_known_while_it_has_the_lock_and_no_longer(store: CampaignFolder) -> None:
    assert store.runner() == 0
    with store.locked():
        assert store.runner() == os.getpid()
    assert store.runner() == 0


def test_the_last_event_is_the_last_whole_line(store: CampaignFolder) -> None:
    assert store.last_event() == {}
    for number in range(3):
        store.append_event({"event": "Noted", "at": str(number)})
    assert store.last_event()["at"] == "2"
    with (store.path / "events.ndjson").open("a", encoding="utf-8") as out:
        out.write('{"event": "No')
    assert store.last_event() == {}
