"""How often two campaigns are called different that are not, and how often a slowdown is found.

    python -m benchmarks.two_nights [--campaigns 400] [--exchanges 500] [--slowdowns 1 1.5 2] [--trials 5 10 20]

Two scenarios, n trials in a cell, lognormal times of the arm (cv 0.4), some of which fail; a baseline that recovers at
60 % of the horizon, or never does. First table: nothing changed, or the arm takes a factor longer. Second table:
nothing changed but the night: the whole machine is slower or faster by a lognormal factor (cv 0.2), which a baseline
that never recovers cannot show; the calibration's drain tells it, or nothing does; and with six former nights. Shares
with their standard errors; there is one arm, so Holm changes nothing. `compare` draws more exchanges than are drawn
here: the error is exact for any number of them, and few find a little less.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.statistics import OFF, ON, TAU_S, cell
from smartops_chaos.analysis import permutation
from smartops_chaos.analysis.cells import Cell
from smartops_chaos.analysis.regression import Side, regress
from smartops_chaos.model import ALPHA

_SCENARIOS = 2
_MEAN_S, _BASE_S, _DRAIN_S = 10.0, 60.0, 4.0
_LIMIT = 0.10


def lognormal(rng: np.random.Generator, mean: float, cv: float, n: int) -> np.ndarray:
    sigma = np.sqrt(np.log1p(cv**2))
    return np.asarray(mean * rng.lognormal(-(sigma**2) / 2, sigma, n))


def night(
    rng: np.random.Generator, n: int, *, factor: float = 1.0, fails: float = 0.0, never: bool = False, slow: float = 1.0
) -> Side:
    """A campaign: the arm by `factor` slower, the machine by `slow`; its drain is the machine's alone."""
    found: list[Cell] = []
    for scenario in range(_SCENARIOS):
        arm = lognormal(rng, _MEAN_S * factor * slow, 0.4, n)
        arm[rng.random(n) < fails] = TAU_S
        base = np.full(n, TAU_S) if never else lognormal(rng, _BASE_S * slow, 0.4, n)
        found += [cell(name, np.minimum(times, TAU_S), scenario=scenario) for name, times in ((ON, arm), (OFF, base))]
    return Side("night", OFF, found, {one.scenario: float(_DRAIN_S * slow * rng.normal(1, 0.05)) for one in found})


def shares(
    rng: np.random.Generator,
    campaigns: int,
    n: int,
    *,
    factor: float = 1.0,
    fails: float = 0.0,
    never: bool = False,
    nights_cv: float = 0.0,
    drain: bool = True,
    former: int = 0,
) -> Counter[str]:
    """How often each direction and each answer of the gate was given."""
    found: Counter[str] = Counter()
    for _ in range(campaigns):
        slow = lognormal(rng, 1.0, nights_cv, 2 + former) if nights_cv else np.ones(2 + former)
        sides = [
            night(rng, n, factor=factor if i == 1 else 1.0, fails=fails, never=never, slow=float(slow[i]))
            for i in range(2 + former)
        ]
        if not drain:
            sides = [Side(side.name, side.baseline, side.cells) for side in sides]
        (arm,) = regress(sides[0], sides[1], limit=_LIMIT, alpha=ALPHA, nights=sides[2:]).arms
        found.update((arm.direction, arm.gate))
    return found


def told(found: Counter[str], campaigns: int, *answers: str) -> str:
    """A share in per cent with its standard error."""
    share = sum(found[answer] for answer in answers) / campaigns
    return f"{100 * share:6.1f} ({100 * np.sqrt(share * (1 - share) / campaigns):.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaigns", type=int, default=400)
    parser.add_argument("--exchanges", type=int, default=500)
    parser.add_argument("--slowdowns", type=float, nargs="*", default=[1.0, 1.5, 2.0])
    parser.add_argument("--trials", type=int, nargs="+", default=[5, 10, 20], help="in a cell")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    rng, campaigns = np.random.default_rng(chosen.seed), chosen.campaigns
    permutation.EXCHANGES = chosen.exchanges
    print(f"{campaigns} pairs of campaigns; per cent (standard error)\n")
    print(f"{'slowdown':>9}{'n':>4}{'fails':>7}{'baseline':>10}{'different':>16}{'exceeded':>16}{'kept':>16}")
    for factor in chosen.slowdowns:
        for n in chosen.trials:
            for fails, never in ((0.0, True), (0.05, True), (0.0, False), (0.05, False)):
                found = shares(rng, campaigns, n, factor=factor, fails=fails, never=never)
                answers = [told(found, campaigns, *some) for some in (("slower", "faster"), ("exceeded",), ("kept",))]
                where = "never" if never else "recovers"
                print(
                    f"{factor:9.1f}{n:4}{fails:7.0%}{where:>10}" + "".join(f"{one:>16}" for one in answers), flush=True
                )
    print(f"\nnothing changed but the night (cv 0.2)\n{'':46}{'n':>4}{'different':>16}{'exceeded':>16}")
    for what, settings in (
        ("the baseline recovers", {"never": False}),
        ("it never does, no calibration tells the drain", {"never": True, "drain": False}),
        ("it never does, with the drain", {"never": True}),
        ("it never does, no drain, six former nights", {"never": True, "drain": False, "former": 6}),
    ):
        for n in chosen.trials:
            found = shares(rng, campaigns, n, nights_cv=0.2, **settings)
            both = told(found, campaigns, "slower", "faster"), told(found, campaigns, "exceeded")
            print(f"{what:46}{n:4}" + "".join(f"{one:>16}" for one in both), flush=True)


if __name__ == "__main__":
    main()
