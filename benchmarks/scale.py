"""A campaign of thousands of trials on stand-in lanes: what the harness costs, and whether that stays the same.

    python -m benchmarks.scale [--trials 10000] [--lanes 20] [--takes 0.5,1.5] [--keep DIR]

Everything runs through the command line. CPU is that of the runner and of all its descendants, over the trials.
`makespan` is from the first trial's start to the last one's end; its lower bound is what no harness could beat: the
sum of the trials' own times over the lanes, or the longest trial. The machine should be idle.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import standin

_PR_SET_CHILD_SUBREAPER = 36
_PER_REPEAT = 4  # trials of the stand-in's matrix


def command(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("smartops-chaos")), *map(str, arguments)]


def environment() -> dict[str, str]:
    """Where the children find `benchmarks`."""
    here = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def timed(folder: Path, *arguments: object) -> tuple[float, str]:
    """Seconds of one command, and its output."""
    begun = time.monotonic()
    done = subprocess.run(command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed with {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - begun, done.stdout


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has ended")


def adopt_orphans() -> None:
    """What a runner leaves behind becomes our child, so that `cpu_s` counts it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def cpu_s() -> float:
    """CPU seconds of all descendants that have ended; orphans come to us, as we are their subreaper."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            return used.ru_utime + used.ru_stime


def campaign(folder: Path, matrix: Path, trials: int) -> dict[str, float]:
    """Run the matrix; times in seconds, memory in MB."""
    used_s, begun = cpu_s(), time.monotonic()
    runner = subprocess.Popen(
        command("run", matrix, "--json"), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    first = last = 0.0
    memory: dict[int, float] = {}
    for line in runner.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "TrialStarted":
            first = first or time.monotonic()
        elif event["event"] == "TrialFinished":
            last = time.monotonic()
            if event["done"] in (trials // 10, trials):
                memory[event["done"]] = resident_mb(runner.pid)
    if runner.wait():
        raise SystemExit(f"the campaign ended with {runner.returncode}")
    return {
        "start": first - begun,
        "makespan": last - first,
        "cpu": cpu_s() - used_s,
        "memory_10": memory[trials // 10],
        "memory_100": memory[trials],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, default=20)
    parser.add_argument("--takes", default="0.5,1.5", help="seconds that a trial takes by itself, from and to")
    parser.add_argument("--keep", type=Path, help="folder for the campaign, which is kept")
    options = parser.parse_args()
    least_s, most_s = map(float, options.takes.split(","))
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        repeats = options.trials // _PER_REPEAT
        matrix = standin.write(folder, repeats=repeats, lanes=options.lanes, least_s=least_s, most_s=most_s).resolve()
        plan_s, told = timed(folder, "plan", matrix, "--json")
        target = {"least_s": least_s, "most_s": most_s}
        own = [standin.takes_s(target, trial["seed"]) for trial in json.loads(told)["trials"]]
        bound_s = max(sum(own) / options.lanes, *own)
        run = campaign(folder, matrix, len(own))
        wall_ms = (run["makespan"] - bound_s) * options.lanes / len(own) * 1000
        print(f"trials                {len(own)} on {options.lanes} lanes, {os.cpu_count()} cores")
        print(f"rate                  {len(own) / run['makespan']:.1f} trials/s")
        print(f"cost of a trial       {run['cpu'] / len(own) * 1000:.1f} ms CPU, {wall_ms:.1f} ms of its lane's time")
        ratio = f"{run['makespan'] / bound_s:.3f}" if bound_s else "no bound"
        print(f"makespan              {run['makespan']:.1f} s, lower bound {bound_s:.1f} s: {ratio}")
        print(f"runner's memory       {run['memory_10']:.0f} MB at 10 %, {run['memory_100']:.0f} MB at the end")
        print(f"start-up              {run['start']:.2f} s to the first trial")
        print(f"plan                  {plan_s:.2f} s")
        for what, arguments in {
            "status": ("status",),
            "resume, nothing to do": ("run", matrix, "--campaign", "standin-1"),
            "derive": ("derive",),
            "report": ("report",),
        }.items():
            print(f"{what:21} {timed(folder, *arguments)[0]:.2f} s", flush=True)


if __name__ == "__main__":
    main()
