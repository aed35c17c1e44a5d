"""How long a plan takes and what its result could prove, said before anything is injected."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from smartops_chaos.analysis.likelihood_ratio import FEWEST_PAIRS
from smartops_chaos.model import ChaosLevel, Goal, Plan
from smartops_chaos.plan import durations
from smartops_chaos.plan.look_schedule import before_end
from smartops_chaos.planning.power import (
    Design,
    availability_provable,
    failures_allowed,
    fewest_provable,
    slowest_provable,
    trials_needed,
)
from smartops_chaos.schema.clustertarget import lane_count
from smartops_chaos.schema.units import count, format_duration, format_fraction, spoken_duration

_QUICK = 0.1  # share of the horizon: a proposed number of repeats proves a recovery as quick as this
MOST_PROPOSED = 500  # beyond it no number of repeats is proposed


_RUN_BASELINE = "let the baseline run in the same scenarios: with --only, name its model too"


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the planned trials can prove one target in the best case. `hint`: how to get further; empty = no need."""

    target: Goal
    possible: bool
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return ("" if self.possible else "CANNOT PROVE ") + self.text


@dataclass(frozen=True, slots=True)
class InterimProofs:
    """What could be proven at an interim look."""

    look: int
    repeat: int  # after which it is
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `plan MATRIX` says before anything is injected."""

    measured: int  # trials
    calibration: int  # trials
    likely_s: float  # the healer heals in a third of the horizon, where it is on
    upper_s: float  # every trial lasts to its end
    proofs: tuple[Proof, ...]  # at the end
    looks: tuple[InterimProofs, ...] = ()  # before it
    lanes_s: dict[int, float] = field(default_factory=dict)  # another number of lanes -> likely duration


@dataclass(frozen=True, slots=True)
class Budget:
    """The trials that a plan's verdicts rest on, and the level at which they are decided."""

    trials: int  # the fewest with a fault in a compared arm
    base_trials: int  # with a fault in the baseline
    per_cell: int  # the fewest in a cell, arms and baseline
    repeats: int
    scenarios: tuple[tuple[str, str], ...]  # (chaos, workload) that an arm shares with the baseline
    weights: tuple[float, ...]  # of those
    arms: int  # that are compared with the baseline
    alpha: float
    looks: bool

    @property
    def hardest(self) -> float:
        """The level of an arm while nothing is proven of any: Holm's first step."""
        return self.alpha / self.arms

    def design(self) -> Design:
        return Design(self.per_cell, self.weights, self.hardest, self.looks)


def forecast(plan: Plan, matrix: str, *, lanes: int | None = None) -> Forecast:
    """How long the plan takes, and for each target whether its trials can prove it: at the end and at each interim
    look.

    `matrix` is the file, and its options, as they shall stand in proposed commands; `lanes` takes the place of those
    of the plan.
    """
    lanes = lanes or lane_count(plan.target)
    likely = [durations.likely_s(plan, trial) for trial in plan.trials]
    upper = [durations.upper_s(plan, trial) for trial in plan.trials]
    likely_blocks = durations.blocks_s(plan.trials, likely)
    budget = budget_of(plan)

    def command(repeats: int | None) -> str:
        if repeats is None or not budget.repeats:
            return "no reasonable number of repeats is enough: compare fewer arms or lower the target"
        fixed = sum(s for s, trial in zip(likely, plan.trials, strict=True) if trial.phase == "calibrate")
        takes_s = (fixed + (sum(likely) - fixed) / budget.repeats * repeats) / lanes
        return f"smartops-chaos run {matrix} --repeats {repeats}   # about {spoken_duration(takes_s)}"

    return Forecast(
        measured=len(plan.measured),
        calibration=len(plan.trials) - len(plan.measured),
        likely_s=durations.makespan_s(likely_blocks, lanes),
        upper_s=durations.makespan_s(durations.blocks_s(plan.trials, upper), lanes),
        proofs=_proofs(plan, budget, command),
        looks=tuple(_looks(plan)),
        lanes_s={n: durations.makespan_s(likely_blocks, n) for n in (1, 2, 4, 8) if n != lanes},
    )


def _looks(plan: Plan) -> Iterator[InterimProofs]:
    for look, (repeat, so_far) in enumerate(plans_at_looks(plan), 1):
        proofs = _proofs(so_far, budget_of(so_far), lambda _: "")
        asked = tuple(replace(p, hint="") for p in proofs if p.target != "sla" or plan.analysis.sla)
        yield InterimProofs(look, repeat, asked)


def plans_at_looks(plan: Plan) -> list[tuple[int, Plan]]:
    """For each interim look after which repeat it is, and the plan with the trials up to it."""
    ends = before_end(plan)
    return [(end, replace(plan, trials=tuple(t for t in plan.trials if t.repeat <= end))) for end in ends]


def budget_of(plan: Plan) -> Budget:
    """The trials that count for the verdicts."""
    measured = plan.measured
    baseline = plan.analysis.baseline
    shown = plan.references  # no competitors
    faults = [trial for trial in measured if plan.chaos[trial.chaos].parts and trial.arm not in shown]
    arms = Counter(trial.arm for trial in faults)
    cells = Counter((trial.chaos, trial.workload, trial.arm) for trial in faults)
    compared = [arm for arm in arms if arm != baseline and arm not in plan.references]
    shared = {(chaos, workload) for chaos, workload, arm in cells if arm == baseline} & {
        (chaos, workload) for chaos, workload, arm in cells if arm != baseline
    }
    return Budget(
        trials=min((arms[arm] for arm in compared), default=0),
        base_trials=arms[baseline],
        per_cell=min(cells.values(), default=0),
        repeats=len({trial.repeat for trial in measured}),
        scenarios=tuple(sorted(shared)),
        weights=tuple(plan.analysis.weights.get(chaos, 1.0) for chaos, _ in sorted(shared)),
        arms=len(compared),
        alpha=plan.analysis.alpha,
        looks=plan.analysis.looks > 1,
    )


def _proofs(plan: Plan, budget: Budget, command: Callable[[int | None], str]) -> tuple[Proof, ...]:
    targets = plan.analysis.targets
    measured = plan.measured
    wanted: dict[Goal, str] = {
        "mttr_reduction": f"MTTR reduction of {format_fraction(targets.mttr_reduction)}",
        "auto_heal": f"auto-heal of {format_fraction(targets.auto_heal)}",
        "sla": f"SLA of {format_fraction(targets.sla)}",
    }
    if not budget.arms:
        why, hint = "no arm with a fault is compared with the baseline", "add a model or a policy, and a fault"
        return tuple(Proof(target, False, f"{text}: {why}", hint) for target, text in wanted.items())
    levels = [plan.chaos[name] for name in dict.fromkeys(trial.chaos for trial in measured)]
    silent = [level for level in levels if level.parts and not level.because.strip()]
    if silent:
        return tuple(_unexplained(target, text, silent) for target, text in wanted.items())
    return (
        _reduction(plan, wanted["mttr_reduction"], budget, command),
        _auto_heal(plan, wanted["auto_heal"], budget, command),
        _sla(plan, wanted["sla"], budget, command),
    )


def _unexplained(target: Goal, text: str, silent: list[ChaosLevel]) -> Proof:
    names = ", ".join(level.name for level in silent)
    after = format_duration(silent[0].horizon_s)
    return Proof(
        target,
        False,
        f"{text}: no reason is given for the horizon of {names}, so it can be observed at most",
        f'horizon: {{after: {after}, because: "why a person would step in then"}}',
    )


def _reduction(plan: Plan, text: str, budget: Budget, command: Callable[[int | None], str]) -> Proof:
    target, design = plan.analysis.targets.mttr_reduction, budget.design()

    def more() -> str:  # a search, which only a target that cannot be proven needs
        return command(fewest_provable(design, _QUICK, target, MOST_PROPOSED))

    if not budget.weights:
        what = f"{text}: no scenario runs in both an arm and the baseline"
        return Proof("mttr_reduction", False, what, _RUN_BASELINE)
    if not design.decides:
        trials = count(budget.per_cell * len(budget.weights), "trial")
        what = f"{text}: an arm has {trials}, and {FEWEST_PAIRS} are the fewest"
        return Proof("mttr_reduction", False, what, more())
    share, alone = (slowest_provable(d, target) for d in (design, replace(design, alpha=budget.alpha)))
    ideal = "if the baseline never recovers and the arm always does"
    if share is not None:
        return Proof("mttr_reduction", True, f"{text}: can be proven {ideal} within {100 * share:.0f} % of the horizon")
    what = f"{text}: {count(budget.per_cell, 'trial')} in a cell"
    if alone is None:
        return Proof("mttr_reduction", False, f"{what} are too few, even {ideal} at once", more())
    what = f"{what} are too few while other arms are open (Holm over {budget.arms} arms); if all others are proven, "
    return Proof("mttr_reduction", True, f"{what}{ideal} within {100 * alone:.0f} % of the horizon", more())


def _auto_heal(plan: Plan, text: str, budget: Budget, command: Callable[[int | None], str]) -> Proof:
    target, n, looks = plan.analysis.targets.auto_heal, budget.trials, budget.looks
    alone, hardest = (trials_needed(target, alpha, looks=looks) for alpha in (budget.alpha, budget.hardest))
    per_repeat = n / budget.repeats
    more = command(math.ceil(hardest / per_repeat) if hardest / per_repeat <= MOST_PROPOSED else None)
    fewest = f"the fewest that prove it are {alone} of {alone}"
    if hardest > alone:
        fewest += f", or {hardest} of {hardest} while other arms are open (Holm over {budget.arms} arms)"
    if n < alone:
        return Proof("auto_heal", False, f"{text}: an arm has {n} trials with a fault, {fewest}", more)
    failures = failures_allowed(n, target, budget.hardest, looks=looks)
    if failures < 0:
        what = (
            f"{text}: an arm has {n} trials with a fault, which are enough only if all other arms are proven; {fewest}"
        )
        return Proof("auto_heal", True, what, more)
    return Proof("auto_heal", True, f"{text}: can be proven by {n - failures} successes of {n} in an arm")


def _sla(plan: Plan, text: str, budget: Budget, command: Callable[[int | None], str]) -> Proof:
    sla, target = plan.analysis.sla, plan.analysis.targets.sla
    if sla is None:
        what = f"{text}: how often faults come is not said, so it is undecidable"
        return Proof("sla", False, what, "sla: {window: 1h, faults: 5}")
    if not budget.weights:
        return Proof("sla", False, f"{text}: no scenario runs in both an arm and the baseline", _RUN_BASELINE)
    allowed_s = (1 - target) * sla.window_s / sla.faults
    longest = [plan.chaos[chaos].horizon_s + sla.repair_s for chaos, _ in budget.scenarios]
    mean_s = sum(w * s for w, s in zip(budget.weights, longest, strict=True)) / (sum(budget.weights) or 1.0)
    if allowed_s >= mean_s:
        what = f"{text}: trivial, it holds whatever the healer does, since {sla.faults:g} faults cost at most"
        cost = f"{sla.faults * mean_s:.6g} s of {format_duration(sla.window_s)}"
        return Proof("sla", False, f"{what} {cost}", "raise targets.sla or sla.faults, or shorten sla.window")

    def enough(trials: int) -> bool:
        return availability_provable(longest, budget.weights, trials, allowed_s, budget.hardest, looks=budget.looks)

    if enough(budget.per_cell):
        return Proof(
            "sla", True, f"{text}: can be proven if a fault costs clearly less than {allowed_s:.3g} bad seconds"
        )
    what = f"{text}: {count(budget.per_cell, 'trial')} in a cell are too few, even without a bad second"
    return Proof("sla", False, what, command(next((n for n in range(1, MOST_PROPOSED) if enough(n)), None)))
