"""The lab's healer in a pod: `python -m kubernetes_healer --port N --detector NAME --policy FILE --namespace NAME`.

Its eyes are each pod's own metrics, its hands the API server. It stands beside the image that it is for and not in the
package, so that the lab's healer itself knows nothing of Kubernetes. Its rights are in the Role beside its manifest:
list pods; get and patch the ERP's Deployment; patch its scale.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import urllib3
from kubernetes import client as api
from kubernetes import config

from smartops_chaos.lab.smartops import healer
from smartops_chaos.lab.smartops.detect import ServiceSample
from smartops_chaos.lab.smartops.exposition import BUCKETS_S, parse
from smartops_chaos.lab.smartops.hands import DEPLOYMENT, Status, fetch_text

PORT = 8000
API_TIMEOUT_S = 2.0
SCRAPE_TIMEOUT_S = 0.4
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_WORK = (("endpoint", "/simulate/load"),)


@dataclass(frozen=True, slots=True)
class Counters:
    """What one pod has counted since its start."""

    requests: float
    errors: float
    buckets: tuple[float, ...]  # requests of at most BUCKETS_S[i] seconds; all requests last
    cpu_s: float
    memory: float  # share of its limit, now


class Totals:
    """The counters of pods that come and go, as counters of the service, which never fall.

    A pod counts from the second look on, since what it did before the first may be long ago; so does a restarted one.
    """

    def __init__(self) -> None:
        self._before: dict[str, Counters] = {}
        self._sum = ServiceSample(0.0, 0.0, 0.0, (0.0,) * (len(BUCKETS_S) + 1), {})

    def add(self, at_s: float, pods: Mapping[str, Counters]) -> ServiceSample:
        """One look at all pods that answered."""
        for pod, now in pods.items():
            then = self._before.get(pod, now)
            if now.requests < then.requests or now.cpu_s < then.cpu_s:
                then = now
            cpu_s = self._sum.cpu_s.get(pod, 0.0) + now.cpu_s - then.cpu_s
            self._sum = replace(
                self._sum,
                requests=self._sum.requests + now.requests - then.requests,
                errors=self._sum.errors + now.errors - then.errors,
                buckets=tuple(s + n - t for s, n, t in zip(self._sum.buckets, now.buckets, then.buckets, strict=True)),
                cpu_s={**self._sum.cpu_s, pod: cpu_s},
            )
        self._before |= pods
        there = {pod: cpu_s for pod, cpu_s in self._sum.cpu_s.items() if pod in pods}
        return replace(self._sum, at_s=at_s, cpu_s=there, memory={pod: now.memory for pod, now in pods.items()})


def counters(exposition: str) -> Counters:
    """From what one ERP pod exports; what it has not counted yet is 0."""
    samples = parse(exposition)
    limit = samples.get(("container_spec_memory_limit_bytes", ()), 0.0)
    bounds = [*map(str, BUCKETS_S), "+Inf"]
    return Counters(
        requests=samples.get(("erp_simulator_requests_total", (*_WORK, ("method", "POST"))), 0.0),
        errors=samples.get(("erp_simulator_errors_total", _WORK), 0.0),
        buckets=tuple(samples.get(("erp_simulator_load_duration_seconds_bucket", (("le", b),)), 0.0) for b in bounds),
        cpu_s=samples.get(("container_cpu_usage_seconds_total", ()), 0.0),
        memory=samples.get(("container_memory_working_set_bytes", ()), 0.0) / limit if limit else 0.0,
    )


class Kubernetes:
    """One namespace. Raises kubernetes.config.ConfigException outside of a pod with a service account."""

    def __init__(self, namespace: str, client: aiohttp.ClientSession) -> None:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
        self.namespace = namespace
        self._client, self._totals = client, Totals()
        self._apps, self._core = api.AppsV1Api(), api.CoreV1Api()

    async def look(self) -> ServiceSample:
        found = await self._pods()
        pages = await asyncio.gather(*(self._scrape(address) for address in found.values()))
        seen = {uid: counters(page) for uid, page in zip(found, pages, strict=True) if page}
        return self._totals.add(time.monotonic(), seen)

    async def status(self, deployment: str) -> Status:
        found = await self._call(self._apps.read_namespaced_deployment, deployment)
        wanted, now = found.spec.replicas, found.status
        pods = (now.replicas or 0, now.updated_replicas or 0, now.available_replicas or 0)
        observed = (now.observed_generation or 0) >= found.metadata.generation
        return Status(wanted, found.metadata.generation, observed and pods == (wanted, wanted, wanted))

    async def restart(self, deployment: str) -> int:
        note = {RESTARTED_AT: datetime.now(UTC).isoformat()}
        body = {"spec": {"template": {"metadata": {"annotations": note}}}}
        return int((await self._call(self._apps.patch_namespaced_deployment, deployment, body)).metadata.generation)

    async def scale(self, deployment: str, replicas: int) -> int:
        body = {"spec": {"replicas": replicas}}
        await self._call(self._apps.patch_namespaced_deployment_scale, deployment, body)
        return (await self.status(deployment)).generation

    async def _pods(self) -> dict[str, str]:
        """Addresses of the ERP's pods that may serve, by UID and container: a name or an address can be used again."""
        query = partial(self._core.list_namespaced_pod, label_selector=f"app={DEPLOYMENT}", _preload_content=False)
        pods = json.loads((await self._call(query)).data)["items"]
        return {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in pods if _serves(pod)}

    async def _scrape(self, address: str) -> str:
        """Empty when the pod does not answer: it has just gone, or has no CPU left to."""
        timeout = aiohttp.ClientTimeout(total=SCRAPE_TIMEOUT_S)
        host = f"[{address}]" if ":" in address else address
        try:
            return await fetch_text(self._client.get(f"http://{host}:{PORT}/metrics", timeout=timeout))
        except OSError:
            return ""

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function` is called as (name, namespace, body) or (namespace), in a thread: the client blocks."""
        name, rest = arguments[:1], arguments[1:]
        call = partial(function, *name, self.namespace, *rest, _request_timeout=API_TIMEOUT_S)
        try:
            return await asyncio.to_thread(call)
        except api.ApiException as error:
            raise OSError(f"the API server refused: {error.status} {error.reason}") from error
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"the API server did not answer: {error}") from error


def _serves(pod: Mapping[str, Any]) -> bool:
    status = pod["status"]
    return bool(status.get("podIP")) and status.get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    healer.add_options(options)
    options.add_argument("--namespace", required=True)
    given = options.parse_args()
    healer.run(given, lambda client: Kubernetes(given.namespace, client))


if __name__ == "__main__":
    main()
