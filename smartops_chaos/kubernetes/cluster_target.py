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
from smartops_chaos.kubernetes import cluster, faultfacts, objects
from smartops_chaos.kubernetes.changes import LOCK, Namespace
from smartops_chaos.kubernetes.cluster import ASK_FOR_ROLES, Cluster, ClusterError, Gone
from smartops_chaos.kubernetes.lock import OWNER, Taken, owner
from smartops_chaos.kubernetes.reach import with_keys
from smartops_chaos.schema.clustertarget import says_production
from smartops_chaos.schema.healer_kubernetes import FROM_DUMP, Address, KubernetesBlock, Source
from smartops_chaos.targets.base import LaneAddress, LaneLost, Tell, silent

_PINGS = 15


def block(options: dict[str, Any]) -> KubernetesBlock:
    """The healer file's block, as the plan has it."""
    return KubernetesBlock.model_validate(options["system"], context=FROM_DUMP)


def located(address: Address, context: str, namespace: str) -> str:
    """An address as one line without a secret, with all that `reach` needs; `namespace` is the lane's."""
    where = address.url.rstrip("/") or cluster.service_url(
        context, address.namespace or namespace, address.service, address.port
    )
    return with_keys(where, address.keys()) if isinstance(address, Source) else where


class KubernetesTarget:
    """The namespaces of a matrix. Each is taken for one campaign, and put back as it was found."""

    def __init__(self, options: dict[str, Any], lanes: int | None = None) -> None:
        self._options = options
        self._block = block(options)
        self._names = [lane["namespace"] for lane in options["lanes"]][:lanes]
        self._taken: list[Taken] = []
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
                taken = self._of(directory, name)
                taken.take()
                self._taken.append(taken)
        except ClusterError as error:
            raise PreflightFailed(str(error), ASK_FOR_ROLES) from error
        return [self._address(taken) for taken in self._taken]

    def revive(self, lane: LaneAddress) -> LaneAddress:
        """A namespace cannot be made anew: it must still be there, and ours. Raises LaneLost."""
        taken = next(one for one in self._taken if one.objects.name == lane.name)
        try:
            holder = taken.holder()
        except ClusterError as error:
            raise LaneLost(f"{lane.name}: {error}") from error
        if holder != taken.owner:
            whose = "somebody has reverted it" if holder is None else "another campaign has taken it"
            raise LaneLost(f"{lane.name} is not this campaign's any more: {whose}, or it was deleted")
        return lane

    def close(self) -> None:
        """Put everything back. Raises RevertFailed where that failed; the others are put back all the same."""
        failed = _release(self._taken)
        self._taken = [taken for taken in self._taken if not taken.released]
        if failed:
            campaign = "CAMPAIGN" if self._directory is None else self._directory.parent.name
            raise RevertFailed("; ".join(failed), f"smartops-chaos revert {campaign}")
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def restore(self, directory: Path) -> list[str]:
        """Undo what an earlier runner of the campaign has left changed, with its directory alone; notes on it.

        Raises RevertFailed.
        """
        left = [self._of(directory, name) for name in self._names if (directory / name / OWNER).exists()]
        failed = _release(left)
        if failed:
            raise RevertFailed("; ".join(failed), "mend the cause, then the same command again")
        return [f"{one.objects.name} is as it was before the campaign" for one in left]

    def _of(self, directory: Path, name: str) -> Taken:
        here = cluster.connect(self._options["context"])
        ledger = directory.resolve() / name / "former.ndjson"
        known = Namespace(here, name, directory.resolve().parent.name, ledger)
        return Taken(known, owner(directory / name), self._block.deployments())

    def _address(self, taken: Taken) -> LaneAddress:
        """No secret is in it: a `kubernetes:` address becomes one with credentials only where it is called."""
        name, context = taken.objects.name, self._options["context"]

        def url(address: Address | None) -> str:
            return "" if address is None else located(address, context, name)

        environment = {
            "SMARTOPS_NAMESPACE": name,
            "SMARTOPS_CONTEXT": context,
            "SMARTOPS_SERVICE": self._block.service,
            "SMARTOPS_CAMPAIGN": taken.objects.campaign,
            "SMARTOPS_LANE": str(taken.objects.ledger),
            "SMARTOPS_WORKLOAD_URL": url(self._block.workload),
            "PROMETHEUS_BASE_URL": url(self._block.prometheus),
            "LOKI_BASE_URL": url(self._block.loki),
            "ALERTMANAGER_BASE_URL": url(self._block.alertmanager),
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
        listed = here.request("GET", cluster.path(name, "deployments"))["items"]
        there = {one["metadata"]["name"]: one for one in listed}
        for deployment in self._block.deployments():
            if deployment not in there and deployment not in self._block.optional:
                yield (
                    f"{name} has no Deployment {deployment}, which the healer file names",
                    f"deploy it, or correct the healer file; there are: {', '.join(sorted(there)) or 'none'}",
                )
        known = Namespace(here, name, "", None)
        for change in self._block.all_changes():
            try:
                if change.deployment in there:
                    objects.wanted(change, there[change.deployment])
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
    if block(options).workload.url:
        way = f"from the runner to {block(options).workload.url}"
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


def _release(lanes: Sequence[Taken]) -> list[str]:
    """Put all back at once, since each waits for its rollouts; what failed."""
    with ThreadPoolExecutor(max_workers=max(1, len(lanes))) as pool:
        return list(filter(None, pool.map(Taken.release, lanes)))


def revert_namespace(context: str, name: str) -> list[str]:
    """End and put back everything of any campaign in a namespace, by what the cluster itself says; what was done.

    Raises RevertFailed.
    """
    try:
        here = cluster.connect(context)
        known = Namespace(here, name, "", None)
        done = [f"ended the fault {one}" for one in faultfacts.revert_all(here, name)]
        done += [f"put back {one}" for one in known.left() if one != f"configmap {LOCK}"]
        done += known.restore()
        Taken(known, "", ()).unlock()
        if left := [*faultfacts.leaks(here, name), *known.left()]:
            raise RevertFailed(f"{name}: not put back: {', '.join(left)}", "the same command again")
    except ClusterError as error:
        raise RevertFailed(f"{name}: {error}", "mend the cause, then the same command again") from error
    return done


def _production(key: str, value: str) -> bool:
    if value.lower() in ("false", "no", "0"):
        return False
    return says_production(value) or says_production(key.rpartition("/")[2])
