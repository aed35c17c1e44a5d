"""Labelled windows of telemetry: what a trial's evidence says was true when each sample was taken. Pure.

A window is a stretch of one trial in which the truth is the same and known, or not known. The truth comes from our own
calls, from what the target says of the fault, and from the users' requests; never from what the healer said or did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from smartops_chaos.model import ChaosLevel, Evidence, Health, Interval, Outcome, Record, Series, Trial
from smartops_chaos.timeline import health
from smartops_chaos.timeline.derive import fault_ends
from smartops_chaos.timeline.interval import STAMP_LATER_NS, frame, offset_of
from smartops_chaos.timeline.rules import METRICS_CLOCK

Split = Literal["train", "validation", "test"]

NORMAL, UNKNOWN = "normal", "unknown"
_HELD_OUT = 5  # one block in so many is for validation, and one for the test

_Spans = list[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class LabelledWindow:
    """[start, end) on the runner's clock, in which the labels hold for every sample."""

    start_ns: int
    end_ns: int
    phase: str  # before, fault, after, unknown
    impaired: str  # whether users were hurt: no, yes, unknown
    label: str  # normal, the family of the fault, unknown


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """One stored value of one series. `at_ns` is on the runner's clock, by the middle of the offset's bounds."""

    window: int  # its place among the trial's windows
    at_ns: int
    series: Series
    value: float
    hit: str  # whether the series is of what the fault hit: yes, no; "" where its labels do not say


class NoWindows(Exception):
    """Why a trial has no windows."""


@dataclass(frozen=True, slots=True)
class LabelledTrial:
    zero_ns: int  # what seconds count from: the middle of the injection, or without a fault the begin of observation
    windows: tuple[LabelledWindow, ...]


def labelled(evidence: Evidence, record: Record, chaos: ChaosLevel) -> LabelledTrial:
    """A trial's windows, from the gate's beginning to the end of observation, each beside the next.

    Around every change stands a window in which its label is unknown: as wide as the interval in which the change is
    known to lie, the bounds of Prometheus' clock, and the duration of a scrape. Raises NoWindows.
    """
    outcome = str(record.row["outcome"])
    if Outcome(outcome).left_out:
        raise NoWindows(f"{outcome}: what was true in it is not known")
    at, gate = frame(evidence, len(chaos.parts)), _gate(evidence)
    if at is None or at.until_ns <= at.injected.hi_ns or gate is None:
        raise NoWindows("not injected or not observed")
    if not evidence.series:
        raise NoWindows("no metrics: " + ("; ".join(evidence.missing) or "the healer file names none"))
    begin_ns, margin_ns = gate.lo_ns, _margin_ns(evidence)
    ends = [end for end, _ in fault_ends(evidence)]
    over = Interval(max(end.lo_ns for end in ends), max(end.hi_ns for end in ends)) if ends else None
    momentary = not any(part.lasting for part in chaos.parts)
    end_ns = min(at.until_ns, at.zero.mid_ns + round((evidence.horizon_s + evidence.slo.hold_s) * 1e9))
    phases = _phases(begin_ns, end_ns, at.injected if chaos.parts else None, over, margin_ns)
    users = _users(evidence, record, gate, at.injected.lo_ns, end_ns, margin_ns)
    cuts = sorted({ns for lo, hi, _ in (*phases, *users) for ns in (lo, hi)} | {begin_ns, end_ns})
    found: list[LabelledWindow] = []
    impacted = record.timeline.health.impacted if record.timeline else None
    for start_ns, stop_ns in pairwise(cuts):
        phase, impaired = _at(phases, start_ns, stop_ns), _at(users, start_ns, stop_ns)
        coming = impacted is not None and stop_ns <= impacted.hi_ns
        label = _label(phase, impaired, chaos, momentary, coming, hurt=impacted is not None)
        if found and (found[-1].phase, found[-1].impaired, found[-1].label) == (phase, impaired, label):
            start_ns = found.pop().start_ns
        found.append(LabelledWindow(start_ns, stop_ns, phase, impaired, label))
    return LabelledTrial(at.zero.mid_ns, tuple(found))


def samples(evidence: Evidence, found: Sequence[LabelledWindow]) -> Iterator[LabelledSample]:
    """Every sample in the windows, in order of window, time and series.

    Prometheus was asked for a minute more, which belongs to the trial before it on the same lane: it is left out.
    """
    offset_ns = offset_of(evidence.clocks, METRICS_CLOCK).mid_ns
    hit = {name.rpartition("/")[2] for fact in evidence.faults for name in fact.objects}
    named = any(value in hit for series in evidence.series for value in series.labels.values())
    taken = sorted(
        (stamp_ns - offset_ns, key, value)
        for key, series in enumerate(evidence.series)
        for stamp_ns, value in zip(series.at_ns, series.values, strict=True)
        if found[0].start_ns <= stamp_ns - offset_ns < found[-1].end_ns
    )
    place = 0
    for at_ns, key, value in taken:
        while at_ns >= found[place].end_ns:
            place += 1
        series = evidence.series[key]
        yield LabelledSample(place, at_ns, series, value, _hit(series, hit) if named else "")


def splits(trials: Iterable[Trial], seed: int) -> dict[int, Split]:
    """Block -> split. All trials of a block, and so every trial, are in one.

    Of the blocks of each scenario a fifth is for the test and a fifth for validation, at least one each from three
    blocks on, in the order of a hash of seed and block. It depends on the plan alone, so what has run does not move a
    block. Calibration trials (block 0) are for training.
    """
    scenarios: dict[tuple[str, str], set[int]] = {}
    for trial in trials:
        if trial.block:
            scenarios.setdefault((trial.chaos, trial.workload), set()).add(trial.block)
    found: dict[int, Split] = {0: "train"}
    for blocks in scenarios.values():
        order = sorted(blocks, key=lambda block: hashlib.sha256(f"{seed}/{block}".encode()).digest())
        held = max(1, len(order) // _HELD_OUT) if len(order) > 1 else 0
        kept = held if len(order) > 2 else 0
        for place, block in enumerate(order):
            found[block] = "test" if place < held else "validation" if place < held + kept else "train"
    return found


def _gate(evidence: Evidence) -> Interval | None:
    """The gate that was passed: from its beginning on the arm is set and the lane reset, at its end users are well."""
    gates = [call.at for call in evidence.calls if call.what == "gate" and call.output is True]
    return gates[-1] if gates else None


def _margin_ns(evidence: Evidence) -> int:
    """By how much a sample may have been taken before or after its stamp, on the runner's clock."""
    offset = offset_of(evidence.clocks, METRICS_CLOCK)
    return (offset.hi_ns - offset.lo_ns) // 2 + 1 + round(evidence.scrape_s * 1e9) + STAMP_LATER_NS


def _phases(begin_ns: int, stop_ns: int, injected: Interval | None, over: Interval | None, margin_ns: int) -> _Spans:
    if injected is None:
        return [(begin_ns, stop_ns, "before")]
    spans = [(begin_ns, injected.lo_ns - margin_ns, "before")]
    end_ns = over.lo_ns - margin_ns if over else stop_ns
    spans.append((injected.hi_ns + margin_ns, min(end_ns, stop_ns), "fault"))
    if over:
        spans.append((max(over.hi_ns, injected.hi_ns) + margin_ns, stop_ns, "after"))
    return [span for span in spans if span[0] < span[1]]


def _users(
    evidence: Evidence, record: Record, gate: Interval, injected_ns: int, stop_ns: int, margin_ns: int
) -> _Spans:
    """Whether users were hurt: before the injection and after it, by the function that dates impact and recovery."""
    begin_ns, slo = gate.lo_ns, evidence.slo
    before = health.measure(
        evidence.requests,
        slo,
        injected=Interval(begin_ns, begin_ns),
        zero_ns=begin_ns,
        horizon_s=(injected_ns - begin_ns) / 1e9,
        until_ns=injected_ns,
        stopped_early=True,  # requests that were under way at the injection say nothing of the time before it
    )
    if before.impacted and not before.recovered:  # too late to date it, but the gate has found a good window
        well_ns = gate.hi_ns - round((slo.hold_s + slo.latency_s) * 1e9)
        before = replace(before, recovered=Interval(well_ns, well_ns))
    assert record.timeline is not None
    after = record.timeline.health
    spans = _hurt(before, begin_ns, injected_ns, margin_ns)
    if after.unknown_s > 0:  # somewhere too few requests tell, which moves the recovery
        return spans
    return spans + _hurt(after, injected_ns, stop_ns, margin_ns)


def _hurt(seen: Health, lo_ns: int, hi_ns: int, margin_ns: int) -> _Spans:
    if seen.impacted is None:
        return [(lo_ns, hi_ns, "no")]
    spans = [(lo_ns, seen.impacted.lo_ns - margin_ns, "no")]
    end_ns = seen.recovered.lo_ns - margin_ns if seen.recovered else hi_ns
    spans.append((seen.impacted.hi_ns + margin_ns, min(end_ns, hi_ns), "yes"))
    if seen.recovered:
        spans.append((seen.recovered.hi_ns + margin_ns, hi_ns, "no"))
    return [span for span in spans if span[0] < span[1]]


def _at(spans: _Spans, start_ns: int, end_ns: int) -> str:
    return next((what for lo, hi, what in spans if lo <= start_ns and end_ns <= hi), UNKNOWN)


def _label(phase: str, impaired: str, chaos: ChaosLevel, momentary: bool, coming: bool, hurt: bool) -> str:
    """One class for a detector to learn.

    A fault that is over at once goes on by its effect: until users are hurt by it, which is `coming`, and while they
    are. If they never are, nobody knows when it ended.
    """
    if phase == "fault":
        return chaos.family
    if phase == "before":
        return NORMAL if impaired == "no" else UNKNOWN
    if phase == "after" and (impaired == "yes" or (momentary and coming)):
        return chaos.family
    if phase == "after" and impaired == "no" and (hurt or not momentary):
        return NORMAL
    return UNKNOWN


def _hit(series: Series, hit: set[str]) -> str:
    if any(value in hit for value in series.labels.values()):
        return "yes"
    return "no" if "pod" in series.labels else ""
