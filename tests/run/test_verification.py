"""`run --register` and `verify`: a real campaign on stand-in lanes, and what is done to it afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import CampaignFolder

Harm = Callable[[Path], None]


@pytest.fixture
def campaign(registered: Path) -> Path:
    return registered


def _trial(campaign: Path) -> Path:
    return sorted((campaign / "trials").iterdir())[0]


def test_a_campaign_verifies_and_says_when_it_was_registered(cli: Any, campaign: Path) -> None:
    done = cli("verify", "standin-1", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["state"], found["problems"]) == (0, "verified", [])
    assert found["derived"] == found["trials"] == 4
    assert found["registered"] == json.loads((campaign / "register.json").read_text())["registered"]
    assert CampaignFolder(campaign).read().provenance["registered"] == found["registered"]  # the report shows it


def test_what_is_registered_are_the_hypotheses_of_the_plan(campaign: Path) -> None:
    found = registration.read_registration(CampaignFolder(campaign))
    plan = CampaignFolder(campaign).read().plan
    assert found is not None
    assert (found.plan_digest, found.trials, found.alpha) == (plan.digest, len(plan.trials), plan.analysis.alpha)
    arms = {trial.arm for trial in plan.measured} - {plan.analysis.baseline}
    assert {one.arm for one in found.hypotheses} == arms
    assert [one.at_least for one in found.hypotheses if one.target == "mttr_reduction"] == [
        plan.analysis.targets.mttr_reduction
    ] * len(arms)


def _forge(campaign: Path) -> None:
    file = _trial(campaign) / "record.json"
    record = json.loads(file.read_text())
    record["row"]["time_s"] = 0.5
    file.write_text(json.dumps(record))


def _forge_and_list_anew(campaign: Path) -> None:
    _forge(campaign)
    _list_anew(campaign)


def _remove_trial(campaign: Path) -> None:
    shutil.rmtree(_trial(campaign))


def _remove_trial_and_list_anew(campaign: Path) -> None:
    _remove_trial(campaign)
    hash_list.seal_campaign(CampaignFolder(campaign), registration.digest(CampaignFolder(campaign)))


def _add_trial(campaign: Path) -> None:
    shutil.copytree(_trial(campaign), campaign / "trials" / "another.steady.on.default.1")


def _add_file(campaign: Path) -> None:
    (_trial(campaign) / "samples" / "more.json").write_text("{}")


def _change_evidence(campaign: Path) -> None:
    file = _trial(campaign) / "samples" / "evidence.json.gz"
    file.write_bytes(file.read_bytes()[:-1])


def _change_plan(campaign: Path) -> None:
    file = campaign / "campaign.json"
    file.write_text(file.read_text().replace('"mttr_reduction":0.4', '"mttr_reduction":0.1').replace("0.4,", "0.1,"))


def _link(campaign: Path) -> None:
    file = _trial(campaign) / "log.txt"
    file.rename(campaign.parent / "elsewhere")
    file.symlink_to(campaign.parent / "elsewhere")


def _remove_list(campaign: Path) -> None:
    (campaign / "hashes.json").unlink()


def _register_anew(campaign: Path) -> None:
    file = campaign / "register.json"
    file.write_text(file.read_text().replace("+00:00", "Z") + "\n")
    hash_list.seal_campaign(CampaignFolder(campaign), registration.digest(CampaignFolder(campaign)))


def _register_late_with_lists(campaign: Path) -> None:
    """Lists and all are written anew; what is left are the times of the trials."""
    store = CampaignFolder(campaign)
    file = store.read()
    registration.write(store, registration.of_plan(file.plan, file.matrix_text, "2999-01-01T00:00:00Z"))
    _list_anew(campaign)


def _list_anew(campaign: Path) -> None:
    store = CampaignFolder(campaign)
    for folder in hash_list.trial_folders(store):
        hash_list.seal_trial(folder, registration.digest(store))
    hash_list.seal_campaign(store, registration.digest(store))


def _link_a_trial(campaign: Path) -> None:
    """Its own list stays as it was, and what it lists is elsewhere, where anybody may write."""
    trial = _trial(campaign)
    trial.rename(campaign.parent / "elsewhere")
    trial.symlink_to(campaign.parent / "elsewhere")
    (trial / "log.txt").write_text("another one")


def _add_beside_the_trials(campaign: Path) -> None:
    (campaign / "trials" / "notes.txt").write_text("")


def _change(file: Path, change: Callable[[Any], None]) -> None:
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))


def _say_it_is_simulated(campaign: Path) -> None:
    """A simulated trial has no evidence, so that its record cannot contradict it."""
    _change(campaign / "campaign.json", lambda told: told["provenance"].update(simulated="x"))
    for trial in (campaign / "trials").iterdir():
        shutil.rmtree(trial / "samples")
        _change(trial / "record.json", lambda told: told["row"].update(time_s=0.5))
    _list_anew(campaign)


def _of_another_campaign(campaign: Path) -> None:
    _change(_trial(campaign) / "record.json", lambda told: told["row"].update(campaign="standin-7"))
    _list_anew(campaign)


def _of_an_earlier_campaign(campaign: Path) -> None:
    """All of them were run before this campaign was begun."""
    _change(campaign / "campaign.json", lambda told: told["provenance"].update(started="2999-01-01T00:00:00Z"))
    _list_anew(campaign)


def _set_a_result_aside(campaign: Path) -> None:
    """As if it had been run again until it came out well."""
    trial = _trial(campaign)
    shutil.copytree(trial, trial.with_name(f"{trial.name}~1"))
    _list_anew(campaign)


HARMS: list[tuple[Harm, str]] = [
    (_forge, "record.json was changed"),
    (_forge_and_list_anew, "record.json does not follow from its evidence: time_s"),
    (_remove_trial, "is missing"),
    (_remove_trial_and_list_anew, "1 of 4 planned trials have no record"),
    (_add_trial, "is in no plan"),
    (_add_file, "samples/more.json was added"),
    (_change_evidence, "samples/evidence.json.gz was changed"),
    (_change_plan, "the plan is not that of its digest"),
    (_link, "log.txt was changed"),
    (_remove_list, "hashes.json is missing"),
    (_register_anew, "the plan was registered after 4 trials, or anew"),
    (_register_late_with_lists, "4 trials began before the plan was registered"),
    (_link_a_trial, "is no folder of a trial: a link"),
    (_add_beside_the_trials, "trials/notes.txt is no folder of a trial"),
    (_say_it_is_simulated, "has a record and no evidence"),
    (_of_another_campaign, "is of another campaign, standin-7"),
    (_of_an_earlier_campaign, "began before this campaign did"),
    (_set_a_result_aside, "~1 had a result, clean, and was run again"),
]


@pytest.mark.parametrize(("harm", "told"), HARMS)
def test_what_was_done_to_it_is_told(cli: Any, campaign: Path, harm: Harm, told: str) -> None:
    harm(campaign)
    done = cli("verify", "standin-1")
    assert done.returncode == 1
    assert told in done.stdout


def test_what_is_left_to_run_breaks_nothing(cli: Any, standins: Any) -> None:
    matrix = standins(repeats=1, lanes=1)
    cli("run", matrix, "--only", "model=off")
    done = cli("verify", "standin-1")
    assert done.returncode == 4
    assert "standin-1: unfinished" in done.stdout
    assert "planned trials have no record" in done.stdout
    shutil.rmtree(_trial(Path(matrix).parent / "results" / "standin-1"))
    assert cli("verify", "standin-1").returncode == 1


def test_what_has_begun_cannot_be_registered(cli: Any, standins: Any) -> None:
    matrix = standins(repeats=1, lanes=1)
    cli("run", matrix, "--only", "model=off")
    done = cli("run", matrix, "--register")
    assert done.returncode == 2
    assert "has begun" in done.stderr
    assert cli("run", matrix).returncode == 0
    assert cli("verify", "standin-1").returncode == 0


def test_a_campaign_of_an_earlier_version_is_told_apart_as_one_without_a_list(cli: Any, campaign: Path) -> None:
    for file in [campaign / "register.json", *campaign.rglob("hashes.json")]:
        file.unlink()
    done = cli("verify", "standin-1")
    assert done.returncode == 4
    assert "no hash list. 4 of 4 records follow from their evidence" in done.stdout


def test_a_look_that_was_right_verifies_and_one_that_spared_trials_for_nothing_does_not(
    cli: Any, looking: Any, tmp_path: Path
) -> None:
    assert cli("run", looking()).returncode == 0
    campaign = tmp_path / "results" / "standin-1"
    assert cli("verify", "standin-1").returncode == 0
    file = campaign / "look-1.json"
    (stop,) = json.loads(file.read_text())["stops"]
    other = {**stop, "arm": {"model": "other", "policy": "default"}}
    _change(file, lambda told: told["stops"].append(other))
    for trial in (campaign / "trials").glob("*.other.default.*"):
        if int(trial.name.rpartition(".")[2]) > stop["repeat"]:
            shutil.rmtree(trial)
    _list_anew(campaign)
    done = cli("verify", "standin-1")
    assert done.returncode == 1
    assert "look-1.json stops other, which its trials do not" in done.stdout


def test_a_shard_is_told_and_nothing_is_attested_of_it(cli: Any, standins: Any) -> None:
    assert cli("run", standins(repeats=2, lanes=1), "--shard", "1/2").returncode == 0
    done = cli("verify", "standin-1")
    assert done.returncode == 0
    assert "shard 1/2 of its campaign" in done.stdout
    refused = cli("attest", "standin-1", "--image", f"erp@sha256:{'a' * 64}")
    assert refused.returncode == 2
