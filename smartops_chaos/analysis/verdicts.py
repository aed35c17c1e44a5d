"""Decisions: is a target proven, only observed, missed, or can it not be decided - and why, in words with numbers.

H0 is "target not met", one-sided alpha, Holm (1979) over non-baseline arms x targets; the SLA belongs to that family
only if the plan has an `sla:`. The baseline is shown, not judged. A `proven` also needs
- a reason (`because`) for every horizon, since a longer horizon makes a reduction larger,
- for the MTTR reduction: the same at half the horizon; for auto-heal: more than the baseline does by itself,
- to survive the trials whose result is unknown, scored as failures in the arm and as never bad in the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from smartops_chaos.analysis import sla as availability
from smartops_chaos.analysis.cells import Cell, held_against
from smartops_chaos.analysis.compare import Compared, compare
from smartops_chaos.analysis.estimate import mean_over_scenarios
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.rates import (
    auto_heal,
    binomial_p,
    clopper_pearson_lower,
    common,
    worst_uplift_lower,
)
from smartops_chaos.analysis.summary import AutoHeal, Comparison, Decision, Reduction, SlaNumbers, Verdict
from smartops_chaos.analysis.table import numbers
from smartops_chaos.model import Arm

Told = TypeVar("Told", Comparison, Verdict)


@dataclass(frozen=True, slots=True)
class ArmTests:
    """One arm's tests of all targets, before the family of tests is known."""

    arm: Arm
    cells: Sequence[Cell]
    baseline: Sequence[Cell]
    here: Compared
    elsewhere: Compared
    heal: AutoHeal
    heal_p: float
    worst_uplift: float | None
    sla: SlaNumbers
    sla_test: availability.SlaTest
    share: float  # of alpha, that this decision may use; below 1 if the plan allows looks

    def family(self, question: Question) -> list[float]:
        """The p values that Holm adjusts, in the order of the verdicts, on the scale of the whole alpha."""
        found = [self.here.p, self.heal_p] + ([self.sla_test.p] if question.sla else [])
        return [p / self.share for p in found]


def judged(measured: pd.DataFrame, question: Question, arms: Sequence[Arm]) -> list[ArmTests]:
    """The tests of each arm; of one that a look has stopped by the trials of that look, the baseline's too."""
    return [run_tests(arm, *cells, question) for arm, cells in held_against(measured, question, arms).items()]


def conclude(
    measured: pd.DataFrame, question: Question, arms: Sequence[Arm]
) -> tuple[list[ArmTests], tuple[Comparison, ...], tuple[Verdict, ...]]:
    """Tests, comparisons and verdicts of the arms; of one that a look has stopped as they were decided then.

    Holm's family at a look is all tests as they stood then, each p over its look's share of alpha. Had all arms run to
    the end, the smallest such p of each test over all looks would be a valid p, and Holm on those proves all that is
    proven here or more: so the error rate is kept over all arms, targets and looks.
    """
    tests = judged(measured, question, arms)
    comparisons, verdicts = decide(tests, question)
    for look, repeat in sorted({(stop.look, stop.repeat) for stop in question.stopped.values()}):
        earlier = {arm: stop for arm, stop in question.stopped.items() if stop.look < look}
        then = replace(question, look=look, stopped=earlier)
        compared, decided = decide(judged(measured[numbers(measured, "repeat") <= repeat], then, arms), then)
        comparisons = _as_then(comparisons, compared, question, look)
        verdicts = _as_then(verdicts, decided, question, look)
    return tests, comparisons, verdicts


def _as_then(end: Sequence[Told], then: Sequence[Told], question: Question, look: int) -> tuple[Told, ...]:
    """`end`, but for the arms that were stopped at `look` what was said then."""
    told = []
    for old, new in zip(end, then, strict=True):
        stop = question.stopped.get(new.arm)
        if stop is None or stop.look != look:
            told.append(old)
        elif new.verdict == "undecidable":  # no target of the campaign
            told.append(new)
        else:
            told.append(replace(new, why=f"{new.why}; decided at look {look}, after {stop.repeat} repeats"))
    return tuple(told)


def run_tests(arm: Arm, cells: Sequence[Cell], baseline: Sequence[Cell], question: Question) -> ArmTests:
    targets, alpha = question.targets, question.alpha * question.share(arm)
    heal = auto_heal(cells, baseline, alpha)
    lost = sum(c.lost for c in cells)
    return ArmTests(
        arm=arm,
        cells=cells,
        baseline=baseline,
        here=compare(cells, baseline, targets.mttr_reduction, alpha, "these-scenarios"),
        elsewhere=compare(cells, baseline, targets.mttr_reduction, alpha, "faults-like-these"),
        heal=heal,
        heal_p=binomial_p(heal.successes, heal.n + lost, targets.auto_heal) if heal.n else 1.0,
        worst_uplift=worst_uplift_lower(cells, baseline, alpha),
        sla=availability.availability(cells, question.sla, alpha, None),
        sla_test=availability.decide(cells, question.sla, targets.sla, alpha),
        share=question.share(arm),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values of Holm's step-down procedure, in the order given."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.asarray(p, dtype=float)[order] * factors)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def decide(tests: Sequence[ArmTests], question: Question) -> tuple[tuple[Comparison, ...], tuple[Verdict, ...]]:
    """Comparisons (two scopes an arm) and verdicts (one an arm and target)."""
    families = [t.family(question) for t in tests]
    adjusted = iter(holm([p for family in families for p in family]))
    elsewhere = holm([t.elsewhere.p / t.share for t in tests])
    size = sum(map(len, families))
    comparisons: list[Comparison] = []
    verdicts: list[Verdict] = []
    for t, p_elsewhere in zip(tests, elsewhere, strict=True):
        p_mttr, p_heal = next(adjusted), next(adjusted)
        p_sla = next(adjusted) if question.sla else 1.0
        here = _comparison(t, t.here, p_mttr, size, question)
        comparisons += [here, _comparison(t, t.elsewhere, p_elsewhere, len(tests), question)]
        wanted, found = question.targets, t.here.mttr_reduction
        verdicts.append(
            Verdict("mttr_reduction", t.arm, wanted.mttr_reduction, found.estimate, found.lo, here.verdict, here.why)
        )
        decision, why = _heal(t, p_heal, size, question)
        bound = clopper_pearson_lower(t.heal.successes, t.heal.n, question.alpha * t.share) if t.heal.n else None
        verdicts.append(Verdict("auto_heal", t.arm, wanted.auto_heal, t.heal.no_human, bound, decision, why))
        decision, why = _sla(t, p_sla, size, question)
        verdicts.append(Verdict("sla", t.arm, wanted.sla, t.sla.availability, t.sla_test.bound, decision, why))
    return tuple(comparisons), tuple(verdicts)


def unexplained(cells: Sequence[Cell], question: Question) -> list[str]:
    """Chaos levels whose horizon has no reason."""
    return sorted({c.chaos for c in cells if not question.because.get(c.chaos)})


def percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace("-", "−")


def _p_text(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def _comparison(t: ArmTests, compared: Compared, p_adjusted: float, size: int, question: Question) -> Comparison:
    decision, why = _reduction(t, compared, p_adjusted, size, question)
    filled = [c for c in t.baseline if c.n]
    return Comparison(
        arm=t.arm,
        baseline=question.baseline,
        baseline_rmst_s=mean_over_scenarios([c.sample(c.time_s) for c in filled]).mean if filled else None,
        scope=compared.scope,
        decides=compared.scope == "these-scenarios",
        mttr_reduction=replace(compared.mttr_reduction, p_adjusted=None if compared.undecidable else p_adjusted),
        from_impact=compared.from_impact,
        at_horizons=compared.at_horizons,
        by_scenario=compared.by_scenario,
        verdict=decision,
        why=why,
    )


def _reduction(
    t: ArmTests, compared: Compared, p_adjusted: float, size: int, question: Question
) -> tuple[Decision, str]:
    target, alpha = question.targets.mttr_reduction, question.alpha * t.share
    found = compared.mttr_reduction
    if compared.undecidable or found.estimate is None:
        return "undecidable", compared.undecidable or "the service was never bad in the baseline"
    says = f"the mean time to recover is reduced by {percent(found.estimate)} {_interval(found, question.alpha)}"
    if found.estimate < target:
        return "missed", f"{says}, {percent(target)} are wanted"
    silent = _no_reason(t, question)
    if silent:
        return "observed", f"{says}; {silent}"
    if p_adjusted <= question.alpha:
        return "proven", f"{says}; less than {percent(target)} is ruled out, {_adjusted(p_adjusted, size)}"
    half = compared.at_horizons["tau/2"]
    if found.p is None or found.p > alpha:
        return "observed", f"{says}, but {_trials(t.cells)} cannot rule out less than {percent(target)}"
    if half.p is None or half.p > alpha:
        value = "not known" if half.estimate is None else percent(half.estimate)
        return "observed", f"{says}, but it depends on the horizon: at half of it the reduction is {value}, not proven"
    if compared.worst_p is None or compared.worst_p > alpha:
        return "observed", f"{says}, but {_lost(t)}"
    return "observed", f"{says}, but not after allowing for {size} tests: {_adjusted(p_adjusted, size)}"


def _heal(t: ArmTests, p_adjusted: float, size: int, question: Question) -> tuple[Decision, str]:
    target, alpha, heal = question.targets.auto_heal, question.alpha * t.share, t.heal
    if heal.no_human is None or heal.lo is None or heal.hi is None:
        return "undecidable", "no trial had an incident"
    interval = f"{_level(question.alpha)} interval {percent(heal.lo)} to {percent(heal.hi)}"
    says = f"{heal.successes} of {heal.n} incidents ended without a person, {percent(heal.no_human)} ({interval})"
    if heal.no_human < target:
        return "missed", f"{says}, {percent(target)} are wanted"
    silent = _no_reason(t, question)
    if silent:
        return "observed", f"{says}; {silent}"
    bound = clopper_pearson_lower(heal.successes, heal.n, alpha)
    if bound < target:
        return "observed", f"{says}, but the exact lower bound is {percent(bound)}, {percent(target)} are wanted"
    if heal.uplift is None or heal.uplift_lo is None:
        return "observed", f"{says}, but the baseline had no incident to compare with"
    gain = f"{100 * heal.uplift:.1f} points more healed than the baseline ends by itself"
    if heal.uplift_lo <= 0:
        return "observed", f"{says}, but not shown to be the healer's work: {gain}, at least {100 * heal.uplift_lo:.1f}"
    lost = sum(c.lost for c in t.cells)
    robust = t.worst_uplift is not None and t.worst_uplift > 0
    if not robust or binomial_p(heal.successes, heal.n + lost, target) > alpha:
        return "observed", f"{says}, but {_lost(t)}"
    if p_adjusted > question.alpha:
        return "observed", f"{says}, but not after allowing for {size} tests: {_adjusted(p_adjusted, size)}"
    return "proven", f"{says}; {gain}; less than {percent(target)} is ruled out, {_adjusted(p_adjusted, size)}"


def _sla(t: ArmTests, p_adjusted: float, size: int, question: Question) -> tuple[Decision, str]:
    target, alpha, found = question.targets.sla, question.alpha * t.share, t.sla_test
    if found.undecidable or t.sla.availability is None:
        return "undecidable", found.undecidable or "availability cannot be computed"
    says = f"availability {100 * t.sla.availability:.4f} %"
    if question.sla is not None:
        says += f" with {question.sla.faults:g} such faults in {availability.window(question.sla)}"
    if t.sla.availability < target:
        return "missed", f"{says}, {100 * target:g} % are wanted"
    silent = _no_reason(t, question)
    if silent:
        return "observed", f"{says}; {silent}"
    if p_adjusted <= question.alpha:
        return "proven", f"{says}; less than {100 * target:g} % is ruled out, {_adjusted(p_adjusted, size)}"
    if found.bound is not None and found.bound < target:
        return "observed", f"{says}, but it may be as low as {100 * found.bound:.4f} %"
    if found.p > alpha:
        return "observed", f"{says}, but {_lost(t)}"
    return "observed", f"{says}, but not after allowing for {size} tests: {_adjusted(p_adjusted, size)}"


def _no_reason(t: ArmTests, question: Question) -> str:
    silent = unexplained(t.cells, question)
    return f"nothing is proven while the horizon of {', '.join(silent)} has no `because`" if silent else ""


def _lost(t: ArmTests) -> str:
    ours, theirs = common(t.cells, t.baseline)
    counts = sum(c.lost for c in ours), sum(c.lost for c in theirs)
    return f"not if the trials without a result ({counts[0]} here, {counts[1]} in the baseline) had gone badly for it"


def _interval(found: Reduction, alpha: float) -> str:
    """With looks the interval is wider than at `alpha`, by the look's share: so it holds over all looks together."""
    if found.hi is None:
        return "(no interval)"
    low = "without a lower bound" if found.lo is None else f"{percent(found.lo)}"
    return f"({_level(alpha)} interval {low} to {percent(found.hi)})"


def _level(alpha: float) -> str:
    return f"{100 * (1 - 2 * alpha):g} %"


def _adjusted(p: float, size: int) -> str:
    return f"{_p_text(p)} after Holm over {size} test{'s' if size > 1 else ''}"


def _trials(cells: Sequence[Cell]) -> str:
    n = sum(c.n for c in cells)
    return f"{n} trial{'s' if n != 1 else ''}"
