"""The collector's pipelines hang together, and the collector itself takes them; a real line gives its trace ID."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.platform.promql import CHART, exported, program

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
        [program("collector"), "validate", f"--config={file}"],
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
