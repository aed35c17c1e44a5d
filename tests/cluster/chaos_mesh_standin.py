"""A small controller that does what the real Chaos Mesh was measured to do, its traps among them, on real pods.

What it injects itself is real where a test can have it without the node: pods are deleted, busy processes run inside
the container, and a delay is a switch of the test's own server. It works on one namespace, in a thread of the test.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

from smartops_chaos.kubernetes.chaos_mesh_effect import seconds_of
from smartops_chaos.kubernetes.chaos_mesh_spec import KINDS
from smartops_chaos.kubernetes.cluster import MERGE, Cluster, ClusterError, Gone, Json, path, proxy
from smartops_chaos.kubernetes.container import Container

FINALIZER = "chaos-mesh/records"
INSTALLED = ("PodChaos", "StressChaos", "NetworkChaos")
BURN = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for one in (0, 1, 2): os.dup2(null, one)
for _ in range(int(sys.argv[2]) - 1):
    if os.fork() == 0: break
while True: pass
"""
END = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found = b"\\0stress-ng-stand-in" in open("/proc/" + pid + "/cmdline", "rb").read()
        if found: os.kill(int(pid), 9)
    except OSError: pass
"""


class StandIn:
    """Runs until `end`. `no_netem`: the kernel has no netem, so no NetworkChaos can be applied; `down`: asleep."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.no_netem = self.down = False
        self.errors: list[str] = []
        self._cluster, self._namespace = cluster, namespace
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            for kind in () if self.down else INSTALLED:
                try:
                    for one in self._cluster.request("GET", path(self._namespace, KINDS[kind]))["items"]:
                        self._reconcile({**one, "kind": kind})
                except ClusterError as error:
                    self.errors.append(str(error))

    def _reconcile(self, one: Json) -> None:
        status = (one.get("status") or {}).get("experiment") or {}
        records = status.get("containerRecords") or []
        if "deletionTimestamp" in one["metadata"]:
            if not any(self._hangs(record) for record in records):
                self._recover(one, records)
                self._patch(one, {"metadata": {"finalizers": []}})
            return
        expired = _expires(one) < time.time() and one["spec"].get("action") != "pod-kill"
        if expired and status.get("desiredPhase") == "Run":
            self._recover(one, records)
            self._tell(one, records, "Stop")
        elif not expired and not records:  # every reconcile selects again
            self._tell(one, [self._apply(one, record) for record in self._selected(one)], "Run")
        elif not expired and (again := [record for record in records if record["phase"] != "Injected"]):
            for record in again:
                self._apply(one, record)
            self._tell(one, records, "Run")

    def _hangs(self, record: Json) -> bool:
        """A record that waits to be applied is never undone while its pod is there."""
        if record["phase"] != "Not Injected/Wait":
            return False
        with suppress(Gone):
            found = self._cluster.request("GET", path(self._namespace, "pods", record["id"].split("/")[1]))
            return "deletionTimestamp" not in found["metadata"]
        return False

    def _selected(self, one: Json) -> list[Json]:
        named = (one["spec"].get("selector") or {}).get("pods")
        pods = self._cluster.request("GET", path(self._namespace, "pods"))["items"]
        names = [pod["metadata"]["name"] for pod in pods]
        if named is not None:  # without a selector: every pod of the namespace
            names = [name for name in names if name in named.get(self._namespace, ())]
        ids = [f"{self._namespace}/{name}" for name in names]
        if one["kind"] == "StressChaos":
            ids = [f"{pod}/{container}" for pod in ids for container in one["spec"]["containerNames"]]
        fresh = {"phase": "Not Injected", "selectorKey": ".", "injectedCount": 0, "recoveredCount": 0}
        return [{"id": name, "events": [], **fresh} for name in ids]

    def _apply(self, one: Json, record: Json) -> Json:
        """Even what does nothing counts as injected."""
        pod, kind, spec = record["id"].split("/")[1], one["kind"], one["spec"]
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if kind == "NetworkChaos" and self.no_netem:
            why = f"failed to apply for pod {self._namespace}/{pod}: unable to set tcs for pod {pod}"
            record["events"] = [{"operation": "Apply", "type": "Failed", "message": why, "timestamp": stamp}]
            record["phase"] = "Not Injected/Wait"
            return record
        if spec.get("action") == "pod-kill":
            body = {"gracePeriodSeconds": spec.get("gracePeriod", 0)}
            with suppress(Gone):
                self._cluster.request("DELETE", path(self._namespace, "pods", pod), body=body)
        elif kind == "StressChaos" and (workers := spec["stressors"].get("cpu", {}).get("workers", 0)):
            self._inside(record, BURN, str(workers))
        elif kind == "NetworkChaos" and "delay" in spec:
            self._switch(pod, seconds_of(spec["delay"]["latency"]))
        record |= {"phase": "Injected", "injectedCount": 1, "recoveredCount": 0}
        record["events"] = [{"operation": "Apply", "type": "Succeeded", "timestamp": stamp}]
        return record

    def _recover(self, one: Json, records: list[Json]) -> None:
        """It is said to have succeeded, whatever has become of the pod."""
        for record in records:
            if record["phase"] != "Injected":
                continue
            with suppress(ClusterError):
                if one["kind"] == "StressChaos":
                    self._inside(record, END)
                elif one["kind"] == "NetworkChaos":
                    self._switch(record["id"].split("/")[1], 0)
            record |= {"phase": "Not Injected", "recoveredCount": 1}

    def _inside(self, record: Json, program: str, *arguments: str) -> None:
        _, pod, container = record["id"].split("/")
        where = Container(self._namespace, pod, container)
        where.run(self._cluster, "python3", "-c", program, "stress-ng-stand-in" if arguments else "end", *arguments)

    def _switch(self, pod: str, delay_s: float) -> None:
        self._cluster.request("POST", proxy(self._namespace, "pods", pod, 8000, f"/delay/{delay_s}"), patience_s=0)

    def _tell(self, one: Json, records: list[Json], phase: str) -> None:
        injected = bool(records) and all(record["phase"] == "Injected" for record in records)
        over = not records or all(record["phase"].startswith("Not Injected") for record in records)
        conditions = {"AllRecovered": over, "Selected": bool(records), "AllInjected": injected, "Paused": False}
        told = [{"type": name, "status": str(holds)} for name, holds in conditions.items()]
        status = {"conditions": told, "experiment": {"desiredPhase": phase, "containerRecords": records}}
        self._patch(one, {"metadata": {"finalizers": [FINALIZER]}, "status": status})

    def _patch(self, one: Json, body: Json) -> None:
        where = path(self._namespace, KINDS[one["kind"]], one["metadata"]["name"])
        with suppress(Gone):
            self._cluster.request("PATCH", where, body=body, content=MERGE)


def _expires(one: Json) -> float:
    created = datetime.fromisoformat(one["metadata"]["creationTimestamp"].replace("Z", "+00:00")).timestamp()
    duration = one["spec"].get("duration", "")
    return created + seconds_of(duration) if re.fullmatch(r"[\d.]+\w+", duration) else float("inf")
