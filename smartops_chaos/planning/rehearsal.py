"""A simulated campaign decided as a real one would be: at its interim looks, at which the lanes wait for each other."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import pandas as pd

from smartops_chaos.analysis import interim, question
from smartops_chaos.model import Plan, Stop
from smartops_chaos.plan.durations import makespan_s
from smartops_chaos.plan.look_schedule import before_end, spared
from smartops_chaos.planning.simulate import Simulated


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the looks have stopped, and what was left to do."""

    stopped: tuple[Stop, ...]
    trials: int
    duration_s: float


def rehearse(plan: Plan, made: Simulated, lanes: int) -> Rehearsed:
    """What the looks would have made of a simulated campaign."""
    ends = before_end(plan)
    asked = interim.rehearse(pd.DataFrame(made.columns), question.of_plan(plan), ends)
    stops = tuple(asked.stopped.values())
    left_out = spared(plan, stops)
    parts: list[dict[int, float]] = [{} for _ in range(len(ends) + 1)]  # block -> seconds
    left = 0
    for trial, takes_s in zip(plan.measured, made.takes_s, strict=True):
        if trial.id not in left_out:
            part = parts[bisect_left(ends, trial.repeat)]
            part[trial.block] = part.get(trial.block, 0.0) + float(takes_s)
            left += 1
    return Rehearsed(stops, left, sum(makespan_s(part.values(), lanes) for part in parts))
