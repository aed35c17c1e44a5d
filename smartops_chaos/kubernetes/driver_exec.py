"""Faults by a small program inside the container under attack, in its own cgroup: needs python3, or sh for CPU alone.

The program ends by itself after `expires_s`; the fault's ID in its command line is how any other process finds it.
It lives and dies with the container: a restart of the pod, by whomever, ends the fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import victims
from smartops_chaos.kubernetes.cluster import Cluster, connect
from smartops_chaos.kubernetes.container import (
    Container,
    FaultProcess,
    NoProgram,
    ProgramKilled,
    each_within,
    text,
    word,
)
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure
from smartops_chaos.kubernetes.victims import Mark, Victim
from smartops_chaos.model import FaultPart

CPU, MEMORY = "cpu-stress", "memory-leak"
FAULTS: tuple[str, ...] = (CPU, MEMORY)
_FELT_CPU_S = 0.2
_FELT_BYTES = 4 * 2**20


@as_activity_failure
def cpu_stress(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    seed: int,
    expires_s: float,
    load: float = 1.0,
    workers: int = 4,
    pods: str = "one",
    container: str = "",
) -> dict[str, Any]:
    """`workers` processes, each busy `load` (0 to 1) of the time, within the container's CPU limit."""
    seconds = str(int(expires_s) + 1)
    python = ("python3", "-c", text("stress.py"), word(fault_id), seconds, "cpu", str(int(workers)), str(load))
    shell = ("sh", "-c", text("stress.sh"), word(fault_id), seconds, str(int(workers)))
    chosen = victims.choose(connect(context), namespace, deployment, seed, pods, container)
    return _start(connect(context), CPU, fault_id, expires_s, chosen, python, shell if load == 1 else None)


@as_activity_failure
def memory_leak(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    seed: int,
    expires_s: float,
    size: int,
    rate: int,
    pods: str = "one",
    container: str = "",
) -> dict[str, Any]:
    """Take `rate` bytes per second up to `size` bytes; beyond the container's limit its largest process is killed."""
    seconds = str(int(expires_s) + 1)
    python = ("python3", "-c", text("stress.py"), word(fault_id), seconds, "memory", str(int(size)), str(int(rate)))
    chosen = victims.choose(connect(context), namespace, deployment, seed, pods, container)
    return _start(connect(context), MEMORY, fault_id, expires_s, chosen, python, None)


def _start(
    cluster: Cluster,
    fault: str,
    fault_id: str,
    expires_s: float,
    chosen: list[Victim],
    python: tuple[str, ...],
    shell: tuple[str, ...] | None,
) -> dict[str, Any]:
    for victim in chosen:
        where = victim.container
        detail = {"fault": fault, "container": where.name, "container_id": where.container_id}
        victims.mark(cluster, where.namespace, "pods", where.pod, fault_id, detail)
        try:
            where.run(cluster, *python)
        except NoProgram as no_python:
            if shell is None:
                raise ActivityFailed(_needs(fault, where)) from no_python
            try:
                where.run(cluster, *shell)
            except NoProgram as no_shell:
                raise ActivityFailed(_needs(fault, where)) from no_shell
    objects = [victim.object for victim in chosen]
    return {"fault": fault, "momentary": False, "objects": objects, "expires_s": float(expires_s)}


def _needs(fault: str, where: Container) -> str:
    needs = "python3 or sh (busy all the time: load 100%)" if fault == CPU else "python3"
    return (
        f"pod {where.pod}: container {where.name} has no {needs}, so {fault} cannot run in it; "
        "use a fault of the driver kubernetes or app, or add the program to the image"
    )


@as_activity_failure
def took_effect(namespace: str, context: str, fault_id: str, within_s: float = 10.0) -> bool:
    """Whether in every container CPU time was used or memory taken, or the container was killed for it."""
    cluster = connect(context)
    found = victims.marks(cluster, namespace, victims.PODS, fault_id)
    return bool(found) and each_within(within_s, found, lambda mark: _felt(cluster, mark))


def _felt(cluster: Cluster, mark: Mark) -> bool:
    if not victims.still_runs(cluster, mark):
        return True  # the fault has ended its container
    try:
        processes = mark.container.marked(cluster, mark.fault_id)
    except ProgramKilled:
        return True  # the container ended while we looked (a healer may be as quick as this), or its memory is used up
    if mark.told.fault == MEMORY:
        return sum(process.written for process in processes) >= _FELT_BYTES
    return sum(process.cpu_s for process in processes) >= _FELT_CPU_S


@as_activity_failure
def revert(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """End the fault's processes wherever its marks are. Safe to repeat, from any process."""
    return end(connect(context), namespace, fault_id)


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    del func, controller, part
    return [
        Right(namespace, "pods", ("patch",), f"{why}: to mark the pods that it is in"),
        # Since Kubernetes 1.35 a websocket, which is a GET, needs `create` as well.
        Right(namespace, "pods/exec", ("get", "create"), why),
    ]


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    tools = victim.container.tools(cluster)
    shell_will_do = part.fault == CPU and part.params.get("load") == 1
    if "python3" not in tools and not (shell_will_do and "sh" in tools):
        needs = "python3 or sh" if shell_will_do else "python3"
        what = f"{part.fault} needs {needs} in container {victim.container.name} of {victim.controller}"
        yield what, "use a fault of another driver, or name another `container` in the fault"


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    (chosen,) = victims.choose(cluster, namespace, controller, 0)
    tools = chosen.container.tools(cluster)
    what = faults if "python3" in tools else "cpu-stress alone" if tools else "not possible"
    return f"{what}: {' and '.join(tools) or 'neither sh nor python3'} in {controller}"


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """Whether a process of the fault is left."""
    return victims.still_runs(cluster, mark) and bool(mark.container.marked(cluster, mark.fault_id))


def end(cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
    def end_one(mark: Mark) -> str:
        if not victims.still_runs(cluster, mark):
            return ""
        try:
            processes = mark.container.marked(cluster, fault_id, "kill")
        except ProgramKilled:
            if victims.still_runs(cluster, mark):
                raise  # nobody knows whether it has done its work
            return ""
        return _effect(mark, processes) if processes else ""

    return victims.end_inside(cluster, namespace, fault_id, end_one)


def _effect(mark: Mark, processes: list[FaultProcess]) -> str:
    if mark.told.fault == MEMORY:
        return f"{sum(process.written for process in processes) / 2**20:.0f} MiB taken in {mark.name}"
    seconds = sum(process.cpu_s for process in processes)
    return f"{len(processes)} processes used {seconds:.1f} s of CPU time in {mark.name}"
