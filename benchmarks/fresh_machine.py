"""Whether the two commands of the README hold on this machine: demos and tests in a row, each judged.

    python -m benchmarks.fresh_machine [--parts demos lanes busy tests pythons] [--demos 10] [--tests 10]
                                       [--pythons python3.11 python3.12 python3.13] [--folder FOLDER]

- demos: so many in a row, the first with emptied caches if we are root. Good is one without an invalid trial, each
  calibration within 0.5 s, at least 5 of 6 of the healer's incidents healed, and the verdicts that most demos gave.
- lanes: the quick matrix on one lane and on two, in turn; the arms' mean times to recover must agree within 15 %.
- busy: a demo beside one and beside two processes that burn a core each; it must say so before its first trial ends.
- tests: so many `./script/test` in a row.
- pythons: with each interpreter a checkout of its own, from nothing: `./script/demo`, judged as above, `./script/test`.

The numbers are those of each campaign's summary.json. Let nothing else run meanwhile. Exits with 1 if anything that is
wanted does not hold; what was printed and written stays in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OURS = Path(sys.executable).with_name("smartops-chaos")
OFF_AT_MOST_S = 0.5
LEAST_HEALED = 5 / 6  # of the incidents of the arms with a healer
APART_AT_MOST = 0.15
LEAST_GOOD = 0.9  # of the demos
_PAIRS = 3  # campaigns on one lane, and as many on two
_DEMO_WITHIN_S, _TEST_WITHIN_S = 900, 3600
_SAYS_BUSY = re.compile("quiet|busy|carr(y|ies)")


@dataclass(frozen=True)
class Demo:
    """A campaign of the quick matrix, as its summary.json tells it."""

    code: int
    took_s: float
    invalid: int
    off_s: float | None  # of the worst calibration; None: one has not recovered, or there is none
    healed: int
    incidents: int  # of the arms with a healer
    verdicts: str
    means_s: dict[str, float]  # mean time to recover by arm
    warned: str  # about a busy machine, before the first trial had ended

    @property
    def good_alone(self) -> bool:
        calibrated = self.off_s is not None and self.off_s <= OFF_AT_MOST_S
        return self.code == 0 and not self.invalid and calibrated and self.healed >= LEAST_HEALED * self.incidents

    def __str__(self) -> str:
        off = "never recovered" if self.off_s is None else f"off {self.off_s:.2f} s"
        healed = f"healed {self.healed} of {self.incidents}"
        told = f"exit {self.code}, {self.took_s:3.0f} s, {self.invalid} invalid, {off}, {healed}, {self.verdicts}"
        return told + (f"; warned: {self.warned}" if self.warned else "")


def program(command: Sequence[object], log: Path, within_s: float, **more: str) -> tuple[int, float]:
    """Run it to its end, or end it; its exit code (-1: it took too long), and how long it took in seconds."""
    begun, given = time.monotonic(), list(map(str, command))
    with log.open("w") as out:
        process = subprocess.Popen(given, env={**os.environ, **more}, stdout=out, stderr=subprocess.STDOUT)
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.terminate()  # the runner reverts what is in force, and ends its lanes
            process.wait()
            code = -1
    return code, time.monotonic() - begun


def said(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").strip().splitlines()


def campaign(folder: Path, *command: object, **more: str) -> Demo:
    """Run a command that makes one campaign below the new `folder`, and read what it says."""
    folder.mkdir(parents=True)
    given = (*command, "--results", folder / "results", "--reports", folder / "reports")
    code, took_s = program(given, folder / "log.txt", _DEMO_WITHIN_S, **more)
    warned = next(_warnings(folder), "")
    file = next(folder.glob("reports/*/summary.json"), None)
    if file is None:
        return Demo(code, took_s, 0, None, 0, 0, f"no summary: {said(folder / 'log.txt')[-1:]}", {}, warned)
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    outcomes = [Counter(arm["outcomes"]) for arm in told["arms"]]
    healers = [found for found, arm in zip(outcomes, told["arms"], strict=True) if not arm["baseline"]]
    errors = [one["error_s"] for one in told["calibration"]] or [None]
    return Demo(
        code,
        took_s,
        sum(found["invalid"] for found in outcomes),
        None if None in errors else max(map(abs, errors)),
        sum(found["healed"] for found in healers),
        sum(found.total() for found in healers),
        ", ".join(f"{verdict['target']} {verdict['verdict']}" for verdict in told["verdicts"]),
        {arm["model"]: arm["mttr"]["rmst_s"] for arm in told["arms"] if arm["mttr"]["rmst_s"] is not None},
        warned,
    )


def _warnings(folder: Path) -> Iterator[str]:
    """What was said about a busy machine before the first trial had ended, or why nothing was run at all."""
    for file in folder.glob("results/*/events.ndjson"):
        for event in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
            if event["event"] == "TrialFinished":
                return
            if event["event"] == "Warned" and _SAYS_BUSY.search(event["text"]):
                yield event["text"]
    yield from (line for line in said(folder / "log.txt") if "machine" in line and _SAYS_BUSY.search(line))


def demos(folder: Path, options: argparse.Namespace) -> bool:
    if os.geteuid() == 0:
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
        print("caches are empty")
    made = []
    for number in range(1, options.demos + 1):
        made.append(campaign(folder / f"demo-{number}", OURS, "demo"))
        print(f"demo {number}: {made[-1]}", flush=True)
    usual = Counter(demo.verdicts for demo in made).most_common(1)[0][0]
    good = sum(demo.good_alone and demo.verdicts == usual for demo in made)
    print(f"{good} of {len(made)} demos good; the usual verdicts: {usual}")
    return good >= LEAST_GOOD * len(made)


def lanes(folder: Path, options: argparse.Namespace) -> bool:
    del options
    means: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for pair in range(1, _PAIRS + 1):
        for count in (1, 2):
            quick = (OURS, "run", ROOT / "matrix" / "quick.yaml", "--report", "--lanes", count)
            made = campaign(folder / f"lanes-{count}-{pair}", *quick)
            print(f"{count} lane(s), {pair} of {_PAIRS}: {made}", flush=True)
            for arm, mean_s in made.means_s.items():
                means[arm][count].append(mean_s)
    fine = bool(means)
    for arm, found in means.items():
        one, two = (sum(found[count]) / len(found[count]) if found[count] else float("nan") for count in (1, 2))
        apart = abs(two / one - 1)
        print(f"{arm}: {one:.2f} s on one lane, {two:.2f} s on two, {apart:.0%} apart")
        fine = fine and apart <= APART_AT_MOST  # false too where it is unknown
    return fine


@contextmanager
def burners(count: int) -> Iterator[None]:
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def busy(folder: Path, options: argparse.Namespace) -> bool:
    del options
    warned = []
    for count in (1, 2):
        with burners(count):
            made = campaign(folder / f"busy-{count}", OURS, "demo")
        warned.append(bool(made.warned))
        print(f"beside {count} burner(s): {made}{'' if made.warned else '; NO WARNING before a number'}", flush=True)
    return all(warned)


def tests(folder: Path, options: argparse.Namespace) -> bool:
    green = [_test(ROOT, folder / f"test-{n}.txt", f"test {n}") for n in range(1, options.tests + 1)]
    return all(green)


def _test(checkout: Path, log: Path, name: str, **more: str) -> bool:
    code, took_s = program([checkout / "script" / "test"], log, _TEST_WITHIN_S, **more)
    words = said(log)
    red = [line for line in words if line.startswith(("FAILED", "ERROR "))]
    print("\n  ".join([f"{name}: exit {code}, {took_s / 60:.1f} min, {words[-1] if words else ''}", *red]), flush=True)
    return code == 0


def pythons(folder: Path, options: argparse.Namespace) -> bool:
    fine = []
    for name in options.pythons:
        if shutil.which(name) is None:
            print(f"{name}: is not on the PATH")
            fine.append(False)
            continue
        checkout = folder / Path(name).name / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        made = campaign(checkout.with_name("demo"), checkout / "script" / "demo", PYTHON=name)
        print(f"{name}: {made}", flush=True)
        fine += [made.good_alone, _test(checkout, checkout.with_name("test.txt"), name, PYTHON=name)]
    return all(fine)


PARTS = {part.__name__: part for part in (demos, lanes, busy, tests, pythons)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--demos", type=int, default=10)
    parser.add_argument("--tests", type=int, default=10)
    parser.add_argument("--pythons", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--folder", type=Path, help="a new one, for what is printed and written; else one in /tmp")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="fresh-machine-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, everything is kept in {folder}", flush=True)
    held = {part: PARTS[part](folder, options) for part in options.parts}
    print("\n" + "\n".join(f"{part:8} {'holds' if fine else 'DOES NOT HOLD'}" for part, fine in held.items()))
    sys.exit(not all(held.values()))


if __name__ == "__main__":
    main()
