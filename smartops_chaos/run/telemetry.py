"""What the sources say of a trial. One that cannot be read leaves a note and no number."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.healerfile import HealerFile
from smartops_chaos.model import ClockOffset
from smartops_chaos.targets.base import Lane
from smartops_chaos.timeline.interval import offset_of
from smartops_chaos.timeline.rules import METRICS_CLOCK, NODE_CLOCK

_LAST_SCRAPE_S = 1.2

logger = logging.getLogger("smartops_chaos")


def collect(
    lane: Lane, healer: HealerFile, clocks: Sequence[ClockOffset], since_ns: int, clock: Clock | None
) -> dict[str, Any]:
    """The fields of Evidence that come from telemetry, from `since` until now; without `clock` only the lane's lines.

    A server is asked for the window on its own clock, as far as `clocks` tell it: with a clock that is minutes ahead
    it would otherwise have nothing to say. Raises LaneLost.
    """
    found: dict[str, Any] = {}
    missing: list[str] = []

    @contextmanager
    def reading(what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            missing.append(f"{what}: {error}")

    def window(source: str) -> tuple[int, int]:
        assert clock is not None
        ahead = offset_of(clocks, source)
        return since_ns + ahead.lo_ns, clock.now_ns() + ahead.hi_ns

    if clock is not None and (healer.metrics or healer.alerts):
        logger.info("phase last scrape")
        time.sleep(_LAST_SCRAPE_S)
        with reading("metrics"):
            found["series"], found["scrape_s"] = lane.series(healer.metrics, *window(METRICS_CLOCK))
    if clock is not None and healer.alerts:
        with reading("alerts"):
            alerts = lane.alerts(healer.alerts, *window(METRICS_CLOCK))
            found["series"] = (*found.get("series", ()), *alerts.series)
            found["alert_rules"] = alerts.rules
            missing += alerts.notes
    found["logs"] = lane.logs(since_ns)
    missing += lane.lost(since_ns)
    if clock is not None and healer.loki is not None:
        logger.info("phase late lines")
        with reading("Loki"):
            stored = lane.stored_logs(healer.loki, *window(NODE_CLOCK))
            if stored is not None:
                # A line that both have would count twice: as two actions, or two refusals.
                own = {line.component for line in found["logs"]}
                found["logs"] = (*found["logs"], *(line for line in stored.lines if line.component not in own))
                missing += stored.notes
    return found | {"missing": tuple(missing)}
