"""The kinds of target by name.

A kind of ours is a branch in the functions here. One of somebody else is a class that the matrix names, and gets by
with less: nothing is known of it before it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from smartops_chaos.errors import UsageError
from smartops_chaos.model import Plan, Variant
from smartops_chaos.targets.base import Kind, Lane, LaneAddress, Target


def target(options: dict[str, Any], lanes: int | None = None) -> Target:
    """The target of a plan; `lanes` replaces the matrix's number. Raises UsageError for an unknown kind."""
    if options["kind"] == "lab":
        return _lab().LabTarget(lanes or options["lanes"], options["replicas"])  # type: ignore[no-any-return]
    if options["kind"] == "kubernetes":
        return _cluster("cluster_target").ClusterTarget(options, lanes)  # type: ignore[no-any-return]
    return _named(options["kind"])(options, lanes or options["lanes"])


def check(plan: Plan, target: Target) -> list[tuple[str, str]]:
    """Preflight of a plan: (what is missing, how to mend it)."""
    models = [plan.models[name] for name in sorted({trial.model for trial in plan.trials})]
    found = target.check()
    if plan.target["kind"] == "lab":
        found = [*found, *_lab().lacking(models)]
    if plan.target["kind"] == "kubernetes":
        found = [*found, *_cluster("preflight").problems(plan, complete=not found)]
    return found


def notes(plan: Plan) -> list[str]:
    """What a person should know about a plan's target before running it."""
    return list(_cluster("preflight").notes(plan)) if plan.target["kind"] == "kubernetes" else []


def modules(options: dict[str, Any]) -> tuple[str, ...]:
    """What a trial's process loads for this kind of target, besides what every one does."""
    if options["kind"] != "kubernetes":
        return ()
    return ("smartops_chaos.kubernetes.cluster_lane",)


def roles(plan: Plan) -> list[str]:
    """The least roles of a plan on a cluster, as YAML."""
    return list(_cluster("rbac").roles(plan))


def provenance(options: dict[str, Any], models: Iterable[Variant] = ()) -> dict[str, str]:
    """What a report says of the target beside its plan; nothing where it cannot be asked, as preflight will say."""
    if options["kind"] == "lab":
        settings: dict[str, str] = _lab().settings(models)
        return settings
    if options["kind"] != "kubernetes":
        return {}
    try:
        told: dict[str, str] = _cluster("cluster_target").provenance(options)
    except RuntimeError:
        return {}
    return told


def pinned(plan: Plan, provenance: Mapping[str, str]) -> Plan:
    """The plan of a campaign that has begun, for the very target on which it began."""
    if plan.target["kind"] != "kubernetes":
        return plan
    return replace(plan, target=_cluster("cluster_target").pinned(plan.target, provenance))


def victims(plan: Plan) -> list[str]:
    """What each fault of a plan would hit now, where the target can be asked; touches nothing."""
    return list(_cluster("preflight").targeted(plan)) if plan.target["kind"] == "kubernetes" else []


def connect(options: dict[str, Any], address: LaneAddress) -> Lane:
    """A lane by its address. Raises LaneLost where its first use finds it gone."""
    if options["kind"] == "lab":
        return _lab().LabLane(address, options["replicas"])  # type: ignore[no-any-return]
    if options["kind"] == "kubernetes":
        return _cluster("cluster_lane").ClusterLane(options, address)  # type: ignore[no-any-return]
    return _named(options["kind"]).connect(options, address)


def revert_namespace(context: str, namespace: str) -> list[str]:
    """Put back a namespace by the cluster's own labels; what was done. Raises RevertFailed."""
    done: list[str] = _cluster("cluster_target").revert_namespace(context, namespace)
    return done


def _lab() -> Any:
    """By name, as every kind of target: the core imports no wing, and loads only the one that a matrix names."""
    return importlib.import_module("smartops_chaos.lab.lab_target")


def _cluster(module: str) -> Any:
    return importlib.import_module(f"smartops_chaos.kubernetes.{module}")


def _named(kind: str) -> Kind:
    """The class that `package.module:Class` stands for."""
    module, _, name = kind.partition(":")
    if not name:
        raise UsageError(
            f"target kind {kind} is not built in", "use lab, kubernetes, or package.module:Class for one of your own"
        )
    try:
        found: Kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        hint = "install it where smartops-chaos runs, or put its folder on PYTHONPATH"
        raise UsageError(f"target kind {kind}: {error}", hint) from None
    return found
