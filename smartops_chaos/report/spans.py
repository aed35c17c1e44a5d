"""The spans of the traces that a trial's timeline names, as a table: who was busy with what, when, for how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smartops_chaos.analysis.words import NONE, count, number
from smartops_chaos.model import Evidence, Plan, Record
from smartops_chaos.report.document import Table, col, table
from smartops_chaos.timeline.interval import frame
from smartops_chaos.timeline.waterfall import Row, Trace, uncertainty_s, waterfall

_Line = tuple[Trace, Row | None]  # None: what stands for spans that are not there


def tables(plan: Plan, trials: Sequence[tuple[Evidence, Record]]) -> Iterator[Table]:
    """One for each trial for which a store of traces was asked."""
    for evidence, record in trials:
        at = frame(evidence, len(plan.chaos[evidence.trial.chaos].parts))
        if at is not None and record.timeline is not None:
            found = waterfall(evidence, at, record.timeline.events)
            if found or evidence.untraced:
                yield _table(evidence, found)


_ID = 8  # letters of a trace's ID: enough to find it in its store


def _table(evidence: Evidence, traces: Sequence[Trace]) -> Table:
    lines: list[_Line] = []
    for trace in traces:
        lines += [(trace, row) for row in trace.rows]
        lines += [(trace, None)] if trace.left_out or not trace.rows else []
    unread = f"They could not be read: {evidence.untraced}. " if evidence.untraced else ""
    return table(
        f"tab-spans-{evidence.trial.id}",
        f"What the services did: spans of {evidence.trial.id}",
        lines,
        [
            col("Trace", lambda line: f"{', '.join(line[0].named_by)}: {line[0].id[:_ID]}", grow=2),
            col("Operation", _operation, grow=3),
            col("Service", lambda line: line[1].service if line[1] else NONE, grow=2),
            col("Start\n[s]", lambda line: number(line[1].start_s, 3) if line[1] else NONE),
            col("Duration\n[s]", lambda line: number(line[1].duration_s, 3) if line[1] else NONE),
            col("Status", lambda line: (line[1].status if line[1] else "") or NONE, align="left"),
        ],
        f"{unread}Seconds since injection.",
        (
            ("·", "a step down: below an operation stands what it asked for"),
            ("Clock", f"that of the services is known to {1000 * uncertainty_s(evidence):.0f} ms"),
        ),
        group=True,
    )


def _operation(line: _Line) -> str:
    trace, row = line
    if row is not None:
        return "· " * row.depth + row.name
    return f"and {count(trace.left_out, 'further span')}" if trace.left_out else "its store has no span of it"
