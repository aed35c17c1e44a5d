"""Tell Prometheus of a namespace's pods.

`python -m discovery --namespace NAME --file TARGETS.json`

Debian's Prometheus is built without Kubernetes discovery, so this watches the pods and writes the file that it reads. A
container with a port named `http` is a target; its right is to list and watch pods.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, watch

PORT = "http"
WATCH_S = 60  # then look at everything anew
RETRY_AFTER_S = 1.0


def targets(pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One for each container that runs or comes and goes, as long as its pod has an address."""
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": {
                "job": pod["metadata"].get("labels", {}).get("app", container["name"]),
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container["name"],
            },
        }
        for pod in pods
        if pod["status"].get("phase") == "Running" and pod["status"].get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if port.get("name") == PORT
    ]


def follow(namespace: str, file: Path) -> None:
    """Write `file` at every change of a pod, for a minute. Raises ApiException, urllib3's HTTPError."""
    core = client.CoreV1Api()
    found: Any = core.list_namespaced_pod(namespace, _request_timeout=5, _preload_content=False)
    listed = json.loads(found.data)
    pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
    _write(file, pods.values())
    version = listed["metadata"]["resourceVersion"]
    changes = watch.Watch().stream(  # type: ignore[no-untyped-call]
        core.list_namespaced_pod,
        namespace,
        resource_version=version,
        timeout_seconds=WATCH_S,
        _request_timeout=WATCH_S + 5,
    )
    for change in changes:
        pod = change["raw_object"]
        pods[pod["metadata"]["uid"]] = pod
        if change["type"] == "DELETED":
            del pods[pod["metadata"]["uid"]]
        _write(file, pods.values())


def _write(file: Path, pods: Iterable[Mapping[str, Any]]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(targets(pods)), encoding="utf-8")
    new.replace(file)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--namespace", required=True)
    options.add_argument("--file", type=Path, required=True)
    given = options.parse_args()
    config.load_incluster_config()  # type: ignore[no-untyped-call]
    while True:
        try:
            follow(given.namespace, given.file)
        except (client.ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            print(f"the API server does not tell of pods: {error}", flush=True)
            time.sleep(RETRY_AFTER_S)


if __name__ == "__main__":
    main()
