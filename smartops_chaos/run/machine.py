"""How quiet this machine is: measured for about three seconds before a campaign opens its lanes, and by `doctor`.

A benchmark that shares its cores with other programs measures those programs too. Nothing of a campaign runs while this
looks, so all that it sees is of others: how late timers fire, how long a fixed piece of work takes, who uses the cores,
and how much of them this process may use at all. Linux only, from /proc; what a machine does not tell is left out.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from smartops_chaos.model import Finding
from smartops_chaos.schema.units import count

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SLEEP_S = 0.005
_TIMERS_S = 1.9  # long enough that a core's use, counted in ticks of 10 ms, is known to about 1 %
_WORK_S = 0.9  # for all cores together
_LEAST_REPEATS = 3  # of the work on each core
_BLOCK = bytes(64 * 1024)
_BLOCKS = 160  # of a piece of work: some milliseconds, so that whoever shares the core gets a turn within it
_NAMED = 3  # processes that are told of
_LEAST_NAMED = 0.05  # cores that one of them uses

# From the first of each pair on it is said, from the second on nothing that is measured is worth a verdict. A lab lane
# needs most of one core, so half a core in other hands makes its service too slow for the load that it is sent.
_USED = (0.25, 0.5)  # cores that others use
_STOLEN = (0.1, 0.3)  # cores that the hypervisor gives to other machines
_LATE_MS = (10.0, 50.0)  # for 1 in 100 timers; requests are sent by timers, and a good answer may take 250 ms
_SLOWER = (1.5, 2.0)  # times the best: how long 1 in 10 pieces of work takes


@dataclass(frozen=True, slots=True)
class BusyProcess:
    pid: int
    name: str
    cores: float  # that it uses, on average


@dataclass(frozen=True, slots=True)
class Machine:
    """What was seen, plain numbers; `findings` says what they mean. None: this machine does not tell."""

    present: int  # cores
    cores: int  # of them usable by this process (its affinity, as `taskset` sets it)
    quota: float | None  # cores' worth of time that the cgroup allows; None: no limit
    late_ms: tuple[float, float, float]  # of timers of 5 ms: half fire no later than this, 99 of 100, all
    work_ms: float  # that a fixed piece of work took, the median over all usable cores
    stretch: float  # 9 of 10 pieces took no more times as long as the best on the same core; cores may differ
    used: float | None  # cores' worth of time that all others used, on the usable cores; without the idle class
    stolen: float | None  # cores' worth of time that the hypervisor withheld
    load: float  # processes that run or want to, averaged over a minute
    busiest: tuple[BusyProcess, ...]  # of the others, the one that uses most first

    @property
    def usable(self) -> float:
        """Cores' worth of time that this process can get at best."""
        return min(self.cores, self.quota or self.cores)

    def __str__(self) -> str:
        limit = f", {self.quota:g} by the limit of its cgroup" if self.quota is not None else ""
        parts = [f"{self.cores} of {count(self.present, 'core')} usable{limit}"]
        parts.append("timers late by {:.1f} ms (median), {:.1f} ms (99 of 100), {:.1f} ms (all)".format(*self.late_ms))
        parts.append(f"a piece of work takes {self.work_ms:.1f} ms, {self.stretch:.2f} times the best (9 of 10)")
        if self.used is not None:
            parts.append(f"others use {self.used:.2f} cores" + (f" ({_listed(self.busiest)})" if self.busiest else ""))
        if self.stolen is not None:
            parts.append(f"the hypervisor withholds {self.stolen:.2f}")
        return "; ".join([*parts, f"load {self.load:.1f}"])


def measure() -> Machine:
    """Look for about three seconds. Everything but this process and its children counts as others."""
    usable = sorted(os.sched_getaffinity(0))
    before = _Counters.read(usable)
    late_ms = _timers(_TIMERS_S)
    after = _Counters.read(usable)
    work = _work(usable)
    processes = _used(before, after, usable)
    used, stolen = _shares(before, after, processes)
    return Machine(
        present=os.cpu_count() or len(usable),
        cores=len(usable),
        quota=quota(),
        late_ms=(_rank(late_ms, 0.5), _rank(late_ms, 0.99), late_ms[-1]),
        work_ms=median(took for pieces in work for took in pieces),
        stretch=_rank(sorted(took / min(pieces) for pieces in work for took in pieces), 0.9),
        used=used,
        stolen=stolen,
        load=round(os.getloadavg()[0], 2),
        busiest=_busiest(processes),
    )


def findings(seen: Machine) -> tuple[Finding, ...]:
    """What would disturb a measurement here, the worst first; nothing on a quiet machine."""
    return tuple(sorted(_findings(seen), key=lambda finding: not finding.severe))


def _findings(seen: Machine) -> Iterator[Finding]:
    if seen.used is not None and seen.used >= _USED[0]:
        named = _listed(seen.busiest)
        unseen = sum(one.cores for one in seen.busiest) < seen.used / 2
        who = [*([named] if named else []), *(["some that live short or cannot be seen from here"] if unseen else [])]
        alone = len(who) == len(seen.busiest) == 1
        what = (
            f"{'another process' if alone else 'other processes'} used {seen.used:.1f} of {count(seen.cores, 'core')}"
        )
        what += f": {', and '.join(who)}"
        hint = f"end it (pid {seen.busiest[0].pid}) or wait" if alone else "end them or wait for them"
        yield Finding(what, hint, seen.used >= _USED[1])
    if seen.stolen is not None and seen.stolen >= _STOLEN[0]:
        what = f"the hypervisor withheld {seen.stolen:.1f} of {count(seen.cores, 'core')}"
        yield Finding(what, "run on a machine that shares its cores less", seen.stolen >= _STOLEN[1])
    late_ms = seen.late_ms[1]
    if late_ms >= _LATE_MS[0]:
        what = f"1 in 100 timers fired {late_ms:.0f} ms late or later"
        yield Finding(what, "let nothing else run meanwhile", late_ms >= _LATE_MS[1])
    if seen.stretch >= _SLOWER[0]:
        what = f"the same piece of work took {seen.stretch:.1f} times as long as at best, or longer, 1 time in 10"
        hint = "let nothing else run meanwhile; on a laptop, plug it in and switch power saving off"
        yield Finding(what, hint, seen.stretch >= _SLOWER[1])
    if seen.quota is not None and seen.quota < seen.cores:
        what = f"the limit of its cgroup let this process use {seen.quota:g} of {count(seen.cores, 'core')}"
        yield Finding(what, f"raise the limit, or run with `--lanes {max(1, int(seen.quota))}`", seen.quota < 1)


def _listed(processes: Sequence[BusyProcess]) -> str:
    return ", ".join(f"{one.name} (pid {one.pid}) {one.cores:.1f}" for one in processes)


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# ---- timers and work -----------------------------------------------------------------------------------------


def _timers(seconds: float) -> list[float]:
    """How late each of many short sleeps ended: milliseconds, sorted."""
    late: list[float] = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        time.sleep(_SLEEP_S)
        late.append(1000 * max(0.0, time.perf_counter() - begun - _SLEEP_S))
    return sorted(late)


def _work(cores: Sequence[int]) -> list[list[float]]:
    """How long the same piece of work took, over and over, on each core: milliseconds.

    Only this thread is tied to a core, and only while it works there.
    """
    took: list[list[float]] = []
    try:
        for core in cores:
            os.sched_setaffinity(0, {core})
            _piece()  # the first one also warms the core up
            begun, pieces = time.perf_counter(), list[float]()
            while len(pieces) < _LEAST_REPEATS or time.perf_counter() - begun < _WORK_S / len(cores):
                pieces.append(_piece())
            took.append(pieces)
    finally:
        os.sched_setaffinity(0, cores)
    return took


def _piece() -> float:
    begun = time.perf_counter()
    digest = hashlib.sha256()
    for _ in range(_BLOCKS):
        digest.update(_BLOCK)
    return 1000 * (time.perf_counter() - begun)


# ---- what the kernel counts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Counted:
    name: str
    parent: int
    cpu_s: float  # of its own, and in `reaped_s` of its children that have ended
    reaped_s: float
    core: int  # where it ran last
    kind: Literal["own", "idle", "other"]  # idle: of that scheduling class, which takes only what is left


@dataclass(frozen=True, slots=True)
class _Counters:
    at_s: float
    busy_s: float | None  # of the usable cores
    stolen_s: float | None
    processes: Mapping[tuple[int, int], _Counted]  # (pid, start): all that can be seen

    @staticmethod
    def read(cores: Sequence[int]) -> _Counters:
        return _Counters(time.monotonic(), *_cpu_seconds(cores), _processes())


def _used(before: _Counters, after: _Counters, cores: Sequence[int]) -> dict[int, _Counted]:
    """What each process on those cores has used in between, in cores' worth of time.

    With what its children used that began and ended in between: a compiler lives shorter than this looks.
    """
    took_s = after.at_s - before.at_s
    known_s: defaultdict[int, float] = defaultdict(float)  # of children that have ended: what they had used before
    for key, was in before.processes.items():
        if key not in after.processes:
            known_s[was.parent] += was.cpu_s + was.reaped_s
    found = {}
    for key, now in after.processes.items():
        was = before.processes.get(key) or replace(now, cpu_s=0.0, reaped_s=0.0)
        used_s = now.cpu_s - was.cpu_s + max(0.0, now.reaped_s - was.reaped_s - known_s[key[0]])
        if now.core in cores:
            found[key[0]] = replace(now, cpu_s=used_s / took_s)
    return found


def _shares(
    before: _Counters, after: _Counters, processes: Mapping[int, _Counted]
) -> tuple[float | None, float | None]:
    """Cores' worth of time that others used, and that the hypervisor withheld."""
    if before.busy_s is None or after.busy_s is None or before.stolen_s is None or after.stolen_s is None:
        return None, None
    took_s = after.at_s - before.at_s
    busy = (after.busy_s - before.busy_s) / took_s
    by_kind = {"own": 0.0, "idle": 0.0, "other": 0.0}
    for one in processes.values():
        by_kind[one.kind] += one.cpu_s
    # What cannot be seen from a container is in `busy` alone. A process with several threads may have used other cores
    # too, so what is known of the others is the least.
    used = max(busy - by_kind["own"] - by_kind["idle"], min(busy - by_kind["own"], by_kind["other"]), 0.0)
    return round(used, 3), round((after.stolen_s - before.stolen_s) / took_s, 3)


def _busiest(processes: Mapping[int, _Counted]) -> tuple[BusyProcess, ...]:
    found = [
        BusyProcess(pid, one.name, round(one.cpu_s, 3))
        for pid, one in processes.items()
        if one.kind == "other" and one.cpu_s >= _LEAST_NAMED
    ]
    return tuple(sorted(found, key=lambda one: -one.cores)[:_NAMED])


def _cpu_seconds(cores: Sequence[int]) -> tuple[float | None, float | None]:
    """CPU time of those cores in use by anybody, and stolen by the hypervisor; None where the kernel does not say."""
    wanted = {f"cpu{core}" for core in cores}
    busy = stolen = 0.0
    for line in _lines(Path("/proc/stat")):
        name, *fields = line.split()
        if name in wanted and len(fields) >= 8:
            user, nice, system, _idle, _waiting, interrupts, soft, steal = map(int, fields[:8])
            busy += (user + nice + system + interrupts + soft) / _TICKS_PER_S
            stolen += steal / _TICKS_PER_S
            wanted.remove(name)
    return (None, None) if wanted else (busy, stolen)


def _processes() -> dict[tuple[int, int], _Counted]:
    read: dict[int, tuple[int, bool, _Counted]] = {}  # pid: its start, whether it is idle, the rest
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or not (text := "".join(_lines(folder / "stat"))):
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        user, system, reaped_user, reaped_system = (int(field) / _TICKS_PER_S for field in fields[11:15])
        counted = _Counted(name, int(fields[1]), user + system, reaped_user + reaped_system, int(fields[36]), "other")
        read[int(folder.name)] = (int(fields[19]), int(fields[38]) == os.SCHED_IDLE, counted)
    ours = {os.getpid()}
    while more := {pid for pid, (*_, one) in read.items() if one.parent in ours} - ours:
        ours |= more
    return {
        (pid, start): replace(counted, kind="own" if pid in ours else "idle" if idle else "other")
        for pid, (start, idle, counted) in read.items()
    }


# ---- what this process may use -------------------------------------------------------------------------------


def usable_cores() -> float:
    """Cores' worth of time that this process can get at best: those it is allowed on, or less by a cgroup's limit."""
    allowed = float(len(os.sched_getaffinity(0)))
    return min(allowed, quota() or allowed)


def quota(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of CPU time that the strictest cgroup of this process allows; None without a limit.

    Version 2 has one tree and `cpu.max`, version 1 one for each controller and `cpu.cfs_quota_us`. In a container the
    path may be that of the host while the tree begins at the container's own group, so every ancestor's file that is
    there counts.
    """
    limits = []
    for line in _lines(groups):
        number, controllers, path = line.strip().split(":", 2)
        if number == "0" and not controllers:
            trees = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            trees = [root / controllers, root / "cpu"]
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        folders = [tree.joinpath(*parts[:n]) for tree in trees for n in range(len(parts) + 1)]
        limits += [limit for folder in folders if (limit := _limit(folder)) is not None]
    return round(min(limits), 2) if limits else None


def _limit(group: Path) -> float | None:
    allowed = "".join(_lines(group / "cpu.max")).split()
    if not allowed:
        allowed = "".join(_lines(group / "cpu.cfs_quota_us")).split()
        allowed += "".join(_lines(group / "cpu.cfs_period_us")).split()
    if len(allowed) != 2 or allowed[0] in ("max", "-1"):
        return None
    return int(allowed[0]) / int(allowed[1])


def _lines(file: Path) -> list[str]:
    """Nothing of a file that is not there, or of a process that has just ended."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
