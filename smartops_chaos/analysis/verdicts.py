"""Decisions: is a target proven, missed, only observed to lie above or below, or can it not be decided; and why.

H0 is "target not met", one-sided alpha. An arm's targets are tested in a sequence that the plan has fixed, each at the
full level, until one is not proven; the arms share alpha by Holm's procedure (1979), whose unit is the arm: what an arm
may use passes to the others when all its targets are proven. So the chance of any false `proven` in a campaign is at
most alpha. Proof: up to the first false one only arms without a true H0 are done, so each arm with one is tested at
alpha / (their number) or less, and in it the first true H0 of its sequence would have to be rejected. `missed` is the
same the other way round: H0 is "target met", Holm over all targets of all arms, so any false one is rarer than alpha.

All that a `proven` needs is in its p before that correction:
- a reason (`because`) for every horizon, since a longer horizon makes a reduction larger,
- for auto-heal: more than the baseline does by itself,
- that it holds with the trials whose result is unknown scored at their worst.

A target that is met whatever the healer does is `trivial`: it is no test, and not in the sequence. With looks all p are
1 / e values, which hold at every look. The baseline is shown, not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

import numpy as np
import pandas as pd

from smartops_chaos.analysis import likelihood_ratio
from smartops_chaos.analysis import sla as availability
from smartops_chaos.analysis.cells import Cell, cells_by_arm
from smartops_chaos.analysis.compare import Compared, compare, filled, trials_of
from smartops_chaos.analysis.likelihood_ratio import mean_over_scenarios
from smartops_chaos.analysis.phrases import GOALS, confidence_level, p_value, percent, stated_percent
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.rates import auto_heal, common, heal_test
from smartops_chaos.analysis.summary import Comparison, Decision, Verdict
from smartops_chaos.analysis.table import numbers
from smartops_chaos.model import Arm, Goal
from smartops_chaos.schema.units import count

Told = TypeVar("Told", Comparison, Verdict)


@dataclass(frozen=True, slots=True)
class TargetTest:
    """One target of one arm, before the other targets and arms are known."""

    target: Goal
    wanted: float
    value: float | None
    bound: float | None
    at_worst: float | None
    at_best: float | None
    p: float  # one-sided, H0: not met; of all that a `proven` needs
    p_ruled_out: float  # one-sided, H0: met
    says: str  # the estimate as a clause
    doubts: tuple[str, ...]  # what stands against a `proven` of this target alone, the weightiest first
    undecidable: str = ""  # why nothing can be said
    not_asked: bool = False  # by the plan or the table, whatever came out: then the sequence goes on without it
    trivial: str = ""  # why it is met whatever the healer does

    @property
    def in_sequence(self) -> bool:
        return not (self.not_asked or self.trivial)


@dataclass(frozen=True, slots=True)
class ArmTests:
    """One arm's tests of all targets, in the order in which they are tested."""

    arm: Arm
    cells: Sequence[Cell]
    baseline: Sequence[Cell]
    here: Compared
    elsewhere: Compared
    targets: tuple[TargetTest, ...]

    @property
    def sequence(self) -> list[float]:
        """The p of each target in the sequence: the largest of its own and of those before it."""
        return rising([t.p for t in self.targets if t.in_sequence])


def judged(
    measured: pd.DataFrame, question: Question, arms: Sequence[Arm], built: list[Cell] | None = None
) -> list[ArmTests]:
    """The tests of each arm; of one that a look has stopped by the trials of that look, the baseline's too."""
    return [run_tests(arm, *cells, question) for arm, cells in cells_by_arm(measured, question, arms, built).items()]


def conclude(
    measured: pd.DataFrame, question: Question, arms: Sequence[Arm], built: list[Cell] | None = None
) -> tuple[list[ArmTests], tuple[Comparison, ...], tuple[Verdict, ...]]:
    """Tests, comparisons and verdicts of the arms; of one that a look has stopped as they were decided then.

    What is decided at a look is decided by all tests as they stood then. The smallest p of a test over all looks is a
    valid p, since it is 1 / e, and by those all is proven that is proven here, or more: so the error rate is kept over
    all arms, targets and looks. `built` are the cells of `measured`, if they are at hand.
    """
    tests = judged(measured, question, arms, built)
    comparisons, verdicts = decide(tests, question)
    for look, repeat in sorted({(stop.look, stop.repeat) for stop in question.stopped.values()}):
        earlier = {arm: stop for arm, stop in question.stopped.items() if stop.look < look}
        then = replace(question, stopped=earlier)
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
        elif new.verdict in ("undecidable", "trivial"):  # no target of the campaign
            told.append(new)
        else:
            told.append(replace(new, why=f"{new.why}; decided at look {look}, after {stop.repeat} repeats"))
    return tuple(told)


# ---- one arm -------------------------------------------------------------------------------------------------


def run_tests(arm: Arm, cells: Sequence[Cell], baseline: Sequence[Cell], question: Question) -> ArmTests:
    """One arm's tests of all targets; not yet adjusted for the other arms."""
    wanted, alpha, looks = question.targets.mttr_reduction, question.alpha, question.looks > 1
    here = compare(cells, baseline, wanted, alpha, "these-scenarios", looks=looks)
    elsewhere = compare(cells, baseline, wanted, alpha, "faults-like-these", looks=looks)
    silent = unexplained(cells, question)
    unfit = f"nothing is proven while the horizon of {', '.join(silent)} has no `because`" if silent else ""
    found = {
        "mttr_reduction": _reduction(here, cells, baseline, question),
        "auto_heal": _heal(cells, baseline, question),
        "sla": _sla(cells, question),
    }
    targets = [found[target] for target in question.order]
    if unfit:
        targets = [replace(t, p=1.0, doubts=(unfit,)) for t in targets]
        elsewhere = replace(elsewhere, p=1.0)
    return ArmTests(arm, cells, baseline, here, elsewhere, tuple(targets))


def proven_p(cells: Sequence[Cell], baseline: Sequence[Cell], question: Question) -> list[float]:
    """The p of an arm's targets in the sequence, and nothing else: what `ArmTests.sequence` says of the same cells."""
    targets, looks = question.targets, question.looks > 1
    ours, theirs = common(cells, baseline)
    if unexplained(cells, question) or not ours or any(not c.n for c in (*ours, *theirs)):
        return [1.0]
    sla = availability.decide(cells, question.sla, targets.sla, question.alpha, looks=looks)
    p = {
        "mttr_reduction": likelihood_ratio.proven_p(
            trials_of(ours), trials_of(theirs), targets.mttr_reduction, looks=looks
        ),
        "auto_heal": heal_test(cells, baseline, targets.auto_heal, question.alpha, looks=looks).p,
        "sla": sla.p,
    }
    if sla.trivial or not_asked(cells, question):
        del p["sla"]
    return rising([p[target] for target in question.order if target in p])


def rising(p: Sequence[float]) -> list[float]:
    """Each p of a sequence, or a larger one before it: a target is proven only if those before it are."""
    return list(accumulate(p, max))


def not_asked(cells: Sequence[Cell], question: Question) -> bool:
    """Whether nobody can tell the availability: the plan or the table lacks what it takes."""
    return question.sla is None or any(c.bad_s is None for c in cells)


def _reduction(here: Compared, cells: Sequence[Cell], baseline: Sequence[Cell], question: Question) -> TargetTest:
    target, found = question.targets.mttr_reduction, here.mttr_reduction
    says, doubts = "", []
    if found.estimate is not None:
        interval = _interval(found.lo, found.hi, question)
        says = f"the mean time to recover is reduced by {percent(found.estimate)} {interval}"
        trials = count(sum(c.n for c in common(cells, baseline)[0]), "trial")
        if found.lo is None or found.lo < target:
            doubts.append(f"{trials} cannot rule out less than {stated_percent(target)}")
        if here.p > question.alpha:
            doubts.append(_lost(cells, baseline))
    return TargetTest(
        target="mttr_reduction",
        wanted=target,
        value=found.estimate,
        bound=found.lo,
        at_worst=found.at_worst,
        at_best=found.at_best,
        p=here.p,
        p_ruled_out=here.p_ruled_out,
        says=says,
        doubts=tuple(doubts),
        undecidable=here.undecidable,
    )


def _heal(cells: Sequence[Cell], baseline: Sequence[Cell], question: Question) -> TargetTest:
    target, alpha, looks = question.targets.auto_heal, question.alpha, question.looks > 1
    heal = auto_heal(cells, baseline, alpha, looks=looks)
    test = heal_test(cells, baseline, target, alpha, looks=looks)
    says, doubts = "", []
    if heal.no_human is not None and test.bound is not None:
        interval = _interval(heal.lo, heal.hi, question)
        says = f"{heal.successes} of {heal.n} incidents ended without a person, {percent(heal.no_human)} {interval}"
        if heal.uplift is not None:
            says += f"; {100 * heal.uplift:.1f} points more healed than the baseline ends by itself"
        if test.bound < target:
            doubts.append(f"the lower bound is {percent(test.bound)}, {stated_percent(target)} are wanted")
        if heal.uplift_lo is None:
            doubts.append("the baseline had no incident to compare with")
        elif test.p_uplift > alpha:
            doubts.append(f"it is not shown to be the healer's work: {p_value(test.p_uplift)}")
        if test.p > alpha:
            doubts.append(_lost(cells, baseline))
    return TargetTest(
        target="auto_heal",
        wanted=target,
        value=heal.no_human,
        bound=test.bound,
        at_worst=test.at_worst,
        at_best=test.at_best,
        p=test.p,
        p_ruled_out=test.p_ruled_out,
        says=says,
        doubts=tuple(doubts),
        undecidable="" if heal.n else "no trial had an incident",
    )


def _sla(cells: Sequence[Cell], question: Question) -> TargetTest:
    target, alpha, looks = question.targets.sla, question.alpha, question.looks > 1
    found = availability.decide(cells, question.sla, target, alpha, looks=looks)
    value, says, doubts = None, "", []
    if question.sla is not None and (expected := availability.expected(cells, question.sla, target)):
        value, says = expected[0], availability.says(*expected, question.sla, target)
        if found.bound is not None and found.bound < target:
            doubts.append(f"it may be as low as {100 * found.bound:.4f} %")
        if found.p > alpha:
            doubts.append(_lost(cells, ()))
    return TargetTest(
        target="sla",
        wanted=target,
        value=value,
        bound=found.bound,
        at_worst=found.at_worst,
        at_best=found.at_best,
        p=found.p,
        p_ruled_out=found.p_ruled_out,
        says=says,
        doubts=tuple(doubts),
        undecidable=found.undecidable or ("" if value is not None else "availability cannot be computed"),
        not_asked=not_asked(cells, question),
        trivial=found.trivial,
    )


def unexplained(cells: Sequence[Cell], question: Question) -> list[str]:
    """Chaos levels whose horizon has no reason."""
    return sorted({c.chaos for c in cells if not question.because.get(c.chaos)})


def _interval(lo: float | None, hi: float | None, question: Question) -> str:
    if hi is None:
        return "(no interval)"
    low = "without a lower bound" if lo is None else percent(lo)
    return f"({confidence_level(question.alpha)} interval {low} to {percent(hi)})"


def _lost(cells: Sequence[Cell], baseline: Sequence[Cell]) -> str:
    ours = sum(c.lost for c in cells)
    theirs = sum(c.lost for c in baseline)
    return f"not if the trials without a result ({ours} here, {theirs} in the baseline) had gone badly for it"


# ---- all arms together ---------------------------------------------------------------------------------------


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


def holm_over_arms(sequences: Sequence[Sequence[float]]) -> list[list[float]]:
    """The p of each arm's targets adjusted for the number of arms, in the order given: compare them with alpha.

    Each sequence rises: see ArmTests. An arm whose targets are all rejected leaves alpha to the others, as a rejected
    hypothesis does in Holm's procedure; for arms with one target each it is that procedure.
    """
    adjusted = []
    for i, sequence in enumerate(sequences):
        others = sorted(s[-1] if s else 0.0 for j, s in enumerate(sequences) if j != i)
        open_arms = len(sequences) - np.arange(len(sequences))  # if so many others are done: 0, 1, ...
        done_at = np.append(0.0, np.maximum.accumulate(open_arms[:-1] * np.array(others))) if others else np.zeros(1)
        adjusted.append([float(min(1.0, np.maximum(open_arms * p, done_at).min())) for p in sequence])
    return adjusted


def decide(tests: Sequence[ArmTests], question: Question) -> tuple[tuple[Comparison, ...], tuple[Verdict, ...]]:
    """Comparisons (two scopes for each arm) and verdicts (one for each arm and target)."""
    adjusted = holm_over_arms([t.sequence for t in tests])
    possible = [test for t in tests for test in t.targets if test.in_sequence and not test.undecidable]
    ruled_out = iter(holm([test.p_ruled_out for test in possible]))
    elsewhere = holm([t.elsewhere.p for t in tests]), holm([t.elsewhere.p_ruled_out for t in tests])
    comparisons: list[Comparison] = []
    verdicts: list[Verdict] = []
    for i, t in enumerate(tests):
        done = sum(bool(p) and p[-1] <= question.alpha for j, p in enumerate(adjusted) if j != i)
        level, in_sequence = question.alpha / (len(tests) - done), iter(adjusted[i])
        before: Goal | None = None
        largest: TargetTest | None = None  # of those tested so far: its p is that of all that follow
        for test in t.targets:
            if test.in_sequence and (largest is None or test.p >= largest.p):
                largest = test
            taken_over = largest.target if test.in_sequence and largest is not test and largest else None
            p = next(in_sequence) if test.in_sequence else 1.0
            p_out = next(ruled_out) if test.in_sequence and not test.undecidable else 1.0
            decision, why = _decision(test, p, p_out, len(tests), before, question, taken_over)
            if test.in_sequence and decision != "proven":
                before = before or test.target
            if test.target == "mttr_reduction":
                here = _comparison(t, t.here, decision, why, None if test.undecidable else p, level, question)
                why = here.why
            verdicts.append(
                Verdict(
                    test.target,
                    t.arm,
                    test.wanted,
                    test.value,
                    test.bound,
                    decision,
                    why,
                    test.at_worst,
                    test.at_best,
                    test.says,
                )
            )
        comparisons += [here, _elsewhere(t, elsewhere[0][i], elsewhere[1][i], len(tests), question)]
    return tuple(comparisons), tuple(verdicts)


def _decision(
    test: TargetTest,
    p: float,
    p_ruled_out: float,
    arms: int,
    before: Goal | None,
    question: Question,
    taken_over: Goal | None = None,
) -> tuple[Decision, str]:
    """The first line that fits. `before` is the first target of the sequence before this one that is not proven.

    `taken_over` is the target of which p is, if that is larger than this one's own.
    """
    wanted = stated_percent(test.wanted)
    if test.trivial:
        return "trivial", test.trivial
    if test.undecidable or test.value is None:
        return "undecidable", test.undecidable or "there is no estimate"
    over = f" after Holm over {arms} arms" if arms > 1 else ""
    if p <= question.alpha:
        whose = f" (the p of the {GOALS[taken_over]}, which is tested first)" if taken_over else ""
        return "proven", f"{test.says}; less than {wanted} is ruled out, {p_value(p)}{over}{whose}"
    if p_ruled_out <= question.alpha:
        return "missed", f"{test.says}; {wanted} are wanted and ruled out, {p_value(p_ruled_out)} after Holm"
    if test.value < test.wanted:
        return "observed below", f"{test.says}, {wanted} are wanted, which cannot be ruled out"
    doubt = next(iter(test.doubts), "")
    if test.p > question.alpha and doubt:
        return "observed above", f"{test.says}, but {doubt}"
    if before:
        return "observed above", f"{test.says}, but the {GOALS[before]} comes first and is not proven"
    return "observed above", f"{test.says}, but not after allowing for {arms} arms: {p_value(p)}{over}"


def _comparison(
    t: ArmTests, compared: Compared, decision: Decision, why: str, p: float | None, level: float, question: Question
) -> Comparison:
    """The one that decides, with the horizons for which it is proven."""
    share = seconds = None
    if decision == "proven":
        ours, theirs = filled(*common(t.cells, t.baseline))
        share = likelihood_ratio.proven_from(
            trials_of(ours), trials_of(theirs), question.targets.mttr_reduction, level, looks=question.looks > 1
        )
        horizons = {c.horizon_s for c in ours}
        if share is not None:
            longest_s = max(horizons)
            seconds = share * longest_s if len(horizons) == 1 else None
            why = f"{why}; {_proven_for(share, longest_s if len(horizons) == 1 else None)}"
    return _told(t, compared, decision, why, p, question, share, seconds)


def _proven_for(share: float, horizon_s: float | None) -> str:
    if share == 1:
        return "proven for the whole horizon only"
    if horizon_s is None:
        return f"proven for every horizon from {percent(share)} of the stated ones on"
    return f"proven for every horizon from {share * horizon_s:.3g} s to {horizon_s:g} s"


def _elsewhere(t: ArmTests, p: float, p_ruled_out: float, arms: int, question: Question) -> Comparison:
    """A statement of its own about faults that were not tried, with its own alpha; it decides no target."""
    compared, target = t.elsewhere, question.targets.mttr_reduction
    found = compared.mttr_reduction
    here = next(test for test in t.targets if test.target == "mttr_reduction")
    says = ""
    if found.estimate is not None:
        says = f"over fault families the mean time is reduced by {percent(found.estimate)}"
        says += f" {_interval(found.lo, found.hi, question)}"
    doubt = f"{len({c.family for c in t.cells})} fault families cannot rule out less than {stated_percent(target)}"
    test = replace(
        here,
        value=found.estimate,
        p=compared.p,
        says=says,
        undecidable=compared.undecidable,
        doubts=here.doubts if unexplained(t.cells, question) else (doubt,),
    )
    decision, why = _decision(test, p, p_ruled_out, arms, None, question)
    return _told(t, compared, decision, why, None if compared.undecidable else p, question, None, None)


def _told(
    t: ArmTests,
    compared: Compared,
    decision: Decision,
    why: str,
    p: float | None,
    question: Question,
    proven_from: float | None,
    proven_from_s: float | None,
) -> Comparison:
    known = [c for c in t.baseline if c.n]
    return Comparison(
        arm=t.arm,
        baseline=question.baseline,
        baseline_rmst_s=mean_over_scenarios([c.sample(c.time_s) for c in known]) if known else None,
        scope=compared.scope,
        decides=compared.scope == "these-scenarios",
        mttr_reduction=replace(compared.mttr_reduction, p_adjusted=p),
        from_impact=compared.from_impact,
        at_horizons=compared.at_horizons,
        by_scenario=compared.by_scenario,
        verdict=decision,
        why=why,
        shares=compared.shares,
        block_correlation=compared.block_correlation,
        blocks=compared.blocks,
        proven_from=proven_from,
        proven_from_s=proven_from_s,
    )
