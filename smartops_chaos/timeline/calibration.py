"""What a calibration trial shows: how true the instrument's times are, apart from what the service itself needs.

In such a trial the healer is off and the harness ends the fault at a known second, F. Three things may follow, and each
is told on its own:

- *dating error*, of the instrument: the recovery as measured minus the true one. The true one is F, unless a backlog
  was waiting at F.
- *drain*, of the service: from F until its answers were good again, while it worked off a backlog. That is no error:
  a user waits so long, too. There is a backlog if more requests are in flight at F than at any moment of the window
  before the injection; if the answers already became slower in that window; or if the service was good, and bad once
  more. The true recovery is then the moment after the last bad answer of the outage (of the raw requests: no window,
  no rate). A queue that is worked off shrinks: while it goes on growing after F, the fault has not ended when the
  harness says it has, and so much is the instrument's error again. A queue of constant length is taken for a drain.
- *not recovered* by the horizon. Then there is nothing to date.

The instrument is off where the mean dating error of a scenario is more than the width of what was measured plus half a
second. Pure: requests and rows in, numbers and words out; the runner and the analysis decide by the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

from smartops_chaos.model import Evidence, Interval, Outcome, Request, Slo
from smartops_chaos.timeline.health import is_good

TOLERANCE_S = 0.5  # of a dating error, beyond the width of what was measured
_GROWN = 1.25  # times as many in flight as at F: beyond what chance adds to a queue that drains
_SLOWER = 1.25  # times: between the halves of the window before the injection
_SLOWER_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class Calibration:
    """Trials of a scenario in which the harness itself ended the fault at a known second."""

    chaos: str
    workload: str
    n: int  # that count
    error_s: float | None  # mean dating error of those that recovered
    width_s: float | None  # median width of that difference: of the recovery's interval and of the fault's end
    worst_s: float | None  # the dating error furthest from 0
    drain_s: float | None = None  # mean, of those that recovered; None: none did, or the table does not say
    not_recovered: int = 0
    left_out: int = 0  # invalid, error or aborted
    off: str = ""  # why nothing that was measured in this scenario is worth a verdict; empty: it is

    def __str__(self) -> str:
        """Such as "cpu-90 / steady: dating error +0.03 s (width 0.05 s), drain 0.4 s"."""
        told = (
            [] if self.error_s is None else [f"dating error {self.error_s:+.2f} s (width {self.width_s or 0.0:.2f} s)"]
        )
        if self.drain_s is not None:
            told.append(f"drain {self.drain_s:.2f} s")
        if self.not_recovered:
            told.append(f"{self.not_recovered} of {self.n} not recovered")
        return f"{self.chaos} / {self.workload}: {', '.join(told) or 'no trial counts'}"


def split(
    evidence: Evidence, injected_ns: int, ended: Interval, recovered: Interval | None, relapses: int
) -> tuple[float | None, float | None]:
    """Drain and dating error of one calibration trial, in seconds; None where it did not recover.

    `ended` is F and `recovered` the recovery as measured, both on the runner's clock.
    """
    if recovered is None:
        return None, None
    requests, slo = evidence.requests, evidence.slo
    end_ns = ended.mid_ns
    before = [r for r in requests if injected_ns - round(slo.hold_s * 1e9) <= r.sched_ns < injected_ns]
    flights = _Flights(requests)
    at_end = flights.at(end_ns)
    usual = max((flights.at(r.sched_ns) for r in before), default=0)
    good_ns = end_ns
    if at_end > usual or relapses or _slowing(before):
        good_ns = max(end_ns, _good_again_ns(requests, slo, ended, recovered))
    busiest_ns = max((r.sched_ns for r in requests if end_ns < r.sched_ns < good_ns), key=flights.at, default=end_ns)
    draining_ns = busiest_ns if flights.at(busiest_ns) > _GROWN * at_end + 2 else end_ns
    error_ns = recovered.mid_ns - good_ns + draining_ns - end_ns
    return (good_ns - draining_ns) / 1e9, error_ns / 1e9


class _Flights:
    """How many requests were in flight at a moment: sent, and answered only later. One without any answer is in no
    queue that drains."""

    def __init__(self, requests: Iterable[Request]) -> None:
        answered = [r for r in requests if r.latency_ns >= 0]
        self._begun = sorted(r.sched_ns for r in answered)
        self._ended = sorted(r.sched_ns + r.latency_ns for r in answered)

    def at(self, moment_ns: int) -> int:
        return bisect_left(self._begun, moment_ns) - bisect_left(self._ended, moment_ns)


def _slowing(before: Sequence[Request]) -> bool:
    """Whether the answers became slower while nothing was injected yet: a queue was growing."""
    latencies = [r.latency_ns for r in before if r.latency_ns >= 0]
    if len(latencies) < 4:
        return False
    early, late = median(latencies[: len(latencies) // 2]), median(latencies[len(latencies) // 2 :])
    return late > _SLOWER * early and late - early > _SLOWER_NS


def _good_again_ns(requests: Sequence[Request], slo: Slo, ended: Interval, recovered: Interval) -> int:
    """The middle between the outage's last bad request and the one after it; F if there is none since then.

    Up to the measured recovery every bad request belongs to the outage; after it those do that follow one another more
    closely than the objective would bear for long.
    """
    latency_ns, hold_ns = round(slo.latency_s * 1e9), round(slo.hold_s * 1e9)
    after = [r for r in requests if r.sched_ns >= ended.mid_ns]
    first_window = bisect_left(after, ended.mid_ns + hold_ns, key=lambda r: r.sched_ns)
    closest_ns = hold_ns / (math.floor(round((1 - slo.objective) * first_window, 9)) + 1)
    last_ns = next_ns = ended.mid_ns
    for index, request in enumerate(after):
        if request.sched_ns > max(recovered.hi_ns, last_ns) + closest_ns:
            break
        if not is_good(request, latency_ns):
            last_ns = request.sched_ns
            next_ns = after[index + 1].sched_ns if index + 1 < len(after) else last_ns
    return (last_ns + next_ns) // 2


def calibrations(rows: Iterable[Mapping[str, object]]) -> tuple[Calibration, ...]:
    """By scenario, from rows of the trials table whose phase is `calibrate`.

    In a table that does not tell the dating error it is the time of recovery minus the fault's end, drain included.
    """
    found: defaultdict[tuple[str, str], list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        found[str(row["chaos"]), str(row["workload"])].append(row)
    told = [_scenario(*key, trials) for key, trials in sorted(found.items())]
    return tuple(one for one in told if one.n or one.left_out)


def _scenario(chaos: str, workload: str, trials: Sequence[Mapping[str, object]]) -> Calibration:
    left_out = sum(row["outcome"] in (Outcome.INVALID, Outcome.ERROR, Outcome.ABORTED) for row in trials)
    ours = [row for row in trials if row.get("fault_end_by") == "harness" and _number(row, "time_s") is not None]
    back = [row for row in ours if _recovered(row)]
    errors = [error for row in back if (error := _error(row)) is not None]
    drains = [drain for row in back if (drain := _number(row, "drain_s")) is not None]
    widths = [width for row in back if (width := _width(row)) is not None]
    scenario = Calibration(
        chaos=chaos,
        workload=workload,
        n=len(ours),
        error_s=mean(errors) if errors else None,
        width_s=median(widths) if widths else None,
        worst_s=max(errors, key=abs) if errors else None,
        drain_s=mean(drains) if drains else None,
        not_recovered=len(ours) - len(back),
        left_out=left_out,
    )
    return replace(scenario, off=_off(scenario))


def _off(found: Calibration) -> str:
    where = f"the calibration of {found.chaos} / {found.workload}"
    if 2 * found.not_recovered >= max(1, found.n):
        count = "" if found.n == 1 else f" in {found.not_recovered} of {found.n} trials"
        return (
            f"{where} did not recover by the horizon{count}, though the harness itself had ended the fault: the "
            "service is too slow or overloaded here, or the fault is not really ended"
        )
    error = found.error_s
    if error is None or abs(error) <= (found.width_s or 0.0) + TOLERANCE_S:
        return ""
    return (
        f"{where} is off by {error:+.1f} s, more than its measuring error ({found.width_s or 0.0:.2f} s) and "
        f"{TOLERANCE_S:g} s: this machine was too busy to measure, or the fault did not end when the harness ended it"
    )


def _recovered(row: Mapping[str, object]) -> bool:
    if row["outcome"] == Outcome.UNRECOVERED:
        return False
    return row["outcome"] != Outcome.HARMED or row.get("reason") != "unrecovered"


def _error(row: Mapping[str, object]) -> float | None:
    if (told := _number(row, "dating_error_s")) is not None:
        return told
    time_s, end_s = _number(row, "time_s"), _number(row, "fault_end_s")
    return None if time_s is None or end_s is None else time_s - end_s


def _width(row: Mapping[str, object]) -> float | None:
    lo, hi = _number(row, "recovered_lo_s"), _number(row, "recovered_hi_s")
    return None if lo is None or hi is None else hi - lo + (_number(row, "fault_end_width_s") or 0.0)


def _number(row: Mapping[str, object], column: str) -> float | None:
    value = row.get(column)
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else None
