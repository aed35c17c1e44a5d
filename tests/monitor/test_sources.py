"""What the healer's sources tell the monitor, from a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from smartops_chaos.clock import Clock
from smartops_chaos.monitor.lines import FollowedLines
from smartops_chaos.monitor.sources import StandingSources
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.monitorfile import MonitorFile
from tests.telemetry.conftest import program as program  # what pytest finds here is a fixture here
from tests.telemetry.conftest import stored as stored

_START_S = 1_700_000_000


def test_counters_of_another_environment_are_not_ours(stored: Callable[..., str], tmp_path: Path) -> None:
    """Environments of one cluster share a Prometheus: an anomaly in production is no detection in dev."""
    lines = [
        f'signals_total{{namespace="{namespace}"}} {n} {_START_S + n}'
        for namespace in ("smartops-dev", "smartops-prod")
        for n in range(5)
    ]
    asked = {
        "version": 1,
        "namespace": "smartops-dev",
        "service": "erp",
        "url": "http://127.0.0.1:1",
        "slo": {"latency": "250ms", "objective": "95%", "hold": "10s"},
        "settle": "30s",
        "horizon": "15m",
        "prometheus": stored(lines),
    }
    file, clock = MonitorFile.model_validate(asked), Clock.anchored()
    healer = healerfile.load("smartops")
    sources = StandingSources(file, healer, FollowedLines(tmp_path, {}, healer, 0), None, clock)
    found, _ = sources.series(("signals_total",), _START_S * 10**9, (_START_S + 10) * 10**9)
    assert [one.labels["namespace"] for one in found] == ["smartops-dev"]
