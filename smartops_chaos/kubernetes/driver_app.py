"""The application's own fault switches over HTTP, on the pod that is meant, through the API server's pod proxy.

`POST /chaos/MODE/enable|disable` and `GET /chaos/modes`, as the SmartOps simulator has them. A mode belongs to one
process: a restart clears it. The application publishes its modes, so a healer can read off what was injected.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.kubernetes import driver_exec, victims
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, connect, proxy
from smartops_chaos.kubernetes.container import Container, NoProgram, each_within, text, until, word
from smartops_chaos.kubernetes.driver_base import Right, as_activity_failure
from smartops_chaos.kubernetes.victims import Mark, Victim
from smartops_chaos.model import FaultPart

logger = logging.getLogger("smartops_chaos")

FAULTS: tuple[str, ...] = ("app",)
_MODES = "/chaos/modes"  # the switches, each on or off
_PORT = 8000
_ANSWER_S = 5.0
# A server that is sick by its own switch may not answer at all, until its platform kills it: the public SmartOps'
# liveness probe takes a minute to that, and its grace another half. Less patience would leave out the worst hit trials.
_PATIENCE_S = 120.0


@as_activity_failure
def enable(
    namespace: str,
    context: str,
    deployment: str,
    fault_id: str,
    seed: int,
    expires_s: float,
    mode: str,
    port: int = _PORT,
    pods: str = "one",
) -> dict[str, Any]:
    """Switch `mode` on in one ready pod (or all); with python3 there, a process in the pod switches it off in time."""
    cluster = connect(context)
    chosen = victims.choose(cluster, namespace, deployment, seed, pods)
    expires = True
    for victim in chosen:
        where = victim.container
        detail = {
            "fault": "app",
            "mode": mode,
            "port": int(port),
            "container": where.name,
            "container_id": where.container_id,
        }
        victims.mark(cluster, namespace, "pods", where.pod, fault_id, detail)
        path = f"/chaos/{mode}/disable"
        watcher = (text("switch_off.py"), word(fault_id), str(float(expires_s)), str(int(port)), path)
        try:
            where.run(cluster, "python3", "-c", *watcher)
        except NoProgram:
            expires = False
            logger.warning("pod %s has no python3: only this program will switch %s off again", where.pod, mode)
        try:
            _ask(cluster, where, int(port), "POST", f"/chaos/{mode}/enable")
        except Gone as error:
            raise ActivityFailed(f"pod {where.pod} has no switch /chaos/{mode}/enable: {error}") from error
    objects = [victim.object for victim in chosen]
    return {"fault": f"app {mode}", "momentary": False, "objects": objects, "expires_s": expires_s if expires else None}


@as_activity_failure
def switched_on(namespace: str, context: str, fault_id: str) -> bool:
    """Whether every pod that is meant says that the mode is on, or was restarted since."""
    cluster = connect(context)
    found = victims.marks(cluster, namespace, victims.PODS, fault_id)

    def on_or_gone(mark: Mark) -> bool:
        there = victims.still_runs(cluster, mark)
        with suppress(ClusterError):  # no answer says neither yes nor no
            return not there or _is_on(cluster, mark)
        return False

    return bool(found) and each_within(_PATIENCE_S, found, on_or_gone)


@as_activity_failure
def revert(namespace: str, context: str, fault_id: str) -> dict[str, Any]:
    """Switch the mode off wherever its marks are. Safe to repeat, from any process."""
    return end(connect(context), namespace, fault_id)


def _switch_off(cluster: Cluster, mark: Mark) -> bool:
    """Whether it was on until now. Raises ClusterError when the pod does not answer for long, yet is the same."""
    deadline, was_on = time.monotonic() + _PATIENCE_S, False
    while victims.still_runs(cluster, mark):
        try:
            was_on = was_on or _is_on(cluster, mark)
            if was_on:
                _ask(cluster, mark.container, mark.told.port, "POST", f"/chaos/{mark.told.mode}/disable")
            # Or the program in the pod would switch off what a later trial switches on.
            mark.container.marked(cluster, mark.fault_id, "kill")
            return was_on
        except ClusterError:
            if not until(deadline, 0.5):
                raise
    return False


def _is_on(cluster: Cluster, mark: Mark) -> bool:
    """Raises ClusterError at once if it does not answer."""
    answer = _ask(cluster, mark.container, mark.told.port, "GET", _MODES, patience_s=0)
    modes = answer.get("modes") if isinstance(answer, dict) else None
    if not isinstance(modes, dict):
        raise ClusterError(f"pod {mark.name}: {_MODES} does not say which modes are on")
    return bool(modes.get(str(mark.told.mode).replace("-", "_"), False))


def _ask(cluster: Cluster, where: Container, port: int, method: str, path: str, patience_s: float = 15.0) -> Any:
    there = proxy(where.namespace, "pods", where.pod, port, path)
    return cluster.request(method, there, limit_s=_ANSWER_S, patience_s=patience_s)


# ---- what the rest of the wing calls, see driver_base.Driver ---------------------------------------------------------


def rights(func: str, namespace: str, controller: str, why: str, part: FaultPart) -> list[Right]:
    inside = driver_exec.rights(func, namespace, controller, why, part)  # for the program that switches it off in time
    return [*inside, Right(namespace, "pods/proxy", ("get", "create"), why)]


def problems(cluster: Cluster, victim: Victim, part: FaultPart) -> Iterator[tuple[str, str]]:
    where = victim.container
    try:
        cluster.request("GET", proxy(where.namespace, "pods", where.pod, int(part.params.get("port", _PORT)), _MODES))
    except Gone as error:
        yield str(error), "correct the fault's `port`"


def abilities(cluster: Cluster, namespace: str, controller: str, faults: str) -> str:
    (chosen,) = victims.choose(cluster, namespace, controller, 0)
    cluster.request("GET", proxy(namespace, "pods", chosen.container.pod, _PORT, _MODES), patience_s=0)
    return f"{faults}: {controller} has the switches; a healer that reads them knows the answer"


def in_force(cluster: Cluster, mark: Mark) -> bool:
    """Whether the mode is on."""
    return victims.still_runs(cluster, mark) and _is_on(cluster, mark)


def end(cluster: Cluster, namespace: str, fault_id: str) -> dict[str, Any]:
    def end_one(mark: Mark) -> str:
        return f"{mark.told.mode} was on in {mark.name}" if _switch_off(cluster, mark) else ""

    return victims.end_inside(cluster, namespace, fault_id, end_one)
