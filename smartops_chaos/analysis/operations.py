"""What the healer did, and what the trials were worth: everything about an arm that is no time to recover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis import rca
from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.competing import dated
from smartops_chaos.analysis.phases import between
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.analysis.sla import budget_used
from smartops_chaos.analysis.summary import Operations, Race, Share
from smartops_chaos.analysis.table import numbers, outcome_is, texts
from smartops_chaos.model import Sla


def operations(
    counted: pd.DataFrame,
    cells: Sequence[Cell],
    detection: Race | None,
    sla: Sla | None,
    target: float,
    alpha: float,
) -> Operations:
    """`counted` are the counted trials of one arm, `cells` its cells, `target` the availability wanted."""
    actions, failed = total(counted, "actions"), total(counted, "actions_failed")
    known = [c for c in cells if c.bad_s is not None and c.n]
    outcome = texts(counted, "outcome")
    asked, rank = rca.ranks(counted)
    incident = outcome_is(outcome, lambda o: o.incident or o.by_healer) & asked
    healed = outcome_is(outcome, lambda o: o.by_healer)
    closed = between(counted[dated(counted)], "detected", "verified", alpha)
    return Operations(
        detected=share(detection.seen, detection.n, alpha) if detection else None,
        rules=dict(Counter(texts(counted, "policy_rule").tolist()).most_common()) if "policy_rule" in counted else None,
        actions=actions,
        action_success=None if actions is None or failed is None else share(actions - failed, actions, alpha),
        guardrail_blocks=total(counted, "guardrail_blocks"),
        cooldown_skips=total(counted, "cooldown_skips"),
        relapses=total(counted, "relapses"),
        late_relapses=_late_relapses(counted, alpha),
        relapsed=None if "relapses" not in counted else int((numbers(counted, "relapses") > 0).sum()),
        closed_loop_s=closed.mean_s,
        closed_loop_lo_s=closed.lo_s,
        closed_loop_hi_s=closed.hi_s,
        closed_loop_error_s=closed.width_s,
        closed_loop_n=closed.n,
        healed_if_right=_of(healed, incident & (rank == 1), alpha),
        healed_if_wrong=_of(healed, incident & (rank != 1), alpha),
        reliability=share(sum(c.n for c in cells), sum(sum(c.outcomes.values()) for c in cells), alpha),
        adherence=None if not known or len(known) < len(cells) else _adherence(known),
        budget_used=None if sla is None else budget_used(cells, sla, target),
    )


def total(table: pd.DataFrame, column: str) -> int | None:
    """None if the table does not say."""
    return int(np.nansum(numbers(table, column))) if column in table else None


def share(successes: int, n: int, alpha: float) -> Share:
    lo, hi = wilson(successes, n, alpha) if n else (None, None)
    return Share(successes / n if n else None, lo, hi, successes, n)


def _late_relapses(counted: pd.DataFrame, alpha: float) -> Share | None:
    late = numbers(counted, "late_relapses")
    known = ~np.isnan(late)
    return share(int((late[known] > 0).sum()), int(known.sum()), alpha) if known.any() else None


def _of(success: NDArray[np.bool_], among: NDArray[np.bool_], alpha: float) -> Share:
    return share(int((success & among).sum()), int(among.sum()), alpha)


def _adherence(cells: Sequence[Cell]) -> float:
    """Share of the seconds from injection to the horizon in which the objective was kept, scenarios by weight."""
    total_weight = sum(c.weight for c in cells)
    kept = (c.weight * (1 - float(c.bad_s.mean()) / c.horizon_s) for c in cells if c.bad_s is not None)
    return sum(kept) / total_weight
