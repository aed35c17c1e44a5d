"""What the deciding test costs: repeats for 80 % power, and how often its interval covers the truth.

    python -m benchmarks.power [--campaigns 1000]

The baseline never recovers in 90 % of its trials, otherwise in the second half of the horizon. The arm's times are
lognormal with a coefficient of variation of 0.5 (and 5 % that never recover), with the mean that makes the reduction
true. Target 40 %. "fixed" decides after that many repeats; "e value" also, but may look after every repeat, and "looks"
is the mean number of repeats at which it then stops if so many are planned.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from smartops_chaos.analysis.likelihood_ratio import (
    Floats,
    Trials,
    reduction_e,
    reduction_interval,
    reduction_p,
)

TARGET = 0.4
WANTED = 0.8
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


@dataclass(frozen=True, slots=True)
class Truth:
    """How times come about, in horizons, the same in each scenario."""

    name: str
    arm: Draw
    base: Draw
    reduction: float


def never(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return np.where(rng.random(shape) < 0.9, 1.0, rng.uniform(0.5, 1, shape))


def often(share: float) -> Draw:
    """The whole horizon, or nothing."""
    return lambda rng, shape: np.where(rng.random(shape) < share, 1.0, 0.0)


def lognormal(mean: float, cv: float, fails: float = 0.0) -> Draw:
    sigma = float(np.sqrt(np.log1p(cv**2)))

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
        times = np.minimum(np.exp(rng.normal(np.log(mean) - sigma**2 / 2, sigma, shape)), 1.0)
        return np.where(rng.random(shape) < fails, 1.0, times)

    return draw


def planned(reduction: float, fails: float) -> Truth:
    mean = ((1 - reduction) * 0.975 - fails) / (1 - fails)
    return Truth(f"{reduction:.0%}, {fails:.0%} fail", lognormal(mean, 0.5, fails), never, reduction)


def hard() -> list[Truth]:
    """Truths on which intervals fail: rare failures, saturated and quiet baselines, heavy tails."""
    laws: list[tuple[str, Draw, Draw]] = [
        ("2 % of an arm fail", lognormal(0.1, 0.3, 0.02), never),
        ("5 % of an arm fail", lognormal(0.05, 0.5, 0.05), lognormal(0.5, 0.4, 0.3)),
        ("20 % of an arm fail", lognormal(0.1, 0.3, 0.2), never),
        ("wide times", lognormal(0.2, 1.5), lognormal(0.5, 1.0)),
        ("quiet baseline", lognormal(0.1, 0.5, 0.03), often(0.5)),
        ("no difference", lognormal(0.3, 0.6, 0.1), lognormal(0.3, 0.6, 0.1)),
        ("all or nothing", lognormal(1e-3, 0.1, 0.3), often(0.8)),
    ]
    found = []
    for name, arm, base in laws:
        rng = np.random.default_rng(1)
        true = 1 - arm(rng, (1, 4_000_000)).mean() / base(rng, (1, 4_000_000)).mean()
        found.append(Truth(name, arm, base, float(true)))
    return found


def drawn(truth: Truth, rng: np.random.Generator, campaigns: int, scenarios: int, n: int) -> tuple[list[Trials], ...]:
    return tuple([Trials(law(rng, (campaigns, n)), 1.0) for _ in range(scenarios)] for law in (truth.arm, truth.base))


def first(scenarios: Sequence[Trials], repeats: int) -> list[Trials]:
    return [Trials(one.values[:, :repeats], one.horizon_s) for one in scenarios]


def fewest(truth: Truth, scenarios: int, level: float, campaigns: int) -> tuple[int, int, float]:
    """Repeats with power of 80 %: of the test, of the e value at the end; and where looks stop on average."""
    rng = np.random.default_rng(7)
    most = 40
    arm, base = drawn(truth, rng, campaigns, scenarios, most)
    by_test = by_e = 0
    stopped = np.full(campaigns, most)
    for repeats in range(max(1, -(-5 // scenarios)), most + 1):
        ours, theirs = first(arm, repeats), first(base, repeats)
        if not by_test and (reduction_p(ours, theirs, TARGET) <= level).mean() >= WANTED:
            by_test = repeats
        proven = reduction_e(ours, theirs, TARGET) >= 1 / level
        stopped = np.where(proven & (stopped == most), repeats, stopped)
        if not by_e and proven.mean() >= WANTED:
            by_e = repeats
        if by_test and by_e:
            break
    return by_test, by_e, float(np.minimum(stopped, by_e or most).mean())


def missed(truth: Truth, scenarios: int, n: int, campaigns: int) -> tuple[float, float]:
    """How often the interval lies above the true reduction, which is a false `proven` of just that, and below it."""
    arm, base = drawn(truth, np.random.default_rng(11), campaigns, scenarios, n)
    lo, hi = reduction_interval(arm, base, 0.025)
    return float((lo > truth.reduction).mean()), float((hi < truth.reduction).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=1000)
    campaigns = parser.parse_args().campaigns
    error = 100 * float(np.sqrt(WANTED * (1 - WANTED) / campaigns))
    print(
        f"repeats for {WANTED:.0%} power, target {TARGET:.0%}; {campaigns} campaigns, standard error {error:.1f} points"
    )
    print(f"{'true reduction':<18} {'scenarios':>9} {'level':>8} {'fixed':>6} {'e value':>8} {'looks':>6}")
    for reduction in (0.6, 0.75, 0.9):
        for fails in (0.0, 0.05):
            truth = planned(reduction, fails)
            for scenarios, level in ((2, 0.025), (2, 0.025 / 3), (6, 0.025), (6, 0.025 / 3)):
                by_test, by_e, looks = fewest(truth, scenarios, level, campaigns)
                told = f"{truth.name:<18} {scenarios:>9} {level:>8.4f} {by_test or '>40':>6} {by_e or '>40':>8}"
                print(f"{told} {looks:>6.1f}", flush=True)
    print("\nhow often the 95 % interval misses the true reduction, in %: lies above it (a false `proven`) / below it")
    sizes = ((1, 5), (2, 3), (1, 10), (2, 10), (6, 2), (2, 40))
    print(f"{'scenarios x trials':<22}" + "".join(f"{f'{s} x {n}':>12}" for s, n in sizes))
    for truth in hard():
        found = [missed(truth, s, n, campaigns) for s, n in sizes]
        shares = "".join(f"{f'{100 * above:.1f} / {100 * below:.1f}':>12}" for above, below in found)
        print(f"{truth.name:<22}{shares}", flush=True)


if __name__ == "__main__":
    main()
