"""Decisions: is a target proven, only observed, missed, or can it not be decided - and why, in words with numbers.

H0 is "target not met", one-sided alpha, Holm (1979) over non-baseline arms x targets; the SLA belongs to that family
only if the plan has an `sla:`. The baseline is shown, not judged. A `proven` also needs
- a reason (`because`) for every horizon, since a longer horizon makes a reduction larger,
- for the MTTR reduction: the same at half the horizon; for auto-heal: more than the baseline does by itself,
- to survive the trials whose result is unknown, scored as failures in the arm and as never bad in the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from smartops_chaos.analysis import sla as availability
from smartops_chaos.analysis.cells import Cell, cells_by_arm
from smartops_chaos.analysis.compare import Compared, compare
from smartops_chaos.analysis.estimate import mean_over_scenarios
from smartops_chaos.analysis.phrases import confidence_level, count, p_value, percent
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.rates import (
    auto_heal,
    binomial_p,
    clopper_pearson_lower,
    common,
    worst_uplift_lower,
)
from smartops_chaos.analysis.summary import AutoHeal, Comparison, Decision, SlaNumbers, Verdict
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
    alpha_fraction: float  # of alpha, that this decision may spend; below 1 if the plan has interim looks

    def family(self, question: Question) -> list[float]:
        """The p values that Holm adjusts, in the order of the verdicts, on the scale of the whole alpha."""
        found = [self.here.p, self.heal_p] + ([self.sla_test.p] if question.sla else [])
        return [p / self.alpha_fraction for p in found]


def judged(measured: pd.DataFrame, question: Question, arms: Sequence[Arm]) -> list[ArmTests]:
    """The tests of each arm; of one that a look has stopped by the trials of that look, the baseline's too."""
    return [run_tests(arm, *cells, question) for arm, cells in cells_by_arm(measured, question, arms).items()]


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
    """One arm's tests of all targets, each at the arm's fraction of alpha; not yet adjusted for the other tests."""
    targets, alpha = question.targets, question.alpha * question.alpha_fraction(arm)
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
        sla=availability.availability(cells, question.sla, targets.sla, alpha, None),
        sla_test=availability.decide(cells, question.sla, targets.sla, alpha),
        alpha_fraction=question.alpha_fraction(arm),
    )


def holm(p: Sequence[float]) -> list[float]:
    """The p values adjusted by Holm's step-down procedure (1979), in the order given: compare them with alpha.

    The chance that any true H0 is rejected is then at most alpha, whatever the tests have to do with each other.
    """
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.asarray(p, dtype=float)[order] * factors)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def decide(tests: Sequence[ArmTests], question: Question) -> tuple[tuple[Comparison, ...], tuple[Verdict, ...]]:
    """Comparisons (two scopes for each arm) and verdicts (one for each arm and target), after Holm over all tests."""
    families = [t.family(question) for t in tests]
    adjusted = iter(holm([p for family in families for p in family]))
    elsewhere = holm([t.elsewhere.p / t.alpha_fraction for t in tests])
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
        bound = (
            clopper_pearson_lower(t.heal.successes, t.heal.n, question.alpha * t.alpha_fraction) if t.heal.n else None
        )
        verdicts.append(Verdict("auto_heal", t.arm, wanted.auto_heal, t.heal.no_human, bound, decision, why))
        decision, why = _sla(t, p_sla, size, question)
        verdicts.append(Verdict("sla", t.arm, wanted.sla, t.sla.availability, t.sla_test.bound, decision, why))
    return tuple(comparisons), tuple(verdicts)


def unexplained(cells: Sequence[Cell], question: Question) -> list[str]:
    """Chaos levels whose horizon has no reason."""
    return sorted({c.chaos for c in cells if not question.because.get(c.chaos)})


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
    target, found = question.targets.mttr_reduction, compared.mttr_reduction
    if compared.undecidable or found.estimate is None:
        return "undecidable", compared.undecidable or "the service was never bad in the baseline"

    def doubts() -> Iterator[str]:
        alpha, half = question.alpha * t.alpha_fraction, compared.at_horizons["tau/2"]
        if found.p is None or found.p > alpha:
            trials = count(sum(c.n for c in t.cells), "trial")
            yield f"{trials} cannot rule out less than {percent(target)}"
        if half.p is None or half.p > alpha:
            value = "not known" if half.estimate is None else percent(half.estimate)
            yield f"it depends on the horizon: at half of it the reduction is {value}, not proven"
        if compared.worst_p is None or compared.worst_p > alpha:
            yield _lost(t)

    interval = "(no interval)"
    if found.hi is not None:
        low = "without a lower bound" if found.lo is None else percent(found.lo)
        interval = f"({confidence_level(question.alpha)} interval {low} to {percent(found.hi)})"
    says = f"the mean time to recover is reduced by {percent(found.estimate)} {interval}"
    return _said(t, question, says, found.estimate >= target, percent(target), doubts(), p_adjusted, size)


def _heal(t: ArmTests, p_adjusted: float, size: int, question: Question) -> tuple[Decision, str]:
    target, heal = question.targets.auto_heal, t.heal
    if heal.no_human is None or heal.lo is None or heal.hi is None:
        return "undecidable", "no trial had an incident"
    gain = "" if heal.uplift is None else f"{100 * heal.uplift:.1f} points more healed than the baseline ends by itself"

    def doubts() -> Iterator[str]:
        alpha = question.alpha * t.alpha_fraction
        bound = clopper_pearson_lower(heal.successes, heal.n, alpha)
        if bound < target:
            yield f"the exact lower bound is {percent(bound)}, {percent(target)} are wanted"
        if heal.uplift_lo is None:
            yield "the baseline had no incident to compare with"
        elif heal.uplift_lo <= 0:
            yield f"not shown to be the healer's work: {gain}, at least {100 * heal.uplift_lo:.1f}"
        if t.worst_uplift is None or t.worst_uplift <= 0 or t.heal_p > alpha:
            yield _lost(t)

    interval = f"{confidence_level(question.alpha)} interval {percent(heal.lo)} to {percent(heal.hi)}"
    says = f"{heal.successes} of {heal.n} incidents ended without a person, {percent(heal.no_human)} ({interval})"
    meets = heal.no_human >= target
    return _said(t, question, says, meets, percent(target), doubts(), p_adjusted, size, f"{gain}; ")


def _sla(t: ArmTests, p_adjusted: float, size: int, question: Question) -> tuple[Decision, str]:
    target, found, value = question.targets.sla, t.sla_test, t.sla.availability
    if question.sla is None or found.undecidable or found.trivial or value is None:
        return "undecidable", found.undecidable or found.trivial or "availability cannot be computed"

    def doubts() -> Iterator[str]:
        if found.bound is not None and found.bound < target:
            yield f"it may be as low as {100 * found.bound:.4f} %"
        if found.p > question.alpha * t.alpha_fraction:
            yield _lost(t)

    says = availability.says(value, t.sla.windows_kept, question.sla, target)
    return _said(t, question, says, value >= target, f"{100 * target:g} %", doubts(), p_adjusted, size)


def _said(
    t: ArmTests,
    question: Question,
    says: str,
    meets: bool,
    wanted: str,
    doubts: Iterator[str],
    p_adjusted: float,
    size: int,
    gain: str = "",
) -> tuple[Decision, str]:
    """The decision on one target, and why: the first line that fits.

    `says` states the estimate, which `meets` the target or does not; `doubts` are what stands against a `proven` before
    Holm's correction over `size` tests, the weightiest first; `wanted` is the target as text.
    """
    if not meets:
        return "missed", f"{says}, {wanted} are wanted"
    silent = unexplained(t.cells, question)
    if silent:
        return "observed", f"{says}; nothing is proven while the horizon of {', '.join(silent)} has no `because`"
    doubt = next(doubts, "")
    if doubt:
        return "observed", f"{says}, but {doubt}"
    adjusted = f"{p_value(p_adjusted)} after Holm over {count(size, 'test')}"
    if p_adjusted > question.alpha:
        return "observed", f"{says}, but not after allowing for {size} tests: {adjusted}"
    return "proven", f"{says}; {gain}less than {wanted} is ruled out, {adjusted}"


def _lost(t: ArmTests) -> str:
    ours, theirs = common(t.cells, t.baseline)
    counts = sum(c.lost for c in ours), sum(c.lost for c in theirs)
    return f"not if the trials without a result ({counts[0]} here, {counts[1]} in the baseline) had gone badly for it"
