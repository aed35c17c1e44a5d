"""A healer file tried on log lines."""

from __future__ import annotations

from pathlib import Path

from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healerfile import HealerFile, LogRule
from smartops_chaos.timeline import rulecheck

HEALER = HealerFile.model_validate(
    {
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
)
LINES = """\
2026-11-23T20:37:21.5Z stdout F {"level": "warn", "msg": "slow", "obj": [{"name": "shop-1"}]}
[pod/operator-1/main] 2026-11-23T20:37:21Z I1123 operator {"level": "info", "msg": "restarting ns/shop"} trailing
not JSON: {"level": "warn
{"level": "warn", "msg": {"deep": 1}}
"""


def test_lines_of_json_are_read_by_field_and_each_match_is_told_with_its_line() -> None:
    lines = rulecheck.lines_of(LINES, "operator")
    assert lines[0].text.startswith('{"level"')
    assert lines[1].text.startswith("I1123")
    told = list(rulecheck.told(HEALER, lines))
    assert told[0].startswith('line 1 of operator: {"level": "warn"')
    assert told[1] == "    detected: log {level: warn|error, obj.0.name: (?P<pod>.+)}, pod=shop-1"
    assert told[2].startswith("line 2 of operator")
    assert told[3].endswith("kind=restart, target=ns/shop")
    assert told[4] == "2 of 4 lines are matched by a rule"
    assert told[5:] == ["not tried, since lines do not show it: acted: increase of restarts_total{}"]


def test_a_line_of_another_component_is_not_matched_and_the_rule_is_named() -> None:
    told = list(rulecheck.told(HEALER, rulecheck.lines_of(LINES, "shop")))
    assert told[-2].startswith("matches nothing: detected: log {level")
    assert told[-2].endswith("(component operator)") or told[-1].endswith("(component operator)")


def test_the_shipped_file_on_the_real_lines_of_the_orchestrator() -> None:
    text = (Path(__file__).parent / "data" / "orchestrator.cri.log").read_text(encoding="utf-8")
    told = "\n".join(rulecheck.told(healerfile.load("smartops"), rulecheck.lines_of(text)))
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
