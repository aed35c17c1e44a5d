"""What is asked of a trials table: baseline, targets and rules, fixed before the first trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from smartops_chaos.errors import UsageError
from smartops_chaos.model import Arm, Plan, Sla, Targets


@dataclass(frozen=True, slots=True)
class Question:
    """The rules of one analysis. For a bare table only `baseline` (and what the user adds) is known."""

    baseline: Arm
    targets: Targets = field(default_factory=Targets)
    sla: Sla | None = None
    alpha: float = 0.025  # one-sided, Holm over non-baseline arms x targets
    weights: Mapping[str, float] = field(default_factory=dict)  # by chaos level; absent = 1
    because: Mapping[str, str] = field(default_factory=dict)  # chaos level -> why this horizon; absent = not said
    same_arm: Mapping[str, str] = field(default_factory=dict)  # "model/policy" -> "model/policy" that stands for it
    cells: frozenset[tuple[str, str, Arm]] = frozenset()  # planned (chaos, workload, arm); empty = those in the table
    stated: Mapping[str, object] = field(default_factory=dict)  # what else of the plan `summary.json` shall print

    def __post_init__(self) -> None:
        light = [name for name, weight in self.weights.items() if not weight > 0]
        if light:
            raise UsageError(f"the weight of {', '.join(light)} must be above 0", "leave the chaos level out instead")


def of_plan(plan: Plan) -> Question:
    """The question that a campaign's frozen plan asks."""
    analysis = plan.analysis
    measured = [t for t in plan.trials if t.phase == "measure"]
    return Question(
        baseline=analysis.baseline,
        targets=analysis.targets,
        sla=analysis.sla,
        alpha=analysis.alpha,
        weights=analysis.weights,
        because={name: level.because for name, level in plan.chaos.items() if level.because},
        same_arm=plan.same_arm,
        cells=frozenset((t.chaos, t.workload, t.arm) for t in measured),
        stated={
            "slo": asdict(analysis.slo),
            "stop_after_good_s": analysis.stop_after_good_s,
            "exclusions": analysis.exclusions,
            "seed": plan.seed,
            "digest": plan.digest,
        },
    )
