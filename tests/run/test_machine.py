"""What else runs on a machine is seen, with a real process that burns CPU; what it means, by made-up numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.run import machine
from smartops_chaos.run.machine import BusyProcess, Machine

QUIET = Machine(
    present=2,
    cores=2,
    quota=None,
    late_ms=(0.1, 0.4, 1.2),
    work_ms=5.1,
    stretch=1.03,
    used=0.02,
    stolen=0.0,
    load=0.3,
    busiest=(),
)
BURNER = BusyProcess(77, "python3", 0.9)


@pytest.fixture
def burner() -> Iterator[subprocess.Popen[bytes]]:
    """Burns as much of one core as it gets, until it is ended; not of the idle class, where these tests may be."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))
            yield process
        except PermissionError:
            pytest.skip("the tests run in the idle class, and may not leave it")
        finally:
            process.kill()


def measured(cores: set[int] | None = None) -> Machine:
    """As another process sees it, since a burner is a child of this one."""
    code = (
        "import json, dataclasses; from smartops_chaos.run import machine;"
        "print(json.dumps(dataclasses.asdict(machine.measure())))"
    )
    limit = None if cores is None else (lambda: os.sched_setaffinity(0, cores))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit)
    told = json.loads(done.stdout)
    busiest = tuple(BusyProcess(**one) for one in told.pop("busiest"))
    return Machine(**{**told, "late_ms": tuple(told["late_ms"])}, busiest=busiest)


def test_a_process_that_burns_a_core_is_seen_with_its_pid_and_its_share(burner: Any) -> None:
    alone = len(os.sched_getaffinity(0))
    # A burner tied to the only core that may be used: whatever else runs here, it gets a share of that core.
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(burner.pid, {core})
    seen = measured({core})
    assert (seen.cores, seen.usable) == (1, min(1, seen.quota or 1))
    assert seen.present >= alone
    assert seen.used is not None
    found = {one.pid: one.cores for one in seen.busiest}
    assert 0 < found[burner.pid] <= seen.used + 0.05
    assert any("of 1 core" in finding.what for finding in machine.findings(seen))


@pytest.mark.lab  # the three busiest are told: alone, that is surely this one
def test_what_lives_shorter_than_the_look_is_told_by_its_parent() -> None:
    many = "import subprocess, sys\nwhile True: subprocess.run([sys.executable, '-S', '-c', 'sum(range(10**6))'])"
    with subprocess.Popen([sys.executable, "-c", many]) as process:
        found = {one.pid: one.cores for one in measured().busiest}
        process.kill()
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        assert found[process.pid] > 0.1


def test_what_takes_only_what_is_left_is_no_disturbance(burner: Any) -> None:
    os.sched_setscheduler(burner.pid, os.SCHED_IDLE, os.sched_param(0))
    assert burner.pid not in {one.pid for one in measured().busiest}


def test_own_children_are_not_others(burner: Any) -> None:
    seen = machine.measure()
    assert burner.pid not in {one.pid for one in seen.busiest}
    assert os.sched_getaffinity(0), "and this process may use all its cores again"
    assert len(os.sched_getaffinity(0)) == seen.cores


def test_a_quiet_machine_has_numbers_and_no_finding() -> None:
    assert machine.findings(QUIET) == ()
    assert "2 of 2 cores usable; timers late by 0.1 ms (median), 0.4 ms (99 of 100)" in str(QUIET)
    assert "others use 0.02 cores" in str(QUIET)


def test_what_a_machine_does_not_tell_is_left_out() -> None:
    silent = replace(QUIET, used=None, stolen=None)
    assert machine.findings(silent) == ()
    assert "others" not in str(silent)


@pytest.mark.parametrize(
    ("seen", "what", "severe"),
    [
        (
            replace(QUIET, used=0.91, busiest=(BURNER,)),
            "another process used 0.9 of 2 cores: python3 (pid 77) 0.9",
            True,
        ),
        (replace(QUIET, used=0.3, busiest=(BURNER,)), "another process used 0.3 of 2 cores", False),
        (
            replace(QUIET, used=1.9, busiest=(replace(BURNER, cores=0.5),)),
            "other processes used 1.9 of 2 cores: python3 (pid 77) 0.5, and some that live short or cannot be seen",
            True,
        ),
        (replace(QUIET, used=0.91), "used 0.9 of 2 cores: some that live short or cannot be seen from here", True),
        (
            replace(QUIET, used=1.9, busiest=(BURNER, BusyProcess(78, "cc1", 1.0))),
            "other processes used 1.9 of 2 cores: python3 (pid 77) 0.9, cc1 (pid 78) 1.0",
            True,
        ),
        (replace(QUIET, stolen=0.4), "the hypervisor withheld 0.4 of 2 cores", True),
        (replace(QUIET, late_ms=(0.1, 12.0, 30.0)), "1 in 100 timers fired 12 ms late or later", False),
        (replace(QUIET, stretch=2.2), "work took 2.2 times as long as at best, or longer, 1 time in 10", True),
        (replace(QUIET, quota=1.5), "let this process use 1.5 of 2 cores", False),
    ],
)
def test_what_disturbs_is_said_with_its_hint(seen: Machine, what: str, severe: bool) -> None:
    (found,) = machine.findings(seen)
    assert what in found.what
    assert found.hint
    assert found.severe is severe


def test_the_worst_comes_first() -> None:
    found = machine.findings(replace(QUIET, quota=1.5, late_ms=(1.0, 12.0, 30.0), stolen=0.5))
    assert [finding.severe for finding in found] == [True, False, False]


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/box/inner\n", {"box/cpu.max": "150000 100000", "box/inner/cpu.max": "max 100000"}, 1.5),
        ("0::/on/the/host\n", {"cpu.max": "50000 100000"}, 0.5),
        ("2:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "150000", "cpu/x/cpu.cfs_period_us": "100000"}, 1.5),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_strictest_limit_of_the_cgroups_counts(
    tmp_path: Path, groups: str, files: dict[str, str], cores: float | None
) -> None:
    (tmp_path / "cgroup").write_text(groups, encoding="ascii")
    for name, content in files.items():
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n", encoding="ascii")
    assert machine.quota(tmp_path / "cgroup", tmp_path / "sys") == cores
