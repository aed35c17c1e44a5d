"""Do metrics and log lines tell the same? They speak of the same events, so each shows how far the other is right."""

from __future__ import annotations

from collections.abc import Iterable

from smartops_chaos.analysis.summary import MomentAgreement
from smartops_chaos.model import Record, Timeline
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.timeline.rules import metrics_told

# Moments that lines of an action's life tell too, and which of them.
_OF_ACTIONS = {"acted": "end", "verified": "verified"}


def agreement(records: Iterable[Record], healer: HealerFile) -> tuple[MomentAgreement, ...]:
    """One entry for each moment for which the healer file has rules of both kinds, over all trials whose telemetry is
    complete. Alike: both kinds matched, and their intervals meet.
    """
    timelines = [r.timeline for r in records if r.timeline and "telemetry_missing" not in str(r.row["flags"] or "")]
    return tuple(_of(moment, timelines) for moment in _told_twice(healer))


def _told_twice(healer: HealerFile) -> list[str]:
    lives = {step for step, rules in healer.actions if rules}
    found = []
    for moment, rules in healer.moments:
        logged = any(rule.reads_lines for rule in rules) or _OF_ACTIONS.get(moment) in lives
        if logged and any(not rule.reads_lines for rule in rules):
            found.append(moment)
    return found


def _of(moment: str, timelines: Iterable[Timeline]) -> MomentAgreement:
    alike = logs_only = metrics_only = apart = 0
    for timeline in timelines:
        event = timeline.events.get(moment)
        if event is None:
            continue
        kinds = {metrics_told(source) for source in event.sources}
        if any(conflict.startswith(f"{moment}: ") for conflict in timeline.conflicts):
            apart += 1
        elif kinds == {True, False}:
            alike += 1
        elif kinds == {True}:
            metrics_only += 1
        else:
            logs_only += 1
    return MomentAgreement(moment, alike, logs_only, metrics_only, apart)
