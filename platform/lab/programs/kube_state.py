"""What kube-state-metrics tells of Deployments and pods, under the same names, where that program cannot be had.

`python -m kube_state --namespaces smartops-dev,smartops-stage`

Only what the platform's rules and boards read. Every reading of /metrics asks the API server anew, so nothing can go
stale; its right is to list Deployments and pods.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3
from kubernetes import client, config

from smartops_chaos.lab.smartops.exposition import CONTENT_TYPE, Metrics

Object = Mapping[str, Any]
_ASKED_S = 4  # Prometheus waits no longer


def exposition(deployments: Iterable[Object], pods: Iterable[Object]) -> str:
    """The API's objects as Prometheus' text format."""
    metrics = Metrics()
    for one in deployments:
        of = {"namespace": one["metadata"]["namespace"], "deployment": one["metadata"]["name"]}
        metrics.set("kube_deployment_spec_replicas", one["spec"].get("replicas", 1), **of)
        metrics.set("kube_deployment_status_replicas_available", one["status"].get("availableReplicas", 0), **of)
    for pod in pods:
        _pod(metrics, pod)
    return metrics.render()


def _pod(metrics: Metrics, pod: Object) -> None:
    of = {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
    metrics.set("kube_pod_created", datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp(), **of)
    conditions = {one["type"]: one["status"].lower() for one in pod["status"].get("conditions", [])}
    for condition in ("true", "false", "unknown"):
        is_so = conditions.get("Ready", "false") == condition
        metrics.set("kube_pod_status_ready", int(is_so), condition=condition, **of)
    for container in pod["status"].get("containerStatuses", []):
        here = {**of, "container": container["name"]}
        metrics.set_counter("kube_pod_container_status_restarts_total", container["restartCount"], **here)
        images = {"image": container["image"], "image_id": container.get("imageID", "")}
        metrics.set("kube_pod_container_info", 1, **here, **images)
        if reason := container.get("state", {}).get("waiting", {}).get("reason"):
            metrics.set("kube_pod_container_status_waiting_reason", 1, **here, reason=reason)


def read(namespaces: tuple[str, ...]) -> str:
    """Ask the API server. Raises ApiException, urllib3's HTTPError.

    The first namespace is its own. Of the others those that it may not read are left out: an environment that is not
    installed yet gives it no right.
    """
    core, apps = client.CoreV1Api(), client.AppsV1Api()

    def items(ask: Callable[..., Any]) -> Iterator[Object]:
        for namespace in namespaces:
            try:
                found = ask(namespace, _request_timeout=_ASKED_S, _preload_content=False)
            except client.ApiException as error:
                if error.status == HTTPStatus.FORBIDDEN and namespace != namespaces[0]:
                    continue
                raise
            yield from json.loads(found.data)["items"]

    return exposition(items(apps.list_namespaced_deployment), items(core.list_namespaced_pod))


def server(port: int, namespaces: tuple[str, ...]) -> ThreadingHTTPServer:
    """/metrics and /healthz. What the API server does not tell is a 503, so that no data does not look like zeros."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self._say(200, "ok")
                return
            try:
                self._say(200, read(namespaces))
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                self._say(503, f"the API server does not tell: {error}")

        def _say(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass  # a line each 5 seconds tells nobody anything

    return ThreadingHTTPServer(("", port), Handler)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--namespaces", required=True, help="with commas between them")
    options.add_argument("--resources", choices=["deployments,pods"], help="as kube-state-metrics is told")
    options.add_argument("--port", type=int, default=8080)
    given = options.parse_args()
    config.load_incluster_config()  # type: ignore[no-untyped-call]
    server(given.port, tuple(given.namespaces.split(","))).serve_forever()


if __name__ == "__main__":
    main()
