"""How long trials take, and a campaign of them on several lanes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from smartops_chaos.model import Plan, Trial
from smartops_chaos.schema.clustertarget import between_s

_AROUND_S = 3.0  # reset, settling, start and end of processes, evidence: as measured on the lab


def likely_s(plan: Plan, trial: Trial) -> float:
    """Seconds that a trial takes if a healer that is on heals in a third of the horizon."""
    level, hold_s = plan.chaos[trial.chaos], plan.analysis.slo.hold_s
    settings = plan.models[trial.model].over(plan.policies[trial.policy])
    full_s = level.horizon_s + hold_s
    ends_early = level.parts and (trial.phase == "calibrate" or settings.get("healer") != "off")
    ends_early = ends_early and not trial.to_horizon
    observed_s = min(full_s, level.horizon_s / 3 + plan.analysis.stop_after_good_s) if ends_early else full_s
    return before_s(plan, 0.5) + observed_s


def upper_s(plan: Plan, trial: Trial) -> float:
    """Seconds that a trial takes if it is observed to the horizon and H."""
    return before_s(plan, 1.0) + plan.chaos[trial.chaos].horizon_s + plan.analysis.slo.hold_s


def before_s(plan: Plan, share_of_poll: float) -> float:
    """Seconds before the injection, and around a trial; the wait is a random share of one poll period."""
    wait_s = float(plan.healer["warm_up_s"]) + share_of_poll * float(plan.healer["poll_s"])
    return _AROUND_S + between_s(plan.target) + wait_s + plan.analysis.slo.hold_s


def blocks_s(trials: Sequence[Trial], durations_s: Iterable[float]) -> list[float]:
    """What is given to a lane as one: the trials of a block together, a calibration trial alone."""
    found: dict[int | str, float] = {}
    for trial, duration_s in zip(trials, durations_s, strict=True):
        key = trial.block or trial.id
        found[key] = found.get(key, 0.0) + float(duration_s)
    return list(found.values())


def makespan_s(durations_s: Iterable[float], lanes: int) -> float:
    """Seconds from the first start to the last end. A lane that is free takes the next block, in the order given."""
    free = [0.0] * lanes
    for duration_s in durations_s:
        heapq.heapreplace(free, free[0] + float(duration_s))
    return max(free)
