"""The traces that a timeline names, and their spans as a waterfall: who was busy with what, when, for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from smartops_chaos.model import Event, Evidence, Interval, Request, Span
from smartops_chaos.timeline import health
from smartops_chaos.timeline.interval import Frame, offset_of, shift
from smartops_chaos.timeline.rules import NODE_CLOCK
from smartops_chaos.timeline.tracing import trace_id, traces_of

FIRST_BAD = "first bad request"
_MOST_ROWS = 30  # of one trace


@dataclass(frozen=True, slots=True)
class Row:
    """A span; `start_s` counts from the injection, by the node's clock as far as that is known."""

    depth: int  # 0: nobody in the trace has asked for it
    service: str
    name: str
    start_s: float
    duration_s: float
    status: str


@dataclass(frozen=True, slots=True)
class Trace:
    id: str
    named_by: tuple[str, ...]  # moments, or FIRST_BAD
    rows: tuple[Row, ...]  # none: the store did not know it
    left_out: int = 0  # further spans


def named(evidence: Evidence, at: Frame, events: Mapping[str, Event]) -> dict[str, tuple[str, ...]]:
    """ID of each trace that the timeline names -> what names it."""
    found: dict[str, tuple[str, ...]] = {}
    for moment, event in events.items():
        if trace := event.detail.get("trace"):
            found[trace] = (*found.get(trace, ()), moment)
    if (bad := first_bad(evidence, at)) is not None:
        found.setdefault(trace_id(traces_of(evidence.trial.id, evidence.attempt), bad.sched_ns), (FIRST_BAD,))
    return found


def first_bad(evidence: Evidence, at: Frame) -> Request | None:
    """The first bad request since the injection, where requests carry the ID of a trace."""
    if not evidence.traced:
        return None
    latency_ns = round(evidence.slo.latency_s * 1e9)
    later = (one for one in evidence.requests if one.sched_ns >= at.injected.lo_ns)
    return next((one for one in later if not health.is_good(one, latency_ns)), None)


def waterfall(evidence: Evidence, at: Frame, events: Mapping[str, Event]) -> tuple[Trace, ...]:
    """Every trace for which the store was asked."""
    names = named(evidence, at, events)
    return tuple(_trace(trace, names.get(trace, ()), evidence, at) for trace in evidence.traces)


def uncertainty_s(evidence: Evidence) -> float:
    """By how much each start may be off: the two clocks are known to each other so well."""
    offset = offset_of(evidence.clocks, NODE_CLOCK)
    return (offset.hi_ns - offset.lo_ns) / 2e9


def _trace(trace: str, named_by: tuple[str, ...], evidence: Evidence, at: Frame) -> Trace:
    spans = [span for span in evidence.spans if span.trace == trace]
    offset = offset_of(evidence.clocks, NODE_CLOCK)
    rows = [
        Row(
            depth,
            span.service,
            span.name,
            (shift(Interval(span.start_ns, span.start_ns), offset).mid_ns - at.zero.mid_ns) / 1e9,
            (span.end_ns - span.start_ns) / 1e9,
            span.status,
        )
        for depth, span in _in_order(spans)
    ]
    return Trace(trace, named_by, tuple(rows[:_MOST_ROWS]), max(0, len(rows) - _MOST_ROWS))


def _in_order(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each span before those that it has asked for, with its depth; the earlier first."""
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: one.start_ns, reverse=True):
        parent = span.parent if span.parent in known and span.parent != span.id else ""
        below.setdefault(parent, []).append(span)
    open_ = [(0, span) for span in below.pop("", ())]
    while open_:
        depth, span = open_.pop()
        yield depth, span
        open_ += [(depth + 1, child) for child in below.pop(span.id, ())]
