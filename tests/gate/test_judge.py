"""The pure parts: grids, counters, changes, and properties that no decision may break."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.gate import judge, mttr, workloads
from smartops_chaos.gate.asking import Asked, stamp
from smartops_chaos.gate.grid import Grid, GridLine, gaps, increases, most_within, stretches
from smartops_chaos.gate.questions import CLOCK, RELEASE, RULES, STATE, questions
from smartops_chaos.gate.ruling import Unanswered
from smartops_chaos.schema.gatefile import EnvironmentRules, WorkloadsRule

AT_S = 1_700_000_000.0
RULES_TEXT: dict[str, Any] = {
    "namespace": "stage",
    "window": "1h",
    "step": "1m",
    "witness": {"watchdog": "ALERTS", "targets": "up", "longest_gap": "5m"},
    "tests": "tested",
    "alerts": {"firing": "ALERTS"},
    "slo": {"total": "total", "errors": "errors", "min_requests": 1},
}


def _rules(**more: Any) -> EnvironmentRules:
    return EnvironmentRules.model_validate({**RULES_TEXT, **more})


def _answer(*lines: tuple[dict[str, str], dict[int, float]]) -> Asked:
    rows = [
        {"metric": labels, "values": [[AT_S - 3600 + 60 * (slot + 1), str(value)] for slot, value in values.items()]}
        for labels, values in lines
    ]
    return Asked("Prometheus", "query", {"resultType": "matrix", "result": rows})


def _green(**more: Asked) -> dict[str, Asked]:
    always = dict.fromkeys(range(-1, 60), 1.0)
    return {
        "watchdog": _answer(({"alertname": "Watchdog"}, always)),
        "targets": _answer(({"job": "erp"}, always)),
        "tests": _answer(),
        "alerts": _answer(),
        "slo total": _answer(({}, {slot: 100.0 * (slot + 1) for slot in range(-1, 60)})),
        "slo errors": _answer(({}, dict.fromkeys(range(-1, 60), 0.0))),
    } | {name.replace("_", " "): value for name, value in more.items()}


def test_green_is_open() -> None:
    assert judge.judge("stage", _rules(), AT_S, _green()).ruling == "open"


@pytest.mark.parametrize("question", [one.key for one in questions(_rules())])
def test_no_answer_is_never_open(question: str) -> None:
    """Whatever is not answered: a gate without that answer does not open."""
    unanswered = {**_green(), question: Asked("Prometheus", "query", error="it is down")}
    assert judge.judge("stage", _rules(), AT_S, unanswered).ruling == "undecidable"
    without = {key: value for key, value in _green().items() if key != question}
    assert judge.judge("stage", _rules(), AT_S, without).ruling == "undecidable"


@pytest.mark.parametrize("question", ["watchdog", "targets", "slo total", "slo errors"])
def test_an_empty_answer_is_never_open(question: str) -> None:
    assert judge.judge("stage", _rules(), AT_S, {**_green(), question: _answer()}).ruling == "undecidable"


def test_a_counter_that_was_never_there_counts_nothing_if_the_rules_say_so() -> None:
    slo = {"total": "total", "errors": "errors", "min_requests": 1, "absent_is_zero": True}
    spikes = {"counter": "spikes", "at_most": 1}
    answers = {**_green(), "slo errors": _answer(), "spikes": _answer()}
    assert judge.judge("stage", _rules(slo=slo), AT_S, answers).ruling == "open"
    assert judge.judge("stage", _rules(slo=slo, spikes=spikes), AT_S, answers).ruling == "undecidable"
    forgiving = spikes | {"absent_is_zero": True}
    assert judge.judge("stage", _rules(slo=slo, spikes=forgiving), AT_S, answers).ruling == "open"


@given(st.sets(st.integers(0, 59)))
def test_a_critical_alert_closes_it_unless_all_of_it_was_under_test(firing: set[int]) -> None:
    alert = _answer(({"alertname": "A", "severity": "critical"}, dict.fromkeys(firing, 1.0)))
    assert judge.judge("stage", _rules(), AT_S, _green(alerts=alert)).ruling == ("closed" if firing else "open")


@given(st.integers(0, 40), st.integers(1, 10))
def test_what_fires_under_test_or_just_after_does_not_close_it(first: int, length: int) -> None:
    rules = _rules(max_tested="50%", after_test="3m")
    slots = range(first, first + length)
    test = _answer(({"fault": "pod-kill"}, dict.fromkeys(slots, 1.0)))
    inside = dict.fromkeys(range(first, first + length + 3), 1.0)
    alert = _answer(({"alertname": "A", "severity": "critical"}, inside))
    assert judge.judge("stage", rules, AT_S, _green(tests=test, alerts=alert)).ruling == "open"
    longer = _answer(({"alertname": "A", "severity": "critical"}, {**inside, first + length + 3: 1.0}))
    assert judge.judge("stage", rules, AT_S, _green(tests=test, alerts=longer)).ruling == "closed"


def test_a_test_that_is_under_way_keeps_it_shut() -> None:
    test = _answer(({"fault": "pod-kill"}, {59: 1.0}))
    assert judge.judge("stage", _rules(), AT_S, _green(tests=test)).ruling == "undecidable"


@pytest.mark.parametrize(("offset", "ruling"), [(30.0, "open"), (-30.0, "open"), (61.0, "undecidable")])
def test_a_clock_may_be_off_a_little(offset: float, ruling: str) -> None:
    now = {CLOCK: Asked("Prometheus", "clock", offset), RULES: Asked("Prometheus", "rules", {"groups": []})}
    assert judge.judge("stage", _rules(), AT_S, _green() | now).ruling == ruling


def test_a_rule_that_is_not_healthy_is_no_witness() -> None:
    rules = _rules(witness={**RULES_TEXT["witness"], "groups": ["smartops"]})
    for health, ruling in (("ok", "open"), ("err", "undecidable"), ("unknown", "undecidable")):
        group = {"name": "smartops", "rules": [{"name": "A", "health": health, "lastError": ""}]}
        now = {CLOCK: Asked("P", "clock", 0.0), RULES: Asked("P", "rules", {"groups": [group]})}
        assert judge.judge("stage", rules, AT_S, _green() | now).ruling == ruling


def test_a_rule_group_that_was_loaded_late_or_has_stalled_is_no_witness() -> None:
    rules = _rules(witness={**RULES_TEXT["witness"], "groups": ["smartops"], "evaluated": "last"})
    loaded = {"groups": [{"name": "smartops", "rules": [{"name": "A", "health": "ok"}]}]}
    now = {CLOCK: Asked("P", "clock", 0.0), RULES: Asked("P", "rules", loaded)}
    end = {slot: AT_S - 3600 + 60 * (slot + 1) for slot in range(-1, 60)}
    label = {"rule_group": "/rules/a.yaml;smartops"}
    stalled = {slot: min(at, AT_S - 1800) for slot, at in end.items()}
    for name, values, ruling in (
        ("always", {slot: at - 10 for slot, at in end.items()}, "open"),
        ("loaded late", {slot: at - 10 for slot, at in end.items() if slot > 30}, "undecidable"),
        ("stalled", stalled, "undecidable"),
        ("never", {}, "undecidable"),
    ):
        answers = {**_green(), **now, "rule groups": _answer((label, values))}
        assert judge.judge("stage", rules, AT_S, answers).ruling == ruling, name
    other = _answer(({"rule_group": "/rules/a.yaml;not-smartops"}, dict.fromkeys(end, AT_S)))
    assert judge.judge("stage", rules, AT_S, {**_green(), **now, "rule groups": other}).ruling == "undecidable"


# ---- what fires at the edge of a gap ---------------------------------------------------------------------------------


def _firing(severity: str, slots: set[int], blind: set[int], **alerts: Any) -> judge.RuleResult:
    """Of a window of 60 slots, the 5 of `blind` at most without any evaluation."""
    seen = dict.fromkeys(sorted(set(range(-1, 60)) - blind), 1.0)
    alert = _answer(({"alertname": "A", "severity": severity}, dict.fromkeys(sorted(slots - blind), 1.0)))
    answers = _green(watchdog=_answer(({"alertname": "Watchdog"}, seen)), alerts=alert)
    rules = _rules(alerts={"firing": "ALERTS", **alerts})
    return next(one for one in judge.judge("stage", rules, AT_S, answers).results if one.rule == "alerts")


def test_what_fires_when_nobody_looks_any_more_fires_on() -> None:
    blind = set(range(56, 60))
    assert "is firing since" in _firing("warning", {54, 55}, blind).why
    assert _firing("warning", {53, 54}, blind).ruling == "open"  # it had ended, and somebody saw that
    before = _firing("critical", {-1}, {0, 1, 2})  # when it ended, nobody saw: not before the window, then
    assert (before.ruling, before.opens_s) == ("closed", AT_S - 3600 + 180 + 3600)
    assert _firing("critical", {-1}, set()).ruling == "open"


def test_a_test_that_nobody_saw_end_is_under_way() -> None:
    blind = _answer(({"alertname": "Watchdog"}, dict.fromkeys(range(-1, 57), 1.0)))
    for slots, ruling in (({40, 41}, "open"), ({55, 56}, "undecidable")):
        fault = _answer(({"fault": "pod-kill"}, dict.fromkeys(slots, 1.0)))
        rules = _rules(after_test="1m")
        assert judge.judge("stage", rules, AT_S, _green(watchdog=blind, tests=fault)).ruling == ruling


def test_a_gap_does_not_cut_a_long_alert_into_two_short_ones() -> None:
    long = set(range(10, 32))
    assert _firing("warning", long, {20}, persistent="20m").ruling == "closed"
    assert _firing("warning", long - {20}, set(), persistent="20m").ruling == "open"  # it had ended for a minute


# ---- grids ---------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 30)))
def test_stretches_and_gaps_are_the_whole_window(slots: set[int]) -> None:
    grid = Grid(AT_S, 60, 31)
    inside = [slot for one in stretches(slots) for slot in range(one.first, one.last + 1)]
    outside = [slot for one in gaps(grid, slots) for slot in range(one.first, one.last + 1)]
    assert inside == sorted(slots)
    assert sorted(inside + outside) == list(range(31))


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20), st.data())
def test_a_counter_counts_what_happened_through_restarts_and_gaps(events: list[int], data: st.DataObject) -> None:
    """A process that restarts between slots loses nothing; what a gap hides shows in the slot after it."""
    restarts = data.draw(st.sets(st.integers(1, len(events) - 1)))
    values: dict[int, float] = {}
    value = 0
    for slot, more in enumerate(events):
        # a restart that nobody can see: the new process has counted as much as the old one had, or more
        value = more if slot in restarts and more < value else value + more
        values[slot] = float(value)
    watched = frozenset(range(-1, len(events)))
    assert sum(increases([GridLine({}, values)], watched).values()) == sum(events)
    hidden = data.draw(st.sets(st.integers(1, len(events) - 2))) if not restarts and len(events) > 2 else set()
    seen = {slot: value for slot, value in values.items() if slot not in hidden}
    assert sum(increases([GridLine({}, seen)], watched).values()) == sum(events)


def test_a_counter_that_appears_after_a_gap_counts_nothing_at_first() -> None:
    line = GridLine({}, {5: 1000.0, 6: 1001.0})
    assert increases([line], frozenset({0, 1})) == {5: 0.0, 6: 1.0}
    assert increases([line], frozenset({4})) == {5: 1000.0, 6: 1.0}


@given(st.dictionaries(st.integers(0, 40), st.integers(0, 9).map(float)), st.integers(1, 10))
def test_the_busiest_stretch_is_the_busiest(grown: dict[int, float], slots: int) -> None:
    sums = [sum(grown.get(slot, 0.0) for slot in range(last - slots + 1, last + 1)) for last in range(41)]
    assert most_within(grown, slots)[0] == max(sums)


# ---- versions ------------------------------------------------------------------------------------------------------


def _versions(tested: frozenset[int] = frozenset(), **seen: set[int]) -> list[tuple[float, str]]:
    grid = Grid(100.0, 1.0, 100)
    lines = [
        GridLine({"c": name.partition("_")[0], "v": name}, dict.fromkeys(sorted(slots), 1.0))
        for name, slots in seen.items()
    ]
    return judge.version_changes(grid, lines, "c", "v", 5.0, tested)


def test_a_pod_that_is_away_for_a_moment_is_no_change() -> None:
    assert _versions(erp_1=set(range(100)) - set(range(40, 60))) == []


def test_another_version_a_new_part_and_one_that_went_are_changes() -> None:
    assert _versions(erp_1=set(range(60)), erp_2=set(range(58, 100))) == [(60.0, "erp changed to erp_2")]
    assert _versions(erp_1=set(range(100)) - {50}, erp_2={50}) == [(51.0, "erp changed to erp_1")]
    assert _versions(erp_1=set(range(100)), new_1=set(range(30, 100))) == [(30.0, "new came with new_1")]
    assert _versions(erp_1=set(range(100)), old_1=set(range(70))) == [(70.0, "old was taken away")]


def test_what_comes_and_goes_under_test_is_no_change_but_what_stays_is() -> None:
    tested = frozenset(range(40, 60))
    always = set(range(100))
    assert _versions(tested, erp_1=always, proxy_1=set(range(41, 59))) == []
    assert _versions(tested, erp_1=always, proxy_1=set(range(41, 62))) == [(62.0, "proxy was taken away")]
    assert _versions(tested, erp_1=set(range(50)), erp_2=set(range(50, 100))) == [(50.0, "erp changed to erp_2")]
    assert _versions(tested, erp_1=always - set(range(45, 50)), erp_2=set(range(45, 50))) == []  # an arm, put back
    begin = frozenset(range(20))
    assert _versions(begin, erp_1=always) == []
    assert _versions(begin, erp_1=set(range(10)), erp_2=set(range(10, 100))) == [(10.0, "erp changed to erp_2")]


def test_pods_of_jobs_come_and_go() -> None:
    image = f"erp@sha256:{'a' * 64}"
    container = {"name": "erp", "waiting": "", "restarted": "", "image": image}
    pods = [
        {"name": "erp-1", "owner": "ReplicaSet", "containers": [container]},
        {"name": "night-1", "owner": "Job", "containers": [container | {"name": "runner"}]},
    ]
    assert workloads.digests({"controllers": [], "pods": pods}) == {"erp": frozenset({image.partition("@")[2]})}


def test_versions_that_nobody_saw_at_an_edge_are_not_known() -> None:
    for seen in (set(range(10, 100)), set(range(90))):
        with pytest.raises(Unanswered):
            _versions(erp_1=seen)


# ---- the release ---------------------------------------------------------------------------------------------------


def _secret(number: int, status: str, deployed: str, manifest: str, config: dict[str, Any]) -> workloads.Revision:
    told = {"version": number, "manifest": manifest, "config": config}
    told["info"] = {"status": status, "last_deployed": deployed}
    packed = gzip.compress(json.dumps(told).encode())
    return workloads.read_revision(base64.b64encode(base64.b64encode(packed)).decode())


def test_a_revision_that_applies_the_same_is_no_change() -> None:
    first = _secret(1, "superseded", "2023-11-14T20:00:00Z", "a", {})
    again = _secret(2, "deployed", "2023-11-14T21:00:00.123456789Z", "a", {})
    other = _secret(3, "deployed", "2023-11-14T22:00:00Z", "a", {"replicas": 3})
    (only,) = workloads.release_changes({"revisions": [first, again]}, AT_S)
    assert "revision 1" in only[1]
    assert len(workloads.release_changes({"revisions": [first, again, other]}, AT_S)) == 2
    before = workloads.release_changes({"revisions": [first, again, other]}, workloads.seconds("2023-11-14T21:30:00Z"))
    assert before == [only]


@pytest.mark.parametrize("offset", [0.0, 30.0, -30.0])
def test_what_another_clock_has_stamped_is_late_by_as_much_as_the_clocks_differ(offset: float) -> None:
    """A change and a restart, each 10 s before it would count."""
    changed = _secret(1, "deployed", stamp(AT_S - 3610), "a", {})
    now = {CLOCK: Asked("P", "clock", offset), RULES: Asked("P", "rules", {"groups": []})}
    rules = _rules(golden={"release": "${namespace}"}, workloads={"quiet": "15m"})
    answers = _green() | _workload(restarted=stamp(AT_S - 910)) | now
    answers[RELEASE] = Asked("Kubernetes", "history", {"revisions": [changed]})
    found = {one.rule: one.ruling for one in judge.judge("stage", rules, AT_S, answers).results}
    wanted = "closed" if offset else "open"
    assert (found["golden window"], found["workloads"]) == (wanted, wanted)


def test_a_stuck_or_failed_release_is_a_change_that_goes_on() -> None:
    for status in ("pending-upgrade", "pending-rollback", "failed", "uninstalling"):
        stuck = _secret(2, status, "2023-11-14T20:00:00Z", "a", {})
        ((at_s, why),) = workloads.release_changes({"revisions": [stuck]}, AT_S)
        assert at_s == AT_S
        assert status in why


# ---- workloads, MTTR -----------------------------------------------------------------------------------------------


def _workload(available: int = 2, waiting: str = "", restarted: str = "") -> dict[str, Asked]:
    status = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available}
    controller = {"kind": "deployment", "metadata": {"name": "erp", "generation": 3}, "spec": {"replicas": 2}}
    pod = {
        "name": "erp-1",
        "owner": "ReplicaSet",
        "containers": [{"name": "erp", "waiting": waiting, "restarted": restarted, "image": "x"}],
    }
    return {STATE: Asked("Kubernetes", "state", {"controllers": [controller | {"status": status}], "pods": [pod]})}


def test_workloads_are_rolled_out_and_quiet() -> None:
    rule = WorkloadsRule(quiet="15m")
    assert workloads.judge_workloads(rule, _workload(), AT_S).ruling == "open"
    assert workloads.judge_workloads(rule, _workload(available=1), AT_S).ruling == "closed"
    assert workloads.judge_workloads(rule, _workload(waiting="CrashLoopBackOff"), AT_S).ruling == "closed"
    restarted = workloads.judge_workloads(rule, _workload(restarted="2023-11-14T22:10:00Z"), AT_S)
    assert (restarted.ruling, restarted.opens_s) == ("closed", workloads.seconds("2023-11-14T22:25:00Z"))
    assert workloads.judge_workloads(rule, _workload(restarted="2023-11-14T20:10:00Z"), AT_S).ruling == "open"


def test_a_campaign_is_of_the_digests_that_run_or_of_others() -> None:
    images = "erp erp:1 (sha256:aaaaaaaaaaaa); healer h:2 (sha256:bbbbbbbbbbbb)"
    full = {"erp": frozenset({"sha256:" + "a" * 64}), "healer": frozenset({"sha256:" + "b" * 64})}
    assert mttr.is_of(images, full)
    assert mttr.is_of(images, {"erp": full["erp"]})
    assert not mttr.is_of(images, {"erp": full["healer"]})
    assert not mttr.is_of(images, {**full, "policy": full["erp"]})
    assert not mttr.is_of("no pod was running", full)
    by_digest = f"erp sha256:{'c' * 64} (sha256:aaaaaaaaaaaa)"  # as containerd names what was pulled by digest
    assert mttr.is_of(by_digest, {"erp": full["erp"]})


def test_windows_that_cannot_be_asked_are_refused() -> None:
    with pytest.raises(ValueError, match="11000 steps"):
        _rules(window="30d", step="1m")
    with pytest.raises(ValueError, match="shorter than a step"):
        _rules(step="10m")
    with pytest.raises(ValueError, match="namespace"):
        _rules(tests="x{a='${other}'}")
