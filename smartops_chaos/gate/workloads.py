"""What only the API server knows: whether workloads are as their specs say, and the history of a release of Helm.

Asked once (`ask_cluster`), kept as little as is judged, and judged by pure functions. Values of a release may be
secrets: only a digest of what it applied is kept.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import zlib
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from smartops_chaos.gate.asking import Answers, Asked, stamp
from smartops_chaos.gate.questions import RELEASE, STATE
from smartops_chaos.gate.ruling import DIGEST, RuleResult, Unanswered, answer_of, clock_off_s
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Json, connect, path
from smartops_chaos.kubernetes.controller import (
    DAEMON_SET,
    DEPLOYMENT,
    KINDS,
    STATEFUL_SET,
    Controller,
    is_over,
    owner_reference,
)
from smartops_chaos.schema.gatefile import EnvironmentRules, WorkloadsRule
from smartops_chaos.schema.units import format_duration

_KINDS = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
_WHOLE = ("deployed", "superseded")  # of a moment in the past, what has been superseded since was whole
_DAMAGED = (ValueError, KeyError, TypeError, binascii.Error, OSError, EOFError, zlib.error)


def ask_cluster(rules: EnvironmentRules) -> dict[str, Asked]:
    """What the rules need of the cluster of KUBECONFIG. What cannot be asked has its reason instead of an answer."""
    found: dict[str, Asked] = {}
    release = rules.release
    wanted = ([STATE] if rules.workloads else []) + ([RELEASE] if release else [])
    for key in wanted:
        what = f"workloads and pods of {rules.namespace}" if key == STATE else f"history of the release {release}"
        try:
            here = connect()
            answer = _state(here, rules.namespace) if key == STATE else _history(here, rules.namespace, release)
            found[key] = Asked(f"Kubernetes, {here.where}", what, answer)
        except ClusterError as error:
            found[key] = Asked("Kubernetes", what, error=str(error))
    return found


def not_of_the_past(rules: EnvironmentRules) -> dict[str, Asked]:
    """In the place of `ask_cluster` for a moment in the past, when no evidence of that moment is at hand."""
    told = "the API server tells only of now: give --evidence with the folder that has the evidence of that moment"
    missing = {STATE: Asked("Kubernetes", f"workloads of {rules.namespace}", error=told)} if rules.workloads else {}
    # The release's history has its own dates.
    return missing | ask_cluster(rules.model_copy(update={"workloads": None}))


# ---- workloads -----------------------------------------------------------------------------------------------------


def _state(here: Cluster, namespace: str) -> Json:
    controllers = [
        {
            "kind": kind.name,
            "metadata": {"name": one["metadata"]["name"], "generation": one["metadata"].get("generation", 0)},
            "spec": {"replicas": (one.get("spec") or {}).get("replicas", 1)},
            "status": one.get("status") or {},
        }
        for kind in _KINDS
        for one in here.items(path(namespace, kind.plural))
    ]
    pods = [_pod(one) for one in here.items(path(namespace, "pods")) if not is_over(one)]
    return {"controllers": controllers, "pods": pods}


def _pod(found: Json) -> Json:
    statuses = (found.get("status") or {}).get("containerStatuses") or ()
    return {
        "name": found["metadata"]["name"],
        "owner": str(owner_reference(found).get("kind", "")),
        "containers": [
            {
                "name": one["name"],
                "waiting": ((one.get("state") or {}).get("waiting") or {}).get("reason", ""),
                "image": one.get("imageID") or "",
                "restarted": ((one.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or "",
            }
            for one in statuses
        ],
    }


class _Container(TypedDict):
    name: str
    waiting: str
    restarted: str
    image: str  # with its digest, as the runtime says it


class _Pod(TypedDict):
    name: str
    owner: str  # kind of what keeps it; a Job's pod comes and goes
    containers: list[_Container]


class _State(TypedDict):
    controllers: list[dict[str, Any]]
    pods: list[_Pod]


_STATE = TypeAdapter(_State)


def _stated(answer: Any) -> _State:
    """Raises Unanswered."""
    try:
        return _STATE.validate_python(answer)
    except ValidationError:
        raise Unanswered("what the API server says of the workloads is no list of them") from None


def digests(answer: Any) -> dict[str, frozenset[str]]:
    """The digests that run and stay, by container. Raises Unanswered."""
    found: dict[str, set[str]] = {}
    for pod in (one for one in _stated(answer)["pods"] if one["owner"] != "Job"):
        for one in pod["containers"]:
            if digest := DIGEST.search(one["image"]):
                found.setdefault(one["name"], set()).add(digest[0])
    return {name: frozenset(all_of) for name, all_of in found.items()}


def judge_workloads(rule: WorkloadsRule, answers: Answers, at_s: float) -> RuleResult:
    """Raises Unanswered."""
    state = _stated(answer_of(answers, STATE))
    controllers = [Controller(KINDS[str(one["kind"])], one) for one in state["controllers"]]
    if not controllers:
        raise Unanswered("the namespace has no workload: is it the right one?")
    bad = [f"{one.progress()} is not rolled out" for one in controllers if not one.rolled_out()]
    quiet_s = rule.quiet + clock_off_s(answers)
    opens_s: float | None = None
    for pod in state["pods"]:
        for container in pod["containers"]:
            name = f"{pod['name']}/{container['name']}"
            if container["waiting"]:
                bad.append(f"{name} waits: {container['waiting']}")
            restarted_s = seconds(container["restarted"]) if container["restarted"] else None
            if restarted_s is not None and restarted_s > at_s - quiet_s:
                bad.append(f"{name} restarted at {stamp(restarted_s)}, within {format_duration(rule.quiet)}")
                opens_s = max(opens_s or 0.0, restarted_s + quiet_s)
    if bad:
        return RuleResult("workloads", "closed", "; ".join(bad[:3]), opens_s)
    why = f"{len(controllers)} of {len(controllers)} are rolled out, no restart within {format_duration(rule.quiet)}"
    return RuleResult("workloads", "open", why)


def seconds(date: str) -> float:
    """Since the epoch, of a date as the API server and Helm write it. Raises Unanswered."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        raise Unanswered(f"{date[:70]!r} is no date") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# ---- the release ---------------------------------------------------------------------------------------------------


class Revision(NamedTuple):
    number: int
    status: str
    deployed: str  # ISO 8601
    digest: str  # of the manifest and the values


class _History(TypedDict):
    revisions: list[Revision]


_HISTORY = TypeAdapter(_History)


def _history(here: Cluster, namespace: str, release: str) -> Json:
    """Raises ClusterError, also for a release that cannot be read."""
    secrets = here.items(path(namespace, "secrets"), {"labelSelector": f"owner=helm,name={release}"})
    try:
        found = [read_revision(one["data"]["release"]) for one in secrets]
    except _DAMAGED as error:
        raise ClusterError(f"a revision of {release} cannot be read: {type(error).__name__}") from None
    return {"revisions": [tuple(one) for one in sorted(found)]}


def read_revision(data: str) -> Revision:
    """One revision, as Helm's Secret holds it: gzip, as base64 of Helm's and of Kubernetes' own."""
    told = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(data))))
    applied = json.dumps([told.get("manifest"), told.get("config")], sort_keys=True)
    info = told["info"]
    digest = hashlib.sha256(applied.encode()).hexdigest()
    return Revision(int(told["version"]), str(info["status"]), str(info["last_deployed"]), digest)


def release_changes(answer: Any, at_s: float) -> list[tuple[float, str]]:
    """When the release came to apply something else, and what. A revision that applies the same is no change.

    The oldest one known counts: what was before it nobody knows. Raises Unanswered.
    """
    try:
        known = _HISTORY.validate_python(answer)["revisions"]
    except ValidationError:
        raise Unanswered("the history of the release cannot be read") from None
    past = [(seconds(one.deployed), one) for one in known if seconds(one.deployed) <= at_s]
    if not past:
        raise Unanswered("there is no such release in the namespace")
    past.sort(key=lambda one: one[1].number)
    newest = past[-1][1]
    if newest.status not in _WHOLE:
        return [(at_s, f"the release is {newest.status}, revision {newest.number}: `platform/rollback` mends it")]
    changes: list[tuple[float, str]] = []
    before = ""
    for deployed_s, one in past:
        if one.digest != before:
            changes.append((deployed_s, f"the release changed with revision {one.number}"))
        before = one.digest
    return changes
