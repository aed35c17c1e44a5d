"""Campaigns on the real lab, each struck once at random: afterwards the same command must leave them whole.

    python -m benchmarks.survival [--rounds 100] [--seed 1] [--jobs 1] [--blow NAME] [--keep FOLDER]

A round is a campaign of two trials on two lanes. At a random moment one of its processes is killed, told to end, or
stopped; or its disk is full, its folder read-only, its Prometheus' port taken. Then the same command again until every
trial is recorded. What must hold then is in `wholeness`. The same seed chooses the same blow and moment.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import wholeness

MATRIX = """\
version: 1
name: struck
target: {kind: lab, lanes: 2, replicas: 2}
factors:
  chaos:
    cpu: {fault: cpu-stress}
    slow: {fault: network-delay, delay: 1s}
  model: {off: {healer: off}, threshold: {detector: threshold}}
  workload: {steady: {rate: 10/s}}
exclude: [{chaos: cpu, model: threshold}, {chaos: slow, model: off}]
repeats: 1
calibrate: 0
baseline: {model: off, policy: default}
slo: {latency: 800ms, objective: 60%, hold: 1s}
horizon: {after: 3s, because: "a test"}
stop_after_good: 1s
seed: 7
"""
ENDS_WITHIN_S = 300.0  # of one run, whatever has become of it
_MOST_RUNS = 6
_LONGEST_S = 20.0  # of an undisturbed campaign: the blow falls within
_DISK = "size=64m"
_MODULES = {
    "node": "platform.main",
    "gateway": "platform.gateway",
    "healer": "smartops.healer",
    "replica": "smartops.erp",
}
_OTHERS = ("child", "fork-server", "workload", "prometheus", *_MODULES)
_ON_OTHERS = ("KILL", "TERM", "INT", "INT INT", "STOP", "STOP CONT")
_ON_RUNNER = ("KILL", "TERM", "HUP", "INT", "INT INT", "TERM TERM TERM", "STOP KILL", "STOP CONT")


@dataclass
class Round:
    """What happened in a round; `problems` is what must not be."""

    seed: int
    blow: str
    at_s: float
    hit: bool = True
    codes: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{n} {name}" for name, n in sorted(self.outcomes.items()))
        struck = f"{self.blow} after {self.at_s:.1f} s" + ("" if self.hit else " (nobody there)")
        problems = "".join(f"\n  !! {problem}" for problem in self.problems)
        return f"seed {self.seed}: {struck}; exit codes {self.codes}; {outcomes}{problems}"


def blows() -> list[str]:
    """Everything that may happen; a full disk and a read-only folder need root, for a mount of their own."""
    alone = ["port-taken", "small-files", *(["full-disk", "read-only"] if os.geteuid() == 0 else [])]
    return [f"runner {way}" for way in _ON_RUNNER] + [f"{who} {way}" for who in _OTHERS for way in _ON_OTHERS] + alone


def survive(seed: int, folder: Path, blow: str = "", under_way: bool = False) -> Round:
    """One round in a `folder` that is empty, or has a struck.yaml of its own.

    The moment of the blow counts from the start of the program, or, with `under_way`, of the first trial.
    """
    dice = random.Random(seed)
    moment_s, drawn, bytes_left = dice.uniform(0.3, _LONGEST_S), dice.choice(blows()), dice.randrange(200, 60_000)
    this = Round(seed, blow or drawn, moment_s)
    matrix = folder / "struck.yaml"
    if not matrix.exists():
        matrix.write_text(MATRIX, encoding="utf-8")
    results = folder / "results"
    results.mkdir()
    with _disk(results, this.blow in ("full-disk", "read-only")):
        if this.blow == "read-only":
            _mount("-o", "remount,ro", str(results))
        run = _Run(this, folder, bytes_left if this.blow == "small-files" else 0)
        make_good = _strike(this, run, results, dice, under_way)
        run.end()
        make_good()
        while len(this.codes) < _MOST_RUNS and not wholeness.recorded(results):
            _Run(this, folder).end()
        this.outcomes = wholeness.outcomes(results)
        this.problems += wholeness.examine(results, str(folder))
    return this


class _Run:
    """One call of `smartops-chaos run`."""

    def __init__(self, this: Round, folder: Path, largest_file: int = 0) -> None:
        self._this, self._number = this, len(this.codes) + 1
        self._log = folder / f"run-{self._number}.log"

        def limit() -> None:
            if largest_file:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        program = str(Path(sys.executable).with_name("smartops-chaos"))
        environment = {**os.environ, wholeness.MARK: str(folder)}
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [program, "run", "struck.yaml"],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=limit,
            )

    def end(self) -> None:
        """Wait for the runner; note its exit code, and what it should not have said."""
        try:
            self.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._this.problems.append(f"run {self._number} hung for {ENDS_WITHIN_S:.0f} s")
            self.process.kill()
            self.process.wait()
        self._this.codes.append(self.process.returncode)
        said = self._log.read_text(encoding="utf-8", errors="replace")
        if "Traceback" in said:
            self._this.problems.append(f"run {self._number} printed a traceback: {said.strip().splitlines()[-1]}")

    def pids(self, who: str) -> list[int]:
        """The processes of that name below the runner."""
        if who == "runner":
            return [self.process.pid]
        parents, commands = _processes()
        if self.process.pid not in parents:
            return []
        below = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        servers = [p for p in below if "multiprocessing.forkserver" in commands[p] and parents[p] == self.process.pid]
        children = [pid for pid in below if parents[pid] in servers]
        if who in _MODULES:
            return [pid for pid in below if f"smartops_chaos.lab.{_MODULES[who]} " in commands[pid]]
        if who == "prometheus":
            return [pid for pid in below if Path(commands[pid].partition(" ")[0]).name == "prometheus"]
        return {
            "fork-server": servers,
            "child": children,
            "workload": [pid for pid in below if parents[pid] in children],
        }[who]


def _processes() -> tuple[dict[int, int], dict[int, str]]:
    parents, commands = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            commands[int(process.name)] = command
    return parents, commands


def _strike(this: Round, run: _Run, results: Path, dice: random.Random, under_way: bool) -> Callable[[], None]:
    """Wait for the moment and strike; what makes it good again before the next run."""
    if this.blow == "read-only":
        return lambda: _mount("-o", "remount,rw", str(results))
    if this.blow == "small-files":
        return lambda: None
    while under_way and not list(results.glob("*/trials/*/log.txt")) and run.process.poll() is None:
        time.sleep(0.01)
    deadline = time.monotonic() + this.at_s
    while time.monotonic() < deadline and run.process.poll() is None:
        time.sleep(0.01)
    if this.blow == "full-disk":
        return _fill(results / "ballast")
    who, *signals = ("prometheus", "KILL") if this.blow == "port-taken" else this.blow.split()
    while not (victims := sorted(run.pids(who))) and run.process.poll() is None:
        time.sleep(0.05)
    this.hit = run.process.poll() is None
    if not this.hit:
        return lambda: None
    victim = dice.choice(victims)
    port = _port(victim) if this.blow == "port-taken" else 0
    for number, name in enumerate(signals):
        if number:
            time.sleep(dice.uniform(0.1, 4.0))
        with suppress(ProcessLookupError):
            os.kill(victim, getattr(signal, f"SIG{name}"))
    return _take(port) if port else lambda: None


def _fill(ballast: Path) -> Callable[[], None]:
    with suppress(OSError), ballast.open("wb", buffering=0) as out:
        while True:
            out.write(b"\0" * 4096)
    return ballast.unlink


def _port(prometheus: int) -> int:
    command = Path(f"/proc/{prometheus}/cmdline").read_bytes().decode()
    return int(command.partition("--web.listen-address=127.0.0.1:")[2].partition("\0")[0])


def _take(port: int) -> Callable[[], None]:
    """Listen where Prometheus did, as soon as it is gone."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(OSError):
            taken.bind(("127.0.0.1", port))
            taken.listen()
            break
    return taken.close


@contextmanager
def _disk(folder: Path, wanted: bool) -> Iterator[None]:
    """A small disk of its own at `folder`."""
    if not wanted:
        yield
        return
    _mount("-t", "tmpfs", "-o", _DISK, "none", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further one has the next")
    parser.add_argument("--blow", default="", choices=["", *blows()], help="instead of a random one")
    parser.add_argument("--keep", type=Path, help="keep the folders of rounds with problems below this one")
    parser.add_argument("--jobs", type=int, default=1, help="rounds at a time: they mostly wait")
    options = parser.parse_args()

    def play(seed: int) -> bool:
        folder = Path(tempfile.mkdtemp(prefix=f"survival-{seed}-"))
        this = survive(seed, folder, options.blow)
        print(this, flush=True)
        if this.problems and options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, options.keep / folder.name, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
        shutil.rmtree(folder, ignore_errors=True)
        return bool(this.problems)

    begun = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        bad = sum(pool.map(play, range(options.seed, options.seed + options.rounds)))
    print(f"{options.rounds} rounds in {time.monotonic() - begun:.0f} s, {bad} with problems")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
