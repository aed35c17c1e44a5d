"""A cluster as a target: its lanes are namespaces, each with a copy of the system in it. Here the runner's side."""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from smartops_chaos.errors import PreflightFailed, RevertFailed
from smartops_chaos.kubernetes import cluster, drivers, objects
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects
from smartops_chaos.kubernetes.cluster import ASK_FOR_ROLES, Cluster, ClusterError, Gone
from smartops_chaos.kubernetes.controller import Controller
from smartops_chaos.kubernetes.lock import OWNER, NamespaceLock, owner
from smartops_chaos.schema.clustertarget import says_production
from smartops_chaos.schema.healer_kubernetes import Address, KubernetesBlock, Source
from smartops_chaos.targets.base import LaneAddress, LaneLost, Tell, silent
from smartops_chaos.telemetry.connection import with_keys

_PINGS = 15


def located(address: Address, context: str, namespace: str) -> str:
    """An address as the line of text that `telemetry.connection` reads; `namespace` is the lane's."""
    where = address.url.rstrip("/") or cluster.service_url(
        context, address.namespace or namespace, address.service, address.port
    )
    return with_keys(where, address.keys()) if isinstance(address, Source) else where


class ClusterTarget:
    """The namespaces of a matrix. Each is taken for one campaign, and put back as it was found."""

    def __init__(self, options: dict[str, Any], lanes: int | None = None) -> None:
        self._options = options
        self._block = KubernetesBlock.from_plan(options)
        self._names = [lane["namespace"] for lane in options["lanes"]][:lanes]
        self._locks: list[NamespaceLock] = []
        self._directory: Path | None = None

    def check(self) -> list[tuple[str, str]]:
        """What is missing in the cluster and its namespaces; touches nothing."""
        try:
            here = cluster.connect(self._options["context"])
            here.request("GET", "/version")
            return [problem for name in self._names for problem in self._namespace_problems(here, name)]
        except ClusterError as error:
            return [(str(error), "check KUBECONFIG and `target.context`")]

    def clear(self, directory: Path) -> None:
        """Nothing of an earlier runner goes on here: what it has set on objects stays until `open` or `restore`."""

    def open(self, directory: Path, say: Tell = silent) -> Sequence[LaneAddress]:
        """Take the namespaces. Raises PreflightFailed for one that another campaign has, or has left changed."""
        del say
        self._directory = directory
        try:
            for name in self._names:
                lock = self._lock(directory, name)
                lock.take()
                self._locks.append(lock)
        except ClusterError as error:
            raise PreflightFailed(str(error), ASK_FOR_ROLES) from error
        return [self._address(lock) for lock in self._locks]

    def revive(self, lane: LaneAddress) -> LaneAddress:
        """A namespace cannot be made anew: it must still be there, and ours. Raises LaneLost."""
        lock = next(one for one in self._locks if one.changed.namespace == lane.name)
        try:
            holder = lock.holder()
        except ClusterError as error:
            raise LaneLost(f"{lane.name}: {error}") from error
        if holder != lock.owner:
            whose = "somebody has reverted it" if holder is None else "another campaign has taken it"
            raise LaneLost(f"{lane.name} is not this campaign's any more: {whose}, or it was deleted")
        return lane

    def close(self) -> None:
        """Put everything back. Raises RevertFailed where that failed; the others are put back all the same."""
        failed = _release(self._locks)
        self._locks = [lock for lock in self._locks if not lock.released]
        if failed:
            campaign = "CAMPAIGN" if self._directory is None else self._directory.parent.name
            raise RevertFailed("; ".join(failed), f"smartops-chaos revert {campaign}")
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def restore(self, directory: Path) -> list[str]:
        """Undo what an earlier runner of the campaign has left changed, with its directory alone; notes on it.

        Raises RevertFailed.
        """
        left = [self._lock(directory, name) for name in self._names if (directory / name / OWNER).exists()]
        failed = _release(left)
        if failed:
            raise RevertFailed("; ".join(failed), "mend the cause, then the same command again")
        return [f"{one.changed.namespace} is as it was before the campaign" for one in left]

    def _lock(self, directory: Path, name: str) -> NamespaceLock:
        here = cluster.connect(self._options["context"])
        ledger = directory.resolve() / name / "former.ndjson"
        changed = ChangedObjects(here, name, directory.resolve().parent.name, ledger)
        return NamespaceLock(changed, owner(directory / name), self._block.controllers())

    def _address(self, lock: NamespaceLock) -> LaneAddress:
        """No secret is in it: a `kubernetes:` address becomes one with credentials only where it is called."""
        name, context = lock.changed.namespace, self._options["context"]

        def url(address: Address | None) -> str:
            return "" if address is None else located(address, context, name)

        environment = {
            "SMARTOPS_NAMESPACE": name,
            "SMARTOPS_CONTEXT": context,
            "SMARTOPS_SERVICE": self._block.service,
            "SMARTOPS_CAMPAIGN": lock.changed.campaign,
            "SMARTOPS_LANE": str(lock.changed.ledger),
            "SMARTOPS_WORKLOAD_URL": url(self._block.workload),
            "PROMETHEUS_BASE_URL": url(self._block.prometheus),
            "LOKI_BASE_URL": url(self._block.loki),
        }
        return LaneAddress("kubernetes", name, environment | ({"KUBERNETES_CONTEXT": context} if context else {}))

    def _namespace_problems(self, here: Cluster, name: str) -> Iterator[tuple[str, str]]:
        try:
            found = here.request("GET", f"/api/v1/namespaces/{name}")
        except Gone:
            yield f"there is no namespace {name}", "name another one in `target.lanes` and `target.allow`"
            return
        except ClusterError as error:
            yield f"whether {name} is for production cannot be told: {error}", ASK_FOR_ROLES
            return
        if found.get("status", {}).get("phase") == "Terminating":
            yield f"the namespace {name} is being deleted", "wait, and make it again"
            return
        labels = found["metadata"].get("labels") or {}
        said = [f"{key}={value}" for key, value in labels.items() if _production(key, value)]
        if said and name not in self._options["production"]:
            yield f"a label of {name} says production: {', '.join(said)}", f"if you mean it: `production: [{name}]`"
        try:
            yield from self._object_problems(here, name)
        except ClusterError as error:
            yield f"{name}: {error}", ASK_FOR_ROLES

    def _object_problems(self, here: Cluster, name: str) -> Iterator[tuple[str, str]]:
        there = Controller.listed(here, name)
        for controller in self._block.controllers():
            if controller not in there and controller not in self._block.optional:
                yield (
                    f"{name} has no Deployment {controller}, which the healer file names",
                    f"deploy it, or correct the healer file; there are: {', '.join(sorted(there)) or 'none'}",
                )
        known = ChangedObjects(here, name, "", None)
        for change in self._block.all_changes():
            try:
                if change.deployment in there:
                    objects.wanted(change, there[change.deployment].found)
                elif change.configmap:
                    known.read("configmap", change.configmap)
            except Gone:
                yield f"{name} has no ConfigMap {change.configmap}, which the healer file names", "create it"
            except KeyError as error:
                yield f"{name}: {error.args[0]}, which the healer file names", "correct the healer file"


def provenance(options: dict[str, Any]) -> dict[str, str]:
    """Which cluster, by which way requests reach it and how long that takes, what runs there. Raises ClusterError."""
    here = cluster.connect(options["context"])
    version = here.request("GET", "/version")["gitVersion"]
    if KubernetesBlock.from_plan(options).workload.url:
        way = f"from the runner to {KubernetesBlock.from_plan(options).workload.url}"
    else:
        took_s = []
        for _ in range(_PINGS):
            began = time.monotonic()
            here.request("GET", "/version")
            took_s.append(time.monotonic() - began)
        way = "from the runner through the API server's service proxy; a bare round trip to that server took "
        way += f"{1000 * sorted(took_s)[_PINGS // 2]:.1f} ms (median of {_PINGS} before the first trial)"
    names = [lane["namespace"] for lane in options["lanes"]]
    pods = [pod for name in names for pod in here.request("GET", cluster.path(name, "pods"))["items"]]
    return {"Cluster": f"Kubernetes {version}", "Requests": way, "Images": images(pods)}


def images(pods: Iterable[dict[str, Any]]) -> str:
    """What containers run: each name with its image and digest, since a tag may be moved. Lanes are copies."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or ():
            if digest := re.search("sha256:[0-9a-f]{12}", status.get("imageID", "")):  # absent until it has started
                found[status["name"]].add(f"{status['image']} ({digest[0]})")
    return "; ".join(f"{name} {' and '.join(sorted(found[name]))}" for name in sorted(found)) or "no pod was running"


def _release(locks: Sequence[NamespaceLock]) -> list[str]:
    """Put all back at once, since each waits for its rollouts; what failed."""
    with ThreadPoolExecutor(max_workers=max(1, len(locks))) as pool:
        return list(filter(None, pool.map(NamespaceLock.release, locks)))


def revert_namespace(context: str, name: str) -> list[str]:
    """End and put back everything of any campaign in a namespace, by what the cluster itself says; what was done.

    Raises RevertFailed.
    """
    try:
        here = cluster.connect(context)
        changed = ChangedObjects(here, name, "", None)
        done = [f"ended the fault {one}" for one in drivers.revert_all(here, name)]
        done += [f"put back {one}" for one in changed.left() if one != f"configmap {LOCK}"]
        done += changed.restore()
        NamespaceLock(changed, "", ()).unlock()
        if left := [*drivers.leaks(here, name), *changed.left()]:
            raise RevertFailed(f"{name}: not put back: {', '.join(left)}", "the same command again")
    except ClusterError as error:
        raise RevertFailed(f"{name}: {error}", "mend the cause, then the same command again") from error
    return done


def _production(key: str, value: str) -> bool:
    if value.lower() in ("false", "no", "0"):
        return False
    return says_production(value) or says_production(key.rpartition("/")[2])
