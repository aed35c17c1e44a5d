"""What a plan needs on a cluster beyond its objects: rights, metrics, and programs in the pods that faults hit."""

from __future__ import annotations

from collections.abc import Iterator

from smartops_chaos.kubernetes import drivers, rbac
from smartops_chaos.kubernetes.cluster import ClusterError, connect
from smartops_chaos.kubernetes.cluster_target import block, located
from smartops_chaos.model import Plan
from smartops_chaos.telemetry import prometheus
from smartops_chaos.telemetry.connection import connection


def problems(plan: Plan, *, complete: bool) -> list[tuple[str, str]]:
    """(what is missing, how to mend it). A cluster that does not answer is told by the target's own check.

    Pods are asked only if the target is `complete` and all rights are there: else the same is told once more.
    """
    try:
        cluster = connect(plan.target["context"])
        found = rbac.missing(cluster, plan)
        return found if found or not complete else [*_metrics(plan), *drivers.problems(cluster, plan)]
    except ClusterError:
        return []


def _metrics(plan: Plan) -> Iterator[tuple[str, str]]:
    address, query = block(plan.target).prometheus, plan.analysis.slo.query
    if address is None:
        if query:
            yield (
                "`slo.query` has no Prometheus to ask",
                "name one: `prometheus: {service: ..., port: 9090}` in `target`",
            )
        return
    for lane in plan.target["lanes"]:
        url = located(address, plan.target["context"], lane["namespace"])
        try:
            prometheus.data(connection(url), "/api/v1/query", {"query": "1"}, retries=0)
        except prometheus.PrometheusError as error:
            yield str(error), "mend it, or correct `prometheus` in the matrix's target or in the healer file"
            continue
        if query:
            yield from _value(url, query.replace("${namespace}", lane["namespace"]))


def _value(where: str, query: str) -> Iterator[tuple[str, str]]:
    try:
        found = prometheus.instant(where, query)["result"]
    except prometheus.PrometheusError as error:
        yield str(error), "correct `slo.query`"
        return
    if not found:
        yield f"`slo.query` has no value now: {query}", "correct it, and see that your own load runs"


def notes(plan: Plan) -> list[str]:
    """What works on this cluster, and what does not."""
    try:
        found = drivers.notes(connect(plan.target["context"]), plan)
    except ClusterError:
        return []
    if block(plan.target).prometheus is None:
        found.append("no Prometheus is named: moments come from log lines alone, unless `target` names one")
    return found
