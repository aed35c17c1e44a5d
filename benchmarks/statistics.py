"""How often the analysis is wrong, measured on simulated campaigns whose truth is known.

    python -m benchmarks.statistics --campaigns 4000

First table: every model is placed exactly on the border, the target being its true reduction, so each `proven` is a
false one. Printed are the share of false `proven` (one test, no Holm), of false `missed`, how often the two-sided 95 %
interval of the reduction covers the truth, and that of the mean. Exact errors on the border: benchmarks/borders.py.

Second table: whole campaigns through `analysis.verdicts`, each with one claim that would be wrong about it, and how
often it is made. Then 1, 4 and 12 arms that are all alike, each with a claim that would be wrong: how often any target
of any arm is proven. Last two equal campaigns, compared. Every table can be asked for alone, with --only.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.likelihood_ratio import Floats, Trials, mean_interval, reduction_interval, reduction_p
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.regression import Side, regress
from smartops_chaos.analysis.summary import Comparison, Verdict
from smartops_chaos.analysis.verdicts import decide, holm_over_arms, proven_p, run_tests
from smartops_chaos.model import Arm, Sla, Targets

ALPHA = 0.025
TAU_S = 100.0
OFF, ON = Arm("off", "default"), Arm("on", "default")
ARMS = (1, 4, 12)
_TRUTH_DRAWS = 250_000

Draw: TypeAlias = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True, slots=True)
class Model:
    """For each scenario how times come about in the arm and in the baseline, in seconds, at most TAU_S."""

    scenarios: tuple[tuple[Draw, Draw], ...]


@dataclass(frozen=True, slots=True)
class Errors:
    """Shares of the simulated campaigns."""

    false_proven: float
    false_missed: float
    coverage_of_mean: float

    @property
    def coverage(self) -> float:
        """Of the reduction's interval: it excludes the truth exactly if it proves or rules out what is just so."""
        return 1 - self.false_proven - self.false_missed


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


def drawn(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> tuple[list[Trials], list[Trials]]:
    """The arm and the baseline of so many campaigns with `n` trials in a cell."""
    sides = zip(*model.scenarios, strict=True)
    arm, base = ([Trials(law(rng, campaigns * n).reshape(-1, n), TAU_S) for law in laws] for laws in sides)
    return arm, base


def errors(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> Errors:
    mean, base_mean = means(model, rng)
    arm, base = drawn(model, n, campaigns, rng)
    lo, hi = reduction_interval(arm, base, ALPHA)
    least, most = mean_interval(arm, ALPHA)
    true = 1 - mean / base_mean
    covered = (least <= mean) & (mean <= most)
    return Errors(float((lo > true).mean()), float((hi < true).mean()), float(covered.mean()))


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


def families() -> Mapping[str, Model]:
    """All arms are alike. Nothing of them is so, or what is asked is just not so: of the MTTR, or of every target."""
    same, third = lognormal(30, 0.5, fails=0.3), lognormal(15, 0.4, fails=0.1)
    return {
        "like the baseline": Model(((same, same), (same, same))),
        "on the border of the MTTR target": Model(((third, always(TAU_S)), (third, lognormal(60, 0.4)))),
        "on the border of all": Model(((third, always(TAU_S)),)),
    }


def proven_falsely(family: Model, arms: int, n: int, campaigns: int, rng: np.random.Generator) -> float:
    """Share of the campaigns in which any target of any of so many equal arms is proven, though none is met."""
    mean, base_mean = means(family, rng)
    fails = np.mean([float((arm(rng, _TRUTH_DRAWS) >= TAU_S).mean()) for arm, _ in family.scenarios])
    question = Question(
        OFF,
        targets=Targets(
            mttr_reduction=max(0.0, 1 - mean / base_mean), auto_heal=1 - float(fails), sla=1 - mean / 86400
        ),
        sla=Sla(86400, 1),
        because={f"fault {i}": "simulated" for i in range(len(family.scenarios))},
    )
    proven = 0
    for _ in range(campaigns):
        base = [cell(OFF, draw(rng, n), scenario=i) for i, (_, draw) in enumerate(family.scenarios)]
        sequences = [
            proven_p(
                [cell(ON, draw(rng, n), scenario=i) for i, (draw, _) in enumerate(family.scenarios)], base, question
            )
            for _ in range(arms)
        ]
        proven += any(p <= question.alpha for adjusted in holm_over_arms(sequences) for p in adjusted)
    return proven / campaigns


def told_apart(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> float:
    """Share of pairs of equal campaigns, two arms each, of which `compare` says that an arm is slower or faster."""
    arms = (ON, Arm("other", "default"))

    def side() -> Side:
        drawn = [(OFF, base, i) for i, (_, base) in enumerate(model.scenarios)]
        drawn += [(arm, draw, i) for i, (draw, _) in enumerate(model.scenarios) for arm in arms]
        return Side("equal", OFF, [cell(arm, draw(rng, n), scenario=i) for arm, draw, i in drawn])

    found = [regress(side(), side(), limit=0.0, alpha=ALPHA) for _ in range(campaigns)]
    return float(np.mean([any(a.direction in ("slower", "faster") for a in f.arms) for f in found]))


def looked(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> float:
    """Share of campaigns on the border in which a look after any of `n` repeats finds the target proven."""
    mean, base_mean = means(model, rng)
    arm, base = drawn(model, n, campaigns, rng)
    proven = np.zeros(campaigns, dtype=bool)
    for so_far in range(1, n + 1):
        ours, theirs = ([Trials(t.values[:, :so_far], TAU_S) for t in side] for side in (arm, base))
        proven |= reduction_p(ours, theirs, 1 - mean / base_mean, looks=True) <= ALPHA
    return float(proven.mean())


def told(shares: Sequence[float], campaigns: int) -> str:
    """Shares in per cent with their standard errors."""
    errors_of = [float(np.sqrt(share * (1 - share) / campaigns)) for share in shares]
    return "".join(f"{f'{100 * one:.2f} ({100 * se:.2f})':>14}" for one, se in zip(shares, errors_of, strict=True))


def print_border(campaigns: int, sizes: Sequence[int], rng: np.random.Generator) -> None:
    print(f"{'model':<24}{'n':>5}{'false proven':>14}{'false missed':>14}{'coverage':>14}{'of the mean':>14}")
    for name, model in models().items():
        for n in sizes:
            found = errors(model, n, campaigns, rng)
            shares = (found.false_proven, found.false_missed, found.coverage, found.coverage_of_mean)
            print(f"{name:<24}{n:>5}{told(shares, campaigns)}", flush=True)


def print_claims(campaigns: int, sizes: Sequence[int], rng: np.random.Generator) -> None:
    print(f"{'wrong claim':<36}" + "".join(f"{f'n = {n}':>14}" for n in sizes))
    for name, trap in traps().items():
        print(f"{name:<36}{told([fooled(trap, n, campaigns, rng) for n in sizes], campaigns)}", flush=True)


def print_arms(campaigns: int, sizes: Sequence[int], rng: np.random.Generator) -> None:
    print(f"{'equal arms, anything proven':<34}{'n':>5}" + "".join(f"{f'{arms} arms':>14}" for arms in ARMS))
    for name, family in families().items():
        for n in sizes:
            shares = [proven_falsely(family, arms, n, campaigns, rng) for arms in ARMS]
            print(f"{name:<34}{n:>5}{told(shares, campaigns)}", flush=True)


def print_looks(campaigns: int, sizes: Sequence[int], rng: np.random.Generator) -> None:
    print(f"{'false proven at a look':<36}" + "".join(f"{f'n = {n}':>14}" for n in sizes))
    for name, model in models().items():
        print(f"{name:<36}{told([looked(model, n, campaigns, rng) for n in sizes], campaigns)}", flush=True)


def print_compare(campaigns: int, sizes: Sequence[int], rng: np.random.Generator) -> None:
    pairs = max(campaigns // 10, 1)
    print(f"{'equal, called different':<36}" + "".join(f"{f'n = {n}':>14}" for n in sizes))
    for name, model in models().items():
        print(f"{name:<36}{told([told_apart(model, n, pairs, rng) for n in sizes], pairs)}", flush=True)


TABLES = {
    "border": print_border,
    "claims": print_claims,
    "arms": print_arms,
    "looks": print_looks,
    "compare": print_compare,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="False verdicts and coverage on simulated campaigns.")
    parser.add_argument("--campaigns", type=int, default=4000, help="simulated campaigns for each line (4000)")
    parser.add_argument("--trials", type=int, nargs="+", default=[5, 10, 20, 50], help="trials a cell")
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES), help="these tables")
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args(arguments)
    print(f"{options.campaigns} campaigns; per cent (standard error)")
    for name in options.only:
        print()
        TABLES[name](options.campaigns, options.trials, np.random.default_rng(options.seed))


if __name__ == "__main__":
    main()
