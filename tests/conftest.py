"""What several areas share: the command line as a user calls it, a small matrix, campaigns on stand-in lanes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from typer.main import get_command

from benchmarks import standin
from smartops_chaos.cli.commands import app, main

# A busy machine is not a failure. The examples are the same in every run, so that whoever changes nothing sees nothing
# red; `--hypothesis-profile explore` draws new ones, many more, and is how to look for what these do not find.
settings.register_profile("same-examples", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("same-examples")

# The whole environment of the tests and of every program that they start, whatever the shell of whoever runs them has
# set: these programs, and of the variables only what says where things are.
PATH = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"])
_PASSED_ON = (
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME",
    "KUBECONFIG",
    "IMAGES_TAG",
    "PROMETHEUS_3",
    "TEST_REGISTRY",
)
_SAY_EVERY_S = 10.0

MATRIX = """\
version: 1
name: small
target: {kind: lab, lanes: 2, replicas: 2}
factors:
  chaos:
    cpu: {fault: cpu-stress}
    none: {}
  model: {off: {healer: off}, zscore: {detector: zscore}}
  workload: {steady: {rate: 40/s}}
exclude: [{model: off, chaos: none}]
repeats: 1
calibrate: 0
baseline: {model: off, policy: default}
slo: {latency: 250ms, objective: 95%, hold: 1s}
horizon: {after: 4s, because: "a test"}
stop_after_good: 1s
seed: 1
"""

REPEATS = 10  # of a campaign with two looks
_ONLY_READS = ("gate", "verify", "attest", "report", "compare", "derive", "status", "plan", "init")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    kept = {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith("PYTEST_")}
    os.environ.clear()
    os.environ.update(kept | {"PATH": PATH, "LANG": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "120"})
    if not hasattr(config, "workerinput"):  # a worker of xdist: its reports reach us
        config.pluginmanager.register(HowFar(config))


class HowFar:
    """Says every few seconds how many tests are done, also when several processes run them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._done = config, 0
        self._begun = self._said = time.monotonic()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logfinish(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._said < _SAY_EVERY_S or not (of := self._session.testscollected):
            return
        self._said = now
        minutes, seconds = divmod(round(now - self._begun), 60)
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f" [{100 * self._done // of:3}%] {self._done} of {of} tests, {minutes} min {seconds:02} s")


def command(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("smartops-chaos")), *map(str, arguments)]


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(MATRIX, encoding="utf-8")
    return file


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line as a user calls it, in an empty folder, or the one that a test has changed to.

    What only reads and prints runs in this process, by the console script's own function: the imports are what takes
    the time, and they are done here. All else is a process of its own.
    """
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = command(*arguments)
        if words[1] in _ONLY_READS:
            return _here(words)
        return subprocess.run(words, capture_output=True, text=True, timeout=180)

    return call


def _here(words: list[str]) -> subprocess.CompletedProcess[str]:
    out, err, code = StringIO(), StringIO(), 0
    interrupt = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            signal.signal(signal.SIGINT, interrupt)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def parses() -> Callable[[str], None]:
    """Parses a printed command up to the call: its options and the form of their values. Raises what would be told."""
    root: Any = get_command(app)

    def parse(line: str) -> None:
        command, (_, name, *words) = root, shlex.split(line, comments=True)
        command = root.commands[name]
        while hasattr(command, "commands"):
            name, *words = words
            command = command.commands[name]
        if "--help" not in words:
            command.make_context(name, words)

    return parse


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the console script and leave it running."""

    def call(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command(*arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return call


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the stand-in's matrix; the command line finds the stand-in itself."""
    monkeypatch.setenv("PYTHONPATH", str(Path(standin.__file__).parents[1]))
    return partial(standin.write, tmp_path)


@pytest.fixture(scope="session")
def _registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("registered")
    words = command("run", standin.write(folder, repeats=1, lanes=2), "--register")
    known = {**os.environ, "PYTHONPATH": str(Path(standin.__file__).parents[1])}
    subprocess.run(words, cwd=folder, env=known, check=True, capture_output=True, timeout=180)
    return folder / "results" / "standin-1"


@pytest.fixture
def registered(_registered: Path, tmp_path: Path) -> Path:
    """A copy of a campaign of four trials on the stand-in, which was run with --register, in `results`."""
    return Path(shutil.copytree(_registered, tmp_path / "results" / _registered.name))


@pytest.fixture
def looking(standins: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a matrix in which `off`, which never recovers, misses its first target, auto-heal, at the first look.

    `other` is `on` by another name, so nothing of it is decided. Two scenarios: a fault, and a control without one.
    """

    def write(*, other: bool = True, **more: Any) -> Path:
        file = standins(repeats=REPEATS, lanes=2, **more)
        healer = file.with_name("healer.yaml")
        known = healer.read_text(encoding="utf-8").replace("[on, off]}", "[on, off], variant: [a, b]}")
        healer.write_text(known, encoding="utf-8")
        text = file.read_text(encoding="utf-8").replace(
            "baseline: {model: off", "looks: 2\ntargets: {auto_heal: 90%}\nbaseline: {model: on"
        )
        if other:
            text = text.replace("on: {healer: on}", "on: {healer: on}, other: {healer: on, variant: b}")
        file.write_text(text, encoding="utf-8")
        return file

    return write


def until(
    what: Callable[[], Any], within_s: float = 90.0, why: Callable[[], str] = lambda: "", pause_s: float = 0.05
) -> Any:
    """Wait for something to become true; its value. The limit is for what never comes: a busy machine is just slow."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:.0f} s {why()}")
        time.sleep(pause_s)
    return found


@pytest.fixture(name="until", scope="session")
def _until() -> Callable[..., Any]:
    return until


@pytest.fixture
def rows() -> Callable[[Path], dict[str, dict[str, Any]]]:
    """The rows of a campaign's records by trial; earlier attempts are not looked at."""

    def read(campaign: Path) -> dict[str, dict[str, Any]]:
        files = [file for file in campaign.glob("trials/*/record.json") if "~" not in file.parent.name]
        found = {file.parent.name: json.loads(file.read_text(encoding="utf-8"))["row"] for file in files}
        assert all(row["trial"] == name for name, row in found.items())
        return found

    return read
