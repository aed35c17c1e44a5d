"""How often the analysis is wrong, measured on simulated campaigns whose truth is known.

    python -m benchmarks.estimators --campaigns 4000

Every model is placed exactly on the border: the target is its true reduction, so each `proven` is a false one. Printed
are the share of false `proven` (at tau alone, and with the demand that it holds at tau/2 too; one test, no Holm) and
how often the two-sided 95 % interval covers the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from smartops_chaos.analysis.compare import Pair, at_share, these_scenarios
from smartops_chaos.analysis.estimate import Floats, Sample

ALPHA = 0.025
TAU_S = 100.0
_TRUTH_DRAWS = 1_000_000

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


def lognormal(mean: float, cv: float, *, fails: float = 0.0, zeros: float = 0.0) -> Draw:
    """Recovery after a lognormal time; a share never recovers (TAU_S), another was never bad (0)."""
    sigma = float(np.sqrt(np.log1p(cv**2)))

    def draw(rng: np.random.Generator, n: int) -> Floats:
        times = np.minimum(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, n), TAU_S)
        u = rng.random(n)
        return np.where(u < fails, TAU_S, np.where(u > 1 - zeros, 0.0, times))

    return draw


def always(value: float) -> Draw:
    return lambda _rng, n: np.full(n, value)


def models() -> Mapping[str, Model]:
    """Hard cases: rare failures that a small sample does not show, zeros, a baseline that (nearly) always fails."""
    even = lognormal(12, 0.6), lognormal(20, 0.6)
    few_fail = lognormal(5, 0.3, fails=0.05), lognormal(20, 0.3)
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
        "2 % failures unseen": Model((rare, rare)),
        "saturated baseline": Model((saturated, saturated)),
        "nearly saturated": Model((nearly_saturated,)),
        "all or nothing": Model((all_or_nothing,)),
        "zeros": Model((zeros, zeros)),
        "zeros in the baseline": Model((baseline_zeros,)),
        "unlike scenarios": Model((even, saturated, few_fail, fails_both, zeros, skewed)),
    }


def truth(model: Model, rng: np.random.Generator) -> float:
    """The model's reduction of the mean over its scenarios, from many draws."""
    arm = sum(float(a(rng, _TRUTH_DRAWS).mean()) for a, _ in model.scenarios)
    return 1 - arm / sum(float(b(rng, _TRUTH_DRAWS).mean()) for _, b in model.scenarios)


def campaign(model: Model, n: int, rng: np.random.Generator) -> list[Pair]:
    return [
        Pair(f"family {i}", Sample(arm(rng, n), 1.0, TAU_S), Sample(base(rng, n), 1.0, 0.0))
        for i, (arm, base) in enumerate(model.scenarios)
    ]


def errors(model: Model, n: int, campaigns: int, rng: np.random.Generator) -> Errors:
    target = truth(model, rng)
    proven_at_tau = proven = covered = intervals = 0
    for _ in range(campaigns):
        pairs = campaign(model, n, rng)
        found = these_scenarios(pairs, target, ALPHA)
        if found.p is not None and found.p <= ALPHA:
            proven_at_tau += 1
            half = these_scenarios(at_share(pairs, 0.5), target, ALPHA).p
            proven += half is not None and half <= ALPHA
        if found.lo is not None and found.hi is not None:
            intervals += 1
            covered += found.lo <= target <= found.hi
    return Errors(proven_at_tau / campaigns, proven / campaigns, covered / intervals if intervals else None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="False verdicts and coverage on simulated campaigns.")
    parser.add_argument("--campaigns", type=int, default=4000, help="simulated campaigns for each line (4000)")
    parser.add_argument("--trials", type=int, nargs="+", default=[3, 5, 10, 20, 50], help="trials a cell")
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    print(f"{'model':<24}{'n':>5}{'false at tau':>15}{'false proven':>15}{'coverage':>11}")
    for name, model in models().items():
        for n in options.trials:
            found = errors(model, n, options.campaigns, rng)
            coverage = "none" if found.coverage is None else f"{100 * found.coverage:.1f} %"
            print(
                f"{name:<24}{n:>5}{100 * found.false_proven_at_tau:>13.2f} %{100 * found.false_proven:>13.2f} %"
                f"{coverage:>11}"
            )


if __name__ == "__main__":
    main()
