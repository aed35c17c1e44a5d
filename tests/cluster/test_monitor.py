"""The monitor beside the lab on a cluster: an outage that a person makes and ends, with what pods and healer do."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes.cluster import service_url
from smartops_chaos.model import Interval
from tests.monitor.conftest import Standing

ERP = "smartops-erp-simulator"
FILE = """\
version: 1
namespace: {namespace}
service: {service}
healer: lab-kubernetes
url: {url}
rate: 10/s
slo: {{latency: 1s, objective: 80%, hold: 3s}}
settle: 10s
horizon: 5m
cluster: {{}}
prometheus: {prometheus}
listen: 127.0.0.1:{listen}
"""


@pytest.fixture
def monitor(lab: str, tmp_path: Path, until: Callable[..., Any]) -> Iterator[Standing]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    file = tmp_path / "monitor.yaml"
    url, prometheus = service_url("", lab, ERP, 8000), service_url("", lab, "prometheus", 9090)
    file.write_text(FILE.format(namespace=lab, service=ERP, url=url, prometheus=prometheus, listen=listen))
    made = Standing(tmp_path / "watched", file, tmp_path / "none", listen, until)
    made.start()
    yield made
    made.kill()


def test_what_a_person_breaks_and_mends_is_one_incident_with_its_pods(
    lab: str, monitor: Standing, api: client.ApiClient, until: Callable[..., Any]
) -> None:
    apps = client.AppsV1Api(api)
    monitor.asked(0, 100)

    def scale(replicas: int) -> Interval:
        before = time.time_ns()
        apps.patch_namespaced_deployment_scale(ERP, lab, {"spec": {"replicas": replicas}})
        return Interval(before, time.time_ns())

    down = scale(0)
    with contextlib.suppress(client.ApiException):  # a signal of nothing is refused, with a line in the log
        core = client.CoreV1Api(api)
        core.connect_post_namespaced_service_proxy_with_path("smartops-orchestrator:8001", lab, "v1/signals/anomaly")
    until(lambda: f'_active{{namespace="{lab}",service="{ERP}"}} 1.0' in monitor.get("/metrics"), 120, monitor.said)
    monitor.kill()
    monitor.start()
    up = scale(2)
    (found,) = monitor.over(1)
    assert found.impacted.hi_ns >= down.lo_ns
    assert found.recovered is not None
    assert found.recovered.lo_ns > up.lo_ns - 1_000_000_000
    assert "telemetry_missing" not in found.flags, monitor.said()
    recorded = "".join(file.read_text() for file in monitor.folder.glob("raw/cluster-*"))
    assert f'"deployment": "{ERP}"' in recorded
    assert '"log": "smartops-orchestrator"' in recorded
    assert monitor.memory_mb() < 150
