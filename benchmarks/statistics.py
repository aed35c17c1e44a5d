"""How often the analysis is wrong, measured on simulated campaigns whose truth is known.

    python -m benchmarks.statistics --campaigns 4000

First table: every model is placed exactly on the border, the target being its true reduction, so each `proven` is a
false one. Printed are the share of false `proven` (at tau alone, and with the demand that it holds at tau/2 too; one
test, no Holm), how often the two-sided 95 % interval of the reduction covers the truth, and that of the mean.

Second table: whole campaigns through `analysis.verdicts`, each with one claim that would be wrong about it, and how
often it is made. Third table: two equal campaigns, compared.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.compare import Pair, at_share, these_scenarios
from smartops_chaos.analysis.estimate import Floats, Sample, interval
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.regression import Side, regress
from smartops_chaos.analysis.summary import Comparison, Verdict
from smartops_chaos.analysis.verdicts import decide, run_tests
from smartops_chaos.model import Arm, Sla, Targets
from smartops_chaos.plan.look_schedule import ALPHA_SPENDING, ends

ALPHA = 0.025
TAU_S = 100.0
OFF, ON = Arm("off", "default"), Arm("on", "default")
_TRUTH_DRAWS = 250_000

Draw: TypeAlias = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True, slots=True)
class Model:
    """For each scenario how times come about in the arm and in the baseline, in seconds, at most TAU_S."""

    scenarios: tuple[tuple[Draw, Draw], ...]


@dataclass(frozen=True, slots=True)
class Errors:
    """Shares of the simulated campaigns. `coverage` is of those that gave an interval; None = none did."""

    false_proven_at_tau: float
    false_proven: float
    coverage: float | None
    coverage_of_mean: float | None


@dataclass(frozen=True, slots=True)
class Decided:
    deciding: Comparison
    elsewhere: Comparison
    verdicts: Mapping[str, Verdict]

    def proven(self, target: str) -> bool:
        return self.verdicts[target].verdict == "proven"


@dataclass(frozen=True, slots=True)
class Trap:
    """A kind of campaign, with `n` trials in a cell, and a claim that would be wrong about it."""

    cells: Callable[[np.random.Generator, int], tuple[list[Cell], list[Cell]]]
    question: Question
    fooled: Callable[[Decided], bool]


def lognormal(mean: float, cv: float, *, fails: float = 0.0, zeros: float = 0.0, tau: float = TAU_S) -> Draw:
    """Recovery after a lognormal time; a share never recovers (tau), another was never bad (0)."""
    sigma = float(np.sqrt(np.log1p(cv**2)))

    def draw(rng: np.random.Generator, n: int) -> Floats:
        times = np.minimum(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, n), tau)
        u = rng.random(n)
        return np.where(u < fails, tau, np.where(u > 1 - zeros, 0.0, times))

    return draw


def always(value: float) -> Draw:
    return lambda _rng, n: np.full(n, value)


def models() -> Mapping[str, Model]:
    """Hard cases: rare failures that a small sample does not show, zeros, a baseline that (nearly) always fails."""
    even = lognormal(12, 0.6), lognormal(20, 0.6)
    few_fail = lognormal(5, 0.3, fails=0.05), lognormal(20, 0.3)
    slower = lognormal(5, 0.3, fails=0.05), lognormal(30, 0.4)
    rare = lognormal(4, 0.1, fails=0.02), lognormal(10, 0.1)
    saturated = lognormal(15, 0.4, fails=0.5), always(TAU_S)
    nearly_saturated = lognormal(54, 0.1, fails=0.05), lognormal(30, 0.5, fails=0.9, zeros=0.05)
    all_or_nothing = lognormal(1, 0.1, fails=0.6, zeros=0.4), always(TAU_S)
    zeros = lognormal(30, 0.4, zeros=0.5), lognormal(40, 0.4, zeros=0.2)
    baseline_zeros = lognormal(48, 0.1), lognormal(90, 0.1, fails=0.8, zeros=0.2)
    skewed = lognormal(6, 1.0), lognormal(10, 1.0)
    fails_both = lognormal(15, 0.6, fails=0.1), lognormal(30, 0.6, fails=0.25)
    return {
        "equal spread": Model((even,)),
        "skewed": Model((skewed, skewed)),
        "failures in both": Model((fails_both, fails_both)),
        "5 % failures unseen": Model((few_fail,)),
        "5 %, a slower baseline": Model((slower,)),
        "2 % failures unseen": Model((rare, rare)),
        "saturated baseline": Model((saturated, saturated)),
        "nearly saturated": Model((nearly_saturated,)),
        "all or nothing": Model((all_or_nothing,)),
        "zeros": Model((zeros, zeros)),
        "zeros in the baseline": Model((baseline_zeros,)),
        "unlike scenarios": Model((even, saturated, few_fail, fails_both, zeros, skewed)),
    }


def means(model: Model, rng: np.random.Generator) -> tuple[float, float]:
    """The true means over the scenarios, of the arm and of the baseline, from many draws."""
    arm, base = (np.mean([float(s[i](rng, _TRUTH_DRAWS).mean()) for s in model.scenarios]) for i in (0, 1))
    return float(arm), float(base)


def campaign(model: Model, n: int, rng: np.random.Generator) -> list[Pair]:
    return [
        Pair(f"family {i}", Sample(arm(rng, n), 1.0, TAU_S), Sample(base(rng, n), 1.0, 0.0))
        for i, (arm, base) in enumerate(model.scenarios)
    ]


def errors(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> Errors:
    mean, base = means(model, rng)
    target = 1 - mean / base
    proven_at_tau = proven = 0
    covered: list[bool] = []
    mean_covered: list[bool] = []
    for _ in range(campaigns):
        pairs = campaign(model, n, rng)
        found = these_scenarios(pairs, target, ALPHA)
        if found.p is not None and found.p <= ALPHA:
            proven_at_tau += 1
            half = these_scenarios(at_share(pairs, 0.5), target, ALPHA).p
            proven += half is not None and half <= ALPHA
        if found.lo is not None and found.hi is not None:
            covered.append(found.lo <= target <= found.hi)
        lo, hi = interval([p.arm for p in pairs], ALPHA)
        if lo is not None and hi is not None:
            mean_covered.append(lo <= mean <= hi)
    return Errors(proven_at_tau / campaigns, proven / campaigns, _share(covered), _share(mean_covered))


def _share(found: Sequence[bool]) -> float | None:
    return float(np.mean(found)) if found else None


def cell(arm: Arm, times: Floats, *, scenario: int = 0, tau: float = TAU_S, lost: int = 0) -> Cell:
    """Outcomes follow from the times: 0 = never bad, tau = unrecovered, else the healer or, in OFF, the platform."""
    never, ended = ("no_effect", "platform") if arm == OFF else ("prevented", "healed")
    outcomes = Counter(np.where(times >= tau, "unrecovered", np.where(times == 0, never, ended)).tolist())
    return Cell(
        chaos=f"fault {scenario}",
        workload="steady",
        arm=arm,
        family=f"family {scenario}",
        horizon_s=tau,
        weight=1.0,
        time_s=times,
        recovered=times < tau,
        impact_s=None,
        undetected_s=None,
        unmitigated_s=None,
        bad_s=times,
        outcomes=outcomes + Counter(error=lost),
        left_out=lost,
        not_recorded=0,
    )


def judged(trap: Trap, n: int, rng: np.random.Generator) -> Decided:
    arm, base = trap.cells(rng, n)
    comparisons, verdicts = decide([run_tests(ON, arm, base, trap.question)], trap.question)
    deciding, elsewhere = comparisons
    return Decided(deciding, elsewhere, {v.target: v for v in verdicts})


def fooled(trap: Trap, n: int, campaigns: int, rng: np.random.Generator) -> float:
    return float(np.mean([trap.fooled(judged(trap, n, rng)) for _ in range(campaigns)]))


def traps() -> Mapping[str, Trap]:
    """All with the default targets: 40 % less time, 90 % healed, unless the claim is about another one."""
    asked = Question(OFF, because={f"fault {i}": "simulated" for i in range(12)})
    any_at_all = replace(asked, targets=Targets(mttr_reduction=0.0))
    # 3 scenarios cost 12 s on average: exactly what 99.98 % of a day with one fault allow
    on_border = replace(asked, targets=Targets(sla=1 - 12 / 86400), sla=Sla(86400, 1))
    same = lognormal(30, 0.5, fails=0.3)
    restarted = lognormal(20, 0.5, fails=0.02)  # by the platform, whatever the healer does
    gives_up = lognormal(60, 0.6, fails=0.3, tau=300), lognormal(120, 0.6, fails=0.05, tau=300)
    heals_90 = [(lognormal(5, 0.5, fails=f), lognormal(30, 0.5, fails=0.8)) for f in (0.0, 0.1, 0.2)]
    costs_12 = [(lognormal(m, 0.3), always(TAU_S)) for m in (4, 12, 20)]
    loses = lognormal(10, 0.5, fails=0.57), always(TAU_S)  # a true reduction of 39 %

    def fair(*scenarios: tuple[Draw, Draw], tau: float = TAU_S) -> Callable[..., tuple[list[Cell], list[Cell]]]:
        def draw(rng: np.random.Generator, n: int) -> tuple[list[Cell], list[Cell]]:
            on = [cell(ON, arm(rng, n), scenario=i, tau=tau) for i, (arm, _) in enumerate(scenarios)]
            return on, [cell(OFF, base(rng, n), scenario=i, tau=tau) for i, (_, base) in enumerate(scenarios)]

        return draw

    def lossy(share: float) -> Callable[..., tuple[list[Cell], list[Cell]]]:
        def draw(rng: np.random.Generator, n: int) -> tuple[list[Cell], list[Cell]]:
            times = np.sort(loses[0](rng, n))
            lost = round(share * float((times >= TAU_S).sum()))
            return [cell(ON, times[: n - lost], lost=lost)], [cell(OFF, loses[1](rng, n))]

        return draw

    def drawn_faults(rng: np.random.Generator, n: int) -> tuple[list[Cell], list[Cell]]:
        """8 families whose effect differs: over all faults like these the mean time falls by 40 % exactly."""
        ratio = 0.6 * rng.lognormal(-(0.4**2) / 2, 0.4, 8)
        return fair(*((lognormal(10 * r, 0.2), lognormal(10, 0.2)) for r in ratio))(rng, n)

    def gain(d: Decided) -> bool:
        return d.proven("mttr_reduction") or (d.deciding.mttr_reduction.lo or -1.0) > 0

    def different(d: Decided) -> bool:
        found = d.deciding.mttr_reduction
        return not ((found.lo is None or found.lo <= 0) and (found.hi is None or found.hi >= 0))

    def target(name: str) -> Callable[[Decided], bool]:
        return lambda d: d.proven(name)

    def anything(d: Decided) -> bool:
        return any(v.verdict == "proven" for v in d.verdicts.values())

    return {
        "A/A: called different": Trap(fair((same, same)), any_at_all, different),
        "A/A, 6 scenarios: different": Trap(fair(*[(same, same)] * 6), any_at_all, different),
        "A/A: healing proven": Trap(fair((same, same)), any_at_all, target("auto_heal")),
        "useless, restarts all: proven": Trap(fair((restarted, restarted)), asked, anything),
        "useless, restarts all: a gain": Trap(fair((restarted, restarted)), asked, gain),
        "gives up, 47 % in healed: a gain": Trap(fair(gives_up, tau=300), any_at_all, gain),
        "healing on the border": Trap(fair(*heals_90), asked, target("auto_heal")),
        "availability on the border": Trap(fair(*costs_12), on_border, target("sla")),
        "faults like these, on the border": Trap(drawn_faults, asked, lambda d: d.elsewhere.verdict == "proven"),
        "30 % of the failures lost": Trap(lossy(0.3), asked, anything),
    }


def told_apart(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> float:
    """Share of pairs of equal campaigns, two arms each, of which `compare` says that an arm is slower or faster."""
    arms = (ON, Arm("other", "default"))

    def side() -> Side:
        drawn = [(OFF, base, i) for i, (_, base) in enumerate(model.scenarios)]
        drawn += [(arm, draw, i) for i, (draw, _) in enumerate(model.scenarios) for arm in arms]
        return Side("equal", OFF, [cell(arm, draw(rng, n), scenario=i) for arm, draw, i in drawn])

    found = [regress(side(), side(), limit=0.0, alpha=ALPHA) for _ in range(campaigns)]
    return float(np.mean([any(a.direction in ("slower", "faster") for a in f.arms) for f in found]))


def looked(model: Model, n: int, looks: int, campaigns: int, rng: np.random.Generator) -> float:
    """Share of campaigns on the border in which any look, the last one included, finds the target proven."""
    mean, base = means(model, rng)
    steps = list(zip(ends(n, looks), ALPHA_SPENDING[looks], strict=True))
    proven = 0
    for _ in range(campaigns):
        pairs = campaign(model, n, rng)
        for so_far, share in steps:
            seen = [
                replace(
                    p,
                    arm=replace(p.arm, values=p.arm.values[:so_far]),
                    base=replace(p.base, values=p.base.values[:so_far]),
                )
                for p in pairs
            ]
            found = these_scenarios(seen, 1 - mean / base, share * ALPHA).p
            if found is not None and found <= share * ALPHA:
                proven += 1
                break
    return proven / campaigns


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="False verdicts and coverage on simulated campaigns.")
    parser.add_argument("--campaigns", type=int, default=4000, help="simulated campaigns for each line (4000)")
    parser.add_argument("--trials", type=int, nargs="+", default=[5, 10, 20, 50], help="trials a cell")
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    print(f"{'model':<24}{'n':>5}{'false at tau':>15}{'false proven':>15}{'coverage':>11}{'of the mean':>14}")
    for name, model in models().items():
        for n in options.trials:
            found = errors(model, n, options.campaigns, rng)
            covered = ["none" if c is None else f"{100 * c:.1f} %" for c in (found.coverage, found.coverage_of_mean)]
            print(
                f"{name:<24}{n:>5}{100 * found.false_proven_at_tau:>13.2f} %{100 * found.false_proven:>13.2f} %"
                f"{covered[0]:>11}{covered[1]:>14}",
                flush=True,
            )
    print(f"\n{'wrong claim':<36}" + "".join(f"{f'n = {n}':>10}" for n in options.trials))
    for name, trap in traps().items():
        shares = [fooled(trap, n, options.campaigns, rng) for n in options.trials]
        print(f"{name:<36}" + "".join(f"{100 * s:>8.2f} %" for s in shares), flush=True)
    print("\nfalse proven at tau at any of 3 looks")
    for name, model in models().items():
        shares = [looked(model, n, 3, options.campaigns, rng) for n in options.trials]
        print(f"{name:<36}" + "".join(f"{100 * s:>8.2f} %" for s in shares), flush=True)
    print("\nequal campaigns called different by `compare`")
    for name, model in models().items():
        shares = [told_apart(model, n, max(options.campaigns // 10, 1), rng) for n in options.trials]
        print(f"{name:<36}" + "".join(f"{100 * s:>8.2f} %" for s in shares), flush=True)


if __name__ == "__main__":
    main()
