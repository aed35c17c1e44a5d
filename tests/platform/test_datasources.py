"""From a log line to its trace, from there to its lines and its metric, from a sample to its trace: Grafana's links.

Grafana itself is not run here. What it would do with the datasources is done by hand, with real lines and programs.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from smartops_chaos.lab.smartops import healer
from smartops_chaos.lab.smartops.spans import TracedLines, Tracer, here
from smartops_chaos.model import Span
from smartops_chaos.telemetry import traces
from tests.conftest import until
from tests.platform.conftest import CHART, Render, tool
from tests.platform.promql import exported, series_names
from tests.platform.test_collector import running
from tests.telemetry.conftest import prometheus_server

_PAGE = (Path(__file__).parent / "pages" / "collector.txt").read_text(encoding="utf-8")
_SMARTOPS = (
    "2026-11-23 20:37:21,827 INFO [smartops.closed_loop] [closed_loop.py:212] "
    "[trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7 resource.service.name=smartops-orchestrator "
    "trace_sampled=True] - CLOSED_LOOP_SUMMARY"
)


@pytest.fixture
def sources(render: Render) -> dict[str, Any]:
    """The datasources by uid, with `$$` as Grafana's provisioning reads it."""
    (one,) = [o for o in render("telemetry", "upstream") if o["metadata"]["name"] == "datasources"]
    assert one["metadata"]["labels"]["grafana_datasource"] == "1"
    (text,) = one["data"].values()
    return {source["uid"]: source for source in yaml.safe_load(text.replace("$$", "$"))["datasources"]}


def named(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        for key, value in found.items():
            if key == "datasourceUid":
                yield value
            else:
                yield from named(value)
    elif isinstance(found, list):
        for one in found:
            yield from named(one)


def trace_in(line: str, sources: dict[str, Any]) -> str:
    """What a click on the line's link would ask the store of traces for."""
    (field,) = sources["loki"]["jsonData"]["derivedFields"]
    found = re.search(field["matcherRegex"], line)
    assert (field["datasourceUid"], field["url"]) == ("tempo", "${__value.raw}")
    return found[1] if found else ""


def test_every_link_leads_to_a_datasource_and_each_has_one(sources: dict[str, Any]) -> None:
    links = {uid: set(named(source["jsonData"])) for uid, source in sources.items()}
    assert links == {"prometheus": {"tempo"}, "loki": {"tempo"}, "tempo": {"loki", "prometheus"}}
    assert {source["type"] for source in sources.values()} == set(sources)


def test_the_stores_are_where_the_datasources_look(sources: dict[str, Any]) -> None:
    """The upstream charts' Services have the names and ports that are set for them, and that the collector sends to."""
    values = yaml.safe_load((CHART / "values-upstream.yaml").read_text(encoding="utf-8"))
    for uid in ("loki", "tempo"):
        assert re.fullmatch(rf"http://{values[uid]['fullnameOverride']}:\d+", sources[uid]["url"])
    sent = json.dumps(values)
    assert sources["loki"]["url"] in sent
    assert "tempo:4317" in sent
    assert "prometheus-operated:9090" in sources["prometheus"]["url"]


def test_the_derived_field_finds_what_lines_have(sources: dict[str, Any]) -> None:
    assert trace_in(_SMARTOPS, sources) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert trace_in(_SMARTOPS.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0"), sources) == ""


def test_a_trace_leads_to_series_that_are_there(sources: dict[str, Any]) -> None:
    linked = sources["tempo"]["jsonData"]
    (query,) = linked["tracesToMetrics"]["queries"]
    assert series_names(query["query"].replace("{$__tags}", "")) <= exported()
    for tag in (*linked["tracesToMetrics"]["tags"], *linked["tracesToLogsV2"]["tags"]):
        assert tag["key"] == "service.name"  # an attribute of every resource
        assert f"{tag['value']}=" in _PAGE  # as Prometheus and Loki write it
    assert linked["tracesToLogsV2"]["filterByTraceID"]


@contextmanager
def jaeger(folder: Path) -> Iterator[str]:
    """Yields where it answers; it takes spans at its usual port for gRPC, so one runs at a time."""
    with (folder / "jaeger.log").open("wb") as log:
        server = subprocess.Popen([tool("jaeger")], stdout=log, stderr=log)
        try:
            until(lambda: _well("http://127.0.0.1:16686/"), why=(folder / "jaeger.log").read_text)
            yield "http://127.0.0.1:16686"
        finally:
            server.terminate()
            server.wait()


def _well(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.ConnectionError:
        return False


def _act(tracer: Tracer, lines: list[str]) -> str:
    """An action of the lab's healer, with its line and its span; returns the ID of its trace."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    kept = Kept()
    kept.setFormatter(logging.Formatter(healer.LINE))
    kept.addFilter(TracedLines())
    logger = logging.getLogger("smartops.closed_loop")
    logger.addHandler(kept)
    try:
        with tracer.span("act: restart smartops-erp-simulator"):
            at = here()
            assert at is not None
            logger.warning("ClosedLoopManager: executing restart")
            time.sleep(0.02)
        return at.trace
    finally:
        logger.removeHandler(kept)


def test_one_id_leads_from_a_line_to_its_trace_and_from_the_trace_to_its_metric(
    sources: dict[str, Any], tmp_path: Path
) -> None:
    """The lab's own span through the chart's own collector into Jaeger and Prometheus, and back by the line's ID."""
    flags = ("--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage")
    with (
        jaeger(tmp_path) as store,
        prometheus_server(tool("prometheus"), tmp_path, "global: {}\n", *flags) as prometheus,
        running(
            CHART / "collector" / "gateway.yaml",
            tmp_path,
            {"METRICS_ENDPOINT": f"{prometheus}/api/v1/write", "TRACES_ENDPOINT": "127.0.0.1:4317"},
        ) as ports,
    ):
        told = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports['4318']}",
        }
        tracer, lines = Tracer("smartops-orchestrator", told), list[str]()

        def stored() -> tuple[Span, ...]:
            """Once more each time: spans that a collector does not take are given up."""
            return traces.fetch(store, [_act(tracer, lines)], settle_s=3.0)

        (span,) = until(stored)
        trace = trace_in(lines[-1], sources)
        assert trace == span.trace
        assert (span.service, span.name, span.status) == (
            "smartops-orchestrator",
            "act: restart smartops-erp-simulator",
            "ok",
        )
        assert 0.02 <= (span.end_ns - span.start_ns) / 1e9 < 5
        assert traces.fetch(store, ["f" * 32]) == ()
        (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]

        def exemplars() -> set[str]:
            asked = {
                "query": f'traces_span_metrics_duration_milliseconds_bucket{{service_name="{span.service}"}}',
                "start": span.start_ns / 1e9 - 60,
                "end": time.time() + 60,
            }
            answer = requests.get(f"{prometheus}/api/v1/query_exemplars", params=asked, timeout=10).json()
            return {one["labels"][destination["name"]] for series in answer["data"] for one in series["exemplars"]}

        until(lambda: trace in exemplars())
