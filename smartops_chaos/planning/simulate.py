"""A campaign whose truth is known: plan and truth file -> the trials table that it would give, and how long it takes.

    truth = yamlfile.load(Path("truth.yaml"), Truth)
    made = simulate(plan, truth, lanes=4)

It is the way to try an analysis before anything is injected: does `report` find what was put in? The truth file is
explained in docs/simulation.md. Times to recover are lognormal, and cut at the horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from smartops_chaos.analysis.distributions import normal_below
from smartops_chaos.analysis.table import SIMULATED, SOURCE
from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Outcome, Plan, Trial
from smartops_chaos.plan.durations import before_s, blocks_s, makespan_s
from smartops_chaos.schema.units import Duration, Fraction
from smartops_chaos.schema.yamlfile import did_you_mean

MOST_TRIALS = 1_000_000

Floats: TypeAlias = NDArray[np.float64]


class Entry(BaseModel):
    """What is true of the trials that it names; a factor that is not named stands for all its levels."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    chaos: str = Field(default="", examples=["pod-kill"])
    workload: str = Field(default="", examples=["steady"])
    model: str = Field(default="", examples=["off"])
    policy: str = Field(default="", examples=["default"])
    recovers: Duration = Field(description="Mean time of those that recover.", examples=["8s"])
    spread: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Field(
        default=0.6, description="Standard deviation of that time, as a multiple of its mean.", examples=[0.6]
    )
    never: Fraction = Field(default=0.0, description="Share that does not recover.", examples=["10%"])
    unhurt: Fraction = Field(default=0.0, description="Share in which the fault has no effect.", examples=["5%"])
    lost: Fraction = Field(default=0.0, description="Share without a result, whatever it is.", examples=["2%"])
    lost_if_unrecovered: Fraction = Field(default=0.0, description="The same, of those that did not recover.")
    by: Literal["healer", "platform"] = Field(default="healer", description="Who ends what recovers.")

    @model_validator(mode="after")
    def _shares(self) -> Entry:
        if self.never + self.unhurt > 1:
            raise ValueError("never and unhurt are more than all trials together")
        if not self.recovers > 0:
            raise ValueError("recovers must be more than 0")
        return self

    def fits(self, cell: tuple[str, str, str, str]) -> bool:
        names = (self.chaos, self.workload, self.model, self.policy)
        return all(name in ("", level) for name, level in zip(names, cell, strict=True))


class Truth(BaseModel):
    """The first entry that fits a trial is its truth."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    seed: Annotated[int, Field(ge=0)] = 1
    trials: Annotated[list[Entry], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class ArmTruth:
    """What an analysis should find, over all fault scenarios of an arm with the weights of the plan."""

    arm: Arm
    rmst_s: float
    reduction: float | None  # over the scenarios that it shares with the baseline; None for the baseline
    no_human: float | None  # share of incidents that end without a person


@dataclass(frozen=True, slots=True)
class Simulated:
    columns: Mapping[str, Any]  # of the trials table
    truth: tuple[ArmTruth, ...]
    takes_s: Floats  # of each trial
    duration_s: float  # of the measured trials on that many lanes


def simulate(plan: Plan, truth: Truth, *, lanes: int) -> Simulated:
    """The trials table that a campaign of this plan would give, and what an analysis of it should find.

    Calibration is left out; the seed is the truth file's. Raises UsageError for more than a million trials, or if a
    cell with a fault has no truth.
    """
    trials = plan.measured
    if len(trials) > MOST_TRIALS:
        raise UsageError(f"{len(trials)} trials are too many to simulate", f"at most {MOST_TRIALS}: fewer --repeats")
    cells: dict[tuple[str, str, str, str], list[int]] = {}
    for i, t in enumerate(trials):
        cells.setdefault((t.chaos, t.workload, t.model, t.policy), []).append(i)
    entries = _entries(plan, truth, cells)
    rng = np.random.default_rng(truth.seed)
    time_s = np.full(len(trials), np.nan)
    taken_s = np.zeros(len(trials))
    outcome = np.full(len(trials), str(Outcome.CLEAN), dtype=object)
    for cell, indices in cells.items():
        tau, rows = plan.chaos[cell[0]].horizon_s, np.array(indices)
        observed_s = tau + plan.analysis.slo.hold_s
        if cell in entries:
            times, outcome[rows] = _drawn(entries[cell], tau, len(rows), rng)
            stops = np.array([not trials[i].to_horizon for i in indices])
            recovers = (times > 0) & (times < tau) & stops
            ends = np.where(recovers, times + plan.analysis.stop_after_good_s, observed_s)
            taken_s[rows] = np.minimum(ends, observed_s)
            time_s[rows] = np.where(outcome[rows] == Outcome.ERROR, np.nan, times)
        else:
            taken_s[rows] = observed_s
    taken_s += before_s(plan, 0.5)
    columns = _columns(plan, trials, time_s, outcome)
    return Simulated(columns, _truths(plan, entries), taken_s, makespan_s(blocks_s(trials, taken_s), lanes))


def _entries(
    plan: Plan, truth: Truth, cells: Mapping[tuple[str, str, str, str], object]
) -> dict[tuple[str, str, str, str], Entry]:
    """The truth of each cell with a fault."""
    _check_levels(plan, truth)
    found = {}
    for cell in cells:
        if plan.chaos[cell[0]].parts:
            entry = next((e for e in truth.trials if e.fits(cell)), None)
            if entry is None:
                raise UsageError(f"no entry of the truth fits {' / '.join(cell)}", "end with one that names no factor")
            found[cell] = entry
    return found


def _check_levels(plan: Plan, truth: Truth) -> None:
    """A level that the matrix does not have is misspelt: its entry would fit nothing, and another one would count."""
    for number, entry in enumerate(truth.trials, 1):
        for factor, name, known in (
            ("chaos", entry.chaos, list(plan.chaos)),
            ("workload", entry.workload, list(plan.workloads)),
            ("model", entry.model, list(plan.models)),
            ("policy", entry.policy, list(plan.policies)),
        ):
            if name and name not in known:
                what = f"entry {number} of the truth: no {factor} level is named `{name}`"
                raise UsageError(what, did_you_mean(name, known))


def _drawn(entry: Entry, tau: float, n: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.object_]]:
    mu, sigma = _lognormal(entry)
    times = np.minimum(np.round(np.exp(mu + sigma * rng.standard_normal(n)), 6), tau)
    kind = rng.random(n)
    times[kind < entry.never] = tau
    times[kind >= 1 - entry.unhurt] = 0.0
    recovers = "healed" if entry.by == "healer" else "platform"
    outcome = np.where(times >= tau, "unrecovered", np.where(times == 0, "no_effect", recovers)).astype(object)
    share = np.where(times >= tau, 1 - (1 - entry.lost) * (1 - entry.lost_if_unrecovered), entry.lost)
    outcome[rng.random(n) < share] = str(Outcome.ERROR)
    return times, outcome


def _lognormal(entry: Entry) -> tuple[float, float]:
    sigma = float(np.sqrt(np.log1p(entry.spread**2)))
    return float(np.log(entry.recovers)) - sigma**2 / 2, sigma


def _columns(plan: Plan, trials: Sequence[Trial], time_s: Floats, outcome: NDArray[np.object_]) -> dict[str, Any]:
    return {
        SOURCE: SIMULATED,
        "campaign": plan.name,
        "phase": "measure",
        "trial": [t.id for t in trials],
        "chaos": [t.chaos for t in trials],
        "family": [plan.chaos[t.chaos].family for t in trials],
        "workload": [t.workload for t in trials],
        "model": [t.model for t in trials],
        "policy": [t.policy for t in trials],
        "repeat": [t.repeat for t in trials],
        "block": [t.block for t in trials],
        "outcome": outcome,
        "reason": np.where(outcome == Outcome.ERROR, "simulated", ""),
        "horizon_s": [plan.chaos[t.chaos].horizon_s for t in trials],
        "hold_s": plan.analysis.slo.hold_s,
        "time_s": time_s,
        "ttr_impact_s": time_s,
        "bad_seconds": time_s,
        "unknown_seconds": np.where(np.isnan(time_s), np.nan, 0.0),
    }


def _truths(plan: Plan, entries: Mapping[tuple[str, str, str, str], Entry]) -> tuple[ArmTruth, ...]:
    weights, baseline = plan.analysis.weights, plan.analysis.baseline
    by_arm: dict[Arm, dict[tuple[str, str], tuple[float, float, float]]] = {}
    for (chaos, workload, model, policy), entry in entries.items():
        mean_s, ended = _expected(entry, plan.chaos[chaos].horizon_s)
        by_arm.setdefault(Arm(model, policy), {})[chaos, workload] = (mean_s, ended, 1 - entry.unhurt)

    def mean(arm: Arm, scenarios: Mapping[tuple[str, str], object]) -> float:
        pairs = [(weights.get(s[0], 1.0), by_arm[arm][s][0]) for s in scenarios]
        return sum(w * m for w, m in pairs) / sum(w for w, _ in pairs)

    found = []
    for arm in sorted(by_arm, key=lambda a: (a != baseline, str(a))):
        shared = {s: None for s in by_arm[arm] if s in by_arm.get(baseline, {})}
        incidents = sum(i for _, _, i in by_arm[arm].values())
        found.append(
            ArmTruth(
                arm=arm,
                rmst_s=mean(arm, by_arm[arm]),
                reduction=None if arm == baseline or not shared else 1 - mean(arm, shared) / mean(baseline, shared),
                no_human=sum(ended for _, ended, _ in by_arm[arm].values()) / incidents if incidents else None,
            )
        )
    return tuple(found)


def _expected(entry: Entry, tau: float) -> tuple[float, float]:
    """(mean of min(T, tau) over all trials, share of all trials that were bad and recover by tau)."""
    mu, sigma = _lognormal(entry)
    rest = 1 - entry.never - entry.unhurt
    if sigma == 0:
        in_time = float(entry.recovers < tau)
        mean_s = min(entry.recovers, tau)
    else:
        z = (np.log(tau) - mu) / sigma
        in_time = normal_below(z)
        mean_s = entry.recovers * normal_below(z - sigma) + tau * (1 - in_time)
    return rest * mean_s + entry.never * tau, rest * in_time
