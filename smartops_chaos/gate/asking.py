"""The questions of a gate, asked: each with its answer, or with the reason why there is none. All of it is evidence."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.gate.grid import Grid
from smartops_chaos.gate.questions import CLOCK, RULES, GateQuestion
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import Connection
from smartops_chaos.telemetry.prometheus import PrometheusError

_PATIENCE_S = 60.0  # for a window of days


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what came of it. Either `answer` (JSON, as the source gave it) or `error` tells something."""

    source: str  # such as "Prometheus"
    question: str
    answer: Any = None
    error: str = ""


Answers = Mapping[str, Asked]  # by key


def ask_grid(source: Connection, questions: tuple[GateQuestion, ...], grid: Grid) -> dict[str, Asked]:
    """Each question for each slot of the grid and for the one before it.

    A server that does not answer is asked no more.
    """
    patient = replace(source, timeout_s=_PATIENCE_S)
    found: dict[str, Asked] = {}
    silent = ""
    for one in questions:
        asked = Asked(f"Prometheus at {source.url}", one.query)
        if silent:
            found[one.key] = replace(asked, error=silent)
            continue
        span = {"start": stamp(grid.start_s), "end": stamp(grid.at_s), "step": str(grid.step_s)}
        try:
            answer = prometheus.data(patient, "/api/v1/query_range", {"query": one.query, **span})
        except PrometheusError as error:
            found[one.key] = replace(asked, error=f"{error}" + (f": {error.said}" if error.said else ""))
            silent = "" if error.status else str(error)
        else:
            found[one.key] = replace(asked, answer=answer)
    return found


def ask_now(source: Connection) -> dict[str, Asked]:
    """What only the present tells: Prometheus' clock against ours, and which rules it has."""
    where = f"Prometheus at {source.url}"
    clock, rules = Asked(where, "time() minus our clock, seconds"), Asked(where, "/api/v1/rules")
    try:
        low, high = prometheus.offset_ns(source, Clock.anchored())
        clock = replace(clock, answer=round((low + high) / 2e9, 3))
        rules = replace(rules, answer=prometheus.data(source, "/api/v1/rules", {}))
    except PrometheusError as error:
        clock, rules = (one if one.answer is not None else replace(one, error=f"{error}") for one in (clock, rules))
    return {CLOCK: clock, RULES: rules}


def now_of(answers: Answers) -> float:
    """The present by Prometheus' clock, whose stamps are judged; by ours, if it does not tell. Whole seconds."""
    offset = answers[CLOCK].answer
    return float(int(time.time() + (offset or 0.0)))


def stamp(time_s: float) -> str:
    """A moment as Prometheus and people read it, to the second or, if it is between two, to the millisecond."""
    moment = datetime.fromtimestamp(time_s, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{moment.microsecond // 1000:03}" if time_s % 1 else "") + "Z"
