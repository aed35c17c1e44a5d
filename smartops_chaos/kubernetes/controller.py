"""What keeps a number of equal pods alive: a Deployment, or a row of KINDS. And which pods are its own.

What differs between kinds stands in this module and nowhere else: where the API server has them, which counts say that
one is rolled out, which label tells pods of an old template from those of the newest, and who owns the pods.

Files name a controller as kubectl does, `statefulset/database`; a bare name is a Deployment's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Json, path
from smartops_chaos.schema import names

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class ControllerKind:
    name: str  # as files, ledgers and messages have it
    plural: str  # as paths of the API, rights and the marks of faults have it
    word: str  # as the API server writes it in owner references
    counts: tuple[str, ...]  # of its status: each is as large as the number that is wanted when it is rolled out
    template_label: str = ""  # of its pods: the version of the template that a pod was made from
    through_replica_sets: bool = False  # they own its pods, and it owns them
    sized: bool = True  # `spec.replicas` says how many pods; else there is one on each node


DEPLOYMENT = ControllerKind(
    name=names.DEPLOYMENT,
    plural="deployments",
    word="Deployment",
    counts=("replicas", "updatedReplicas", "availableReplicas"),
    template_label="pod-template-hash",
    through_replica_sets=True,
)
STATEFUL_SET = ControllerKind(
    name="statefulset",
    plural="statefulsets",
    word="StatefulSet",
    counts=("replicas", "updatedReplicas", "availableReplicas"),
    template_label="controller-revision-hash",
)
DAEMON_SET = ControllerKind(
    name="daemonset",
    plural="daemonsets",
    word="DaemonSet",
    counts=("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable"),
    template_label="controller-revision-hash",
    sized=False,
)
REPLICA_SET = ControllerKind(
    name="replicaset", plural="replicasets", word="ReplicaSet", counts=("replicas", "availableReplicas")
)
ROLLOUT = ControllerKind(  # of Argo
    name="rollout",
    plural="rollouts",
    word="Rollout",
    counts=("replicas", "updatedReplicas", "availableReplicas"),
    template_label="rollouts-pod-template-hash",
    through_replica_sets=True,
)
KINDS = {kind.name: kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, ROLLOUT)}


def kind_of(controller: str) -> ControllerKind:
    """Of a controller as files name it. Raises ClusterError."""
    return _split(controller)[0]


def _split(controller: str) -> tuple[ControllerKind, str]:
    try:
        kind, name = names.split_controller(controller)
    except ValueError as error:
        raise ClusterError(f"{error}") from None
    return KINDS[kind], name


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller as the API server described it when it was read."""

    kind: ControllerKind
    found: Json

    @classmethod
    def read(cls, cluster: Cluster, namespace: str, name: str) -> Controller:
        """The controller that files name so. Raises Gone if there is none, ClusterError."""
        kind, plain = _split(name)
        return cls(kind, _whole(cluster.request("GET", path(namespace, kind.plural, plain)), plain))

    @classmethod
    def listed(cls, cluster: Cluster, namespace: str, wanted: Iterable[str] = ()) -> dict[str, Controller]:
        """All Deployments of a namespace, and all controllers of the kinds that are wanted, by the names that files
        give them. Raises ClusterError."""
        kinds = dict.fromkeys([DEPLOYMENT.name, *(kind_of(one).name for one in wanted)])
        found = [cls(KINDS[kind], one) for kind in kinds for one in cluster.items(path(namespace, KINDS[kind].plural))]
        return {one.name: one for one in found}

    @property
    def plain(self) -> str:
        """Its name among its kind."""
        return str(self.found["metadata"]["name"])

    @property
    def name(self) -> str:
        """Its name among all, as files have it."""
        return names.controller(f"{self.kind.name}/{self.plain}")

    @property
    def version(self) -> str:
        """For a patch that must not overwrite what somebody else has changed since the reading."""
        return str(self.found["metadata"]["resourceVersion"])

    @property
    def replicas(self) -> int:
        """How many pods are wanted."""
        if not self.kind.sized:
            return int(self.found.get("status", {}).get("desiredNumberScheduled", 0))
        return int(self.found["spec"].get("replicas", 1))

    @property
    def pod_labels(self) -> dict[str, str]:
        """Of its template: those that its pods have."""
        template = self.found["spec"].get("template") or {}
        return dict((template.get("metadata") or {}).get("labels") or {})

    # ---- its pods ------------------------------------------------------------------------------------------------

    @property
    def selector(self) -> str:
        """What a query of the API has of it; `owns` looks at the rest. Raises ClusterError where the selector is empty:
        that would be every pod."""
        labels, _ = self._selector()
        return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))

    def owns(self, pod: Json) -> bool:
        """Whether a pod is one of its own: by the whole selector, and by who owns the pod.

        Labels alone do not tell: a canary and its stable version often share them. A pod of a Deployment is owned by a
        ReplicaSet, whose name is the Deployment's with the hash of a template.
        """
        labels = pod["metadata"].get("labels") or {}
        wanted, expressions = self._selector()
        if not (wanted.items() <= labels.items() and all(_fits(one, labels) for one in expressions)):
            return False
        owner = owner_reference(pod)
        if self.kind.through_replica_sets:
            its = re.fullmatch(re.escape(self.plain) + r"-[a-z0-9]+", str(owner.get("name", "")))
            other = DEPLOYMENT if self.kind is ROLLOUT else ROLLOUT
            alien = other.template_label in labels and self.kind.template_label not in labels
            return owner.get("kind") == "ReplicaSet" and its is not None and not alien
        uid = self.found["metadata"].get("uid")
        return (owner.get("kind"), owner.get("name")) == (self.kind.word, self.plain) and owner.get("uid", uid) == uid

    def container_of(self, pod: Json, wanted: str = "") -> str:
        """The container of a pod that is meant: the wanted one, the one that the pod's annotation calls the default,
        else the first of the controller's own template. What others put into the pod (a mesh's proxy) is none of these.

        Raises KeyError.
        """
        there = [one["name"] for one in pod["spec"]["containers"]]
        if wanted:
            if wanted not in there:
                raise KeyError(f"pod {pod['metadata']['name']} has no container {wanted}: it has {', '.join(there)}")
            return wanted
        return main_container(self.found, there, pod)

    def _selector(self) -> tuple[dict[str, str], list[Json]]:
        selector = self.found["spec"].get("selector") or {}
        labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
        if not labels and not expressions:
            raise ClusterError(f"{self.kind.name} {self.plain} selects every pod of its namespace: give it a selector")
        return dict(labels), list(expressions)

    # ---- its rollout ---------------------------------------------------------------------------------------------

    def rolled_out(self) -> bool:
        """Whether it has acted on its last change, and all its pods are new and available, none too many.

        `generation` counts changes of the spec, `observedGeneration` is the one that the status is about: right after
        a patch the counts are still those of the old template, and would look complete.
        """
        status = self.found.get("status", {})
        observed = str(status.get("observedGeneration", 0))  # Argo writes a text
        seen = not observed.isdigit() or int(observed) >= self.found["metadata"]["generation"]
        return seen and all(status.get(count, 0) == self.replicas for count in self.kind.counts)

    def progress(self) -> str:
        """How far its rollout is, with the platform's own reason if it is stuck."""
        status = self.found.get("status", {})
        *_, new, available = (status.get(count, 0) for count in self.kind.counts)
        told = f"{new} new, {available} available of {self.replicas}"
        why = [one.get("message", "") for one in status.get("conditions") or () if one["status"] == "False"]
        return f"{self.name} ({told}{'; ' + why[0] if why and why[0] else ''})"


def main_container(found: Json, there: Iterable[str] = (), pod: Json | None = None) -> str:
    """Of a controller's pods, `there` their containers: see `container_of`. Raises KeyError."""
    template = found["spec"].get("template") or {}
    own = [one["name"] for one in (template.get("spec") or {}).get("containers") or ()]
    candidates = list(there) or own
    meta = (pod or template).get("metadata") or {}
    said = (meta.get("annotations") or {}).get(DEFAULT_CONTAINER)
    for name in (said, *own, *candidates):
        if name in candidates:
            return str(name)
    raise KeyError(f"{found['metadata']['name']} has no container")


def owner_reference(pod: Json) -> Json:
    """The controller's one; empty for a bare pod."""
    listed = pod["metadata"].get("ownerReferences") or ()
    return next((one for one in listed if one.get("controller")), {})


def _whole(found: Any, name: str) -> Json:
    if not isinstance(found.get("metadata"), dict) or not isinstance(found.get("spec"), dict):
        raise ClusterError(f"{name}: what the API server says of it is no controller")
    return dict(found)


def _fits(expression: Json, labels: Mapping[str, str]) -> bool:
    key, operator = str(expression["key"]), str(expression["operator"])
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) == (operator == "Exists")
    values = list(expression.get("values") or ())
    return (labels.get(key) in values) == (operator == "In")


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def is_leaving(pod: Json) -> bool:
    """Somebody has deleted it, and its grace period runs."""
    return "deletionTimestamp" in pod["metadata"]


def is_over(pod: Json) -> bool:
    """Evicted or finished: it stays in the list, but is no pod of its controller any more."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
