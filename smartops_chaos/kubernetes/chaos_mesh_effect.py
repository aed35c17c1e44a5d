"""Whether a fault of Chaos Mesh is felt, which its status does not tell: asked of the pod itself.

What no probe of ours can feel (a wrong clock, a slow disk) counts as felt while its pods are those it was applied to.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, Json, proxy
from smartops_chaos.kubernetes.container import Container, NoProgram
from smartops_chaos.kubernetes.controller import is_leaving
from smartops_chaos.kubernetes.victims import MarkDetail
from smartops_chaos.schema.units import UnitError, parse_duration, parse_size

FELT_S = 20.0
_CPU_SHARE = 0.2  # of what was asked or the limit leaves: a busy node gives much less than all
_MEMORY_SHARE = 0.5
_APART_S = 0.5
_REQUESTS = 20
_LATE_S = 0.18  # nearly TCP's first time-out, 200 ms
_ANSWER_S = 5.0
_CPU_FILES = ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpuacct/cpuacct.usage")
_MEMORY_FILES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


@dataclass(frozen=True, slots=True)
class Expected:
    """What one resource should do to a pod."""

    what: str  # kill | container | failure | cpu | memory | delay | loss | cut | other
    amount: float = 0.0  # cores, bytes, seconds, share

    @staticmethod
    def of(kind: str, spec: Mapping[str, Any]) -> Expected:
        action = str(spec.get("action", ""))
        if kind == "PodChaos":
            return Expected({"pod-kill": "kill", "container-kill": "container"}.get(action, "failure"))
        if kind == "StressChaos":
            stressors = spec["stressors"]
            if cpu := stressors.get("cpu"):
                return Expected("cpu", cpu["workers"] * cpu.get("load", 100) / 100)
            return Expected("memory", bytes_of(str(stressors["memory"].get("size", "0"))))
        if kind == "NetworkChaos" and "target" not in spec:
            if action == "partition":
                return Expected("cut")
            if "delay" in spec:
                return Expected("delay", seconds_of(spec["delay"]["latency"]))
            if "loss" in spec:
                return Expected("loss", float(spec["loss"]["loss"]) / 100)
        return Expected("other")


def seconds_of(text: str) -> float:
    """A duration as Go writes it; 0 for anything else."""
    with suppress(UnitError):
        return parse_duration(text)
    return 0.0


def bytes_of(text: str) -> float:
    """A size as Chaos Mesh has it; 0 for one in per cent."""
    with suppress(UnitError):
        return parse_size(text)
    return 0.0


def used(cluster: Cluster, where: Container) -> tuple[float, float]:
    """Seconds of CPU time and bytes of memory of a container, by its own cgroup; zeros where it has no `cat`."""
    cpu, memory = _read(cluster, where, _CPU_FILES), _read(cluster, where, _MEMORY_FILES)
    seconds = int(cpu.split()[1]) / 1e6 if cpu.startswith("usage_usec") else int(cpu or 0) / 1e9
    return seconds, float(memory or 0)


def _read(cluster: Cluster, where: Container, files: Sequence[str]) -> str:
    for file in files:
        try:
            return where.run(cluster, "cat", file).strip()
        except NoProgram:
            return ""
        except ClusterError as error:
            if "No such file" not in str(error):
                raise
    return ""


def effect(cluster: Cluster, namespace: str, expected: Expected, name: str, was: MarkDetail) -> bool:
    """Whether it is felt in the pod now. Raises ClusterError when the pod cannot be asked."""
    pod = victims.pod(cluster, namespace, name, was.pods[name])
    if expected.what == "kill":
        return pod is None or is_leaving(pod)
    if pod is None:
        return True  # somebody has replaced it meanwhile; what it was, its end will tell
    same = victims.container_id(pod, was.container) == was.container_ids.get(name)
    if expected.what in ("container", "failure"):
        return not same
    if not same:
        return True
    where, before = Container(namespace, name, was.container, was.container_ids[name]), was.used.get(name)
    with suppress(Gone):
        if expected.what == "cpu":
            return _burns(cluster, where, min(expected.amount, _limit(pod, was.container)))
        if expected.what == "memory" and expected.amount and before:
            return used(cluster, where)[1] - before[1] >= _MEMORY_SHARE * expected.amount
        if expected.what in ("delay", "loss", "cut"):
            return _late(cluster, where, pod, expected)
    return True


def _burns(cluster: Cluster, where: Container, cores: float) -> bool:
    begin = time.monotonic()
    first, _ = used(cluster, where)
    if not first:
        return True  # nothing in it can tell
    time.sleep(_APART_S)
    then, _ = used(cluster, where)
    return then - first >= _CPU_SHARE * cores * (time.monotonic() - begin)


def _spec(pod: Json, container: str) -> Json:
    return next(one for one in pod["spec"]["containers"] if one["name"] == container)


def _limit(pod: Json, container: str) -> float:
    """Cores that a container may use."""
    told = str(((_spec(pod, container).get("resources") or {}).get("limits") or {}).get("cpu", ""))
    if told.endswith("m"):
        return int(told[:-1]) / 1000
    return float(told) if told else 64.0


def _late(cluster: Cluster, where: Container, pod: Json, expected: Expected) -> bool:
    """Requests to the pod's own port, through the API server: any answer will do, it is its time that counts."""
    ports = _spec(pod, where.name).get("ports")
    port = next((one["containerPort"] for one in ports or () if one.get("protocol", "TCP") == "TCP"), 0)
    if not port:
        return True  # there is nothing to call

    def took_s(_: int) -> float:
        begin = time.monotonic()
        with suppress(ClusterError):
            cluster.request(
                "GET", proxy(where.namespace, "pods", where.pod, port, "/"), limit_s=_ANSWER_S, patience_s=0
            )
        return time.monotonic() - begin

    with ThreadPoolExecutor(5) as pool:
        took = list(pool.map(took_s, range(_REQUESTS if expected.what == "loss" else 5)))
    if expected.what == "loss":
        return max(took) >= _LATE_S
    return statistics.median(took) >= (_ANSWER_S * 0.9 if expected.what == "cut" else 0.9 * expected.amount)
