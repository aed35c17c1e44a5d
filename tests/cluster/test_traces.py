"""The chart's own telemetry on a cluster: a line of the healer leads to its trace, and the trace's ID to samples.

The images of platform/images/build must be on the nodes, Jaeger's among them.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.kubernetes.cluster import Cluster, proxy, service_url
from smartops_chaos.model import Span
from smartops_chaos.schema import healerfile
from smartops_chaos.telemetry import traces
from tests.cluster.test_deploy import deploy, on_nodes
from tests.conftest import until
from tests.platform.conftest import tool


@pytest.fixture(scope="module")
def namespace(api: client.ApiClient) -> Iterator[str]:
    """The lab with its telemetry, by the chart. Log files are read of namespaces whose names begin so."""
    tool("helm")
    wanted = {f"localhost/smartops-{name}:1" for name in ("jaeger", "collector", "victoria-logs", "prometheus")}
    there = on_nodes(api, wanted)
    if not wanted <= there:
        pytest.skip(f"not on the node: {', '.join(sorted(wanted - there))}; ./platform/images/build builds them")
    name = f"smartops-traces-{uuid.uuid4().hex[:6]}"
    off = ("telemetry.small.alertmanager", "telemetry.small.kube-state", "monitor")
    # Nobody but the test signals anything: on a busy machine a detector would.
    sets = ("--set", "orchestrator.env.DETECTOR=none", *(f"--set={one}.enabled=false" for one in off))
    done = deploy("testbed", name, "--no-test", "--", *sets)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        yield name
    finally:
        client.CoreV1Api(api).delete_namespace(name)


def test_one_id_leads_from_a_line_to_its_trace_and_to_a_sample(namespace: str, cluster: Cluster) -> None:
    def ask(method: str, service: str, port: int, path: str, body: Any = None, **query: str) -> Any:
        there = proxy(namespace, "services", service, port, path)
        return cluster.request(method, there, body=body, query=query, compare=False)

    signal = {"windowId": "w-1", "service": "erp-simulator", "isAnomaly": True, "score": 0.9, "type": "error"}
    ask("POST", "smartops-orchestrator", 8001, "/v1/signals/anomaly", signal)

    def line() -> str:
        query = '"executing restart" | stats by (_msg) count() n'
        found = ask("GET", "logs", 9428, "/select/logsql/stats_query", query=query)["data"]["result"]
        return json.dumps(found[0]["metric"]) if found else ""

    pattern = healerfile.load("lab-kubernetes").trace
    assert pattern is not None
    told = re.search(pattern, until(line))
    assert told is not None
    trace = told["trace"]

    def whole() -> tuple[Span, ...]:
        """The loop's own span is sent last: when the action has been verified."""
        found = traces.fetch(service_url("", namespace, "traces", 16686), [trace])
        return found if "closed loop: anomaly" in {span.name for span in found} else ()

    spans = until(whole)
    assert {span.name.partition(":")[0] for span in spans} >= {"ask the policy engine", "decide", "act", "verify"}
    assert {span.service for span in spans} == {"smartops-orchestrator"}

    def exemplars() -> set[str]:
        series = 'traces_span_metrics_duration_milliseconds_bucket{service_name="smartops-orchestrator"}'
        window = {"start": str(spans[0].start_ns / 1e9 - 60), "end": str(time.time())}
        found = ask("GET", "prometheus", 9090, "/api/v1/query_exemplars", query=series, **window)["data"]
        return {one["labels"]["trace_id"] for of in found for one in of["exemplars"]}

    until(lambda: trace in exemplars())
    assert traces.fetch(service_url("", namespace, "traces", 16686), ["f" * 32]) == ()
    with pytest.raises(traces.TracesError, match=r"services .* not found"):
        traces.fetch(service_url("", namespace, "nobody", 16686), [trace])
