"""What is true in which window: on the evidence of the sample campaign, and on evidence made otherwise."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from smartops_chaos import api
from smartops_chaos.export import windows
from smartops_chaos.export.windows import splits
from smartops_chaos.model import ClockOffset, Interval, Trial
from smartops_chaos.schema import healerfile
from smartops_chaos.timeline.derive import derive
from smartops_chaos.timeline.interval import frame

OFF, HEALED = "cpu-90.steady.off.default.1", "cpu-90.steady.zscore.default.1"
KILLED = "pod-kill.steady.zscore.default.1"
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def sample():
    return api.load(Path(__file__).parents[2] / "results" / "sample")


def read(sample, evidence, chaos=None):
    chaos = chaos or sample.plan.chaos[evidence.trial.chaos]
    record = derive(evidence, healerfile.restore(sample.plan.healer), "sample", chaos)
    found = windows.labelled(evidence, record, chaos)
    times = [((w.start_ns - found.zero_ns) / 1e9, (w.end_ns - found.zero_ns) / 1e9) for w in found.windows]
    return found.windows, record, times


def zero_of(evidence):
    return frame(evidence, 1).zero.mid_ns


def of(found, times, label):
    return [time for window, time in zip(found, times, strict=True) if window.label == label]


def test_windows_lie_side_by_side_from_the_gate_to_the_end_of_observation(sample):
    for name in sample.records:
        evidence = sample.evidence(name)
        found, _, _ = read(sample, evidence)
        assert all(one.end_ns == other.start_ns for one, other in pairwise(found))
        assert all(w.start_ns < w.end_ns for w in found)
        assert all((a.phase, a.impaired, a.label) != (b.phase, b.impaired, b.label) for a, b in pairwise(found))
        gate = next(call for call in evidence.calls if call.what == "gate")
        assert found[0].start_ns == gate.at.lo_ns
        last_ns = zero_of(evidence) + 14 * SECOND
        assert found[-1].end_ns == min(evidence.observed_until_ns, last_ns)


@pytest.mark.parametrize("name", [OFF, HEALED, "calibration.cpu-90.steady.1"])
def test_a_lasting_fault_is_there_from_its_injection_to_its_end(sample, name):
    evidence = sample.evidence(name)
    found, record, times = read(sample, evidence)
    at = frame(evidence, 1)
    half_s = (at.injected.hi_ns - at.injected.lo_ns) / 2e9
    ill = of(found, times, "cpu")
    margin_s = 0.1 + half_s  # a scrape, the clocks, and half of the injection
    assert half_s < ill[0][0] < margin_s
    assert ill[-1][1] == pytest.approx(min(record.row["fault_end_s"], times[-1][1]), abs=0.07)
    assert all(one[1] == other[0] for one, other in pairwise(ill))  # users hurt or not: it is the same fault
    hurt = [time for window, time in zip(found, times, strict=True) if window.impaired == "yes"]
    assert hurt[0][0] > (record.row["impacted_lo_s"] + record.row["impacted_hi_s"]) / 2
    if recovered := record.row["recovered_hi_s"]:
        assert hurt[-1][1] < recovered
    assert (found[0].label, found[0].phase, found[0].impaired) == ("normal", "before", "no")


def test_a_fault_that_is_over_at_once_goes_on_until_users_have_recovered(sample):
    found, record, times = read(sample, sample.evidence(KILLED))
    ill = of(found, times, "pod")
    assert 0 < ill[0][0] < 0.05
    assert record.row["recovered_lo_s"] - 0.05 < ill[-1][1] < record.row["recovered_hi_s"]
    assert found[-1].label == "normal"


def test_of_a_killed_pod_that_nobody_missed_the_end_is_not_known(sample):
    evidence = sample.evidence(KILLED)
    good = tuple(r._replace(status=200, latency_ns=SECOND // 50) for r in evidence.requests)
    found, record, _ = read(sample, replace(evidence, requests=good))
    assert record.row["outcome"] in ("no_effect", "prevented")
    assert [w.label for w in found] == ["normal", "unknown", "unknown"]
    assert [w.phase for w in found] == ["before", "unknown", "after"]


def test_a_lasting_fault_that_nobody_noticed_is_there_all_the_same(sample):
    evidence = sample.evidence(HEALED)
    good = tuple(r._replace(status=200, latency_ns=SECOND // 50) for r in evidence.requests)
    found, _, _ = read(sample, replace(evidence, requests=good))
    assert [w.label for w in found] == ["normal", "unknown", "cpu", "unknown", "normal"]


def test_without_a_fault_all_is_normal_unless_users_say_otherwise(sample):
    chaos = replace(sample.plan.chaos["cpu-90"], parts=(), family="none")
    evidence = replace(sample.evidence(HEALED), faults=())
    calls = tuple(call for call in evidence.calls if call.what in ("gate", "observe"))
    good = tuple(r._replace(status=200, latency_ns=SECOND // 50) for r in evidence.requests)
    found, _, _ = read(sample, replace(evidence, calls=calls, requests=good), chaos)
    assert [(w.phase, w.label) for w in found] == [("before", "normal")]
    found, _, _ = read(sample, replace(evidence, calls=calls), chaos)
    assert {w.label for w in found if w.impaired == "yes"} == {"unknown"}


@pytest.mark.parametrize("bad_s", [1.0, 2.2])
def test_a_start_that_hurt_is_not_normal_and_the_window_that_the_gate_found_good_is(sample, bad_s):
    evidence = sample.evidence(HEALED)
    gate = next(call.at for call in evidence.calls if call.what == "gate")
    bad_ns = gate.lo_ns + round(bad_s * SECOND)
    requests = tuple(r._replace(status=503) if r.sched_ns < bad_ns else r for r in evidence.requests)
    found, _, times = read(sample, replace(evidence, requests=requests))
    hurt = next(time for window, time in zip(found, times, strict=True) if window.impaired == "yes")
    begin_s = times[0][0]
    assert found[0].label == "unknown"
    assert hurt[1] - begin_s == pytest.approx(bad_s, abs=0.3)
    (well,) = [time for window, time in zip(found, times, strict=True) if window.label == "normal" and time[0] < 0]
    assert well[1] == pytest.approx(0, abs=0.15)


def test_the_healers_words_and_deeds_change_no_label(sample):
    evidence = sample.evidence(HEALED)
    silent = replace(evidence, logs=(), series=tuple(s for s in evidence.series if "orchestrator" not in s.name))
    found, record, _ = read(sample, silent)
    assert record.row["detected_lo_s"] is None
    assert found == read(sample, evidence)[0]


def test_what_the_clocks_leave_open_is_unknown(sample):
    evidence = sample.evidence(HEALED)
    found, _, _ = read(sample, evidence)
    loose = tuple(ClockOffset("prometheus", c.when, c.lo_ns - 150_000_000, c.hi_ns + 150_000_000)
                  for c in evidence.clocks if c.source == "prometheus")  # fmt: skip
    wider, _, _ = read(sample, replace(evidence, clocks=loose))

    def width(windows):
        """From what is surely before the injection to what is surely after it."""
        return next(w.start_ns for w in windows if w.phase == "fault") - windows[0].end_ns

    assert width(wider) - width(found) == pytest.approx(300_000_000, abs=2_000_000)
    slower, _, _ = read(sample, replace(evidence, scrape_s=evidence.scrape_s + 0.1))
    assert width(slower) - width(found) == pytest.approx(200_000_000, abs=10)


def test_an_end_that_is_known_only_between_two_moments_leaves_all_between_them_unknown(sample):
    evidence = sample.evidence(HEALED)
    (fact,) = evidence.faults
    zero_ns = zero_of(evidence)
    loose = replace(fact, ended=Interval(zero_ns + SECOND, zero_ns + 3 * SECOND), clock="runner")
    found, _, times = read(sample, replace(evidence, faults=(loose,)))
    dark = [time for window, time in zip(found, times, strict=True) if window.phase == "unknown" and time[0] > 0.5]
    assert (dark[0][0], dark[-1][1]) == pytest.approx((1.0, 3.0), abs=0.1)
    assert all(one[1] == other[0] for one, other in pairwise(dark))
    # Users are hurt in it, but by what, nobody says.
    assert any(w.phase == "unknown" and w.impaired == "yes" and w.label == "unknown" for w in found)


def test_where_too_few_requests_tell_nobody_is_said_to_be_well(sample):
    evidence = sample.evidence(HEALED)
    zero_ns = zero_of(evidence)
    gap = tuple(r for r in evidence.requests if not 4 * SECOND < r.sched_ns - zero_ns < 6 * SECOND)
    found, record, _ = read(sample, replace(evidence, requests=gap))
    assert record.row["unknown_seconds"] > 0
    assert {(w.phase, w.impaired, w.label) for w in found if w.start_ns > zero_ns} == {
        ("fault", "unknown", "cpu"),
        ("unknown", "unknown", "unknown"),
        ("after", "unknown", "unknown"),
    }


def test_samples_are_those_of_the_trial_and_know_what_was_hit(sample):
    evidence = sample.evidence(HEALED)
    found, _, _ = read(sample, evidence)
    taken = list(windows.samples(evidence, found))
    offset_ns = sum(c.lo_ns + c.hi_ns for c in evidence.clocks if c.source == "prometheus") // 4
    stored = [at for s in evidence.series for at in s.at_ns]
    inside = [at for at in stored if found[0].start_ns <= at - offset_ns < found[-1].end_ns]
    assert len(taken) == pytest.approx(len(inside), abs=2)
    assert len(inside) < len(stored)  # the minute before belongs to another trial
    assert all(found[s.window].start_ns <= s.at_ns < found[s.window].end_ns for s in taken)
    victim = evidence.faults[0].objects[0].rpartition("/")[2]
    for one in taken:
        pod = one.series.labels.get("pod")
        assert one.hit == ("yes" if pod == victim else "no" if pod else "")
    blind = replace(evidence, faults=(replace(evidence.faults[0], objects=("erp/0a1b-uid",)),))
    assert {s.hit for s in windows.samples(blind, found)} == {""}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gate_passed": False}, "invalid: "),
        ({"error": "the lane was lost"}, "error: "),
        ({"series": (), "missing": ("metrics: no answer",)}, "no metrics: metrics: no answer"),
    ],
)
def test_a_trial_whose_truth_is_not_known_has_no_windows(sample, changes, why):
    evidence = replace(sample.evidence(HEALED), **changes)
    if "gate_passed" in changes:
        evidence = replace(evidence, calls=evidence.calls[:1], faults=())
    chaos = sample.plan.chaos["cpu-90"]
    record = derive(evidence, healerfile.restore(sample.plan.healer), "sample", chaos)
    with pytest.raises(windows.NoWindows, match=f"^{why}"):
        windows.labelled(evidence, record, chaos)


def trials(blocks: int, scenarios: int = 2) -> list[Trial]:
    return [
        Trial(f"{c}.{r}.{m}", "measure", f"c{c}", "w", m, "p", r, r * scenarios + c + 1, 0)
        for r in range(blocks)
        for c in range(scenarios)
        for m in ("off", "on")
    ]


@pytest.mark.parametrize(
    ("blocks", "test", "validation"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (5, 1, 1), (10, 2, 2), (31, 6, 6)]
)
def test_each_scenario_is_in_every_split_by_whole_blocks(blocks, test, validation):
    made = trials(blocks)
    found = splits(made, 7)
    for scenario in ("c0", "c1"):
        mine = [found[block] for block in {t.block for t in made if t.chaos == scenario}]
        assert (mine.count("test"), mine.count("validation")) == (test, validation)
    assert splits(reversed(made), 7) == found
    assert found[0] == "train"


def test_the_split_is_by_the_seed_and_not_by_time():
    made = trials(20)
    assert splits(made, 1) != splits(made, 2)
    held = sorted(block for block, split in splits(made, 1).items() if split == "test")
    assert held != list(range(held[0], held[0] + len(held)))
