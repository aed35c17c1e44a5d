"""A target that answers at once, for campaigns of thousands of trials: everything about them is real but the target.

Plan, children, Chaos Toolkit, store and display do all their work. The fault does nothing, there is no healer and no
load: the observation waits a known time and writes down requests that were never sent. `write` makes the matrix.
It also shows what a target of one's own needs: a class for `kind`, and here a `protocol` of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smartops_chaos.clock import Clock
from smartops_chaos.model import (
    Call,
    ClockOffset,
    FaultFact,
    Interval,
    LogLine,
    PlatformEvent,
    Request,
    Series,
    Variant,
)
from smartops_chaos.store import request_log
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets.base import Lane, LaneAddress, Target, Tell, When, silent
from smartops_chaos.trial.activities import calls
from smartops_chaos.trial.protocol import (
    after_activity_control,
    after_rollback_control,
    before_activity_control,
    before_rollback_control,
)

__all__ = [  # Chaos Toolkit finds them here
    "after_activity_control",
    "after_rollback_control",
    "before_activity_control",
    "before_rollback_control",
]

HEALER = """\
version: 1
name: stand-in
poll: 1ms
warm_up: 0s
workload: {path: /, timeout: 1s}
settings: {healer: [on, off]}
"""
FAULT = """\
title: Nothing
description: Takes no effect, at once.
configuration: {fault_id: by-hand}
method:
  - {type: action, name: inject, provider: {type: python, module: benchmarks.standin, func: nothing}}
  - {type: probe, name: confirm, tolerance: true, provider: {type: python, module: benchmarks.standin, func: nothing}}
rollbacks:
  - {type: action, name: revert, provider: {type: python, module: benchmarks.standin, func: nothing}}
extensions: [{name: smartops-chaos, family: nothing, lasting: false}]
"""
MATRIX = """\
version: 1
name: standin
target:
  {{kind: "benchmarks.standin:StandIn", healer: ./healer.yaml, protocol: benchmarks.standin, lanes: {lanes},
    least_s: {least_s}, most_s: {most_s}}}
factors:
  chaos: {{nothing: {{fault: ./nothing.yaml}}, none: {{}}}}
  model: {{off: {{healer: off}}, on: {{healer: on}}}}
  workload: {{steady: {{rate: 40/s}}}}
repeats: {repeats}
calibrate: 0
baseline: {{model: off, policy: default}}
slo: {{latency: 50ms, objective: 90%, hold: 500ms}}
horizon: {{after: 2s, because: "a stand-in"}}
"""
_RATE_PER_S = 40.0


def write(folder: Path, *, repeats: int, lanes: int, least_s: float = 0.0, most_s: float = 0.0) -> Path:
    """Write a matrix of 4 x `repeats` trials, each of which takes between `least_s` and `most_s`; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "healer.yaml").write_text(HEALER, encoding="utf-8")
    (folder / "nothing.yaml").write_text(FAULT, encoding="utf-8")
    matrix = folder / "standin.yaml"
    text = MATRIX.format(repeats=repeats, lanes=lanes, least_s=float(least_s), most_s=float(most_s))
    matrix.write_text(text, encoding="utf-8")
    return matrix


def takes_s(target: dict[str, Any], seed: int) -> float:
    """How long a trial of that seed is observed, in seconds: its own time, which no harness can shorten."""
    return float(target["least_s"] + (target["most_s"] - target["least_s"]) * (seed % 997) / 996)


class StandIn(Target):
    """The target: lanes without anything behind them."""

    def __init__(self, options: dict[str, Any], lanes: int) -> None:
        self._kind, self._lanes = options["kind"], lanes

    @staticmethod
    def connect(options: dict[str, Any], address: LaneAddress) -> StandInLane:
        del options
        return StandInLane(address)

    def check(self) -> list[tuple[str, str]]:
        return []

    def open(self, directory: Path, say: Tell = silent) -> Sequence[LaneAddress]:
        del directory, say
        nowhere = {"SMARTOPS_WORKLOAD_URL": "http://127.0.0.1"}
        return [LaneAddress(self._kind, f"lane-{number + 1}", nowhere) for number in range(self._lanes)]

    def revive(self, lane: LaneAddress) -> LaneAddress:
        return lane

    def clear(self, directory: Path) -> None: ...

    def close(self) -> None: ...

    def restore(self, directory: Path) -> list[str]:
        del directory
        return []


class StandInLane(Lane):
    """One lane: healthy, clean and silent."""

    def __init__(self, address: LaneAddress) -> None:
        self.address = address

    def apply(self, model: Variant, policy: Variant) -> None: ...

    def reset(self) -> None: ...

    def watch(self, folder: Path, clock: Clock) -> None: ...

    def unwatch(self) -> None: ...

    def armed(self) -> bool:
        return True

    def leaks(self) -> list[str]:
        return []

    def faults(self, ids: Sequence[str], calls: Sequence[Call]) -> tuple[FaultFact, ...]:
        now_ns = time.time_ns()
        denied = {call.part for call in calls if call.what == "confirm" and not call.ok}
        return tuple(
            FaultFact(part, fault_id, part not in denied, "none", (), Interval(now_ns, now_ns), "momentary")
            for part, fault_id in enumerate(ids)
        )

    def platform(self, since_ns: int) -> tuple[PlatformEvent, ...]:
        del since_ns
        return ()

    def lost(self, since_ns: int) -> tuple[str, ...]:
        del since_ns
        return ()

    def logs(self, since_ns: int) -> tuple[LogLine, ...]:
        del since_ns
        return ()

    def series(self, names: Sequence[str], start_ns: int, end_ns: int) -> tuple[tuple[Series, ...], float]:
        del names, start_ns, end_ns
        return (), 0.0

    def clocks(self, when: When, clock: Clock) -> tuple[ClockOffset, ...]:
        del when, clock
        return ()


# ---- what the experiment calls, in place of smartops_chaos.trial.protocol ------------------------------------------


def nothing() -> bool:
    return True


def gate(configuration: dict[str, Any], **_: Any) -> bool:
    """Healthy: one good request is what shows it, should the trial end before it is observed."""
    trial = TrialFolder(Path(configuration["trial_dir"]))
    request = Request(trial.clock()[0].now_ns(), 0, 1_000_000, 200)
    trial.requests_file.write_text(request_log.line(request), encoding="ascii")
    return True


def observe(slo: dict[str, float], horizon_s: float, configuration: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Wait the trial's own time; then claim that the service failed at once, and recovered unless the healer is off.

    How long the outage lasts is a share of the horizon by the trial's seed.
    """
    trial = TrialFolder(Path(configuration["trial_dir"]))
    begun_ns = trial.clock()[0].now_ns()
    job = trial.read_experiment()["extensions"][0]["job"]
    seed = job["trial"]["seed"]
    time.sleep(takes_s(job["target"], seed))
    injected = [call.at.hi_ns for call in calls(trial) if call.what == "inject"]
    zero_ns = max(injected, default=begun_ns)
    share = 1.0 if job["model"]["settings"]["healer"] == "off" else 0.2 + 0.4 * (seed % 991) / 990
    outage_ns = int(share * (horizon_s + slo["hold_s"]) * 1e9) if injected else 0
    until_ns = zero_ns + int((horizon_s + slo["hold_s"] + 1) * 1e9)
    with trial.requests_file.open("w", encoding="ascii") as out:
        for sched_ns in range(zero_ns + 1, until_ns, int(1e9 / _RATE_PER_S)):
            status = 503 if sched_ns < zero_ns + outage_ns else 200
            out.write(request_log.line(Request(sched_ns, 0, 1_000_000, status)))
    return {"until_ns": until_ns, "early": False}
