"""What keeps a number of equal pods alive: a Deployment. Another kind of controller is another row of KINDS.

What differs between kinds stands in this module and nowhere else: where the API server has them, which counts say that
one is rolled out, and which label tells pods of an old template from those of the newest.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from smartops_chaos.kubernetes.cluster import Cluster, Gone, Json, path


@dataclass(frozen=True, slots=True)
class ControllerKind:
    name: str  # as ledgers and messages have it
    plural: str  # as paths of the API, rights and the marks of faults have it
    counts: tuple[str, ...]  # of its status: each is as large as `spec.replicas` when it is rolled out
    template_label: str  # of its pods: the version of the template that a pod was made from


DEPLOYMENT = ControllerKind(
    name="deployment",
    plural="deployments",
    counts=("replicas", "updatedReplicas", "availableReplicas"),
    template_label="pod-template-hash",
)
KINDS = {kind.name: kind for kind in (DEPLOYMENT,)}


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller as the API server described it when it was read."""

    kind: ControllerKind
    found: Json

    @classmethod
    def read(cls, cluster: Cluster, namespace: str, name: str) -> Controller:
        """The controller of that name, of whatever kind. Raises Gone if there is none, ClusterError."""
        *others, last = KINDS.values()
        for kind in others:
            with suppress(Gone):
                return cls(kind, cluster.request("GET", path(namespace, kind.plural, name)))
        return cls(last, cluster.request("GET", path(namespace, last.plural, name)))

    @classmethod
    def listed(cls, cluster: Cluster, namespace: str) -> dict[str, Controller]:
        """All controllers of a namespace by name. Raises ClusterError."""
        found = [
            cls(kind, one)
            for kind in KINDS.values()
            for one in cluster.request("GET", path(namespace, kind.plural))["items"]
        ]
        return {one.name: one for one in found}

    @property
    def name(self) -> str:
        return str(self.found["metadata"]["name"])

    @property
    def version(self) -> str:
        """For a patch that must not overwrite what somebody else has changed since the reading."""
        return str(self.found["metadata"]["resourceVersion"])

    @property
    def replicas(self) -> int:
        """How many pods are wanted."""
        return int(self.found["spec"].get("replicas", 1))

    @property
    def labels(self) -> dict[str, str]:
        """By which its pods are found."""
        return dict(self.found["spec"]["selector"].get("matchLabels") or {})

    def selects(self, pod: Json) -> bool:
        return bool(self.labels) and self.labels.items() <= (pod["metadata"].get("labels") or {}).items()

    def rolled_out(self) -> bool:
        """Whether it has acted on its last change, and all its pods are new and available, none too many.

        `generation` counts changes of the spec, `observedGeneration` is the one that the status is about: right after
        a patch the counts are still those of the old template, and would look complete.
        """
        status = self.found.get("status", {})
        return status.get("observedGeneration", 0) >= self.found["metadata"]["generation"] and all(
            status.get(count, 0) == self.replicas for count in self.kind.counts
        )

    def progress(self) -> str:
        """How far its rollout is, with the platform's own reason if it is stuck."""
        status = self.found.get("status", {})
        new, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        told = f"{new} new, {available} available of {self.replicas}"
        why = [one.get("message", "") for one in status.get("conditions") or () if one["status"] == "False"]
        return f"{self.name} ({told}{'; ' + why[0] if why and why[0] else ''})"


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_leaving(pod: Json) -> bool:
    """Somebody has deleted it, and its grace period runs."""
    return "deletionTimestamp" in pod["metadata"]


def is_over(pod: Json) -> bool:
    """Evicted or finished: it stays in the list, but is no pod of its controller any more."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
