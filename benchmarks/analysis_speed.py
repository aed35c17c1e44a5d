"""How fast a trials table is read, analysed and reported, beside plain pandas and beside another version.

    python -m benchmarks.analysis_speed [--trials 100000 1000000] [--report 10000] [--times 3] [--against CHECKOUT]

`pandas` reads the same file and takes mean, deviation and number of every cell: what a notebook would do at least.
Each size runs in a process of its own, so that its memory is its own. The report is the PDF, the HTML and the figures,
without the appendix of single trials; with --against it is also made by the version in another folder (such as of `git
worktree add`). Every call is made several times in turns with its rival, the quickest counts, and the ratio of the two
is printed: machines differ, and so do moments. CPU seconds stand beside, for a machine that is shared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from smartops_chaos.analysis import summarise, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import MOMENTS, Arm, Sla

_HERE = Path(__file__).resolve().parents[1]
# Each version measures itself by its own `by_us` and `report`; the clock starts after the imports.
_CALL = """
import resource, sys, time
from pathlib import Path
from benchmarks import analysis_speed
begun, used = time.perf_counter(), time.process_time()
getattr(analysis_speed, sys.argv[2])(Path(sys.argv[1]))
size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(time.perf_counter() - begun, time.process_time() - used, size)
"""
_FAULTS = [f"fault-{n}" for n in range(10)]
_SHARES = (0.05, 0.2, 0.3, 0.4, 0.5, 0.9, 1.0)  # of the time to recover, at which each moment comes
TAU_S = 100.0
ASKED = Question(Arm("off", "default"), because=dict.fromkeys(_FAULTS, "simulated"), sla=Sla(30 * 86400, 4))


def trials(n: int, seed: int = 1) -> pd.DataFrame:
    """A table with every column that the analysis reads: 10 faults, a baseline and three healers."""
    rng = np.random.default_rng(seed)
    time_s = np.minimum(rng.lognormal(3, 0.6, n), TAU_S).round(6)
    time_s[rng.random(n) < 0.1] = TAU_S
    time_s[rng.random(n) < 0.05] = 0.0
    model = rng.choice(["off", "zscore", "forest", "threshold"], n)
    ended = np.where(model == "off", "platform", "healed")
    outcome = np.where(time_s >= TAU_S, "unrecovered", np.where(time_s == 0, "no_effect", ended))
    made = pd.DataFrame({"trial": [f"t{i}" for i in range(n)], "phase": "measure", "chaos": rng.choice(_FAULTS, n)})
    made = made.assign(family=made["chaos"], workload="steady", model=model, policy="default", outcome=outcome)
    made = made.assign(reason="", flags="", repeat=1, time_s=time_s, horizon_s=TAU_S, ttr_impact_s=0.95 * time_s)
    made["started_at"] = pd.date_range("2026-01-01", periods=n, freq="s").strftime("%Y-%m-%dT%H:%M:%S+00:00")
    made = made.assign(bad_seconds=time_s, unknown_seconds=0.0, requests=1000, good_requests=900, relapses=0)
    made = made.assign(actions=1, actions_failed=0, needless_actions=0, guardrail_blocks=0, cooldown_skips=0)
    made = made.assign(rca_expected=made["chaos"], rca_top1=made["chaos"], rca_rank=1)
    seen = np.where((time_s > 0) & (time_s < TAU_S), time_s, np.nan)
    for moment, share in zip(MOMENTS[1:], _SHARES, strict=True):
        made[f"{moment}_lo_s"], made[f"{moment}_hi_s"] = (share * seen - 0.01).round(6), (share * seen + 0.01).round(6)
    return made


def by_pandas(file: Path) -> None:
    pd.read_csv(file).groupby(["chaos", "workload", "model", "policy"])["time_s"].agg(["mean", "std", "count"])


def by_us(file: Path) -> None:
    summarise.summarise(table.read(file), ASKED, campaign="speed")


def report(file: Path) -> None:
    from smartops_chaos import api

    api.report(api.load(file, baseline=ASKED.baseline), file.with_suffix(""), appendix=False)


@dataclass(frozen=True, slots=True)
class Took:
    wall_s: float
    cpu_s: float
    gib: float  # largest resident size

    def __str__(self) -> str:
        return f"{self.wall_s:>8.2f} s{self.cpu_s:>8.2f} s CPU{self.gib:>7.2f} GiB"


def measured(what: str, file: Path, package: Path = _HERE) -> Took:
    """One call in a fresh process, of this version or of the one in another folder."""
    done = subprocess.run(
        [sys.executable, "-c", _CALL, str(file), what],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        check=True,
        capture_output=True,
        text=True,
    )
    return Took(*map(float, done.stdout.split()[-3:]))


def compared(n: int, file: Path, runs: dict[str, tuple[str, Path]], times: int) -> None:
    """Print each of the two, and how often the second one fits into the first."""
    took: dict[str, list[Took]] = {name: [] for name in runs}
    for _ in range(times):
        for name, (what, package) in runs.items():
            took[name].append(measured(what, file, package))
    best = {name: min(found, key=lambda one: one.wall_s) for name, found in took.items()}
    for name, one in best.items():
        print(f"{n:>9} trials  {name:<20}{one}")
    if len(best) == 2:
        ours, theirs = best.values()
        cpu = [min(one.cpu_s for one in found) for found in took.values()]
        print(f"{'':>9} ratio   {ours.wall_s / theirs.wall_s:.2f} (CPU {cpu[0] / cpu[1]:.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--report", type=int, nargs="*", default=[10_000])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--against", type=Path, help="folder of another version, whose report is made too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "trials.csv"
        for n in options.trials:
            trials(n).to_csv(file, index=False)
            runs = {"smartops-chaos": ("by_us", _HERE), "pandas": ("by_pandas", _HERE)}
            compared(n, file, runs, options.times)
        for n in options.report:
            trials(n).to_csv(file, index=False)
            runs = {"report": ("report", _HERE)}
            if options.against:
                runs["report, the other"] = ("report", options.against.resolve())
            compared(n, file, runs, options.times)


if __name__ == "__main__":
    main()
