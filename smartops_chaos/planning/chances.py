"""What a plan is likely to prove, if times spread as supposed: the sizes that 80 % of such campaigns would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smartops_chaos.model import Plan
from smartops_chaos.planning.forecast import MOST_PROPOSED, Budget, budget_of, plans_at_looks
from smartops_chaos.planning.power import (
    Spread,
    heals_needed,
    lognormal,
    smallest_reduction,
    smallest_uplift,
    trials_for,
)
from smartops_chaos.schema.units import format_fraction

ASSUMED_MEAN = 0.5  # of the baseline's times, as a share of the horizon
ASSUMED_CV = 0.6
ASSUMED_HEALS = 0.5
_MOST_INCIDENTS = 2000


@dataclass(frozen=True, slots=True)
class Pilot:
    """What a campaign says about the next one; see `planning.pilot`."""

    name: str
    spreads: Mapping[tuple[str, str], Spread]  # by (chaos, workload)
    heals: float | None  # share of the baseline's incidents that ended without a person


@dataclass(frozen=True, slots=True)
class Chances:
    """The effects that 80 % of such campaigns prove, all as fractions. None: cannot be reached with this plan."""

    supposed: str  # where the spread comes from
    per_cell: int
    proves_target_from: float | None  # the smallest true reduction with which the MTTR target is likely to be proven
    proves_at_looks: dict[int, float | None]  # the same at each look before the end, by its repeat
    shows_reduction_from: float | None  # ... with which some reduction is likely to be shown
    shows_uplift_from: float | None  # the smallest true difference in auto-heal that is likely to be shown
    base_heals: float  # supposed share of the baseline's incidents that end without a person
    trials_for: dict[str, int | None]  # true reduction -> trials in a cell that are likely to prove the MTTR target
    incidents_for: dict[str, int | None]  # true auto-heal rate -> incidents of an arm that are likely to prove it

    def lines(self) -> list[str]:
        n, most = self.per_cell, f"over {MOST_PROPOSED}"
        reductions = ", ".join(f"{count or most} if it is {truth}" for truth, count in self.trials_for.items())
        looks = {repeats: least for repeats, least in self.proves_at_looks.items() if least is not None}
        early = ", ".join(f"after {repeats} repeats if it is {_at_least(least)}" for repeats, least in looks.items())
        heals = ", ".join(f"{count or 'too many'} if it is {truth}" for truth, count in self.incidents_for.items())
        return [
            f"Likely (in 80 % of such campaigns) with {n} trials in a cell; {self.supposed}:",
            f"  the MTTR target is proven if the true reduction is {_at_least(self.proves_target_from)}"
            if self.proves_target_from is not None
            else "  no true reduction, however large, would be proven 4 times in 5: these are too few trials",
            f"  ... already at a look {early}" if early else "",
            f"  some reduction is shown if it is {_at_least(self.shows_reduction_from)}"
            if self.shows_reduction_from is not None
            else "  that there is some reduction would not be shown: these are too few trials",
            f"  a difference in auto-heal is shown if it is {_at_least(self.shows_uplift_from, ' points')} "
            f"(the baseline heals {format_fraction(round(self.base_heals, 2))})"
            if self.shows_uplift_from is not None
            else "  a difference in auto-heal would not be shown: these are too few trials",
            f"  trials in a cell that prove the MTTR target: {reductions}" if reductions else "",
            f"  incidents of an arm that prove the auto-heal target: {heals}" if heals else "",
        ]


def chances(plan: Plan, pilot: Pilot | None = None) -> Chances | None:
    """How large an effect has to be so that 80 % of such campaigns prove it. None if no arm is compared with the
    baseline.

    The hardest level is used, as if no other arm were proven. `pilot` says how much times spread; without one a spread
    is supposed, and said.
    """
    budget = budget_of(plan)
    if not budget.arms or not budget.scenarios:
        return None
    spreads = _spreads(plan, budget, pilot)
    targets, alpha = plan.analysis.targets, budget.hardest
    heals = ASSUMED_HEALS if pilot is None or pilot.heals is None else pilot.heals
    truths = _beyond(targets.mttr_reduction, (1 / 3, 2 / 3))
    rates = _beyond(targets.auto_heal, (0.7, 0.9))
    return Chances(
        supposed=_supposed(budget, pilot),
        per_cell=budget.per_cell,
        proves_target_from=smallest_reduction(spreads, budget.design(), targets.mttr_reduction),
        proves_at_looks={
            repeat: smallest_reduction(spreads, budget_of(so_far).design(), targets.mttr_reduction)
            for repeat, so_far in plans_at_looks(plan)
        },
        shows_reduction_from=smallest_reduction(spreads, replace(budget.design(), alpha=budget.alpha), 0.0),
        shows_uplift_from=smallest_uplift(heals, budget.trials, budget.base_trials, budget.alpha, looks=budget.looks),
        base_heals=heals,
        trials_for={
            format_fraction(t): trials_for(spreads, t, budget.design(), targets.mttr_reduction, MOST_PROPOSED)
            for t in truths
        },
        incidents_for={
            format_fraction(t): heals_needed(targets.auto_heal, t, alpha, _MOST_INCIDENTS, looks=budget.looks)
            for t in rates
        },
    )


def _beyond(target: float, shares: Sequence[float]) -> list[float]:
    """Truths between the target and 1."""
    return sorted({t for share in shares if target < (t := round(target + share * (1 - target), 3)) < 1})


def _spreads(plan: Plan, budget: Budget, pilot: Pilot | None) -> list[Spread]:
    known = {} if pilot is None else pilot.spreads
    assumed = lognormal(ASSUMED_MEAN, ASSUMED_CV)
    return [
        known.get(s) or Spread(plan.analysis.weights.get(s[0], 1.0), assumed, 1.0, ASSUMED_CV) for s in budget.scenarios
    ]


def _supposed(budget: Budget, pilot: Pilot | None) -> str:
    assumed = (
        f"supposed are a baseline of {100 * ASSUMED_MEAN:.0f} % of the horizon and "
        f"a spread of {100 * ASSUMED_CV:.0f} % of the mean"
    )
    if pilot is None:
        return f"{assumed} (`--pilot CAMPAIGN` takes both from its trials)"
    missing = [f"{c} / {w}" for c, w in budget.scenarios if (c, w) not in pilot.spreads]
    text = f"the spread is the upper 80 % bound of {pilot.name}'s"
    return text + (f", and for {', '.join(missing)}, which it has not, {assumed}" if missing else "")


def _at_least(value: float, unit: str = "") -> str:
    return f"at least {100 * value:.0f}{unit or ' %'}"
