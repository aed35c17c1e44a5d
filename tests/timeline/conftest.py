"""Trials as stories: when the service was bad, what the healer wrote, what the platform did -> Evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from smartops_chaos.model import (
    Call,
    ChaosLevel,
    ClockOffset,
    Evidence,
    FaultFact,
    FaultPart,
    Interval,
    LogLine,
    PlatformEvent,
    Record,
    Request,
    Series,
    Slo,
    Trial,
)
from smartops_chaos.schema.healerfile import HealerFile, load
from smartops_chaos.timeline.derive import derive, explain

ERP = "smartops-erp-simulator"
Span = tuple[float, float]


@dataclass(frozen=True)
class Story:
    """Seconds count from the injection, which took 20 ms around 0. Requests are sent evenly, from 5 s before."""

    bad: Sequence[Span] = ()  # when every request is refused
    bad_at: Sequence[int] = ()  # single bad requests, by number from the injection
    gaps: Sequence[Span] = ()  # when no request is scheduled
    logs: Sequence[tuple[float, str]] = ()
    ready: Sequence[tuple[float, str, Any]] = ()  # time, object, cause
    ended: float | None = None
    ended_by: Any = ""
    confirmed: bool = True
    families: tuple[str, ...] = ("cpu",)
    objects: tuple[str, ...] = (f"{ERP}/{ERP}-1",)
    series: tuple[Series, ...] = ()
    until: float | None = None
    rate: float = 40.0
    late_s: float = 0.001
    horizon: float = 12.0
    hold: float = 2.0
    phase: Any = "measure"
    base_ns: int = 1_800_000_000_000_000_000
    more: dict[str, Any] = field(default_factory=dict)  # fields of Evidence

    def ns(self, seconds: float) -> int:
        return self.base_ns + round(seconds * 1e9)

    def point(self, seconds: float) -> Interval:
        return Interval(self.ns(seconds), self.ns(seconds))

    def requests(self) -> tuple[Request, ...]:
        until = self.horizon + self.hold if self.until is None else self.until
        made = []
        for n in range(round(-5 * self.rate), round((until + 0.5) * self.rate)):
            at = n / self.rate
            if any(lo <= at < hi for lo, hi in self.gaps):
                continue
            bad = n in self.bad_at or any(lo <= at < hi for lo, hi in self.bad)
            late = round(self.late_s * 1e9)
            made.append(Request(self.ns(at), late, -1 if bad else late + 20_000_000, 0 if bad else 200))
        return tuple(made)

    def evidence(self) -> Evidence:
        chaos = self.chaos()
        parts = range(len(chaos.parts))
        until = self.horizon + self.hold if self.until is None else self.until
        inject = Interval(self.ns(-0.01), self.ns(0.01))
        calls = [Call("inject", part, inject, True) for part in parts]
        calls.append(Call("observe", -1, Interval(self.ns(0.02 if parts else 0.0), self.ns(until)), True))
        ended = None if self.ended is None else self.point(self.ended)
        facts = [FaultFact(p, f"f{p}", self.confirmed, "", self.objects, ended, self.ended_by) for p in parts]
        values: dict[str, Any] = {
            "trial": Trial("t", self.phase, "cpu-90", "steady", "zscore", "default", 1, 1, 7),
            "attempt": 1,
            "lane": "lane-1",
            "started_at": "2026-11-24T09:00:00+00:00",
            "slo": Slo(0.25, 0.95, self.hold),
            "horizon_s": self.horizon,
            "stop_after_good_s": 4.0,
            "requests": self.requests(),
            "observed_until_ns": self.ns(until),
            "stopped_early": False,
            "gate_passed": True,
            "gate_false_alarms": 0,
            "calls": tuple(calls),
            "faults": tuple(facts),
            "platform": tuple(PlatformEvent(self.point(t), name, "ready", cause) for t, name, cause in self.ready),
            "series": self.series,
            "scrape_s": 0.003,
            "logs": tuple(LogLine(self.ns(t), "smartops-orchestrator", text) for t, text in self.logs),
            "clocks": (ClockOffset("node", "start", 0, 0), ClockOffset("node", "end", 0, 0)),
        }
        return Evidence(**(values | self.more))

    def chaos(self) -> ChaosLevel:
        parts = tuple(FaultPart(family, family, True, {}, {}) for family in self.families)
        return ChaosLevel("cpu-90", parts, "+".join(sorted(self.families)) or "none", self.horizon, "demonstration")

    def record(self, healer: HealerFile | None = None) -> Record:
        return derive(self.evidence(), healer or load("lab"), "demo-1", self.chaos())

    def row(self) -> dict[str, Any]:
        return dict(self.record().row)

    def explained(self) -> str:
        return explain(self.evidence(), load("lab"), self.chaos())

    def ended_as(self) -> tuple[Any, Any]:
        row = self.row()
        return row["outcome"], row["reason"]


def loop(
    anomaly: float | None = None,
    rca: float | None = None,
    act: float | None = None,
    *,
    kind: str = "restart",
    target: str = f"lab/{ERP}",
    status: str = "success",
    verified: float | None = None,
) -> list[tuple[float, str]]:
    """The healer's lines, in the forms of SmartOps: signals, decision, action, verification."""
    lines: list[tuple[float, str]] = []
    if anomaly is not None:
        lines.append((anomaly, 'INFO:     127.0.0.1:57074 - "POST /v1/signals/anomaly HTTP/1.1" 202 Accepted'))
    if rca is not None:
        causes = "[{'svc': 'erp', 'cause': 'Resource Saturation', 'probability': 0.8}, {'cause': 'Service Timeout'}]"
        lines.append((rca, 'INFO:     127.0.0.1:57088 - "POST /v1/signals/rca HTTP/1.1" 202 Accepted'))
        lines.append((rca + 0.002, f"SIGNAL_RAW | kind=rca | type=RcaSignal | data={{'rankedCauses': {causes}}}"))
    if act is not None:
        decision = '{"ts_utc": "x", "decision": "action", "policy": "restart_on_resource", "priority": 10}'
        lines.append((act - 0.02, f"POLICY_ENGINE_RESPONSE={decision}"))
        lines.append((act - 0.01, f"ClosedLoopManager: executing {kind} on {target} (attempt=0 windowId=w-1)"))
        done = f"Action completed: type={kind} target=Deployment {target} status={status} duration=0.01s attempts=1"
        lines.append((act, done))
    if verified is not None:
        lines.append((verified, f"ClosedLoopManager: action {kind} on {target} verified successfully in 1.90s"))
    return lines


@pytest.fixture(scope="session")
def story() -> type[Story]:
    return Story


@pytest.fixture(scope="session")
def healer_lines() -> Callable[..., list[tuple[float, str]]]:
    return loop
