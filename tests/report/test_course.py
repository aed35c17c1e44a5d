"""The course of single trials, from the evidence of the sample campaign."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from smartops_chaos import api
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Span
from smartops_chaos.report import build, course, figure_files
from smartops_chaos.report.style import arm_styles
from smartops_chaos.schema import healerfile
from smartops_chaos.timeline.derive import derive

OFF, HEALED = "cpu-90.steady.off.default.1", "cpu-90.steady.zscore.default.1"


@pytest.fixture(scope="module")
def sample():
    return api.load(Path(__file__).parents[2] / "results" / "sample")


def caption(report) -> str:
    (figure,) = report.figures()
    return figure_files.caption(report, figure)


def texts(report) -> str:
    (figure,) = report.figures()
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", figure.svg)).replace("\u00a0", " ")


def again(data, name, **changes):
    """A trial's figure as if its evidence had been otherwise."""
    evidence = replace(data.evidence(name), **changes)
    chaos = data.plan.chaos[evidence.trial.chaos]
    record = derive(evidence, healerfile.restore(data.plan.healer), "sample", chaos)
    arm = evidence.trial.arm
    return record, course.report(data.plan, "sample", [(evidence, record)], arm_styles([arm], arm))


def test_a_trial_against_that_of_the_baseline_in_its_block(sample):
    report = build.trial_course(sample, [OFF, HEALED])
    row, off = sample.records[HEALED].row, sample.records[OFF].row
    told = caption(report)
    assert "both of block 1" in told
    assert f"| detected | – | {row['detected_lo_s']:.3f} to {row['detected_hi_s']:.3f} |" in told
    assert (
        f"| good requests | {off['good_requests']} of {off['requests']} | {row['good_requests']} of {row['requests']} |"
        in told
    )
    shown = texts(report)
    assert "unrecovered: undetected" in shown
    assert f"{(row['detected_lo_s'] + row['detected_hi_s']) / 2:.2f} s" in shown
    assert shown.count("not seen") == 1  # the recovery; of a healer once for all
    assert shown.count("nothing seen of a healer") == 1
    assert "restart" in shown


def test_trials_of_two_blocks_are_no_pair(sample):
    assert "not of one block" in caption(build.trial_course(sample, [OFF, HEALED.replace(".1", ".2")]))
    calibration = "calibration.cpu-90.steady.1"
    assert "not of one block" in caption(build.trial_course(sample, [calibration, HEALED]))


def test_the_same_trials_give_the_same_figure(sample):
    assert build.trial_course(sample, [HEALED]) == build.trial_course(sample, [HEALED])


def test_a_trial_in_error_shows_its_requests_the_fault_and_our_revert(sample):
    record, report = again(sample, HEALED, error="the lane was lost", faults=(), observed_until_ns=0)
    assert record.row["outcome"] == "error"
    shown = texts(report)
    assert "error" in shown
    assert re.search(r"\b0 to [1-9]", shown)  # the fault, to the call that reverted it
    assert shown.count("not seen") == 2  # that users were hurt, and the recovery
    assert shown.count("nothing seen of a healer") == 1


def test_a_trial_that_was_not_injected_counts_from_its_first_request(sample):
    before = tuple(call for call in sample.evidence(HEALED).calls if call.what == "gate")
    record, report = again(sample, HEALED, calls=before, faults=(), gate_passed=False, observed_until_ns=0)
    assert record.row["outcome"] == "invalid"
    shown = texts(report)
    assert "time since the first request [s]" in shown
    assert "none" in shown


def test_a_trial_without_requests_has_no_course(sample):
    with pytest.raises(UsageError, match="no request on record"):
        again(sample, HEALED, requests=())


@pytest.mark.parametrize(
    ("names", "said", "hint"),
    [
        (["cpu-90.steady.zscor.default.1"], "has no trial", f"did you mean `{HEALED}`?"),
        (["?"], "has no trial", "trials.csv"),
        ([HEALED, HEALED], "2 trials for one figure", "two different trials"),
        ([HEALED, OFF, "x"], "3 trials for one figure", "two different trials"),
    ],
)
def test_what_cannot_be_shown_is_told_with_its_hint(sample, names, said, hint):
    with pytest.raises(UsageError, match=said) as error:
        build.trial_course(sample, names)
    assert hint in error.value.hint


def test_a_trial_that_is_not_finished_or_has_no_evidence(sample, small):
    with pytest.raises(UsageError, match="is not finished"):
        build.trial_course(replace(sample, records={}), [HEALED])
    with pytest.raises(UsageError, match="has no evidence"):
        build.trial_course(small.data(), [small.plan.trials[0].id])
    with pytest.raises(UsageError, match="bare trials table"):
        build.trial_course(replace(small.data(), plan=None), ["x"])


def test_values_of_a_query_are_good_or_bad_and_have_no_latency(sample):
    slo = replace(sample.plan.analysis.slo, query="up", at_least=1.0, every_s=0.025, objective=1.0)
    _, report = again(sample, HEALED, slo=slo)
    shown = texts(report)
    assert "latency [ms]" not in shown
    assert "values bad" in shown
    assert {"good", "bad"} <= set(shown.split())


def test_the_spans_of_a_trial_stand_below_its_numbers(sample):
    evidence = sample.evidence(HEALED)
    injected = max(call.at.mid_ns for call in evidence.calls if call.what == "inject")
    trace, zero = "ab" * 16, injected + sum(c.lo_ns + c.hi_ns for c in evidence.clocks if c.source == "node") // 4
    told = (
        Span(trace, "1", "", "smartops-orchestrator", "closed loop", zero + 10**9, zero + 3 * 10**9, "ok"),
        Span(trace, "2", "1", "smartops-orchestrator", "act: restart", zero + 2 * 10**9, zero + 3 * 10**9, "error"),
    )
    _, report = again(sample, HEALED, traces=(trace, "cd" * 16), spans=told)
    text = caption(report)
    assert f"spans of {HEALED}" in text
    first, second, third = [line for line in text.splitlines() if "ababab" in line or "cdcdcd" in line]
    assert "| closed loop | smartops-orchestrator | 1.0" in first
    assert re.search(r"\| · act: restart \| smartops-orchestrator \| 2\.0\d\d \| 1\.000 \| error \|", second)
    assert "| its store has no span of it | – | – | – | – |" in third
    _, report = again(sample, HEALED, untraced="the store is gone")
    assert "They could not be read: the store is gone." in caption(report)
    _, report = again(sample, HEALED, traces=(), spans=())
    assert "spans of" not in caption(report)
