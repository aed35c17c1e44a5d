"""Simulated campaigns: trials with a hidden repair time, made into plan, table, records and requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.operations import operations
from smartops_chaos.analysis.question import of_plan
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.summary import (
    ArmSummary,
    AutoHeal,
    Comparison,
    Mttr,
    Rca,
    Reduction,
    SlaNumbers,
    Summary,
    Verdict,
)
from smartops_chaos.analysis.table import from_rows
from smartops_chaos.model import (
    COLUMNS,
    MOMENTS,
    AnalysisPlan,
    Arm,
    ChaosLevel,
    Event,
    FaultPart,
    Health,
    Interval,
    Plan,
    Record,
    Request,
    Sla,
    Slo,
    Targets,
    Timeline,
    Trial,
    Variant,
    WorkloadLevel,
)
from smartops_chaos.report.build import build
from smartops_chaos.report.document import Report
from smartops_chaos.report.page import Page, styles_of

T0 = 1_790_000_000_000_000_000
SLO = Slo(latency_s=0.25, objective=0.95, hold_s=2.0)
HORIZON = 12.0
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Campaign:
    plan: Plan
    table: pd.DataFrame
    records: dict[str, Record]
    requests: dict[str, Sequence[Request]]

    def summary(self) -> Summary:
        return summarise(self.table, of_plan(self.plan), campaign="synthetic-1")

    def data(self, summary: Summary | None = None) -> CampaignData:
        return CampaignData(
            name="synthetic-1",
            plan=self.plan,
            provenance={"smartops-chaos": "0.1.0", "command": "smartops-chaos run quick.yaml --report"},
            summary=summary or self.summary(),
            table=self.table,
            records=self.records,
            requests=lambda trial: self.requests.get(trial, ()),
        )

    def page(self, summary: Summary | None = None, **other: Any) -> Page:
        """What sections are made from, without links; `other` fields of it in place of the campaign's own."""
        data = self.data(summary)
        return replace(Page(data.summary, self.plan, self.table, styles_of(data)), **other)


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Campaign]:
    return campaign


@pytest.fixture(scope="session")
def small() -> Campaign:
    """2 arms x 2 scenarios x 3 repeats, control and calibration trials."""
    return campaign()


@pytest.fixture(scope="session")
def report(small: Campaign) -> Report:
    return build(small.data())


@pytest.fixture(scope="session")
def nothing() -> Summary:
    """Two arms about which nothing can be said."""
    unknown = Mttr(None, None, None, None, None, None)
    none = Reduction(None, None, None, None, None)

    def arm(model: str, *, baseline: bool) -> ArmSummary:
        return ArmSummary(
            model,
            "default",
            baseline,
            None,
            1,
            0,
            {"invalid": 1},
            {"invalid: gate": 1},
            unknown,
            unknown,
            unknown,
            None,
            None,
            None,
            None,
            None,
            None,
            AutoHeal(None, None, None, None, 0, 0, None, None, None),
            SlaNumbers(None, None, None, None),
            Rca(None, None, None, 0, None, None, {}, 0, {}),
            (),
            (),
            (),
            (),
            (),
            None,
            0,
            0,
            0,
            0,
            operations(pd.DataFrame(), [], None, None, 0.99, 0.025),
        )

    off, zscore = Arm("off", "default"), Arm("zscore", "default")
    comparison = Comparison(
        arm=zscore,
        baseline=off,
        baseline_rmst_s=None,
        scope="these-scenarios",
        decides=True,
        mttr_reduction=none,
        from_impact=none,
        at_horizons={"tau": none},
        by_scenario={},
        verdict="undecidable",
        why="no trial counts",
        shares={},
        block_correlation=None,
        blocks=0,
        proven_from=None,
        proven_from_s=None,
    )
    verdicts = tuple(
        Verdict(target, zscore, 0.4, None, None, "undecidable", "no trial counts")
        for target in ("mttr_reduction", "auto_heal", "sla")
    )
    arms = (arm("off", baseline=True), arm("zscore", baseline=False))
    left_out = {str(a.arm): a.left_out for a in arms}
    return Summary("nothing-1", None, left_out, (), (), arms, (comparison,), verdicts)


def campaign(
    *,
    models: Sequence[str] = ("off", "zscore"),
    policies: Sequence[str] = ("default",),
    chaos: Sequence[str] = ("pod-kill", "cpu-90"),
    workloads: Sequence[str] = ("steady",),
    repeats: int = 3,
    heal: float = 0.9,
    control: bool = True,
    calibrate: bool = True,
    seed: int = 1,
    rate: float = 40.0,
) -> Campaign:
    """The first model is the baseline, which hardly ever recovers; the others repair with probability `heal`."""
    rng = random.Random(seed)
    plan = _plan(models, policies, chaos, workloads, repeats, control, calibrate, seed, rate)
    rows, records, requests = [], {}, {}
    for trial in plan.trials:
        record, sent = _run(trial, rng, heal if trial.model != models[0] else 0.1, rate)
        rows.append(record.row)
        records[trial.id] = record
        requests[trial.id] = sent
    return Campaign(plan, from_rows(rows), records, requests)


def _plan(models, policies, chaos, workloads, repeats, control, calibrate, seed, rate) -> Plan:
    names = [*chaos, *(["none"] if control else [])]
    trials = [
        Trial(f"{c}_{w}_{m}_{p}_{r}", "measure", c, w, m, p, r, r, seed + r)
        for r in range(1, repeats + 1)
        for c in names
        for w in workloads
        for m in models
        for p in policies
        if not (c == "none" and m == models[0])
    ]
    if calibrate:
        trials += [
            Trial(f"calibrate_{c}_{w}", "calibrate", c, w, models[0], policies[0], 1, 0, seed)
            for c in chaos
            for w in workloads
        ]
    levels = {
        name: ChaosLevel(
            name,
            () if name == "none" else (FaultPart(name, name.split("-")[0], True, {"load": 0.9}, {}),),
            "none" if name == "none" else name.split("-")[0],
            HORIZON,
            "the on-call engineer looks at the screen after 12 s",
        )
        for name in names
    }
    return Plan(
        name="synthetic",
        target={"kind": "lab", "lanes": 2, "replicas": 2},
        healer={},
        chaos=levels,
        models={m: Variant(m, {"detector": m}) for m in models},
        policies={p: Variant(p, {"file": f"{p}.policy"}) for p in policies},
        workloads={w: WorkloadLevel(w, rate) for w in workloads},
        trials=tuple(trials),
        same_arm={},
        analysis=AnalysisPlan(Arm(models[0], policies[0]), SLO, 4.0, Targets(), Sla(30 * 86400.0, 4)),
        seed=seed,
        digest="0123456789abcdef",
    )


def _run(trial: Trial, rng: random.Random, heal: float, rate: float) -> tuple[Record, list[Request]]:
    row: dict[str, str | int | float | None] = dict.fromkeys(COLUMNS)
    row |= {
        "campaign": "synthetic-1", "phase": trial.phase, "trial": trial.id, "chaos": trial.chaos,
        "family": trial.chaos.split("-")[0], "workload": trial.workload, "model": trial.model,
        "policy": trial.policy, "repeat": trial.repeat, "block": trial.block, "lane": "lab-1", "attempt": 1,
        "started_at": "2026-11-24T10:00:00Z", "reason": "", "flags": "", "horizon_s": HORIZON, "hold_s": SLO.hold_s,
        "observed_s": HORIZON + 2, "relapses": 0, "actions": 0, "actions_failed": 0, "needless_actions": 0,
        "guardrail_blocks": 0, "cooldown_skips": 0, "policy_rule": "", "unknown_seconds": 0.0,
    }  # fmt: skip
    moments: dict[str, float] = {}
    luck = rng.random()
    if trial.chaos == "none":
        row["outcome"] = "false_alarm" if luck < 0.1 else "clean"
    elif luck > 0.97:
        row["outcome"], row["reason"] = "invalid", "gate"
    else:
        moments = _repair(trial, rng, heal)
        _scores(row, trial, moments, rng)
    end = float(row["fault_end_s"] or 0.0) if trial.chaos != "none" else 0.0
    bad = (moments.get("impacted", 0.0), moments.get("recovered", HORIZON)) if moments else (0.0, 0.0)
    sent = _requests(rng, rate, bad, max(end, moments.get("recovered", HORIZON)) + 2)
    row["requests"] = len(sent)
    row["good_requests"] = sum(r.status == 200 and r.latency_ns <= SLO.latency_s * SECOND for r in sent)
    row["bad_seconds"] = bad[1] - bad[0]
    row["lateness_p99_s"] = 0.002
    if row["outcome"] == "invalid":
        row["time_s"] = None
    return Record(row, _timeline(moments) if moments else None), sent


def _repair(trial: Trial, rng: random.Random, heal: float) -> dict[str, float]:
    moments = {"injected": 0.0, "impacted": rng.uniform(0.05, 0.4)}
    if trial.phase == "calibrate":
        return moments | {"recovered": 5.0 + rng.uniform(0.0, 0.06)}
    for moment, mean in (("detected", 1.4), ("diagnosed", 0.2), ("decided", 0.05), ("acted", 0.6), ("verified", 0.9)):
        if rng.random() > heal ** (1 / 3):
            return moments
        moments[moment] = max(moments.values()) + rng.uniform(0.5, 1.5) * mean
    if rng.random() < heal ** (1 / 3):
        moments["recovered"] = moments["acted"] + rng.uniform(0.1, 2.0)
    return moments


def _scores(
    row: dict[str, str | int | float | None], trial: Trial, moments: dict[str, float], rng: random.Random
) -> None:
    recovered = moments.get("recovered")
    row["time_s"] = HORIZON if recovered is None else recovered
    row["ttr_impact_s"] = float(row["time_s"]) - moments["impacted"]
    for moment in MOMENTS[1:]:
        if moment in moments:
            width = 0.025 if moment in ("impacted", "recovered") else 0.8
            row[f"{moment}_lo_s"] = moments[moment] - width / 2
            row[f"{moment}_hi_s"] = moments[moment] + width / 2
    if trial.phase == "calibrate":
        row |= {"outcome": "platform", "reason": "no-action", "fault_end_s": 5.0, "fault_end_by": "harness"}
        return
    row["outcome"] = "unrecovered" if recovered is None else "healed"
    row["fault_end_s"] = recovered - 0.05 if recovered else HORIZON + 2
    row["fault_end_by"] = "system" if recovered else "harness"
    if recovered is None:
        names = {"detected": "undetected", "diagnosed": "undiagnosed", "decided": "denied", "acted": "cooldown"}
        row["reason"] = next((why for moment, why in names.items() if moment not in moments), "insufficient")
    if "acted" in moments:
        row["actions"] = 1
        row["policy_rule"] = "restart-unhealthy"
    row["rca_expected"] = row["family"]
    if "diagnosed" in moments:
        right = rng.random() < 0.7
        row["rca_top1"] = row["family"] if right else "network"
        row["rca_rank"] = 1 if right else 2
    if row["outcome"] == "healed" and rng.random() < 0.08:
        row["flags"], row["outcome"], row["reason"] = "contested", "platform", "concurrent"


def _timeline(moments: dict[str, float]) -> Timeline:
    events = {
        name: Event(name, Interval(T0 + round(at * SECOND), T0 + round(at * SECOND)), ("simulated",), "")
        for name, at in moments.items()
    }
    return Timeline(events, (), Health(None, None, 0, 0.0, 0.0, 0, 0, 0.0), (), "", 0, 0, ())


def _requests(rng: random.Random, rate: float, bad: tuple[float, float], end: float) -> list[Request]:
    sent = []
    for i in range(round((end + 3) * rate)):
        at = i / rate - 3
        slow = bad[0] <= at < bad[1] and rng.random() < 0.5
        refused = slow and rng.random() < 0.3
        latency = rng.lognormvariate(-0.7, 0.3) if slow else rng.lognormvariate(-3.9, 0.35)
        sent.append(
            Request(T0 + round(at * SECOND), 100_000, -1 if refused else round(latency * SECOND), 0 if refused else 200)
        )
    return sent
