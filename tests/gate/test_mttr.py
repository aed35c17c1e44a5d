"""The MTTR rule on a real campaign: verified, of the digests that run, and signed where a signature is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.gate import mttr
from smartops_chaos.gate.asking import stamp
from smartops_chaos.gate.questions import CAMPAIGN
from smartops_chaos.gate.ruling import RuleResult, Unanswered
from smartops_chaos.gate.workloads import seconds
from smartops_chaos.schema.gatefile import MttrRule
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import CampaignFolder
from tests.gate.conftest import Recorded
from tests.run.test_verification import HARMS, Harm
from tests.statements.test_attest import DIGEST, IMAGE, keys
from tests.statements.test_attest import tested as tested  # what pytest finds here is a fixture here

RUNNING = {"erp": frozenset({DIGEST})}


def _judged(
    campaign: Path, *, running: dict[str, frozenset[str]] = RUNNING, late_s: float = 60, **rule: Any
) -> RuleResult:
    rules = MttrRule.model_validate({"at_most": "60s", "require": "estimate", **rule})
    asked = mttr.ask_campaigns(rules, campaign, running)[CAMPAIGN]
    assert not asked.error
    started = seconds(CampaignFolder(campaign).read().provenance["started"])
    return mttr.judge_campaign(rules, asked.answer, running, started + late_s)


def test_the_campaign_of_the_digests_that_run_tells(tested: Path) -> None:
    assert _judged(tested).ruling == "open"
    assert _judged(tested, at_most="1s", require="upper bound").ruling == "closed"  # of one trial it is the horizon


def test_other_digests_or_an_old_campaign_tell_nothing(tested: Path) -> None:
    with pytest.raises(Unanswered, match="no campaign of the digests that run"):
        _judged(tested, running={"erp": frozenset({"sha256:" + "b" * 64})})
    with pytest.raises(Unanswered, match="older than 1h"):
        _judged(tested, max_age="1h", late_s=3601)


def test_a_campaign_that_was_changed_tells_nothing(tested: Path) -> None:
    (tested / "events.ndjson").write_text("")
    with pytest.raises(Unanswered, match=r"events\.ndjson was changed"):
        _judged(tested)


def test_a_signature_that_is_asked_for_must_be_there_and_right(cli: Any, tested: Path, tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    _, other = keys(tmp_path, "other")
    with pytest.raises(Unanswered, match="is missing"):
        _judged(tested, public_key=str(public))
    cli("attest", "standin-1", "--image", IMAGE, "--key", secret)
    assert _judged(tested, public_key=str(public)).ruling == "open"
    with pytest.raises(Unanswered, match="not signed by the owner"):
        _judged(tested, public_key=str(other))
    signed = tested / "statement.dsse.json"
    kept = signed.read_bytes()
    (tested / "hashes.json").write_text((tested / "hashes.json").read_text() + "\n")  # listed anew
    signed.write_bytes(kept)
    with pytest.raises(Unanswered, match="another state"):
        _judged(tested, public_key=str(public))


# ---- as the command line has it ------------------------------------------------------------------------------------


@pytest.fixture
def measured(tested: Path, recorded: Recorded) -> Path:
    """The campaign, begun a day before the moment that is judged."""
    store, file = CampaignFolder(tested), tested / "campaign.json"
    told = json.loads(file.read_text())
    told["provenance"]["started"] = stamp(recorded.at_s - 86400)
    file.write_text(json.dumps(told))
    hash_list.seal_campaign(store, registration.digest(store))
    return tested


Judged = tuple[int, str, str]


@pytest.fixture
def judge_it(cli: Any, gates: Path, recorded: Recorded, measured: Path) -> Any:
    """Of three green days, whose gauge alone would open it: exit code, the MTTR's ruling, why."""
    gates.write_text(gates.read_text().replace("at_most: 60s\n", "at_most: 60s\n      registered: true\n"))

    def call() -> Judged:
        done = cli(
            *("gate", "stage", "--gates", gates, "--prometheus", recorded.url, "--campaign", measured),
            *("--at", stamp(recorded.at_s), "--json"),
        )
        (rule,) = [one for one in json.loads(done.stdout)["rules"] if one["rule"] == "mttr"]
        return done.returncode, rule["ruling"], rule["why"]

    return call


def test_a_campaign_that_is_what_its_run_left_opens_it(judge_it: Any) -> None:
    code, ruling, why = judge_it()
    assert (code, ruling) == (0, "open"), why
    assert "upper bound of the MTTR by standin-1" in why


@pytest.mark.parametrize(("harm", "_told"), HARMS)
def test_no_gauge_takes_the_place_of_a_forged_campaign(judge_it: Any, measured: Path, harm: Harm, _told: str) -> None:
    """A forged record, a missing trial, a plan that was registered afterwards, and whatever else `verify` finds."""
    harm(measured)
    code, ruling, why = judge_it()
    assert (code, ruling) == (4, "undecidable")
    assert "standin-1" in why
    assert "does not count: broken" in why


def test_a_campaign_that_nobody_registered_does_not_count(judge_it: Any, measured: Path) -> None:
    (measured / "register.json").unlink()
    store = CampaignFolder(measured)
    for folder in hash_list.trial_folders(store):
        hash_list.seal_trial(folder, "")
    hash_list.seal_campaign(store, "")
    code, ruling, why = judge_it()
    assert (code, ruling) == (4, "undecidable")
    assert "was not registered before the first trial" in why
