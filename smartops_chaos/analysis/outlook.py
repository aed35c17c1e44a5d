"""How many repeats would show what so few trials cannot, if further trials went like these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summary import Verdict
from smartops_chaos.analysis.table import texts
from smartops_chaos.analysis.verdicts import ArmTests, holm_over_arms, proven_p
from smartops_chaos.model import Goal

FACTORS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_MOST_TRIALS = 2000  # of an arm; a campaign larger than that is not short of trials


def repeats_needed(
    tests: Sequence[ArmTests], verdicts: Sequence[Verdict], question: Question
) -> dict[tuple[str, Goal], int | None]:
    """(arm, target) of each verdict that is observed above -> repeats in all that would prove it; None = none found.

    The trials at hand are taken 2, 3, ... times; the same tests decide. Targets that fail for another reason than the
    number of trials come out as None.
    """
    waiting = {_key(v) for v in verdicts if v.verdict == "observed above" and v.arm not in question.stopped}
    found: dict[tuple[str, Goal], int | None] = dict.fromkeys(sorted(waiting))
    if any(sum(c.n for c in t.cells) > _MOST_TRIALS for t in tests):
        return found
    repeats = max((c.n + c.lost for t in tests for c in (*t.cells, *t.baseline)), default=0)
    names = [[(str(t.arm), test.target) for test in t.targets if test.in_sequence] for t in tests]
    for factor in FACTORS:
        if not waiting:
            break
        more = [proven_p(_times(t.cells, factor), _times(t.baseline, factor), question) for t in tests]
        for keys, adjusted in zip(names, holm_over_arms(more), strict=True):
            for key, p in zip(keys, adjusted, strict=False):
                if p <= question.alpha and key in waiting:
                    found[key] = factor * repeats
                    waiting.discard(key)
    return found


def minutes_a_trial(table: pd.DataFrame) -> float | None:
    """Wall time of the campaign for each trial, all lanes together, from the trials' starts; None if not known."""
    try:
        starts = pd.to_datetime(pd.Series(texts(table, "started_at")), format="ISO8601", utc=True)
    except ValueError:
        return None
    if len(starts) < 2 or starts.isna().any():
        return None
    # a pause between two sessions is not work: the median gap between starts is what a trial costs
    return float(starts.sort_values().diff().median().total_seconds()) / 60


def _key(verdict: Verdict) -> tuple[str, Goal]:
    return str(verdict.arm), verdict.target


def _times(cells: Sequence[Cell], factor: int) -> list[Cell]:
    """Lost trials stay as many as they are: what is asked is what more good trials would show."""
    return [
        replace(
            c,
            time_s=np.tile(c.time_s, factor),
            recovered=np.tile(c.recovered, factor),
            repeat=None,
            impact_s=None,
            bad_s=None if c.bad_s is None else np.tile(c.bad_s, factor),
            outcomes=Counter({outcome: factor * n for outcome, n in c.outcomes.items()}),
        )
        for c in cells
    ]
