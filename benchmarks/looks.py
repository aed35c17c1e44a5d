"""What looks cost and save, measured on simulated campaigns whose truth is known, through the whole analysis.

    python -m benchmarks.looks --campaigns 2000

First table: two arms that meet neither target, exactly on the border of both, so each `proven` in the report at the end
is a false one, whatever the look it was decided at. Second table: a healer that is good and one that is useless; what
is proven, and how many of the planned trials are run.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import pandas as pd

from benchmarks.statistics import TAU_S, Draw, Model, always, lognormal, models
from smartops_chaos.analysis.interim import rehearse
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import measured_trials
from smartops_chaos.analysis.verdicts import conclude
from smartops_chaos.model import Arm, Targets
from smartops_chaos.plan.look_schedule import ends

Laws: TypeAlias = Mapping[str, Sequence[Draw]]  # arm -> how times come about in each scenario; first the baseline
_TRUTH_DRAWS = 250_000
_BASE = "off"


@dataclass(frozen=True, slots=True)
class Found:
    """Shares and means over simulated campaigns."""

    false_proven: float  # any target of an arm that in truth does not meet it
    proven: Mapping[str, float] = field(default_factory=dict)  # arm -> all its targets
    trials: float = 0.0  # run, as a share of those planned


def truth(law: Sequence[Draw], base: Sequence[Draw], rng: np.random.Generator) -> Targets:
    """What is true of an arm: its reduction, and its share of incidents that end without a person."""
    ours, theirs = ([draw(rng, _TRUTH_DRAWS) for draw in draws] for draws in (law, base))
    incidents = np.concatenate([times[times > 0] for times in ours])
    reduction = 1 - np.mean([t.mean() for t in ours]) / np.mean([t.mean() for t in theirs])
    return Targets(mttr_reduction=float(reduction), auto_heal=float((incidents < TAU_S).mean()))


def campaigns(laws: Laws, asked: Targets, n: int, looks: int, number: int, rng: np.random.Generator) -> Found:
    """`n` trials in a cell are planned; a claim counts as false if the truth does not exceed the target asked."""
    arms = [Arm(name, "default") for name in laws if name != _BASE]
    because = {f"fault {i}": "simulated" for i in range(len(laws[_BASE]))}
    question = Question(Arm(_BASE, "default"), targets=asked, because=because, looks=looks)
    true = {arm: truth(laws[arm.model], laws[_BASE], rng) for arm in arms}
    wrong = {
        (arm, target)
        for arm in arms
        for target in ("mttr_reduction", "auto_heal")
        if getattr(true[arm], target) <= getattr(asked, target) + 0.01  # on the border, but for chance in the draws
    }
    false, run, proven = 0, 0, Counter[str]()
    for _ in range(number):
        table = drawn(laws, n, rng)
        decided, measured = measured_trials(table, rehearse(table, question, ends(n, looks)[:-1]))
        if len(decided.stopped) == len(arms):  # then the baseline stops as well
            last = max(stop.repeat for stop in decided.stopped.values())
            measured = measured[measured["repeat"] <= last]
        claims = {(v.arm, v.target) for v in conclude(measured, decided, arms)[2] if v.verdict == "proven"}
        false += bool(claims & wrong)
        proven.update(a.model for a in arms if {(a, "mttr_reduction"), (a, "auto_heal")} <= claims)
        run += len(measured)
    planned = number * n * sum(len(draws) for draws in laws.values())
    return Found(false / number, {a.model: proven[a.model] / number for a in arms}, run / planned)


def on_border(model: Model, rng: np.random.Generator) -> tuple[Laws, Targets]:
    """Two arms of the model's law, and what is true of it as the targets."""
    law, base = ([scenario[i] for scenario in model.scenarios] for i in (0, 1))
    found = truth(law, base, rng)
    inside = replace(found, auto_heal=float(np.clip(found.auto_heal, 0.01, 0.999)))
    return {_BASE: base, "one": law, "two": law}, inside


def unlike() -> Laws:
    """A baseline that rarely recovers, a healer that is quick and good, and one that does nothing."""
    base = [lognormal(60, 0.5, fails=0.8), always(TAU_S)]
    quick = [lognormal(8, 0.6, fails=0.002), lognormal(15, 0.6, fails=0.002)]
    return {_BASE: base, "good": quick, "useless": base}


def drawn(laws: Laws, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """A trials table; what recovers was healed, in the baseline by the platform."""
    parts = []
    for name, draws in laws.items():
        for i, draw in enumerate(draws):
            times, healed = draw(rng, n), "platform" if name == _BASE else "healed"
            outcome = np.where(times >= TAU_S, "unrecovered", np.where(times == 0, "no_effect", healed)).astype(object)
            levels = {"chaos": f"fault {i}", "family": f"family {i}", "workload": "steady", "model": name}
            measured = {"repeat": np.arange(1.0, n + 1), "outcome": outcome, "time_s": times, "horizon_s": TAU_S}
            parts.append(pd.DataFrame(measured).assign(**levels, policy="default"))
    return pd.concat(parts, ignore_index=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="False verdicts, and trials that are spared, with 1 to 3 looks.")
    parser.add_argument("--campaigns", type=int, default=2000, help="simulated campaigns for each number (2000)")
    parser.add_argument("--trials", type=int, nargs="+", default=[15, 30, 60], help="trials a cell")
    parser.add_argument("--seed", type=int, default=20261124)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    heads = "".join(f"{f'n = {n}, {looks} looks':>18}" for n in options.trials for looks in (1, 3))
    print(f"{'false proven in any arm':<26}{heads}")
    for name, model in models().items():
        laws, asked = on_border(model, rng)
        found = [
            campaigns(laws, asked, n, looks, options.campaigns, rng).false_proven
            for n in options.trials
            for looks in (1, 3)
        ]
        print(f"{name:<26}" + "".join(f"{100 * share:>16.2f} %" for share in found), flush=True)
    print(f"\n{'n':>5}{'looks':>7}{'good: all proven':>19}{'false proven':>15}{'trials run':>13}")
    for n in (*options.trials, 2 * max(options.trials)):
        for looks in (1, 2, 3):
            one = campaigns(unlike(), Targets(), n, looks, options.campaigns, rng)
            print(
                f"{n:>5}{looks:>7}{100 * one.proven['good']:>17.1f} %{100 * one.false_proven:>13.2f} %"
                f"{100 * one.trials:>11.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
