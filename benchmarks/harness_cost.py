"""What the harness adds to a trial, beside `chaos run` of the same experiment.

    python -m benchmarks.harness_cost --trial results/sample/trials/TRIAL [--runs 20]

A trial without a target, a gate or a wait: one probe that returns at once. Ours: a child from the preloaded fork
server, which validates and runs it, derives the record from a finished trial's evidence and writes it. Theirs:
`chaos run` of the same file. Wall time in milliseconds, median and range; the machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

TRIVIAL = {
    "version": "1.0.0",
    "title": "nothing",
    "description": "one probe that returns at once",
    "method": [
        {
            "type": "probe",
            "name": "observe",
            "provider": {"type": "python", "module": "os", "func": "getpid", "arguments": {}},
        }
    ],
    "rollbacks": [],
}


def child(folder: str, source: str) -> None:
    """The same steps as a trial's child, around an experiment that takes no time."""
    from chaoslib.experiment import ensure_experiment_is_valid, run_experiment
    from chaoslib.types import Strategy
    from pydantic import TypeAdapter

    from smartops_chaos.model import ChaosLevel
    from smartops_chaos.schema import healerfile
    from smartops_chaos.store.trial_folder import TrialFolder
    from smartops_chaos.timeline.derive import derive
    from smartops_chaos.trial import experiment

    logging.getLogger("chaostoolkit").handlers = [logging.FileHandler(Path(folder) / "log.txt")]
    trial = TrialFolder(Path(folder))
    content = trial.read_experiment()
    ensure_experiment_is_valid(content)
    trial.write_journal(run_experiment(content, settings=experiment.SETTINGS, strategy=Strategy.SKIP))
    evidence = TrialFolder(Path(source)).read_evidence()  # written and read back, as in a campaign, but not collected
    trial.write_evidence(evidence)
    job = json.loads((trial.path / "job.json").read_text(encoding="utf-8"))
    level = TypeAdapter(ChaosLevel).validate_python(job["chaos"])
    trial.write_record(derive(evidence, healerfile.restore(job["healer"]), "benchmark", level))
    trial.close()


def measure(runs: int, once: Callable[[int], None]) -> list[float]:
    times = []
    for number in range(runs + 1):
        begun = time.perf_counter()
        once(number)
        times.append((time.perf_counter() - begun) * 1000)
    return times[1:]  # the first one warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "--trial", type=Path, help="a finished trial's folder, whose evidence is derived", required=True
    )
    options = parser.parse_args()

    from smartops_chaos.store.campaign_folder import CampaignFolder
    from smartops_chaos.store.trial_folder import TrialFolder

    source = TrialFolder(options.trial)
    plan = CampaignFolder(options.trial.parents[1]).read().plan
    job = json.dumps({"chaos": asdict(plan.chaos[source.read_evidence().trial.chaos]), "healer": plan.healer})
    context = get_context("forkserver")
    context.set_forkserver_preload(["smartops_chaos.cli.commands", "smartops_chaos.trial.child"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def ours(number: int) -> None:
            trial = TrialFolder(folder / str(number))
            trial.begin(TRIVIAL, ())
            (trial.path / "job.json").write_text(job, encoding="utf-8")
            process = context.Process(target=child, args=(str(trial.path), str(options.trial.resolve())))
            process.start()
            process.join()
            if process.exitcode or not (trial.path / "record.json").exists():
                raise SystemExit(f"the child failed with {process.exitcode}")

        file = folder / "experiment.json"
        file.write_text(json.dumps(TRIVIAL), encoding="utf-8")
        program = Path(sys.executable).with_name("chaos")

        def theirs(_: int) -> None:
            subprocess.run(
                [program, "--no-version-check", "run", str(file)], cwd=folder, check=True, capture_output=True
            )

        results = {"this harness": measure(options.runs, ours), "chaos run": measure(options.runs, theirs)}
    for what, times in results.items():
        print(f"{what:14} median {statistics.median(times):7.1f} ms   {min(times):.1f} to {max(times):.1f}")
    medians = [statistics.median(times) for times in results.values()]
    print(f"{'ratio':14} 1/{medians[1] / medians[0]:.1f} of `chaos run`; wanted: at most 1/5")


if __name__ == "__main__":
    main()
