"""How often the deciding test proves what is just not so, computed exactly where that is possible.

    python -m benchmarks.borders [--quick]

The hardest truths for a test of bounded times are laws of two points: the arm takes x0, or the whole horizon in a share
p of its trials; the baseline takes y1, or 0 in a share q. With p such that the reduction is exactly the target, each
`proven` is a false one. Its chance is a finite sum over the counts of failures, so it has no sampling error. Printed is
the largest over all q, x0 and y1, for one arm at its level and for several arms at the border together, of which Holm's
procedure proves one if its p is at most level / arms. Last come two scenarios of unlike horizons and shares.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from smartops_chaos.analysis.likelihood_ratio import Floats, Trials, reduction_e, reduction_p

TARGET = 0.4
LEVELS = (0.025, 0.025 / 3, 0.0025)
ARMS = (1, 4, 12)
SIZES = {1: (5, 8, 10, 20, 30, 60), 2: (3, 4, 5, 8, 10, 15, 30), 6: (1, 2, 3, 5, 10)}
QUICK = {1: (5, 8), 2: (3, 4), 6: (1, 2)}
SHARES = np.concatenate([np.linspace(0, 0.3, 61), np.linspace(0.31, 1, 70)])


def spread(counts: Sequence[int], n: int, scenarios: int, one: float, other: float) -> list[Trials]:
    """For each campaign so many trials at `other` and the rest at `one`, the same number of trials in each scenario."""
    values = np.where(np.arange(n * scenarios) < np.array(counts)[:, None], other, one)
    return [Trials(values[:, scenario::scenarios], 1.0) for scenario in range(scenarios)]


def binomial(n: int, share: Floats) -> Floats:
    """(shares, n + 1): how likely each count is."""
    row = np.ones((len(share), 1))
    for _ in range(n):
        grown = np.zeros((len(share), row.shape[1] + 1))
        grown[:, :-1] += row * (1 - share)[:, None]
        grown[:, 1:] += row * share[:, None]
        row = grown
    return row


def error(p: Floats, level: float, arms: int, failed: Floats, quiet: Floats) -> float:
    """The largest chance that one of `arms` at the border is proven; p[k, j] for k failures and j quiet baselines."""
    one = failed @ (p <= level / arms)  # (border laws, j)
    return float((quiet * (1 - (1 - one) ** arms)).sum(1).max())


def exact(scenarios: int, n: int) -> Iterator[tuple[str, float, int, float]]:
    """(method, level, arms, the largest error)."""
    size = scenarios * n
    counts = list(product(range(size + 1), range(size + 1)))
    worst: dict[tuple[str, float, int], float] = {}
    for x0, y1 in product((0.0, 0.1, 0.3, 0.5), (1.0, 0.6)):
        share = ((1 - TARGET) * y1 * (1 - SHARES) - x0) / (1 - x0)
        on_border = share >= 0
        if not on_border.any():
            continue
        arm = spread([k for k, _ in counts], n, scenarios, x0, 1.0)
        base = spread([j for _, j in counts], n, scenarios, y1, 0.0)
        found = {
            "likelihood ratio": reduction_p(arm, base, TARGET),
            "1 / e value": 1 / np.maximum(reduction_e(arm, base, TARGET), 1e-300),
        }
        failed, quiet = binomial(size, share[on_border]), binomial(size, SHARES[on_border])
        for (method, p), level, arms in product(found.items(), LEVELS, ARMS):
            one = error(p.reshape(size + 1, size + 1), level, arms, failed, quiet)
            worst[method, level, arms] = max(worst.get((method, level, arms), 0.0), one)
    for (method, level, arms), one in worst.items():
        yield method, level, arms, one


def unlike(sizes: tuple[int, int], horizons: tuple[float, float], level: float) -> float:
    """Two scenarios with so many trials and such horizons: the largest error, also if they fail unlike each other."""
    first, second = sizes
    counts = np.array(list(product(range(first + 1), range(second + 1), repeat=2)))

    def side(column: int, one: float, other: float) -> list[Trials]:
        return [
            Trials(np.where(np.arange(sizes[s]) < counts[:, [column + s]], other, one) * tau, tau)
            for s, tau in enumerate(horizons)
        ]

    p = reduction_p(side(0, 0.0, 1.0), side(2, 1.0, 0.0), TARGET)
    rejected = counts[p <= level]
    grid = np.linspace(0, 1, 41)
    chance, other = binomial(first, grid), binomial(second, grid)
    worst = 0.0
    for q0, q1, p0 in product(range(0, 41, 4), range(0, 41, 4), range(41)):
        whole = (1 - TARGET) * ((1 - grid[q0]) * horizons[0] + (1 - grid[q1]) * horizons[1])
        p1 = (whole - grid[p0] * horizons[0]) / horizons[1]
        if 0 <= p1 <= 1:
            last = binomial(second, np.array([p1]))[0]
            each = chance[p0][rejected[:, 0]] * last[rejected[:, 1]]
            worst = max(worst, float((each * chance[q0][rejected[:, 2]] * other[q1][rejected[:, 3]]).sum()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest campaigns only")
    sizes = QUICK if parser.parse_args().quick else SIZES
    heads = "".join(f"{f'{arms} arms':>10}" for arms in ARMS)
    print("largest chance of a false `proven`, as a share of the level (1.00 = all that is allowed)")
    print(f"{'scenarios':>9} {'trials':>7}  {'method':<17} {'level':>8}{heads}")
    for scenarios, numbers in sizes.items():
        for n in numbers:
            found = {(method, level, arms): one for method, level, arms, one in exact(scenarios, n)}
            for method, level in dict.fromkeys((method, level) for method, level, _ in found):
                shares = "".join(f"{found[method, level, arms] / level:>10.2f}" for arms in ARMS)
                print(f"{scenarios:>9} {n:>7}  {method:<17} {level:>8.4f}{shares}", flush=True)
    print("\ntwo scenarios that are unlike: horizons, trials, the largest error as a share of the level")
    for horizons, trials, level in product(((1.0, 1.0), (1.0, 3.0), (1.0, 10.0)), ((5, 5), (6, 2), (2, 6)), LEVELS):
        share = unlike(trials, horizons, level) / level
        print(f"{horizons!s:>12} {trials!s:>7} {level:>8.4f} {share:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
