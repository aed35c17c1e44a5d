"""A healer file tried on log lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.errors import ChaosError
from smartops_chaos.model import LogLine
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile, LogRule
from smartops_chaos.timeline import rulecheck

FILE: dict[str, Any] = {
    "version": 1,
    "name": "operator",
    "poll": "1s",
    "warm_up": "1s",
    "workload": {"path": "/", "timeout": "1s"},
    "settings": {"healer": ["on", "off"]},
    "metrics": ["restarts_total"],
    "moments": {
        "detected": [{"json": {"level": "warn|error", "obj.0.name": "(?P<pod>.+)"}, "component": "operator"}],
        "acted": [{"increase": "restarts_total"}],
    },
    "actions": {"start": [{"log": "operator", "json": {"msg": r"(?P<kind>restart)ing (?P<target>\S+)"}}]},
}
HEALER = HealerFile.model_validate(FILE)
LINES = """\
2026-11-23T20:37:21.5Z stdout F {"level": "warn", "msg": "slow", "obj": [{"name": "shop-1"}]}
[pod/operator-1/main] 2026-11-23T20:37:21Z I1123 operator {"level": "info", "msg": "restarting ns/shop"} trailing
not JSON: {"level": "warn
{"level": "warn", "msg": {"deep": 1}}
"""


def _told(healer: HealerFile, lines: Sequence[LogLine]) -> Iterator[str]:
    return rulecheck.check(healer, lines).sentences()


def test_lines_of_json_are_read_by_field_and_each_match_is_told_with_its_line() -> None:
    lines = rulecheck.lines_of(LINES, "operator")
    assert lines[0].text.startswith('{"level"')
    assert lines[1].text.startswith("I1123")
    told = list(_told(HEALER, lines))
    assert told[0].startswith('line 1 of operator: {"level": "warn"')
    assert told[1] == "    detected: log {level: warn|error, obj.0.name: (?P<pod>.+)}, pod=shop-1"
    assert told[2].startswith("line 2 of operator")
    assert told[3].endswith("kind=restart, target=ns/shop")
    assert told[4] == "2 of 4 lines are matched by a rule"
    assert told[5:] == ["not tried, since only samples show it: acted: increase of restarts_total{}"]


def test_a_line_of_another_component_is_not_matched_and_the_rule_is_named() -> None:
    told = list(_told(HEALER, rulecheck.lines_of(LINES, "shop")))
    assert told[-2].startswith("matches nothing: detected: log {level")
    assert told[-2].endswith("(component operator)") or told[-1].endswith("(component operator)")


def test_the_shipped_file_on_the_real_lines_of_the_orchestrator() -> None:
    text = (Path(__file__).parent / "data" / "orchestrator.cri.log").read_text(encoding="utf-8")
    told = "\n".join(_told(healerfile.load("smartops"), rulecheck.lines_of(text)))
    assert "action start: log ClosedLoopManager: executing" in told
    assert "causes=['Resource Saturation']" in told
    assert "matches nothing: action failed" in told


def test_what_no_line_names_can_be_said() -> None:
    rule = LogRule.model_validate({"log": "reason=(?P<kind>Killing)", "means": {"kind": "restart", "target": "shop"}})
    assert rule.groups() == {"kind", "target"}
    assert rule.match("reason=Killing object=Pod/x") == {"kind": "Killing", "target": "shop"}


def test_a_plan_without_the_new_keys_is_stored_as_before() -> None:
    assert "fields" not in healerfile.load("smartops").model_dump()["moments"]["detected"][0]
    dumped = HEALER.model_dump(mode="json")
    assert healerfile.restore(dumped) == HEALER


def test_a_diagnosis_without_a_cause_and_a_status_that_nobody_knows_are_doubts() -> None:
    part = {
        "actions": {"end": [{"log": r"(?P<kind>restart)ed (?P<target>\S+) status=(?P<status>\w+)"}]},
        "diagnosis": {"json": {"event": "^diagnosis$"}, "causes": '"cause": "(?P<cause>[^"]+)"'},
        "moments": {},
        "metrics": [],
    }
    healer = HealerFile.model_validate(FILE | part)
    compact, loose = ('{"event":"diagnosis","cause":"cpu"}', '{"event": "diagnosis", "cause": "cpu"}')
    good, bad = "restarted shop status=SUCCESS", "restarted shop status=ok"
    tried = rulecheck.check(healer, rulecheck.lines_of("\n".join((compact, loose, good, bad))))
    assert [one[:7] for one in tried.doubts] == ["line 1:", "line 4:"]
    assert "finds no cause" in tried.doubts[0]
    assert "status=ok counts as failed" in tried.doubts[1]
    assert not tried.silent
    assert "WRONG: " + tried.doubts[0] in tried.sentences()


def test_a_rule_for_a_component_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    text = (Path(healerfile.__file__).parents[1] / "healers" / "lab-kubernetes.yaml").read_text(encoding="utf-8")
    file = tmp_path / "healer.yaml"
    file.write_text(
        text.replace("component: smartops-orchestrator", "component: smartops-orchestator", 1), encoding="utf-8"
    )
    with pytest.raises(ChaosError, match=r"component smartops-orchestator.* did you mean `smartops-orchestrator`"):
        healerfile.load(str(file))
    file.write_text(text, encoding="utf-8")
    assert healerfile.load(str(file)).components == {"smartops-orchestrator"}


def test_a_metric_that_is_stored_with_labels_is_told_as_that(tmp_path: Path) -> None:
    file = tmp_path / "healer.yaml"
    file.write_text(
        "version: 1\nname: x\npoll: 1s\nwarm_up: 1s\nworkload: {path: /, timeout: 1s}\nsettings: {}\n"
        "metrics: ['fixes_total{namespace=\"a\"}']\nmoments: {acted: [{increase: fixes_total}]}\n",
        encoding="utf-8",
    )
    with pytest.raises(ChaosError, match="write it bare there"):
        healerfile.load(str(file))
