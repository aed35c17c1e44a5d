"""Root-cause analysis against the healer file's causes for the fault. No answer is a wrong answer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smartops_chaos.analysis.likelihood_ratio import Floats
from smartops_chaos.analysis.rates import wilson
from smartops_chaos.analysis.summary import Rca
from smartops_chaos.analysis.table import numbers, texts

RANKS = (1, 2, 3)


def ranks(counted: pd.DataFrame) -> tuple[NDArray[np.bool_], Floats]:
    """Which trials have an expected cause, and where in the answer a right one stands; NaN = nowhere."""
    expected, answered = texts(counted, "rca_expected"), texts(counted, "rca_top1")
    rank = numbers(counted, "rca_rank")
    (answer, answers), (cause, causes) = pd.factorize(answered), pd.factorize(expected)
    right = np.array([[a != "" and a in c.split("|") for c in causes] for a in answers], dtype=bool)
    named = right[answer, cause] if len(answered) else np.zeros(0, dtype=bool)
    return expected != "", np.where(np.isnan(rank) & named, 1.0, rank)  # a table may have the answers only


def rca(counted: pd.DataFrame, alpha: float) -> Rca:
    """`counted`: one arm's counted trials; those without an expected cause are not asked.

    An expected cause may be several joined by "|" (a combination): naming one of them is right. `lift` compares with
    the best constant answer; `macro_recall` is the mean over expected causes of the share named right.
    """
    asked, rank = ranks(counted)
    n = int(asked.sum())
    expected, answered, rank = texts(counted, "rca_expected")[asked], texts(counted, "rca_top1")[asked], rank[asked]
    confusion: dict[str, dict[str, int]] = {}
    for (right, answer), trials in sorted(Counter(zip(expected.tolist(), answered.tolist(), strict=True)).items()):
        confusion.setdefault(right, {})[answer] = trials
    answers = len({a for row in confusion.values() for a in row if a})
    if not n:
        return Rca(None, None, None, 0, None, None, {}, answers, confusion)
    hits = int((rank == 1).sum())
    constant: Counter[str] = Counter()
    for right, row in confusion.items():
        for cause in set(right.split("|")):
            constant[cause] += sum(row.values())
    recalls = [float((rank[expected == right] == 1).mean()) for right in confusion]
    lo, hi = wilson(hits, n, alpha)
    return Rca(
        top1=hits / n,
        lo=lo,
        hi=hi,
        n=n,
        lift=hits / n - max(constant.values()) / n,
        macro_recall=float(np.mean(recalls)),
        at_k={str(k): float((rank <= k).mean()) for k in RANKS},
        answers=answers,
        confusion=confusion,
    )
