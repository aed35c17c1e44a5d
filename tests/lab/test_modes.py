"""The ERP as a plain process: its switches, what it tells of its container, and how it leaves."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from smartops_chaos.lab.smartops import cgroup
from smartops_chaos.lab.smartops.exposition import parse


@pytest.fixture
def own_cgroup(tmp_path: Path) -> Path:
    """As version 2 mounts it."""
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 1000000\n")
    (tmp_path / "memory.max").write_text("8000000\n")
    return tmp_path


@pytest.fixture
def erp(own_cgroup: Path, until: Callable[..., Any]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        options = ["--port", url.rpartition(":")[2], "--units", "10", "--cgroup", str(own_cgroup)]
        process = subprocess.Popen([sys.executable, "-m", "smartops_chaos.lab.smartops.erp", *options])
        try:
            until(lambda: answers(url))
            yield url, process
        finally:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=1).ok
    except requests.ConnectionError:
        return False


def load(url: str) -> requests.Response:
    return requests.post(f"{url}/simulate/load", json={"duration_seconds": 0, "target": "cpu"}, timeout=5)


def metric(url: str, name: str) -> float:
    return parse(requests.get(f"{url}/metrics", timeout=5).text)[name, ()]


def test_each_switch_acts_until_it_is_off(erp: tuple[str, Any]) -> None:
    url, _ = erp
    modes = requests.get(f"{url}/chaos/modes", timeout=5).json()
    assert modes == {"modes": dict.fromkeys(("memory_leak", "cpu_spike", "latency_jitter", "error_burst"), False)}
    answer = requests.post(f"{url}/chaos/error-burst/enable", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"mode": "error_burst", "enabled": True})
    assert {load(url).status_code for _ in range(40)} == {200, 500}  # all alike: once in 10^9
    assert metric(url, "erp_simulator_modes_enabled") == 1
    requests.post(f"{url}/chaos/error-burst/disable", timeout=5)
    requests.post(f"{url}/chaos/cpu-spike/enable", timeout=5)
    assert load(url).elapsed.total_seconds() > 0.5
    requests.post(f"{url}/chaos/cpu-spike/disable", timeout=5)
    requests.post(f"{url}/chaos/memory-leak/enable", timeout=5)
    assert {load(url).status_code for _ in range(5)} == {200}
    assert metric(url, "erp_simulator_memory_leak_bytes_total") >= 5 * 100_000
    for path in ("weather/enable", "cpu-spike/toggle", "cpu_spike/enable"):
        assert requests.post(f"{url}/chaos/{path}", timeout=5).status_code == 404


def test_it_tells_what_its_container_uses(erp: tuple[str, Any], own_cgroup: Path) -> None:
    url, _ = erp
    assert metric(url, "container_cpu_usage_seconds_total") == 2.5
    assert metric(url, "container_memory_working_set_bytes") == 2_000_000
    assert metric(url, "container_spec_memory_limit_bytes") == 8_000_000
    (own_cgroup / "memory.max").write_text("max\n")
    assert cgroup.usage(own_cgroup).memory_limit_bytes is None


def test_the_older_cgroups_are_read_too(tmp_path: Path) -> None:
    for name, text in {
        "cpuacct/cpuacct.usage": "1500000000",
        "memory/memory.usage_in_bytes": "500",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 200",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup.usage(tmp_path) == cgroup.ContainerUsage(1.5, 300, None)


def test_told_to_end_it_serves_until_nobody_comes_any_more(erp: tuple[str, subprocess.Popen[bytes]]) -> None:
    url, process = erp
    process.send_signal(signal.SIGTERM)
    assert load(url).status_code == 200
    assert process.wait(timeout=10) == 0
