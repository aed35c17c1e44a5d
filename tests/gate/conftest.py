"""Three days of telemetry with a known truth, in one real Prometheus: each namespace is a story of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.telemetry.conftest import program as program  # what pytest finds here is a fixture here
from tests.telemetry.conftest import programs, prometheus_server

WINDOW_S, STEP_S = 72 * 3600, 300
OLD, NEW = (f"docker.io/erp@sha256:{digit * 64}" for digit in "ab")

GATES = """\
version: 1
environments:
  stage:
    namespace: green
    window: 72h
    step: 5m
    witness:
      watchdog: 'ALERTS{alertname="Watchdog", alertstate="firing", namespace="${namespace}"}'
      targets: 'up{namespace="${namespace}"}'
      wanted: [erp]
      longest_gap: 15m
    tests: 'smartops_chaos_fault_active{namespace="${namespace}"}'
    alerts:
      firing: 'ALERTS{alertstate="firing", alertname!="Watchdog", namespace="${namespace}"}'
      persistent: 30m
    mttr:
      at_most: 60s
      campaigns: no-results
      gauge: 'smartops_chaos_campaign_mttr_seconds{namespace="${namespace}"}'
    slo:
      total: 'requests_total{namespace="${namespace}"}'
      errors: 'errors_total{namespace="${namespace}"}'
      at_least: 98%
    golden:
      versions: [{series: 'kube_pod_container_info{namespace="${namespace}"}', of: container, version: image_id}]
    spikes: {counter: 'signals_total{namespace="${namespace}", kind="anomaly"}', within: 1h, at_most: 20}
    override: true
  prod:
    namespace: green
    window: 1h
    step: 5m
    witness: {watchdog: 'ALERTS{alertname="Watchdog", namespace="green"}', targets: 'up{namespace="green"}'}
"""

Sample = Callable[[float], float | None]  # seconds since the window's start -> a value, or none


@dataclass(frozen=True)
class Recorded:
    """A Prometheus that holds the stories, and the moment at which they end."""

    url: str
    at_s: float


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    file = tmp_path / "gates.yaml"
    file.write_text(GATES, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A folder of blocks, and the moment at which they end."""
    promtool = shutil.which("promtool", path=os.pathsep.join([*map(_folder, programs().values()), os.environ["PATH"]]))
    if promtool is None:
        pytest.fail("promtool is missing: ./script/setup dev installs it with prometheus")
    folder = tmp_path_factory.mktemp("blocks")
    at_s = float(int(time.time()) // STEP_S * STEP_S)
    (folder / "metrics").write_text("\n".join([*_all(at_s - WINDOW_S), "# EOF", ""]), encoding="ascii")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "metrics", folder / "data"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder / "data", at_s


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, blocks: tuple[Path, float], program: str) -> Iterator[Recorded]:
    """On each version of Prometheus that there is: a range includes its left end up to 2, and does not from 3 on."""
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(blocks[0], folder / "data")
    with prometheus_server(program, folder, "global: {}\n", "--storage.tsdb.retention.time=100y") as url:
        yield Recorded(url, blocks[1])


def _folder(program: str) -> str:
    return str(Path(program).parent)


def _all(start_s: float) -> list[str]:
    """Every story: the green one, and each other with what is different in it."""
    h = 3600.0
    end = float(WINDOW_S)
    stories: dict[str, list[str]] = {
        "green": _story(start_s, "green"),
        "critical": _story(start_s, "critical", alert=lambda t: 1.0 if 30 * h < t <= 30 * h + 600 else None),
        "warned": _story(start_s, "warned", severity="warning", alert=lambda t: 1.0 if t > 40 * h > t - 3000 else None),
        "before": _story(start_s, "before", alert=lambda t: 1.0 if t <= 0 else None),
        "just-inside": _story(start_s, "just-inside", alert=lambda t: 1.0 if t <= STEP_S else None),
        "late-15": _story(start_s, "late-15", there=lambda t: t > 900),
        "late-20": _story(start_s, "late-20", there=lambda t: t > 1200),
        "ends-15": _story(start_s, "ends-15", there=lambda t: t <= end - 900),
        "ends-20": _story(start_s, "ends-20", there=lambda t: t <= end - 1200),
        "blind": _story(
            start_s,
            "blind",
            severity="warning",
            alert=lambda t: 1.0 if t > end - 1800 else None,
            there=lambda t: t <= end - 900,
        ),
        "gap": _story(start_s, "gap", there=lambda t: not 20 * h < t <= 22 * h),
        "begins-late": _story(start_s, "begins-late", there=lambda t: t > 2 * h),
        "ends-early": _story(start_s, "ends-early", there=lambda t: t <= end - 2 * h),
        "changed": _story(start_s, "changed", image=lambda t: NEW if t > end - 10 * h else OLD),
        "changed-before": _story(start_s, "changed-before", image=lambda t: NEW if t > 0 else OLD),
        "changed-now": _story(start_s, "changed-now", image=lambda t: NEW if t >= end else OLD),
        "rolled-back": _story(start_s, "rolled-back", image=lambda t: NEW if 5 * h < t <= 6 * h else OLD),
        "slo-979": _story(start_s, "slo-979", errors=lambda t: 21.0 * (t + 600) / 300),
        "slo-980": _story(start_s, "slo-980", errors=lambda t: 20.0 * (t + 600) / 300),
        "reset": _story(
            start_s,
            "reset",
            requests=lambda t: 1000.0 * ((t if t <= 36 * h else t - 36 * h) + 600) / 300,
            errors=lambda t: 10.0 * ((t if t <= 36 * h else t - 36 * h) + 600) / 300,
        ),
        "born": _story(start_s, "born", errors=lambda t: 60_000.0 if t > 50 * h else None),
        "no-rules": _story(start_s, "no-rules", watchdog=False),
        "early": _story(start_s + 30, "early"),
        "chaos": _story(
            start_s,
            "chaos",
            alert=lambda t: 1.0 if 30 * h < t <= 30 * h + 900 else None,
            errors=lambda t: 0.0 if t <= 30 * h else 60_000.0,
            tested=lambda t: 1.0 if 30 * h < t <= 30 * h + 900 else 0.0,
        ),
        "chaos-all-day": _story(start_s, "chaos-all-day", tested=lambda t: 1.0 if t <= 24 * h else 0.0),
        "spike": _story(start_s, "spike", signals=lambda t: 30.0 if t > 12 * h else 0.0),
        "slow": _story(start_s, "slow", mttr=75.0),
        "down": _story(start_s, "down", up=lambda t: 0.0 if 20 * h < t <= 22 * h else 1.0),
    }
    doubled = [
        one
        for replica in ("a", "b")
        for one in _story(start_s + (replica == "b"), "doubled", more=f',prometheus_replica="{replica}"')
    ]
    one_away = [
        one
        for replica, away in (("a", True), ("b", False))
        for one in _story(
            start_s,
            "one-away",
            there=lambda t, away=away: not (away and 20 * h < t <= 22 * h),  # type: ignore[misc]
            more=f',prometheus_replica="{replica}"',
        )
    ]
    return [line for story in [*stories.values(), doubled, one_away] for line in story]


def _story(
    start_s: float,
    namespace: str,
    *,
    there: Callable[[float], bool] = lambda _t: True,
    watchdog: bool = True,
    up: Sample = lambda _t: 1.0,
    requests: Sample = lambda t: 1000.0 * (t + 600) / 300,
    errors: Sample = lambda t: 10.0 * (t + 600) / 300,
    alert: Sample = lambda _t: None,
    severity: str = "critical",
    tested: Sample = lambda _t: 0.0,
    signals: Sample = lambda _t: 0.0,
    image: Callable[[float], str] = lambda _t: OLD,
    mttr: float = 20.0,
    more: str = "",
) -> list[str]:
    """A sample of each series every five minutes, from an hour before the window to its end."""
    times = [float(t) for t in range(-3600, WINDOW_S + 1, STEP_S) if there(t)]
    labels = f'namespace="{namespace}"{more}'

    def series(name: str, extra: str, value: Sample) -> list[str]:
        inside = f"{labels},{extra}" if extra else labels
        found = [(t, value(t)) for t in times]
        return [f"{name}{{{inside}}} {v:g} {start_s + t:.3f}" for t, v in found if v is not None]

    lines = series("up", 'job="erp",instance="erp:80"', up)
    if watchdog:
        lines += series("ALERTS", 'alertname="Watchdog",alertstate="firing",severity="none"', lambda _t: 1.0)
    lines += series("ALERTS", f'alertname="ErrorRate",alertstate="firing",severity="{severity}"', alert)
    lines += series("requests_total", 'endpoint="/orders"', requests)
    lines += series("errors_total", 'endpoint="/orders"', errors)
    lines += series("signals_total", 'kind="anomaly"', signals)
    lines += series("smartops_chaos_fault_active", 'fault="pod-kill"', tested)
    lines += series("smartops_chaos_campaign_mttr_seconds", "", lambda _t: mttr)
    for one in (OLD, NEW):
        running = {t for t in times if image(t) == one}
        extra = f'container="erp",image_id="{one}"'
        lines += series("kube_pod_container_info", extra, lambda t, running=running: 1.0 if t in running else None)
    return lines
