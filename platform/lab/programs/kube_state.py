"""What kube-state-metrics tells of pods and Deployments, as far as rules, dashboards and gates here ask for it.

`python -m kube_state --namespaces A,B`, then http://.../metrics at port 8080. It stands in for that program where its
image cannot be had; names and labels are its own. Its right is to list pods and Deployments. At each scrape it asks the
API server anew; a namespace that cannot be read is left out, and a line says why.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3
from kubernetes import client, config

PORT = 8080
LIMIT_S = 3.0

Object = Mapping[str, Any]


def of_deployment(one: Object) -> Iterator[str]:
    labels = {"namespace": one["metadata"]["namespace"], "deployment": one["metadata"]["name"]}
    yield line("kube_deployment_spec_replicas", labels, one["spec"].get("replicas", 1))
    yield line("kube_deployment_status_replicas_available", labels, one["status"].get("availableReplicas", 0))


def of_pod(one: Object) -> Iterator[str]:
    labels = {
        "namespace": one["metadata"]["namespace"],
        "pod": one["metadata"]["name"],
        "uid": one["metadata"]["uid"],
    }
    ready = [c["status"] for c in one["status"].get("conditions", []) if c["type"] == "Ready"]
    for condition in ("True", "False", "Unknown"):
        value = int(condition == (ready[0] if ready else "False"))
        yield line("kube_pod_status_ready", {**labels, "condition": condition.lower()}, value)
    for container in one["status"].get("containerStatuses", []):
        there = {**labels, "container": container["name"]}
        yield line("kube_pod_container_status_restarts_total", there, container["restartCount"])
        image = {"image": container["image"], "image_id": container["imageID"]}
        yield line("kube_pod_container_info", {**there, **image}, 1)
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            yield line("kube_pod_container_status_waiting_reason", {**there, "reason": waiting["reason"]}, 1)


def line(name: str, labels: Mapping[str, str], value: float) -> str:
    """In Prometheus' text format; JSON escapes a label's value as that does."""
    told = ",".join(f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in labels.items())
    return f"{name}{{{told}}} {value}\n"


def page(deployments: Iterable[Object], pods: Iterable[Object]) -> str:
    """All samples of a metric stand together, as the format wants it."""
    lines = [text for one in deployments for text in of_deployment(one)]
    lines += [text for one in pods for text in of_pod(one)]
    return "".join(sorted(lines, key=lambda text: text.partition("{")[0]))


def ask(namespaces: Iterable[str]) -> str:
    apps, core = client.AppsV1Api(), client.CoreV1Api()
    found: dict[str, list[Object]] = {"deployments": [], "pods": []}
    for namespace in namespaces:
        for kind, listed in (
            ("deployments", apps.list_namespaced_deployment),
            ("pods", core.list_namespaced_pod),
        ):
            try:
                answer: Any = listed(namespace, _request_timeout=LIMIT_S, _preload_content=False)
                found[kind] += json.loads(answer.data)["items"]
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
                print(f"{kind} of {namespace} cannot be read: {str(error).splitlines()[0]}", flush=True)
    return page(found["deployments"], found["pods"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--namespaces", required=True)
    options.add_argument("--resources", help="as kube-state-metrics takes it; these two are always told")
    namespaces = options.parse_args().namespaces.split(",")
    config.load_incluster_config()  # type: ignore[no-untyped-call]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = ask(namespaces) if self.path == "/metrics" else "ok\n"
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Not a line for every scrape."""

    ThreadingHTTPServer(("", PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
