from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter

from smartops_chaos.model import COLUMNS, Evidence, Record, Series
from smartops_chaos.schema.healerfile import load
from smartops_chaos.timeline.derive import explain
from smartops_chaos.timeline.tracing import trace_id

ERP = "smartops-erp-simulator"


def test_the_same_evidence_gives_the_same_bytes_also_after_a_round_trip_through_a_file(
    story: Any, healer_lines: Any
) -> None:
    trial = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0, verified=4.1), ended=3.8, ended_by="system")
    evidences, records = TypeAdapter(Evidence), TypeAdapter(Record)
    again = evidences.validate_json(evidences.dump_json(trial.evidence()))
    assert again == trial.evidence()
    once = records.dump_json(trial.record())
    assert once == records.dump_json(replace(trial, more={f: getattr(again, f) for f in ("requests", "logs")}).record())
    assert records.validate_json(once) == trial.record()


def test_a_row_has_the_columns_in_their_order_for_every_outcome(story: Any) -> None:
    for trial in (story(), story(families=()), story(more={"error": "lost"}), story(more={"gate_passed": False})):
        assert list(trial.row()) == list(COLUMNS)


def test_a_trial_without_injection_has_no_times_and_no_timeline(story: Any) -> None:
    record = story(more={"gate_passed": False, "calls": ()}).record()
    assert record.timeline is None
    empty = {name for name, value in record.row.items() if value is None}
    assert set(COLUMNS[COLUMNS.index("time_s") :]) - {"rca_expected"} == empty


def test_the_timeline_is_in_the_order_of_a_repair(story: Any, healer_lines: Any) -> None:
    trial = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0, verified=4.1))
    timeline = trial.record().timeline
    assert timeline is not None
    wanted = ["injected", "impacted", "detected", "diagnosed", "decided", "acted", "verified", "recovered"]
    assert list(timeline.events) == wanted


def test_answers_of_a_combination_are_those_of_every_part(story: Any, healer_lines: Any) -> None:
    trial = story(families=("network", "pod"), logs=healer_lines(1.2, 1.6), bad=[(0.3, 4.0)])
    row = trial.row()
    assert row["rca_expected"] == "Dependency Latency|Service Timeout"
    assert (row["rca_top1"], row["rca_rank"]) == ("Resource Saturation", 2)
    assert row["family"] == "network+pod"


def test_no_answer_and_a_wrong_one_have_no_rank(story: Any, healer_lines: Any) -> None:
    silent = story(bad=[(0.3, 4.0)]).row()
    assert (silent["rca_expected"], silent["rca_top1"], silent["rca_rank"]) == ("Resource Saturation", None, None)
    wrong = story(families=("network",), logs=healer_lines(1.2, 1.6), bad=[(0.3, 4.0)]).row()
    assert (wrong["rca_top1"], wrong["rca_rank"]) == ("Resource Saturation", None)


def test_a_part_still_in_force_leaves_the_end_of_the_fault_empty(story: Any) -> None:
    trial = story(families=("cpu", "network"), ended=4.0, ended_by="system", bad=[(0.3, 4.1)])
    assert trial.row()["fault_end_s"] == 4.0
    first, second = trial.evidence().faults
    half = replace(trial, more={"faults": (first, replace(second, ended=None, ended_by=""))}).row()
    assert (half["fault_end_s"], half["fault_end_by"]) == (None, None)
    last = replace(second, ended=trial.point(5.0), ended_by="expiry")
    both = replace(trial, more={"faults": (first, last)}).row()
    assert (both["fault_end_s"], both["fault_end_by"]) == (5.0, "expiry")


def test_explain_shows_each_rule_with_what_it_matched_and_what_it_did_not(story: Any, healer_lines: Any) -> None:
    text = story(bad=[(0.3, 4.0)], logs=healer_lines(1.2, 1.6, 2.0, verified=4.1)).explained()
    assert text.startswith("t: healed\n")
    assert "  detected  1.190 to 1.210  from log POST" in text
    assert '    +1.200  INFO:     127.0.0.1:57074 - "POST /v1/signals/anomaly HTTP/1.1" 202 Accepted' in text
    assert "  cooldown: log cooldown active for\n    matched nothing" in text
    assert f"  restart on lab/{ERP}: success, begun 1.980 to 2.000" in text


def test_moments_keep_the_trace_of_their_line_and_a_bad_request_has_its_own(story: Any, healer_lines: Any) -> None:
    known = "c0ffee" * 5 + "ab"
    told = healer_lines(1.2, 1.6, 2.0)
    lines = [(t, f"[trace_id={'0' if 'rca' in text else known}] {text}") for t, text in told]
    trial = story(bad=[(0.3, 4.0)], logs=lines, more={"traced": True})
    healer = load("lab").model_copy(update={"trace": "trace_id=(?P<trace>[0-9a-f]+)"})
    timeline = trial.record(healer).timeline
    assert timeline.events["detected"].detail["trace"] == known
    assert "trace" not in timeline.events["diagnosed"].detail
    text = explain(trial.evidence(), healer, trial.chaos())
    assert f"trace {known}" in text
    bad = next(one for one in trial.evidence().requests if one.status != 200)
    assert f": trace {trace_id('t 1', bad.sched_ns)}" in text


def test_explain_shows_the_samples_between_which_a_counter_rose(story: Any) -> None:
    told = story()
    stamps = tuple(told.ns(t) for t in (-1.0, 0.0, 1.0, 2.0))
    labels = {"job": "x", "instance": "y", "kind": "anomaly", "result": "accepted"}
    signals = Series("orchestrator_closed_loop_signals_total", labels, stamps, (2.0, 2.0, 2.0, 5.0))
    born = replace(signals, labels={**labels, "kind": "rca"}, at_ns=stamps[3:], values=(1.0,))
    text = replace(told, series=(signals, born)).explained()
    assert "result=accepted}  2 -> 5" in text
    assert "kind=rca, result=accepted}  absent -> 1" in text


def test_explain_of_a_trial_that_was_not_measured(story: Any) -> None:
    text = story(more={"error": "LaneLost: no answer", "calls": (), "missing": ("logs: no answer",)}).explained()
    assert text.startswith("t: error, harness\nflags: telemetry_missing\n")
    assert "LaneLost: no answer" in text
    assert "no rule was applied" in text
