"""Numbers of incidents that came by themselves: the same estimators as a campaign's, from the impact on.

    MTTR        mean time from the impact to the recovery, where an incident beyond the horizon counts as the horizon
                (restricted mean), with the interval of `analysis.likelihood_ratio`, which stays true for few incidents
    auto-heal   the share that ended before the horizon, and with a person's help or not nobody can tell; `by_healer` is
                the share that the healer ended, with Wilson's interval

    needless    actions of the healer that belong to no incident, by kind

An incident during a fault of a campaign did not come by itself: it is counted apart and is in no number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from smartops_chaos.analysis.likelihood_ratio import Trials, interval
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.errors import NothingSelected
from smartops_chaos.model import ALPHA, Action, Outcome
from smartops_chaos.timeline.incident import Incident

Range = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class IncidentNumbers:
    """None means "cannot be given", never zero."""

    namespace: str
    service: str
    n: int  # that came by themselves
    in_campaigns: int  # during faults of campaigns; in no other number
    outcomes: Mapping[str, int]
    horizon_s: float
    mttr_s: float | None
    mttr: Range
    median_s: float | None  # None: half of them did not recover by the horizon
    detected: int
    detection_s: float | None  # mean of those that were detected
    by_healer: float | None
    healer: Range
    unrecovered: int
    bad_s: float
    begun_ns: int  # of the first and of the last one
    ended_ns: int
    needless: Mapping[str, int]


def scored_s(incident: Incident, horizon_s: float) -> float:
    """From the impact to the recovery; the horizon where it came later, or did not come."""
    recovered_s = incident.seconds_to("recovered")
    return horizon_s if recovered_s is None else min(recovered_s, horizon_s)


def numbers(incidents: Sequence[Incident], needless: Sequence[Action] = ()) -> IncidentNumbers:
    """Raises NothingSelected where nothing has come by itself.

    Where the horizon was changed in between, the shortest one holds for all: longer times are not comparable.
    """
    own = [one for one in incidents if not one.fault]
    if not own:
        what = "there is no incident on record that came by itself"
        raise NothingSelected(what, "that is good news; a campaign shows what a report looks like")
    horizon_s = min(one.horizon_s for one in own)
    times = [scored_s(one, horizon_s) for one in own]
    detections = [found for one in own if (found := one.seconds_to("detected")) is not None]
    healed = sum(one.outcome == Outcome.HEALED for one in own)
    middle = median(times)
    return IncidentNumbers(
        namespace=own[0].namespace,
        service=own[0].service,
        n=len(own),
        in_campaigns=len(incidents) - len(own),
        outcomes=dict(sorted(Counter(str(one.outcome) for one in own).items())),
        horizon_s=horizon_s,
        mttr_s=float(np.mean(times)),
        mttr=interval([Trials(np.array(times), horizon_s)], ALPHA),
        median_s=middle if middle < horizon_s else None,
        detected=len(detections),
        detection_s=float(np.mean(detections)) if detections else None,
        by_healer=healed / len(own),
        healer=wilson(healed, len(own), ALPHA),
        unrecovered=sum(time >= horizon_s for time in times),
        bad_s=sum(one.timeline.health.bad_s for one in own),
        begun_ns=own[0].impacted.lo_ns,
        ended_ns=max(one.until_ns for one in own),
        needless=dict(sorted(Counter(one.kind for one in needless).items())),
    )
