"""A pod as the API server describes it, reduced to what a trial's record needs. Pure."""

from __future__ import annotations

from datetime import datetime

from smartops_chaos.kubernetes.objects import Json


def compact(pod: Json) -> Json:
    """Identity, owner, readiness, and of every container: restarts, whether it has started, how it ended."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    ready, disruption = conditions.get("Ready", {}), conditions.get("DisruptionTarget", {})
    return {
        "uid": meta["uid"],
        "name": meta["name"],
        "deployment": owner(pod),
        "hash": (meta.get("labels") or {}).get("pod-template-hash", ""),
        "node": spec.get("nodeName", ""),
        "created": seconds(meta.get("creationTimestamp")),
        "deleting": bool(meta.get("deletionTimestamp")),
        "phase": status.get("phase", ""),
        "why": disruption.get("reason") or status.get("reason") or "",
        "ready": ready.get("status") == "True",
        "ready_since": seconds(ready.get("lastTransitionTime")),
        "containers": {one["name"]: _container(one) for one in status.get("containerStatuses") or ()},
    }


def owner(pod: Json) -> str:
    """The name of the Deployment (or what else controls it) that a pod belongs to; empty for a bare pod."""
    for one in pod["metadata"].get("ownerReferences") or ():
        if one.get("controller"):
            name: str = one["name"]
            template = (pod["metadata"].get("labels") or {}).get("pod-template-hash", "")
            return name.removesuffix(f"-{template}") if one["kind"] == "ReplicaSet" and template else name
    return ""


def seconds(stamp: str | None) -> int:
    """A stamp of the API server (whole seconds, UTC) in nanoseconds since the epoch; 0 for none."""
    return round(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()) * 10**9 if stamp else 0


def _container(status: Json) -> Json:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    return {
        "restarts": status.get("restartCount", 0),
        "started": "running" in state or "terminated" in state,
        "running_since": seconds((state.get("running") or {}).get("startedAt")),
        "waiting": (state.get("waiting") or {}).get("reason", ""),
        "ended": seconds(ended.get("finishedAt")),
        "ended_how": f"{ended.get('reason', '')} code {ended.get('exitCode')}".strip() if ended else "",
    }
