"""Raw samples from a real Prometheus, on blocks with known stamps."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.telemetry import prometheus

START_S = 1_700_000_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("promtool") is None:
        pytest.fail("promtool is missing: ./script/setup dev installs it with prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    lines = [f'signals_total{{kind="anomaly"}} 1 {START_S + 0.25 + n}' for n in range(3, 6)]
    lines += [f"up {int(n != 4)} {START_S + 0.25 + n}" for n in range(6)]
    lines += [f"scrape_duration_seconds 0.00{n + 1} {START_S + 0.25 + n}" for n in range(6)]
    (folder / "metrics").write_text("\n".join([*lines, "# EOF", ""]), encoding="ascii")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "metrics", folder / "data"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    (folder / "prometheus.yml").write_text("global: {}\n", encoding="ascii")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    while True:
        try:
            prometheus.instant(address, "1")
            break
        except prometheus.PrometheusError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield address
    server.terminate()
    server.wait()


def test_samples_come_with_the_stamps_as_stored(url: str) -> None:
    names = ("signals_total", "up", "absent_total")
    series, scrape_s = prometheus.fetch(url, names, START_S * 10**9, (START_S + 10) * 10**9)
    found = {one.name: one for one in series}
    assert set(found) == {"signals_total", "up"}
    assert found["signals_total"].labels == {"kind": "anomaly"}
    assert found["signals_total"].at_ns == tuple((START_S + n) * 10**9 + 250_000_000 for n in (3, 4, 5))
    assert found["up"].values == (1, 1, 1, 1, 0, 1)
    assert scrape_s == 0.006


def test_the_offset_of_a_clock_on_this_machine_encloses_zero(url: str) -> None:
    low, high = prometheus.offset_ns(url, Clock.anchored())
    assert low <= 0 <= high
    shifted = Clock(Clock.anchored().anchor_ns - 750_000_000)
    low, high = prometheus.offset_ns(url, shifted)
    assert low <= 750_000_000 <= high


def test_a_refusal_and_a_dead_server_are_errors(url: str) -> None:
    with pytest.raises(prometheus.PrometheusError, match="refused"):
        prometheus.instant(url, "sum(")
    with pytest.raises(prometheus.PrometheusError, match="does not answer"):
        prometheus.instant("http://127.0.0.1:9", "1")
