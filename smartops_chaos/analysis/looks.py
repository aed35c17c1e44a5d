"""A look at a campaign that goes on: which arms have nothing left to decide.

At complete repeats, at most three times, declared in the matrix (see plan.looks for the error rate). An arm is decided
when each of its targets is proven, or ruled out: its other bound, at the same level, does not reach the target. What
was decided then is decided: the final analysis judges the arm by the trials of that look, and so does every later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from scipy import special

from smartops_chaos.analysis.cells import build
from smartops_chaos.analysis.question import Question, Stop
from smartops_chaos.analysis.summarise import measured_trials
from smartops_chaos.analysis.summary import Verdict
from smartops_chaos.analysis.table import numbers
from smartops_chaos.analysis.verdicts import ArmTests, decide, judged


@dataclass(frozen=True, slots=True)
class Look:
    """What one look says of the arms that still ran."""

    stop: tuple[Stop, ...]
    verdicts: tuple[Verdict, ...]


def look(table: pd.DataFrame, question: Question, number: int, repeat: int) -> Look:
    """The look `number` (from 1), over the trials up to `repeat`, all of which are recorded.

    `question.stopped` names the arms of earlier looks. The last look stops nothing: it is the end. Raises UsageError
    like `summarise` if the baseline has no trial.
    """
    question, measured = measured_trials(table, question)
    measured = measured[numbers(measured, "repeat") <= repeat]
    now = replace(question, look=number)
    arms = sorted({c.arm for c in build(measured, now)} - {question.baseline}, key=lambda a: (a.model, a.policy))
    tests = judged(measured, now, arms)
    _, verdicts = decide(tests, now)
    running = [t for t in tests if t.arm not in question.stopped]
    stop = [t.arm for t in running if number < question.looks and _decided(t, verdicts, question)]
    return Look(
        stop=tuple(Stop(arm, number, repeat) for arm in stop),
        verdicts=tuple(v for v in verdicts if v.arm in {t.arm for t in running}),
    )


def _decided(t: ArmTests, verdicts: Sequence[Verdict], question: Question) -> bool:
    found = {str(v.target): v.verdict == "proven" for v in verdicts if v.arm == t.arm}
    targets, alpha = question.targets, question.alpha * t.share
    reduction = t.here.mttr_reduction
    ruled_out = {
        "mttr_reduction": not t.here.undecidable and reduction.hi is not None and reduction.hi < targets.mttr_reduction,
        "auto_heal": t.heal.n > 0 and upper_share(t.heal.successes, t.heal.n, alpha) < targets.auto_heal,
        "sla": t.sla.hi is not None and t.sla.hi < targets.sla,
    }
    asked = ["mttr_reduction", "auto_heal", *(["sla"] if question.sla else [])]
    return all(found[target] or ruled_out[target] for target in asked)


def upper_share(successes: int, n: int, alpha: float) -> float:
    """Exact one-sided upper bound (Clopper and Pearson 1934), n > 0."""
    return 1.0 if successes == n else float(special.betaincinv(successes + 1, n - successes, 1 - alpha))
