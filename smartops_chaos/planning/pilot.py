"""What a finished campaign says about the spread of the next one, prudently: upper 80 % bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smartops_chaos.analysis.cells import Cell, of_arm
from smartops_chaos.analysis.distributions import chi_squared_quantile
from smartops_chaos.analysis.rates import incidents
from smartops_chaos.model import Arm, Plan
from smartops_chaos.planning.chances import ASSUMED_CV, Pilot
from smartops_chaos.planning.power import Spread

BOUND = 0.8
_WIDEST = 3.0


def pilot(name: str, cells: Sequence[Cell], baseline: Arm, plan: Plan) -> Pilot:
    """`cells` of the pilot, `plan` of the campaign to come, whose horizons and weights count.

    A scenario needs two counted trials of the baseline; arms are as wide as the widest of them.
    """
    spreads = {}
    for base in of_arm(cells, baseline):
        if base.n < 2 or base.chaos not in plan.chaos or not base.time_s.any():
            continue
        arms = [c for c in cells if c.scenario == base.scenario and c.arm != baseline and c.n > 1 and c.time_s.any()]
        cv = [float(c.time_s.std(ddof=1) / c.time_s.mean()) * widening(c.n) for c in arms]
        spreads[base.chaos, base.workload] = Spread(
            weight=plan.analysis.weights.get(base.chaos, 1.0),
            base=tuple(np.minimum(base.time_s / plan.chaos[base.chaos].horizon_s, 1.0).tolist()),
            widen=widening(base.n) * float(np.sqrt(base.n / (base.n - 1))),
            arm_cv=min(max(cv, default=ASSUMED_CV), _WIDEST) or ASSUMED_CV,
        )
    n, ended, _ = incidents(of_arm(cells, baseline))
    return Pilot(name, spreads, ended / n if n else None)


def widening(n: int) -> float:
    """By how much a standard deviation may be larger than that of n normal values (chi-squared, one-sided)."""
    return float(np.sqrt((n - 1) / chi_squared_quantile(BOUND, n - 1)))
