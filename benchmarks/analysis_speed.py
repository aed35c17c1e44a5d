"""How fast a trials table is read, analysed and reported, beside plain pandas.

    python -m benchmarks.analysis_speed [--trials 100000 1000000] [--report 10000]

`pandas` reads the same file and takes mean, deviation and number of every cell: what a notebook would do at least.
Each size runs in a process of its own, so that its memory is its own. The report is the PDF, the HTML and the figures,
without the appendix of single trials. The machine should be idle.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from smartops_chaos.analysis import summarise, table
from smartops_chaos.analysis.question import Question
from smartops_chaos.model import MOMENTS, Arm, Sla

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


def measured(what: str, file: Path) -> tuple[float, float]:
    """Seconds, and the largest resident size in GiB, of one call in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (what, file))


def _timed(what: str, file: Path) -> tuple[float, float]:
    begun = time.perf_counter()
    {"pandas": by_pandas, "smartops-chaos": by_us, "report": report}[what](file)
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--report", type=int, nargs="*", default=[10_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = [(n, ("pandas", "smartops-chaos")) for n in options.trials] + [(n, ("report",)) for n in options.report]
        for n, runs in sizes:
            file = Path(name) / "trials.csv"
            trials(n).to_csv(file, index=False)
            for what in runs:
                seconds, size = measured(what, file)
                print(f"{n:>9} trials  {what:<16}{seconds:>8.2f} s{size:>8.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
