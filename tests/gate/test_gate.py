"""`smartops-chaos gate` on a real Prometheus whose three days are known."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.gate.asking import stamp
from tests.conftest import Cli
from tests.gate.conftest import WINDOW_S, Recorded

HOUR = 3600.0


@pytest.fixture
def judged(cli: Cli, gates: Path, recorded: Recorded) -> Any:
    """A story's name -> exit code, the rules' rulings, and the whole JSON."""

    def call(namespace: str, *more: object, environment: str = "stage") -> tuple[int, dict[str, str], dict[str, Any]]:
        done = cli(
            *("gate", environment, "--gates", gates, "--prometheus", recorded.url, "--namespace", namespace),
            *("--at", stamp(recorded.at_s), "--json", *more),
        )
        found = json.loads(done.stdout)
        return done.returncode, {one["rule"]: one["ruling"] for one in found["rules"]}, found

    return call


def _why(found: dict[str, Any], rule: str) -> str:
    return str(next(one["why"] for one in found["rules"] if one["rule"] == rule))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_three_green_days_open_it(judged: Any) -> None:
    code, rulings, found = judged("green")
    assert (code, set(rulings.values())) == (0, {"open"})
    assert set(rulings) == {"witness", "alerts", "mttr", "slo", "golden window", "spikes"}
    assert "99.000 % of 864000 requests" in _why(found, "slo")


@pytest.mark.parametrize(
    ("story", "code", "rule", "ruling", "why"),
    [
        ("critical", 1, "alerts", "closed", r"ErrorRate \(critical\) fired for 10 min"),
        ("warned", 1, "alerts", "closed", r"ErrorRate \(warning\) fired for 45 min in one stretch"),
        ("just-inside", 1, "alerts", "closed", r"ErrorRate \(critical\) fired for 5 min"),
        ("blind", 1, "alerts", "closed", r"ErrorRate \(warning\) is firing since"),  # nobody saw it end
        ("late-15", 1, "golden window", "closed", "erp came with"),  # so short a gap is no reason not to judge
        ("late-20", 4, "witness", "undecidable", "no data for 20 min"),
        ("ends-20", 4, "witness", "undecidable", "no data for 20 min"),
        ("gap", 4, "witness", "undecidable", "no data for 2 h"),
        ("begins-late", 4, "witness", "undecidable", "no data for 2 h"),
        ("ends-early", 4, "witness", "undecidable", "no data for 2 h"),
        ("down", 4, "witness", "undecidable", "job erp has no data for 2 h"),
        ("no-rules", 4, "witness", "undecidable", "were the rules loaded"),
        ("changed", 1, "golden window", "closed", "erp changed to sha256:bbbbbbbbbbbb at .*, 10 h ago"),
        ("changed-now", 1, "golden window", "closed", "erp changed to sha256:bbbbbbbbbbbb at .*, 5 min ago"),
        ("rolled-back", 1, "golden window", "closed", "erp changed to sha256:aaaaaaaaaaaa"),
        ("slo-979", 1, "slo", "closed", "97.900 % of 864000 requests"),
        ("born", 1, "slo", "closed", "93.056 % of 864000 requests"),
        ("chaos-all-day", 4, "tests", "undecidable", "33.4 % of the window"),
        ("spike", 1, "spikes", "closed", "30 anomalies within 1h"),
        ("slow", 1, "mttr", "closed", "75.0 s"),
    ],
)
def test_what_is_not_green_does_not_open_it(
    judged: Any, story: str, code: int, rule: str, ruling: str, why: str
) -> None:
    got, rulings, found = judged(story)
    assert (got, rulings[rule]) == (code, ruling)
    assert re.search(why, _why(found, rule))


@pytest.mark.parametrize("story", ["slo-980", "reset", "early", "before", "changed-before", "ends-15"])
def test_what_is_green_opens_it(judged: Any, story: str) -> None:
    code, _, found = judged(story)
    assert code == 0, found


def test_a_counter_that_begins_anew_loses_nothing_but_its_restart(judged: Any) -> None:
    _, _, found = judged("reset")
    assert "99.000 % of 866000 requests" in _why(found, "slo")  # 3,000 of the new process, in the place of 1,000


@pytest.mark.parametrize("story", ["doubled", "one-away"])
def test_doubled_servers_count_once_and_one_of_them_may_be_away(judged: Any, story: str) -> None:
    code, _, found = judged(story)
    assert code == 0, found
    assert "of 864000 requests" in _why(found, "slo")


def test_time_under_test_is_taken_out_and_told(judged: Any) -> None:
    code, rulings, found = judged("chaos")
    assert (code, rulings["alerts"], rulings["slo"]) == (0, "open", "open")
    (span,) = found["tested"]
    assert span["fault"] == "pod-kill"
    assert span["end_s"] - span["start_s"] == 900


def test_the_earliest_opening_follows_from_the_last_bad_moment(judged: Any, recorded: Recorded) -> None:
    _, _, changed = judged("changed")
    assert _seconds(changed["opens_at_the_earliest"]) == recorded.at_s - 10 * HOUR + WINDOW_S
    _, _, critical = judged("critical")
    assert _seconds(critical["opens_at_the_earliest"]) == recorded.at_s + 30 * HOUR + 600
    _, _, gap = judged("gap")
    assert _seconds(gap["opens_at_the_earliest"]) == recorded.at_s + 22 * HOUR


def test_a_server_that_is_down_is_not_green(cli: Cli, gates: Path) -> None:
    done = cli("gate", "stage", "--gates", gates, "--prometheus", "http://127.0.0.1:9", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 4
    assert {one["ruling"] for one in found["rules"]} == {"undecidable"}


def test_a_group_that_is_not_loaded_now_is_told(cli: Cli, gates: Path, recorded: Recorded) -> None:
    gates.write_text(gates.read_text().replace("wanted: [erp]", "wanted: [erp]\n      groups: [smartops]"))
    done = cli("gate", "stage", "--gates", gates, "--prometheus", recorded.url)
    assert done.returncode == 4
    assert "the rule group smartops is not loaded" in done.stdout


def test_evidence_judges_the_same_moment_again_without_a_server(
    judged: Any, cli: Cli, gates: Path, recorded: Recorded, tmp_path: Path
) -> None:
    code, _, first = judged("critical", "--evidence", "kept")
    (file,) = (tmp_path / "kept").iterdir()
    stored = json.loads(file.read_text())
    assert {"watchdog", "targets", "alerts", "slo errors", "versions 0"} <= set(stored["answers"])
    assert all(one["question"] for one in stored["answers"].values())
    again = cli("gate", "stage", "--gates", gates, "--at", stamp(recorded.at_s), "--evidence", "kept", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (code, first)
    live = judged("critical")
    assert live[2] == first


def test_an_override_is_allowed_by_the_rules_alone(judged: Any, cli: Cli, gates: Path, tmp_path: Path) -> None:
    code, rulings, found = judged("critical", "--override", "the owner says so", "--evidence", "kept")
    assert (code, rulings["alerts"], found["override"]) == (0, "closed", "the owner says so")
    (file,) = (tmp_path / "kept").iterdir()
    assert json.loads(file.read_text())["override"] == "the owner says so"
    refused = cli("gate", "prod", "--gates", gates, "--override", "please")
    assert refused.returncode == 2
    assert "cannot be opened by hand" in refused.stderr


def test_junit_has_a_case_for_each_rule(judged: Any, tmp_path: Path) -> None:
    judged("changed", "--junit", tmp_path / "gate.xml")
    (suite,) = ET.parse(tmp_path / "gate.xml").getroot()
    assert (suite.get("failures"), suite.get("errors"), len(suite)) == ("1", "0", 6)
    judged("gap", "--junit", tmp_path / "gate.xml")
    (suite,) = ET.parse(tmp_path / "gate.xml").getroot()
    assert suite.get("errors") == "1"


def test_a_bad_file_is_told_with_its_places(cli: Cli, gates: Path) -> None:
    gates.write_text(gates.read_text().replace("longest_gap: 15m", "longest_gap: 15").replace("at_least", "at_most"))
    done = cli("gate", "stage", "--gates", gates)
    assert done.returncode == 2
    assert re.search(r"gates\.yaml:11:20: .*15", done.stderr)
    assert re.search(r"gates\.yaml:23:7: unknown key `at_most`", done.stderr)


def test_a_moment_that_has_not_come_and_an_unknown_environment_are_refused(cli: Cli, gates: Path) -> None:
    future = stamp(datetime.now(UTC).timestamp() + 3600)
    assert cli("gate", "stage", "--gates", gates, "--at", future).returncode == 2
    unknown = cli("gate", "stag", "--gates", gates)
    assert unknown.returncode == 2
    assert "did you mean `stage`" in unknown.stderr


@pytest.mark.parametrize("step", ["dev", "stage", "prod"])
def test_the_shipped_rules_are_in_order(cli: Cli, step: str) -> None:
    shipped = Path(__file__).parents[2] / "platform" / "gates.yaml"
    done = cli("gate", step, "--gates", shipped, "--prometheus", "http://127.0.0.1:9")
    assert done.returncode == 4, done.stderr
