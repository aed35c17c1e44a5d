"""How many incidents are detected (or mitigated), and how soon: a race between detection and the end of the incident.

An incident that ends before anybody noticed is over: nothing is left to detect. To score it as undetected until the
horizon would punish the healer for what needed no detection, and to leave it out would hide it. So detection and end
are competing risks (Kalbfleisch and Prentice 2002, chapter 8): the incidence at t is the share of all incidents that
were detected by then and before their end. All are observed until the one or the other, or the horizon, so it is a mere
count. Beside it stands what chance would have detected: a healer that raises false alarms hits some incidents too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from smartops_chaos.analysis.rates import wilson


@dataclass(frozen=True, slots=True)
class Incident:
    """Seconds from the injection; None = never seen within the horizon."""

    seen_s: float | None  # the detection, or the mitigation
    over_s: float  # when the service had recovered; the horizon where it had not


@dataclass(frozen=True, slots=True)
class Control:
    """A trial without a fault."""

    alarm_s: float | None  # the first false alarm
    observed_s: float


@dataclass(frozen=True, slots=True)
class Race:
    """Of all incidents; the interval is Wilson's, two-sided at 2 alpha."""

    n: int
    seen: int  # before the end of the incident
    share: float
    lo: float
    hi: float
    mean_s: float | None  # of those seen; None: none was
    by_chance: float | None  # expected share that a false alarm would have hit; None: no control trial
    incidence: tuple[tuple[float, float], ...]  # steps of the curve: second, share seen by then


def race(incidents: Sequence[Incident], controls: Sequence[Control], alpha: float) -> Race:
    """`incidents` is not empty."""
    n = len(incidents)
    times = sorted(one.seen_s for one in incidents if one.seen_s is not None and one.seen_s <= one.over_s)
    lo, hi = wilson(len(times), n, alpha)
    rate = alarm_rate(controls)
    return Race(
        n=n,
        seen=len(times),
        share=len(times) / n,
        lo=lo,
        hi=hi,
        mean_s=sum(times) / len(times) if times else None,
        by_chance=None if rate is None else sum(1 - exp(-rate * one.over_s) for one in incidents) / n,
        incidence=tuple((at, i / n) for i, at in enumerate(times, 1) if i == len(times) or times[i] > at),
    )


def alarm_rate(controls: Sequence[Control]) -> float | None:
    """False alarms per second: the first ones over the time until them, as if they came at a constant rate."""
    at_risk_s = sum(one.observed_s if one.alarm_s is None else one.alarm_s for one in controls)
    return sum(one.alarm_s is not None for one in controls) / at_risk_s if at_risk_s > 0 else None
