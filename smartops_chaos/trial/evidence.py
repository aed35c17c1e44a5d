"""What the sources say of a trial, and what became of its faults.

A source that cannot be read leaves a note and no number.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any, Protocol

from smartops_chaos.clock import Clock
from smartops_chaos.model import AlertRule, Call, ChaosLevel, ClockOffset, Evidence, FaultFact, LogLine, Series
from smartops_chaos.schema.healerfile import HealerFile, LokiLogs
from smartops_chaos.targets.base import Lane
from smartops_chaos.telemetry.alerts import Alerts
from smartops_chaos.telemetry.loki import Found
from smartops_chaos.telemetry.traces import MOST, TracesError
from smartops_chaos.timeline.derive import traces
from smartops_chaos.timeline.interval import offset_of
from smartops_chaos.timeline.rules import METRICS_CLOCK, NODE_CLOCK

_LONGEST_WAIT_S = 60.0  # for the last scrape: no interval is longer in practice, and a lane waits as long
_STORED_NS = 100_000_000  # from the end of a scrape until it can be asked for
_UP = "up"

logger = logging.getLogger("smartops_chaos")


class HealerSources(Protocol):
    """Where a healer tells what it does; a lane is one, and so is what a monitor reads."""

    def logs(self, since_ns: int, /) -> tuple[LogLine, ...]: ...

    def lost(self, since_ns: int, /) -> tuple[str, ...]: ...

    def series(self, names: Sequence[str], start_ns: int, end_ns: int, /) -> tuple[tuple[Series, ...], float]: ...

    def alerts(self, names: Sequence[str], start_ns: int, end_ns: int, /) -> Alerts: ...

    def stored_logs(self, logs: LokiLogs, start_ns: int, end_ns: int, /) -> Found | None: ...


def collect(
    lane: HealerSources,
    healer: HealerFile,
    clocks: Sequence[ClockOffset],
    since_ns: int,
    needed_ns: int,
    clock: Clock | None,
) -> dict[str, Any]:
    """The fields of Evidence that come from telemetry, from `since` until now; without `clock` only the lane's lines.

    What happened until `needed` must be in the metrics: the scrapes that show it are waited for. A server is asked for
    the window on its own clock, as far as `clocks` tell it: with a clock that is minutes ahead it would otherwise have
    nothing to say. Raises LaneLost.
    """
    found: dict[str, Any] = {}
    missing: list[str] = []
    if clock is not None and (healer.metrics or healer.alerts):
        ahead = offset_of(clocks, METRICS_CLOCK)
        found, missing = _metrics(lane, healer, since_ns + ahead.lo_ns, clock.now_ns() + ahead.hi_ns)
        series, rules = found.get("series", ()), found.get("alert_rules", ())
        due_ns = complete_ns(series, rules, needed_ns + ahead.hi_ns, found.get("scrape_s", 0.0))
        wait_s = (due_ns - ahead.lo_ns - clock.now_ns()) / 1e9
        if wait_s > 0:
            logger.info("phase last scrape")
            time.sleep(min(wait_s, _LONGEST_WAIT_S))
            found, missing = _metrics(lane, healer, since_ns + ahead.lo_ns, clock.now_ns() + ahead.hi_ns)
    found["logs"] = lane.logs(since_ns)
    missing += lane.lost(since_ns)
    if clock is not None and healer.loki is not None:
        logger.info("phase late lines")
        ahead = offset_of(clocks, NODE_CLOCK)
        with _reading("Loki", missing):
            stored = lane.stored_logs(healer.loki, since_ns + ahead.lo_ns, clock.now_ns() + ahead.hi_ns)
            if stored is not None:
                # A line that both have would count twice: as two actions, or two refusals.
                own = {line.component for line in found["logs"]}
                found["logs"] = (*found["logs"], *(line for line in stored.lines if line.component not in own))
                missing += stored.notes
    return found | {"missing": tuple(missing)}


def with_spans(lane: Lane, evidence: Evidence, healer: HealerFile, chaos: ChaosLevel) -> Evidence:
    """The evidence, and with it the spans of the traces that its timeline names. Raises LaneLost."""
    ids = traces(evidence, healer, chaos)[:MOST]
    try:
        spans = lane.traces(ids) if ids else None
    except TracesError as error:
        return replace(evidence, untraced=str(error))
    return evidence if spans is None else replace(evidence, traces=ids, spans=spans)


def complete_ns(series: Iterable[Series], rules: Iterable[AlertRule], needed_ns: int, scrape_s: float) -> int:
    """When all that happened until `needed` is stored: every target scraped once more, every alert evaluated after it.

    0 where there is nothing to wait for. All on Prometheus' clock. A target that has missed its last scrape is gone.
    """
    ups = [one.at_ns for one in series if one.name == _UP and len(one.at_ns) > 1]
    newest_ns = max((stamps[-1] for stamps in ups), default=0)
    due = [0]
    for stamps in ups:
        interval_ns = round(median(later - earlier for earlier, later in pairwise(stamps)))
        if stamps[-1] < needed_ns and newest_ns - stamps[-1] <= interval_ns:
            due.append(stamps[-1] + interval_ns + round(scrape_s * 1e9) + _STORED_NS)
    due += [needed_ns + round((rule.evaluation_s + rule.scrape_s + scrape_s) * 1e9) + _STORED_NS for rule in rules]
    return max(due)


def _metrics(lane: HealerSources, healer: HealerFile, start_ns: int, end_ns: int) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    missing: list[str] = []
    with _reading("metrics", missing):
        found["series"], found["scrape_s"] = lane.series(healer.metrics, start_ns, end_ns)
    if healer.alerts:
        with _reading("alerts", missing):
            alerts = lane.alerts(healer.alerts, start_ns, end_ns)
            found["series"] = (*found.get("series", ()), *alerts.series)
            found["alert_rules"] = alerts.rules
    return found, missing


@contextmanager
def _reading(what: str, missing: list[str]) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        missing.append(f"{what}: {error}")


def fault_facts(
    lane: Lane, ids: Sequence[str], hits: Sequence[Sequence[str]], calls: Sequence[Call]
) -> tuple[FaultFact, ...]:
    """What became of a trial's faults: the target's own account, and ours for a fault that it does not know.

    A fault of any Chaos Toolkit extension is known to nobody but its own activities: then its confirmation and its
    rollback speak for it, and its file says what it hits. `hits` are those objects, for each part. Raises LaneLost.
    """
    if not any(call.what == "inject" for call in calls):
        return ()
    known = {fact.part: fact for fact in lane.faults(ids, calls)}
    return tuple(known.get(part) or _by_its_activities(part, ids[part], hits[part], calls) for part in range(len(ids)))


def _by_its_activities(part: int, fault_id: str, hits: Sequence[str], calls: Sequence[Call]) -> FaultFact:
    confirmed = [call for call in calls if (call.what, call.part) == ("confirm", part)]
    reverted = [call for call in calls if (call.what, call.part) == ("revert", part) and call.ok]
    receipts: list[Any] = [call.output for call in calls if (call.what, call.part) == ("inject", part)]
    said = [str(name) for receipt in receipts if isinstance(receipt, dict) for name in receipt.get("objects") or ()]
    return FaultFact(
        part=part,
        id=fault_id,
        confirmed=bool(confirmed) and all(call.ok for call in confirmed),
        effect=str(confirmed[-1].output)[:200] if confirmed else "",
        objects=tuple(said or hits),
        ended=reverted[0].at if reverted else None,
        ended_by="harness" if reverted else "",
    )
