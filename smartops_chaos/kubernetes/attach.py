"""`attach NAMESPACE`: look at a namespace, inject one harmless fault, and see what tells of it."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoslib.exceptions import ActivityFailed

from smartops_chaos.clock import Clock
from smartops_chaos.errors import PreflightFailed, RevertFailed, UsageError
from smartops_chaos.kubernetes import discover, draft, driver_api, recorder, recording
from smartops_chaos.kubernetes.cluster import Cluster, ClusterError, Gone, connect, path, service_url
from smartops_chaos.kubernetes.controller import Controller
from smartops_chaos.model import Interval
from smartops_chaos.schema.clustertarget import says_production
from smartops_chaos.telemetry import prometheus

_MOST_METRICS = 10


def look(
    namespace: str,
    context: str,
    service: str,
    *,
    quiet_s: float,
    watch_s: float,
    may_kill: Callable[[str], bool],
    say: Callable[[str], None],
) -> draft.Seen:
    """What moved in the namespace after one pod of `service` was deleted, if `may_kill` allows that.

    Raises UsageError, PreflightFailed, and RevertFailed if the mark of the fault could not be taken away.
    """
    if says_production(namespace):
        raise UsageError(f"the name of {namespace} says production", "attach to a copy of it")
    try:
        cluster = connect(context)
        cluster.expect(cluster.identify(namespace))
        there = Controller.listed(cluster, namespace)
        chosen = _service(namespace, service, there)
        say(f"{namespace} on {cluster.where} has: {', '.join(there)}; the service under attack is {chosen}")
        port = _port(cluster, namespace, chosen)
        sizes = {name: one.replicas for name, one in there.items()}
        store = discover.store(cluster, namespace, "prometheus")
        address = ""
        if store is not None:
            address = service_url(context, str(store.get("namespace", namespace)), store["service"], store["port"])
        with tempfile.TemporaryDirectory() as folder:
            file, clock = Path(folder) / "cluster.ndjson", Clock.anchored()
            recorder.start(recorder.Watched(cluster.connection, namespace, tuple(there)), file, clock)
            try:
                say(f"reading logs and events for {quiet_s:.0f} s before anything happens")
                begin_ns = clock.now_ns()
                time.sleep(quiet_s)
                words = _question(namespace, chosen, there[chosen])
                allowed = may_kill(words)
                fault_ns = clock.now_ns()
                if allowed:
                    _kill(namespace, context, chosen, say)
                    say(f"one pod of {chosen} was deleted; watching for {watch_s:.0f} s")
                    time.sleep(watch_s)
                entries = recording.RecordingTail(file).read()
            finally:
                recorder.stop()
        offset = recording.node_offset(entries) or Interval(0, 0)
        lines = recording.lines(entries, begin_ns)
        seen = draft.moved(lines, fault_ns + offset.lo_ns, (fault_ns - begin_ns) / 1e9, watch_s) if allowed else ()
        rose = _rose(address, namespace, quiet_s, watch_s) if allowed and address else ()
    except Gone as error:
        raise PreflightFailed(
            f"there is no namespace {namespace}: {error}", "name one that `kubectl get namespaces` lists"
        ) from error
    except (ClusterError, ActivityFailed) as error:
        raise PreflightFailed(str(error), "`kubectl get namespaces` has to work first") from error
    told = f"one pod of {chosen} was deleted" if allowed else ""
    return draft.Seen(namespace, chosen, port, sizes, told, quiet_s, watch_s, seen, rose)


def _service(namespace: str, asked: str, there: dict[str, Any]) -> str:
    names = ", ".join(sorted(there)) or "no Deployment"
    if asked and asked not in there:
        raise UsageError(f"{namespace} has no Deployment {asked}", f"there are: {names}")
    if asked:
        return asked
    if len(there) != 1:
        raise UsageError(f"which Deployment of {namespace} is the service under attack?", f"--service, one of: {names}")
    return next(iter(there))


def _port(cluster: Cluster, namespace: str, service: str) -> int:
    """Of the Service that is called like the controller; 80 where there is none."""
    with suppress(ClusterError, KeyError, IndexError, TypeError, ValueError):
        return int(cluster.request("GET", path(namespace, "services", service))["spec"]["ports"][0]["port"])
    return 80


def _question(namespace: str, service: str, controller: Controller) -> str:
    many = controller.replicas
    others = "the other one serves on" if many == 2 else f"the {many - 1} others serve on"
    then = others if many > 1 else "it is the only one: the service is away until it is replaced"
    return f"delete one pod of {many} of {service} in {namespace}, which its controller replaces ({then})?"


def _kill(namespace: str, context: str, service: str, say: Callable[[str], None]) -> None:
    """The mark that the fault leaves on the controller is taken away whatever happens."""
    fault_id = f"attach.{uuid.uuid4().hex[:12]}"
    try:
        driver_api.pod_kill(namespace, context, service, fault_id, seed=0)
    finally:
        try:
            driver_api.unmark_kill(namespace, context, fault_id)
        except ActivityFailed as error:
            hint = f"smartops-chaos revert --cluster {namespace}"
            say(f"the mark of the fault is still on {service}: {error}")
            raise RevertFailed(f"{namespace}: the fault's mark was not taken away: {error}", hint) from error


def _rose(address: str, namespace: str, quiet_s: float, watch_s: float) -> tuple[str, ...]:
    """Counters of the namespace that rose after the fault and stood still before it."""
    selector = f'{{__name__=~".+_total",namespace="{namespace}"}}'
    rose = f"sum by (__name__) (increase({selector}[{watch_s:.0f}s])) > 0"
    still = f"sum by (__name__) (increase({selector}[{quiet_s:.0f}s] offset {watch_s:.0f}s)) > 0"
    with suppress(prometheus.PrometheusError, ClusterError, KeyError, TypeError):
        found = prometheus.instant(address, f"({rose}) unless on (__name__) ({still})")["result"]
        return tuple(sorted(one["metric"]["__name__"] for one in found))[:_MOST_METRICS]
    return ()
