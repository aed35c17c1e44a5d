"""Spans below the moments that name their trace, on the trial's own time."""

from __future__ import annotations

from typing import Any

from smartops_chaos.model import ClockOffset, Span
from smartops_chaos.schema.healerfile import load
from smartops_chaos.timeline.derive import explain, traces
from smartops_chaos.timeline.interval import frame
from smartops_chaos.timeline.tracing import trace_id, traces_of
from smartops_chaos.timeline.waterfall import FIRST_BAD, Row, uncertainty_s, waterfall
from tests.timeline.conftest import Story

HEALING, BASE_NS = "ab" * 16, Story.base_ns
ERP = "lab/smartops-erp-simulator"
TOLD = {
    1.0: 'POLICY_ENGINE_RESPONSE={"decision": "action", "policy": "restart_it"}',
    1.1: f"ClosedLoopManager: executing restart on {ERP} (attempt=0",
    1.2: f"Action completed: type=restart target=Deployment {ERP} status=success",
}
LINES = [(at, f"[trace_id={HEALING}] {text}") for at, text in TOLD.items()]


def span(name: str, parent: str, begin_s: float, end_s: float, status: str = "") -> Span:
    begin_ns, end_ns = (BASE_NS + round(at * 1e9) for at in (begin_s, end_s))
    return Span(HEALING, name, parent, "orchestrator", name, begin_ns, end_ns, status)


SPANS = (
    span("detect", "", 0.5, 0.6),
    span("loop", "detect", 0.6, 1.8),
    span("act", "loop", 1.1, 1.2, "error"),
    span("decide", "loop", 0.9, 1.0),
    span("orphan", "gone", 0.7, 0.8),
    span("own-parent", "own-parent", 2.0, 2.1),
)


def trial(story: Any, **more: Any) -> Any:
    return story(bad=[(0.3, 4.0)], logs=LINES, more={"traced": True, **more})


def test_the_timeline_names_the_traces_of_its_moments_and_the_first_bad_request(story: Any) -> None:
    told = trial(story)
    bad = trace_id(traces_of("t", 1), told.ns(0.3))
    found = traces(told.evidence(), load("lab"), told.chaos())
    assert found == (HEALING, bad)
    untraced = story(bad=[(0.3, 4.0)], logs=LINES)
    assert traces(untraced.evidence(), load("lab"), untraced.chaos()) == (HEALING,)
    nothing = story(bad=[(0.3, 4.0)])
    assert traces(nothing.evidence(), load("lab"), nothing.chaos()) == ()


def test_each_span_stands_below_who_asked_for_it(story: Any) -> None:
    told = trial(story)
    both = traces(told.evidence(), load("lab"), told.chaos())
    clocks = (ClockOffset("node", "start", 90_000_000, 110_000_000),)  # the node is 0.1 s ahead
    told = trial(story, traces=both, spans=SPANS, clocks=clocks)
    at = frame(told.evidence(), 1)
    assert at is not None
    healing, bad = waterfall(told.evidence(), at, told.record().timeline.events)
    assert (bad.named_by, bad.rows) == ((FIRST_BAD,), ())
    assert healing.named_by == ("decided", "acted")
    rows = [(row.depth, row.name, round(row.start_s, 3), round(row.duration_s, 3)) for row in healing.rows]
    assert rows == [
        (0, "detect", 0.4, 0.1),
        (1, "loop", 0.5, 1.2),
        (2, "decide", 0.8, 0.1),
        (2, "act", 1.0, 0.1),
        (0, "orphan", 0.6, 0.1),
        (0, "own-parent", 1.9, 0.1),
    ]
    assert healing.rows[3] == Row(
        2, "orchestrator", "act", healing.rows[3].start_s, healing.rows[3].duration_s, "error"
    )
    assert uncertainty_s(told.evidence()) == 0.01


def test_a_large_trace_is_cut(story: Any) -> None:
    many = tuple(span(f"s{n}", "", 1 + n / 100, 2) for n in range(100))
    told = trial(story, traces=(HEALING,), spans=many)
    at = frame(told.evidence(), 1)
    assert at is not None
    (healing,) = waterfall(told.evidence(), at, told.record().timeline.events)
    assert len(healing.rows) + healing.left_out == 100
    assert 0 < len(healing.rows) < 100


def test_the_explanation_shows_them(story: Any) -> None:
    told = trial(story)
    both = traces(told.evidence(), load("lab"), told.chaos())
    told = trial(story, traces=both, spans=SPANS)
    text = explain(told.evidence(), load("lab"), told.chaos())
    assert f"  {HEALING}, of decided, acted\n      +0.500   0.100       orchestrator: detect\n" in text
    assert "      +1.100   0.100 error     orchestrator: act\n" in text
    assert f"  {both[1]}, of {FIRST_BAD}: its store has no span of it\n" in text
    gone = trial(story, untraced="the store of traces does not answer")
    assert "Traces: not read, since the store of traces" in explain(gone.evidence(), load("lab"), gone.chaos())
    assert "Traces" not in explain(trial(story).evidence(), load("lab"), told.chaos())
