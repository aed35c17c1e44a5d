"""What is asked of a trials table: baseline, targets and rules, fixed before the first trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smartops_chaos.analysis.summary import FrozenPlan
from smartops_chaos.errors import UsageError
from smartops_chaos.model import ALPHA, GOALS, Arm, Goal, Plan, Reference, Sla, Stop, Targets


@dataclass(frozen=True, slots=True)
class Question:
    """The rules of one analysis. For a bare table only `baseline` (and what the user adds) is known."""

    baseline: Arm
    targets: Targets = field(default_factory=Targets)
    sla: Sla | None = None
    order: tuple[Goal, ...] = GOALS  # in which the targets are tested: one is decided if those before it are proven
    alpha: float = ALPHA  # one-sided, of all arms and targets together
    weights: Mapping[str, float] = field(default_factory=dict)  # by chaos level; absent = 1
    because: Mapping[str, str] = field(default_factory=dict)  # chaos level -> why this horizon; absent = not said
    same_arm: Mapping[str, str] = field(default_factory=dict)  # "model/policy" -> "model/policy" that stands for it
    cells: frozenset[tuple[str, str, Arm]] = frozenset()  # planned (chaos, workload, arm); empty = those in the table
    looks: int = 1  # decisions that the plan allows, the one at the end included
    stopped: Mapping[Arm, Stop] = field(default_factory=dict)  # at an earlier look
    references: Mapping[Arm, Reference] = field(default_factory=dict)  # arms that are shown, but not judged
    disturbed: str = ""  # why the machine was too busy for any verdict; empty: it was not
    frozen: FrozenPlan | None = None  # what else of the plan `summary.json` shall print

    def __post_init__(self) -> None:
        light = [name for name, weight in self.weights.items() if not weight > 0]
        if light:
            raise UsageError(f"the weight of {', '.join(light)} must be above 0", "leave the chaos level out instead")


def of_plan(plan: Plan, stops: Sequence[Stop] = ()) -> Question:
    """The question that a frozen plan asks, with the arms that interim looks have stopped."""
    analysis = plan.analysis
    return Question(
        baseline=analysis.baseline,
        targets=analysis.targets,
        sla=analysis.sla,
        order=analysis.order,
        alpha=analysis.alpha,
        weights=analysis.weights,
        because={name: level.because for name, level in plan.chaos.items() if level.because},
        same_arm=plan.same_arm,
        cells=frozenset((t.chaos, t.workload, t.arm) for t in plan.measured),
        looks=analysis.looks,
        stopped={stop.arm: stop for stop in stops},
        references=plan.references,
        frozen=FrozenPlan(analysis.slo, analysis.stop_after_good_s, analysis.exclusions, plan.seed, plan.digest),
    )
