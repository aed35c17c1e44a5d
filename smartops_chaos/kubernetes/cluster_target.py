"""A cluster as a target: its lanes are namespaces, each with a copy of the system in it. Here the runner's side."""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from smartops_chaos.errors import PreflightFailed, RevertFailed
from smartops_chaos.kubernetes import autoscalers, cluster, drivers, objects
from smartops_chaos.kubernetes.autoscalers import AUTOSCALED
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects
from smartops_chaos.kubernetes.cluster import ASK_FOR_ROLES, AnotherCluster, Cluster, ClusterError, Gone, NamespaceGone
from smartops_chaos.kubernetes.controller import DEPLOYMENT, KINDS, Controller, kind_of
from smartops_chaos.kubernetes.identity import Identity
from smartops_chaos.kubernetes.lock import OWNER, NamespaceLock, owner
from smartops_chaos.schema.clustertarget import kinds_of, says_production
from smartops_chaos.schema.healer_kubernetes import Address, KubernetesBlock, Source
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.targets.base import LaneAddress, LaneLost, Tell, silent
from smartops_chaos.telemetry.connection import with_keys

_PINGS = 15
_NAMESPACE = "Namespace "  # of a label of the provenance, before a namespace's name
_CHOOSE_AGAIN = "choose the context again on which the campaign runs; `smartops-chaos report` names it"
_CHOOSE = "correct the name, or choose the context with --context; `kubectl get namespaces` lists what is there"
_MEND = "mend the cause, then the same command again"


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
        self._kinds = kinds_of(options)
        self._others = tuple(dict.fromkeys(kind for kind, _ in self._block.others()))
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
        """Take the namespaces. Raises PreflightFailed for one that another campaign has, or has left changed, and
        RevertFailed for one that is not the campaign's: another cluster answers in its place."""
        del say
        self._directory = directory
        known = recorded(directory)
        try:
            for name in self._names:
                here = cluster.connect(self._options["context"])
                found = here.identify(name)
                if name in known and not known[name].is_same(found):
                    raise AnotherCluster(f"the campaign has {known[name]}, but what answers now is {found}")
                lock = self._lock(directory, name, found)
                lock.take()
                self._locks.append(lock)
        except AnotherCluster as error:
            raise RevertFailed(str(error), _CHOOSE_AGAIN) from error
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

        Every namespace of the plan is asked: a file that is not there says nothing about the cluster. Raises
        RevertFailed, also where another cluster answers than that on which the campaign ran.
        """
        try:
            known = recorded(directory)
            taken = [name for name in self._names if (directory / name / OWNER).exists()]
            locks = [self._lock(directory, name) for name in taken]
            failed = [*_release(locks), *self._left(directory, [one for one in self._names if one not in taken], known)]
        except ClusterError as error:
            raise RevertFailed(f"what is in force cannot be told: {error}", _CHOOSE_AGAIN) from error
        if failed:
            raise RevertFailed("; ".join(failed), _MEND)
        put_back = [f"{one.changed.namespace} is as it was before the campaign ({_where(one)})" for one in locks]
        others = [name for name in self._names if name not in taken]
        return [
            *put_back,
            *(f"{name}: nothing of it is there ({self._here(known.get(name)).where})" for name in others),
        ]

    def _left(self, directory: Path, names: Sequence[str], known: Mapping[str, Identity]) -> list[str]:
        """What of the campaign is still in namespaces of which its folder says nothing. Raises ClusterError."""
        found = []
        campaign = directory.resolve().parent.name
        for name in names:
            here = self._here(known.get(name))
            if name in known:
                here.expect(known[name])
            changed = ChangedObjects(here, name, campaign, None, self._kinds, self._others)
            try:
                held = NamespaceLock(changed, "", ()).held() or {}
                here.identify(name)
                signs = [f"its lock, of {held.get('host')}"] if held.get("campaign") == objects.label(campaign) else []
                signs += [one for one in drivers.leaks(here, name, self._kinds) if one.startswith(f"{campaign}.")]
            except NamespaceGone:
                continue
            if signs:
                found.append(
                    f"{name} still has {', '.join(signs)}, but the campaign's folder has no {directory.name}/{name}: "
                    f"was it copied without its hidden files? `smartops-chaos revert --cluster {name}` puts back what "
                    f"is there, on {here.where}"
                )
        return found

    def _here(self, identity: Identity | None) -> Cluster:
        """The cluster of the campaign: by its own context, whatever the current one is by now. Raises ClusterError."""
        return cluster.connect(self._options["context"] or (identity.context if identity else ""))

    def _lock(self, directory: Path, name: str, found: Identity | None = None) -> NamespaceLock:
        ours, known = owner(directory / name, found)
        identity = known or found
        here = self._here(identity)
        if identity is not None:
            here.expect(identity)
        ledger = directory.resolve() / name / "former.ndjson"
        changed = ChangedObjects(here, name, directory.resolve().parent.name, ledger, self._kinds, self._others)
        return NamespaceLock(changed, ours, self._block.controllers(), identity)

    def _address(self, lock: NamespaceLock) -> LaneAddress:
        """No secret is in it: a `kubernetes:` address becomes one with credentials only where it is called."""
        name, context = lock.changed.namespace, lock.changed.cluster.context

        def url(address: Address | None) -> str:
            return "" if address is None else located(address, context, name)

        environment = {
            "SMARTOPS_NAMESPACE": name,
            "SMARTOPS_CONTEXT": context,
            cluster.IDENTITY: str(lock.identity or ""),
            AUTOSCALED: " ".join(self._autoscaled(lock)),
            "SMARTOPS_SERVICE": self._block.service,
            "SMARTOPS_CAMPAIGN": lock.changed.campaign,
            "SMARTOPS_LANE": str(lock.changed.ledger),
            "SMARTOPS_WORKLOAD_URL": url(self._block.workload),
            "PROMETHEUS_BASE_URL": url(self._block.prometheus),
            "LOKI_BASE_URL": url(self._block.loki),
            "TRACES_BASE_URL": url(self._block.traces),
        }
        return LaneAddress(
            "kubernetes", name, environment | ({} if context == cluster.IN_CLUSTER else {"KUBERNETES_CONTEXT": context})
        )

    def _autoscaled(self, lock: NamespaceLock) -> tuple[str, ...]:
        """Controllers of the system whose size an autoscaler sets."""
        found = autoscalers.found(lock.changed.cluster, lock.changed.namespace).scaled
        return tuple(name for name in self._block.controllers() if name in found)

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
        there = Controller.listed(here, name, self._block.controllers())
        for controller in self._block.controllers():
            if controller not in there and controller not in self._block.optional:
                yield (
                    f"{name} has no {kind_of(controller).word} {controller}, which the healer file names",
                    f"deploy it, or correct the healer file; there are: {', '.join(sorted(there)) or 'none'}",
                )
        for elsewhere, components in self._block.elsewhere.items():
            others = Controller.listed(here, elsewhere, components)
            for controller in components:
                if controller not in others and controller not in self._block.optional:
                    what = (
                        f"{elsewhere} has no {kind_of(controller).word} {controller}, whose log the healer file names"
                    )
                    yield what, f"correct `elsewhere`; there are: {', '.join(sorted(others)) or 'none'}"
        for one in self._block.watch:
            try:
                here.request("GET", cluster.path_of(one.path(name), one.name))
            except Gone:
                what = f"there is no {one.resource} {one.name} of {one.api}, which the healer file watches"
                yield what, "create it, or correct `watch`"
        known = ChangedObjects(here, name, "", None)
        for change in self._block.all_changes():
            try:
                if change.deployment in there:
                    objects.wanted(change, there[change.deployment].found)
                elif change.configmap:
                    known.read("configmap", change.configmap)
                elif change.other is not None:
                    objects.wanted(change, known.read(*change.other))
            except Gone:
                what = f"ConfigMap {change.configmap}" if change.configmap else " ".join(change.other or ()).lstrip(":")
                yield f"{name} has no {what}, which the healer file names", "create it, or correct the healer file"
            except KeyError as error:
                yield f"{name}: {error.args[0]}, which the healer file names", "correct the healer file"


def provenance(options: dict[str, Any]) -> dict[str, str]:
    """Which cluster and namespaces, by which way requests reach them and how long that takes, what runs there.

    What cannot be asked is left out; whether all is there is for preflight to say. Raises ClusterError.
    """
    here = cluster.connect(options["context"])
    names = [lane["namespace"] for lane in options["lanes"]]
    told = {f"{_NAMESPACE}{name}": str(here.identify(name)) for name in names}
    with suppress(ClusterError):
        version = str(here.request("GET", "/version").get("gitVersion"))
        told |= {"Cluster": f"Kubernetes {version}, {here.where}", "Requests": _way(here, options)}
        told["Images"] = images(pod for name in names for pod in here.items(cluster.path(name, "pods")))
    return told


def _way(here: Cluster, options: dict[str, Any]) -> str:
    if KubernetesBlock.from_plan(options).workload.url:
        return f"from the runner to {KubernetesBlock.from_plan(options).workload.url}"
    took_s = []
    for _ in range(_PINGS):
        began = time.monotonic()
        here.request("GET", "/version")
        took_s.append(time.monotonic() - began)
    return (
        "from the runner through the API server's service proxy; a bare round trip to that server took "
        f"{1000 * sorted(took_s)[_PINGS // 2]:.1f} ms (median of {_PINGS} before the first trial)"
    )


def identities(told: Mapping[str, str]) -> dict[str, Identity]:
    """The namespaces of a campaign's provenance; of one of an earlier version none."""
    found = {}
    for label, value in told.items():
        if label.startswith(_NAMESPACE):
            with suppress(ValueError):
                found[label.removeprefix(_NAMESPACE)] = Identity.parse(value)
    return found


def recorded(directory: Path) -> dict[str, Identity]:
    """The namespaces on which a campaign has begun, by its folder; `directory` is that of its lanes."""
    store = CampaignFolder(directory.resolve().parent)
    return identities(store.read().provenance) if store.exists() else {}


def pinned(options: dict[str, Any], told: Mapping[str, str]) -> dict[str, Any]:
    """The target of a campaign that has begun: with the context on which it began, whatever is the current one now."""
    known = list(identities(told).values())
    return options | ({"context": known[0].context} if known and not options["context"] else {})


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
        here.expect(here.identify(name))
        changed, unseen = _everything(here, name)
        done = [f"ended the fault {one}" for one in drivers.revert_all(here, name, changed.kinds)]
        done += [f"put back {one}" for one in changed.left() if one != f"configmap {LOCK}"]
        done += changed.restore()
        NamespaceLock(changed, "", ()).unlock()
        if left := [*drivers.leaks(here, name, changed.kinds), *changed.left()]:
            raise RevertFailed(f"{name}: not put back: {', '.join(left)}", "the same command again")
    except Gone as error:
        raise RevertFailed(f"there is no namespace {name} on {_asked(context)}: {error}", _CHOOSE) from error
    except ClusterError as error:
        raise RevertFailed(f"{name}: {error}", "mend the cause, then the same command again") from error
    if unseen:
        done.append(f"not looked at, as they may not be listed or are not known there: {', '.join(unseen)}")
    return [*done, f"{name} was asked on {here.where}"]


def _everything(here: Cluster, name: str) -> tuple[ChangedObjects, list[str]]:
    """All that any campaign may have changed, and the kinds of controllers that cannot be asked for it.

    A kind that the lock names was used, so it must be asked. Raises ClusterError.
    """
    held = NamespaceLock(ChangedObjects(here, name, "", None), "", ()).held() or {}
    used = held.get("kinds", "").split()
    asked, unseen = [], []
    for kind in KINDS.values():
        try:
            here.items(cluster.path(name, kind.plural), {"labelSelector": objects.CAMPAIGN})
            asked.append(kind.name)
        except ClusterError as error:
            if error.status not in (403, 404) or kind.name in (DEPLOYMENT.name, *used):
                raise
            if error.status == 403:
                unseen.append(kind.plural)
    return ChangedObjects(here, name, "", None, tuple(asked), tuple(held.get("objects", "").split())), unseen


def _asked(context: str) -> str:
    try:
        return cluster.connect(context).where
    except ClusterError:
        return f"context {context or 'of the kubeconfig'}"


def _where(lock: NamespaceLock) -> str:
    return lock.changed.cluster.where


def _production(key: str, value: str) -> bool:
    if value.lower() in ("false", "no", "0"):
        return False
    return says_production(value) or says_production(key.rpartition("/")[2])
