"""How exactly impact and recovery of a partial outage are dated, against a truth that is known.

    python -m benchmarks.dating [--trials 400] [--workers 2]

A share of the requests is bad from a known second to another one, in a service that otherwise gives good answers, or
one bad answer in a hundred. Printed is what is measured minus what is true, with its standard error, beside the gap
between two bad answers, which no method can see into; and how often the dated interval holds the truth. Trials in which
a window without any of the outage is bad by chance have two outages, so they are set apart and counted.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from smartops_chaos.model import Health, Interval, Request, Slo
from smartops_chaos.timeline.health import measure

_S = 1_000_000_000
SETTINGS = ((2.0, 40.0), (5.0, 20.0), (30.0, 5.0))  # H in seconds, requests per second
SHARES = (1.0, 0.5, 0.3, 0.15, 0.1)


@dataclass(frozen=True, slots=True)
class Case:
    """The outage begins 2 H after the injection and lasts 4 H; then 4 H more are observed."""

    hold_s: float
    rate: float
    share: float  # of the requests that are bad in the outage
    base: float  # and outside it

    @property
    def truth_s(self) -> tuple[float, float]:
        return 2 * self.hold_s, 6 * self.hold_s


@dataclass(frozen=True, slots=True)
class Errors:
    """Measured minus true, in seconds, of the trials with one outage that was seen to end; how many held the truth."""

    errors_s: Sequence[float]
    held: int

    @property
    def mean_s(self) -> float:
        return statistics.mean(self.errors_s)

    @property
    def standard_error_s(self) -> float:
        return statistics.stdev(self.errors_s) / math.sqrt(len(self.errors_s))


def sent(case: Case, draw: random.Random) -> list[Request]:
    phase, (begin, end) = draw.random(), case.truth_s
    requests = []
    for n in range(int(10 * case.hold_s * case.rate)):
        at_s = (n + phase) / case.rate
        bad = draw.random() < (case.share if begin <= at_s < end else case.base)
        requests.append(Request(round(at_s * _S), 0, 20_000_000, 503 if bad else 200))
    return requests


def simulated(case: Case, trials: int, seed: int) -> tuple[Errors, Errors]:
    """Of the impact and of the recovery."""
    draw = random.Random(seed)
    found: list[tuple[Interval, Interval]] = []
    begin, end = case.truth_s
    for _ in range(trials):
        requests = sent(case, draw)
        chance = [_measured(case, requests, *span).impacted for span in ((0.0, begin), (end, 10 * case.hold_s))]
        seen = _measured(case, requests, 0.0, 10 * case.hold_s)
        if seen.impacted and seen.recovered and chance == [None, None]:
            found.append((seen.impacted, seen.recovered))
    errors = []
    for which, true_s in enumerate(case.truth_s):
        dated = [pair[which] for pair in found]
        held = sum(at.lo_ns <= true_s * _S <= at.hi_ns for at in dated)
        errors.append(Errors([at.mid_ns / _S - true_s for at in dated], held))
    return errors[0], errors[1]


def _measured(case: Case, requests: Sequence[Request], begin_s: float, end_s: float) -> Health:
    begin_ns = round(begin_s * _S)
    return measure(
        requests,
        Slo(0.25, 0.95, case.hold_s),
        injected=Interval(begin_ns, begin_ns),
        zero_ns=begin_ns,
        horizon_s=end_s - begin_s,
        until_ns=round(end_s * _S),
        stopped_early=False,
    )


def line(case: Case, trials: int) -> str:
    told = (
        f"{case.hold_s:>5g} s {case.rate:>5g}/s {case.share:>6.0%} {case.base:>5.0%} {1 / case.share / case.rate:>7.2f}"
    )
    both = simulated(case, trials, seed=13)
    for found in both:
        told += f" | {found.mean_s:>+7.3f} ±{found.standard_error_s:.3f} {max(found.errors_s, key=abs):>+7.2f}"
        told += f" {found.held / len(found.errors_s):>5.0%}"
    return f"{told} | {trials - len(both[0].errors_s)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    columns = f" | {'mean error':>14} {'worst':>7} {'held':>5}"
    print(f"{'':41} | {'impact':<28} | recovery")
    print(f"{'H':>7} {'rate':>7} {'bad':>6} {'base':>5} {'gap, s':>7}{2 * columns} | apart")
    cases = [Case(hold, rate, share, base) for hold, rate in SETTINGS for share in SHARES for base in (0.0, 0.01)]
    with ProcessPoolExecutor(options.workers) as pool:
        for told in pool.map(line, cases, [options.trials] * len(cases)):
            print(told, flush=True)


if __name__ == "__main__":
    main()
