"""The collector's pipelines hang together, and the collector itself takes them; a real line gives its trace ID."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.conftest import until
from tests.platform.conftest import CHART, tool
from tests.platform.promql import exported
from tests.telemetry.conftest import prometheus_server

_FILES = sorted((CHART / "collector").glob("*.yaml"))
_WHERE = {
    "TRACES_ENDPOINT": "traces:4317",
    "LOGS_ENDPOINT": "http://logs:9428/insert/opentelemetry/v1/logs",
    "METRICS_ENDPOINT": "http://prometheus:9090/api/v1/write",
}


@pytest.fixture(params=_FILES, ids=lambda file: file.stem)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.stem)
def test_the_collector_takes_it(file: Any) -> None:
    done = subprocess.run(
        [tool("collector"), "validate", f"--config={file}"],
        env={**os.environ, **_WHERE},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_pipelines_use_what_is_there_and_all_of_it(config: dict[str, Any]) -> None:
    defined = {kind: set(config.get(kind, {})) for kind in ("receivers", "processors", "exporters", "connectors")}
    used: dict[str, set[str]] = {kind: set() for kind in defined}
    for pipeline in config["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            for name in pipeline.get(kind, []):
                used["connectors" if name in defined["connectors"] else kind].add(name)
        assert pipeline["processors"][0] == "memory_limiter"  # before all that could grow
        assert pipeline["processors"][-1] == "batch"
    assert used == defined
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_where_the_stores_are_is_told_by_the_environment_alone(config: dict[str, Any]) -> None:
    for name, exporter in config["exporters"].items():
        (told,) = [value for key, value in exporter.items() if key.endswith("endpoint")]
        assert re.fullmatch(r"\$\{env:(\w+)\}", told)[1] in _WHERE, name  # type: ignore[index]


def test_spans_become_the_series_that_dashboards_read() -> None:
    gateway = yaml.safe_load((CHART / "collector" / "gateway.yaml").read_text(encoding="utf-8"))
    assert gateway["connectors"]["spanmetrics"]["exemplars"]["enabled"]
    pipelines = gateway["service"]["pipelines"]
    assert "spanmetrics" in pipelines["traces"]["exporters"]
    assert "spanmetrics" in pipelines["metrics"]["receivers"]
    assert {"traces_span_metrics_duration_milliseconds_bucket", "traces_span_metrics_calls_total"} <= exported()


@pytest.mark.parametrize(("told", "trace"), [("4bf92f3577b34da6a3ce929d0e0e4736", True), ("0", False)])
def test_a_line_of_the_orchestrator_gives_its_trace(told: str, trace: bool) -> None:
    line = f"2026-11-23 20:37:21,827 INFO [smartops.closed_loop] [trace_id={told} span_id=0 trace_sampled=False] - x"
    logs = yaml.safe_load((CHART / "collector" / "logs.yaml").read_text(encoding="utf-8"))
    (parser,) = [one for one in logs["receivers"]["filelog"]["operators"] if one["type"] == "regex_parser"]
    assert bool(re.search(parser["regex"], line)) is trace
    condition = re.fullmatch(r'body matches "(.*)"', parser["if"])
    assert condition is not None
    assert bool(re.search(condition[1].replace("\\\\", "\\"), line)) is trace


_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_FIXED = ("4317", "4318", "13133", "8888")  # ports in the files; a test takes free ones


@contextmanager
def running(file: Path, folder: Path, where: dict[str, str], *changes: tuple[str, str]) -> Iterator[dict[str, str]]:
    """The collector on a file of the chart with free ports in place of the fixed ones: yields the ports."""
    text = file.read_text(encoding="utf-8")
    ports = {port: str(_free_port()) for port in _FIXED}
    for old, new in [*ports.items(), *changes]:
        text = text.replace(old, new)
    (folder / file.name).write_text(text.replace("0.0.0.0", "127.0.0.1"), encoding="utf-8")
    with (folder / "collector.log").open("wb") as log:
        command = [tool("collector"), f"--config={folder / file.name}"]
        server = subprocess.Popen(command, env={**os.environ, **_WHERE, **where}, stdout=log, stderr=log)
        try:
            until(lambda: _well(f"http://127.0.0.1:{ports['13133']}"), why=(folder / "collector.log").read_text)
            yield ports
        finally:
            server.terminate()
            server.wait()


def test_a_span_is_a_latency_whose_exemplar_names_its_trace(tmp_path: Path) -> None:
    """OTLP in, remote write out, to a real Prometheus: what a click on a point of the board follows."""
    flags = ("--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage")
    with prometheus_server(tool("prometheus"), tmp_path, "global: {}\n", *flags) as prometheus:
        where = {"METRICS_ENDPOINT": f"{prometheus}/api/v1/write"}
        with running(CHART / "collector" / "gateway.yaml", tmp_path, where) as ports:
            now = time.time_ns()
            span = {
                "traceId": _TRACE,
                "spanId": "00f067aa0ba902b7",
                "name": "POST /simulate/load",
                "kind": 2,
                "startTimeUnixNano": str(now - 80_000_000),
                "endTimeUnixNano": str(now),
            }
            told = {"key": "service.name", "value": {"stringValue": "smartops-erp-simulator"}}
            body = {"resourceSpans": [{"resource": {"attributes": [told]}, "scopeSpans": [{"spans": [span]}]}]}
            requests.post(f"http://127.0.0.1:{ports['4318']}/v1/traces", json=body, timeout=10).raise_for_status()

            def exemplars() -> list[dict[str, Any]]:
                asked = {
                    "query": 'traces_span_metrics_duration_milliseconds_bucket{service_name="smartops-erp-simulator"}',
                    "start": now / 1e9 - 60,
                    "end": time.time() + 60,
                }
                answer = requests.get(f"{prometheus}/api/v1/query_exemplars", params=asked, timeout=10).json()
                return [one for series in answer["data"] for one in series["exemplars"]]

            assert _TRACE in {one["labels"]["trace_id"] for one in until(exemplars)}


def test_a_line_is_found_by_its_trace(tmp_path: Path) -> None:
    """A file as the container runtime writes it; VictoriaLogs keeps the line, its pod and its trace."""
    folder = tmp_path / "pods" / "smartops-dev_smartops-orchestrator-7d9f_0a1b" / "smartops-orchestrator"
    folder.mkdir(parents=True)
    port = _free_port()
    command = [tool("victoria-logs"), f"-storageDataPath={tmp_path / 'logs'}", f"-httpListenAddr=127.0.0.1:{port}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    logs = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _well(f"{logs}/health"))
        where = {"LOGS_ENDPOINT": f"{logs}/insert/opentelemetry/v1/logs"}
        pods = ("/var/log/pods", str(tmp_path / "pods"))
        with running(CHART / "collector" / "logs.yaml", tmp_path, where, pods):
            text = f"INFO [smartops.closed_loop] [trace_id={_TRACE} span_id=00f067aa0ba902b7] - CLOSED_LOOP_SUMMARY"

            def found() -> list[dict[str, str]]:
                # Once more each time: of a file that is there at its first look the collector reads what comes later.
                stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
                with (folder / "0.log").open("a", encoding="utf-8") as file:
                    file.write(f"{stamp} stdout F {text}\n")
                asked = {"query": f'trace_id:"{_TRACE}"', "limit": "5"}
                answer = requests.get(f"{logs}/select/logsql/query", params=asked, timeout=10).text
                return [json.loads(line) for line in answer.splitlines()]

            line = until(found, pause_s=0.5)[0]
    finally:
        server.terminate()
        server.wait()
    assert line["_msg"] == text
    assert line["k8s.namespace.name"] == "smartops-dev"
    assert line["k8s.pod.name"] == "smartops-orchestrator-7d9f"
    assert line["service.name"] == "smartops-orchestrator"


def _well(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
