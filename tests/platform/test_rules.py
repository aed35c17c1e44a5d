"""Prometheus takes the rules, each alert is silent, fires and resolves, and every series in them is real."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartops_chaos.monitor import service, standing
from smartops_chaos.schema.units import prometheus_duration_s
from tests.platform.conftest import CHART, ROOT
from tests.platform.promql import (
    RUNBOOKS,
    exported,
    groups,
    promtool,
    recorded,
    rule_files,
    rules,
    series_names,
    sources,
)

_TESTS = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
_ALERTS = [rule for rule in rules() if "alert" in rule]
# They tell of presence or absence themselves, or are for the machinery: without data they fire, or nothing is lost.
_NO_TWIN = {
    "Watchdog",
    "SmartOpsNoData",
    "SmartOpsFaultActive",
    "SmartOpsMonitorGone",
    "SmartOpsOrchestratorMetricsMissing",
}
_WITHIN_S = 60.0
_NOT_SENT = {"Watchdog", "SmartOpsFaultActive"}
# Seconds from a cause to its number at the monitor: it asks the healer's APIs now and then, and an answer that does not
# come is bad by the request's time limit.
_LATER_S = dict.fromkeys(("SmartOpsInferenceSlow", "SmartOpsPolicyConflicts"), service._AGENTS_S)
_LATER_S |= {"SmartOpsSlaBreach": 2 * 0.25 + 1 + standing._ON_RECORD_S + service._TURN_S}


def test_prometheus_takes_the_rules() -> None:
    done = subprocess.run(
        [promtool(), "check", "rules", "--lint=all", "--lint-fatal", *rule_files()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", _TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_resolve(file: Path) -> None:
    done = subprocess.run([promtool(), "test", "rules", file.name], cwd=file.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_silent_then_firing_then_resolved() -> None:
    seen: dict[str, set[str]] = {}
    for file in _TESTS:
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            courses: dict[str, str] = {}
            asked = sorted(case.get("alert_rule_test", []), key=lambda one: prometheus_duration_s(one["eval_time"]))
            for one in asked:
                courses[one["alertname"]] = courses.get(one["alertname"], "") + ("+" if one["exp_alerts"] else "-")
            for alert, course in courses.items():
                seen.setdefault(alert, set()).add(course)
    wanted = {rule["alert"] for rule in _ALERTS}
    assert set(seen) == wanted
    assert seen.pop("Watchdog") == {"+"}
    for alert, found in seen.items():
        assert any(re.search(r"^-+\++-+$", course) for course in found), alert


@pytest.mark.parametrize("rule", _ALERTS, ids=lambda rule: rule["alert"] + rule["labels"].get("blind", ""))
def test_each_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"{RUNBOOKS}/{rule['alert']}.md"
    assert not notes["summary"].endswith(".")
    assert notes["description"].endswith(".")


def test_each_alert_that_reads_a_value_has_a_twin_that_fires_without_it() -> None:
    twins = {rule["labels"]["blind"]: rule["expr"] for rule in _ALERTS if rule["alert"] == "SmartOpsNoData"}
    assert set(twins) == {rule["alert"] for rule in _ALERTS} - _NO_TWIN
    page_of = {}
    for page in (Path(__file__).parent / "pages").glob("*.txt"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"[a-zA-Z_:][\w:]*", line):
                page_of[match[0]] = page.stem
    for alert, expr in twins.items():
        (read,) = [rule["expr"] for rule in _ALERTS if rule["alert"] == alert]
        # The twin reads what the alert reads, or at least something of the same program that is always there.
        missing = "".join(re.findall(r"absent\(.*?\)", expr))
        assert {page_of[n] for n in sources(missing)} == {page_of[n] for n in sources(read)}, alert


def test_each_series_is_recorded_or_exported_by_something_real() -> None:
    known = exported() | recorded()
    for rule in rules():
        unknown = series_names(rule["expr"]) - known
        assert not unknown, f"{rule.get('alert') or rule['record']} reads {unknown}, which nothing exports"


def test_each_recorded_series_has_a_level_a_metric_and_an_operation() -> None:
    names = [rule["record"] for rule in rules() if "record" in rule]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"smartops:[a-z_0-9]+:[a-z_0-9]+", name) for name in names), names


def test_from_cause_to_webhook_in_a_minute() -> None:
    """The worst case: the cause comes just after a reading, which comes just after an evaluation, and so on."""
    routes = yaml.safe_load((CHART / "alertmanager.yaml").read_text(encoding="utf-8"))["route"]
    longest_wait_s = max(_group_waits(routes))
    templates = [CHART / "templates" / f"{name}.yaml" for name in ("small", "scrape")]
    told_s = [re.findall(r"(?:scrape_interval|podMetrics.* interval): (\w+),", file.read_text()) for file in templates]
    assert all(told_s)
    scrape_s = max(prometheus_duration_s(text) for texts in told_s for text in texts)
    told = {}
    for group in groups():
        every_s = prometheus_duration_s(group["interval"])
        for rule in group["rules"]:
            if "alert" in rule:
                for_s = math.ceil(prometheus_duration_s(rule.get("for", "0s")) / every_s) * every_s
                until_exported_s = _LATER_S.get(rule["alert"], 0.0) + _until_true_s(rule)
                told[rule["alert"]] = until_exported_s + scrape_s + every_s + for_s + longest_wait_s
    late = {alert: seconds for alert, seconds in told.items() if seconds > _WITHIN_S}
    assert not late
    page = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    written = {alert: float(s) for alert, s in re.findall(r"^\| \[(\w+)\].* \| (\d+) s \|$", page, re.M)}
    heard = {a for group in groups() for r in group["rules"] if (a := r.get("alert")) and a not in _NOT_SENT}
    assert written == {alert: math.ceil(told[alert]) for alert in heard}


def _until_true_s(rule: dict[str, Any]) -> float:
    """How long a cause has to last: what a window needs to fill where every request fails; all else counts events.

    An alert on a slow burn tells of a budget, whose cause is that its threshold is reached.
    """
    if rule["alert"] != "SmartOpsSlaBreach":
        return 0.0
    (told,) = [one["expr"] for one in rules() if one.get("record") == "smartops:objective:ratio"]
    objective = float(told.removeprefix("vector(").removesuffix(")"))
    pairs = [re.findall(r"rate(\w+) > ([\d.]+)", pair) for pair in rule["expr"].split(" or ")]
    return min(max(prometheus_duration_s(w) * float(burn) * (1 - objective) for w, burn in pair) for pair in pairs)


def _group_waits(route: dict[str, Any]) -> list[float]:
    """How long Alertmanager may wait: with the first alert of a group, and with one more of a group that was told."""
    of = [route, *route["routes"]]
    return [prometheus_duration_s(one[key]) for one in of for key in ("group_wait", "group_interval") if key in one]
