"""A running monitor against outages that are known, and killed while it looks at them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from smartops_chaos.lab.platform.procs import prometheus_program
from smartops_chaos.model import Interval, Outcome

MS = 1_000_000
WHERE = 'namespace="shop",service="smartops-erp-simulator"'


def holds(found: Interval | None, truth: Interval) -> bool:
    """Whether the true moment lies in the dated one; 50 ms are what a request takes on its way on a busy machine."""
    return found is not None and found.lo_ns - 50 * MS <= truth.hi_ns and truth.lo_ns <= found.hi_ns + 50 * MS


def healing(monitor: Any) -> None:
    """The lines of a healer that finds the cause and restarts the service."""
    where = "shop/smartops-erp-simulator"
    monitor.say('INFO: "POST /v1/signals/anomaly HTTP/1.1" 202 Accepted')
    monitor.say('INFO: "POST /v1/signals/rca HTTP/1.1" 202 Accepted')
    monitor.say("SIGNAL_RAW | kind=rca | data={'rankedCauses': [{'cause': 'Service Timeout'}]}")
    monitor.say(f"ClosedLoopManager: executing restart on {where} (attempt=0 windowId=w)")
    monitor.say(f"Action completed: type=restart target=Deployment {where} status=success")


def lines_read(monitor: Any) -> str:
    return "".join(file.read_text() for file in monitor.folder.glob("raw/lines-*"))


@contextmanager
def scraping(address: str, folder: Path) -> Iterator[Callable[[str], list[float]]]:
    """A real Prometheus that reads `/metrics` every second; asks it for values."""
    program = prometheus_program()
    if program is None:
        pytest.fail("prometheus is missing: ./script/setup dev installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: monitor, static_configs: [{{targets: ['{address}']}}]}}]\n"
    )
    with (folder / "log").open("wb") as out:
        listen = f"--web.listen-address=127.0.0.1:{port}"
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", listen]
        server = subprocess.Popen(command, stdout=out, stderr=out)

    def value(query: str) -> list[float]:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/api/v1/query", {"query": query}, timeout=30).json()
        except requests.RequestException:
            return []
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    yield value
    server.kill()
    server.wait()


def test_outages_are_incidents_dated_as_they_were_and_prometheus_reads_them(
    shop: Any, standing: Callable[..., Any], until: Callable[..., Any], tmp_path: Path
) -> None:
    """A whole outage, one of three answers in ten, and one that the healer ends."""
    monitor = standing(horizon=600)
    truth = []
    with scraping(f"127.0.0.1:{monitor.listen}", tmp_path / "prometheus") as value:
        for number, share in enumerate((1.0, 0.3, 1.0), 1):
            began = shop.be(share)
            monitor.asked(began.hi_ns)
            if number == 3:
                healing(monitor)
                until(lambda: "Action completed" in lines_read(monitor))
                until(lambda: value("smartops_chaos_incident_active") == [1.0], 120)
                monitor.asked(time.time_ns(), 10)
            truth.append((began, shop.be(0)))
            monitor.over(number)
        found = monitor.incidents()
        for one, (began, ended) in zip(found, truth, strict=True):
            assert holds(one.impacted, began)
            assert holds(one.recovered, ended)
        told = [(one.outcome, one.reason) for one in found]
        assert told == [(Outcome.PLATFORM, "no-action"), (Outcome.PLATFORM, "no-action"), (Outcome.HEALED, "")]
        assert found[2].timeline.causes == ("Service Timeout",)
        assert [action.kind for action in found[2].timeline.actions] == ["restart"]
        until(lambda: value("sum(smartops_chaos_incidents_total)") == [3.0], 120)
        assert value("smartops_chaos_monitor_up") == [1.0]
        assert value("smartops_chaos_incident_active") == [0.0]
        assert value('smartops_chaos_incidents_total{outcome="healed"}') == [1.0]
        assert value("sum(smartops_chaos_recovery_seconds_count)") == [3.0]
        assert value("smartops_chaos_detection_seconds_count") == [1.0]
        assert value('smartops_chaos_requests_total{answer="bad"}')[0] > 0
        assert value("smartops_chaos_fault_active") == []
        assert value("smartops_anomaly_score") == []
    assert monitor.memory_mb() < 150
    again = monitor.another(monitor.folder)
    assert (again.returncode, "in use by another monitor" in again.stderr) == (4, True)
    elsewhere = monitor.another(tmp_path / "elsewhere")
    assert (elsewhere.returncode, "cannot be listened on" in elsewhere.stderr) == (4, True)
    assert monitor.end() == 0


def test_it_says_at_its_start_what_it_follows_and_what_it_cannot_reach(
    standing: Callable[..., Any], until: Callable[..., Any], tmp_path: Path
) -> None:
    """Nobody listens at any of its addresses, and the log is not there yet: each with the key to look at."""
    nobody = "http://127.0.0.1:9"
    sources = "\n".join(f"{key}: {nobody}" for key in ("prometheus", "signals", "policy"))
    monitor = standing(sources, url=f"url: {nobody}", log=tmp_path / "later.log", asked=0)
    wanted = [
        f"listening on http://127.0.0.1:{monitor.listen}",
        f"sends 25 requests a second to {nobody}/simulate/load",
        f"reads the lines of smartops-orchestrator in {tmp_path / 'later.log'}",
        f"reads Prometheus at {nobody}",
        f"not reached: {nobody} has not answered yet: check `url`, or the service is down",
        "later.log cannot be read: No such file or directory: check `logs`",
        *(f"Connection refused: check `{key}`" for key in ("prometheus", "signals", "policy")),
    ]
    until(lambda: all(what in monitor.said() for what in wanted), 120, monitor.said)
    assert "phase" not in monitor.said()
    assert "HTTPConnection" not in monitor.said()


def test_flapping_is_one_incident_where_health_does_not_last(shop: Any, standing: Callable[..., Any]) -> None:
    monitor = standing(horizon=600, settle=8)
    truth = []
    for _ in range(3):
        began = shop.be(1.0)
        monitor.asked(began.hi_ns, 30)
        ended = shop.be(0)
        monitor.asked(ended.hi_ns, 50)
        truth.append((began, ended))
    gaps = [(later[0].lo_ns - earlier[1].hi_ns) / 1e9 for earlier, later in pairwise(truth)]
    if any(gap > 6 for gap in gaps):
        pytest.skip(f"the machine was too busy to flap: {gaps}")
    (found,) = monitor.over(1)
    assert holds(found.impacted, truth[0][0])
    assert holds(found.recovered, truth[-1][1])
    assert found.timeline.health.relapses == 2


def test_what_is_not_healed_is_on_record_at_the_horizon_and_again_when_it_ends(
    shop: Any, standing: Callable[..., Any], until: Callable[..., Any]
) -> None:
    monitor = standing()
    began = shop.be(1.0)
    (found,) = until(monitor.incidents, 120)
    assert (found.outcome, found.reason, found.over) == (Outcome.UNRECOVERED, "undetected", False)
    assert holds(found.impacted, began)
    active = f"smartops_chaos_incident_active{{{WHERE}}} "
    assert active + "1.0" in monitor.get("/metrics")
    monitor.kill()
    monitor.start()
    assert active + "1.0" in monitor.get("/metrics")
    monitor.asked(time.time_ns())
    ended = shop.be(0)
    (found,) = monitor.over(1)
    assert found.outcome == Outcome.UNRECOVERED
    assert holds(found.recovered, ended)
    until(lambda: active + "0.0" in monitor.get("/metrics"))


def test_killed_at_any_moment_it_loses_no_incident_and_has_none_twice(shop: Any, standing: Callable[..., Any]) -> None:
    """Every outage lasts until it was looked at; the monitor is killed before, within, at the end of it and after."""
    monitor = standing(horizon=600)
    chance = random.Random(1)
    truth = []
    for number, share in enumerate((0.4, 1.0), 1):
        began = shop.be(share)
        for _ in range(2):
            time.sleep(chance.uniform(0, 2))
            monitor.kill()
            monitor.start()
        monitor.asked(time.time_ns())
        if number == 2:
            monitor.kill()
        ended = shop.be(0)
        time.sleep(chance.uniform(0, 2))
        monitor.kill()
        monitor.start()
        time.sleep(chance.uniform(0, 4))
        monitor.kill()
        monitor.start()
        truth.append((began, ended))
        monitor.over(number)
    found = monitor.incidents()
    assert len(found) == len(truth)
    for one, (began, ended) in zip(found, truth, strict=True):
        assert holds(one.impacted, began)
        assert holds(one.recovered, ended)
    assert len({one.id for one in found}) == len(found)
    total = 'smartops_chaos_incidents_total{namespace="shop",outcome="platform",service="smartops-erp-simulator"} '
    assert total + "2.0" in monitor.get("/metrics")
    (probe,) = monitor.children()
    os.kill(probe, signal.SIGKILL)
    monitor.asked(time.time_ns())  # it has started itself anew
    assert monitor.processes[-1].poll() is None
    assert monitor.children() != [probe]
    assert total + "2.0" in monitor.get("/metrics")


def test_a_load_of_one_s_own_is_judged_by_a_query(standing: Callable[..., Any], tmp_path: Path) -> None:
    """The query is bad between two seconds that are known."""
    program = prometheus_program()
    if program is None:
        pytest.fail("prometheus is missing: ./script/setup dev installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "own.yml").write_text("global: {}\n")
    with (tmp_path / "own.log").open("wb") as out:
        where = [f"--config.file={tmp_path / 'own.yml'}", f"--storage.tsdb.path={tmp_path / 'own'}"]
        server = subprocess.Popen([program, *where, f"--web.listen-address=127.0.0.1:{port}"], stdout=out, stderr=out)
    try:
        begin_s = round(time.time()) + 20
        end_s = begin_s + 6
        bad = f"(vector(time()) >= bool {begin_s}) * (vector(time()) < bool {end_s})"
        slo = f'{{query: "1 - {bad}", at_least: 1, every: 200ms, hold: 1s}}'
        monitor = standing(slo=slo, url=f"prometheus: http://127.0.0.1:{port}", horizon=600, asked=10)
        if time.time() > begin_s - 3:
            pytest.skip("the machine was too busy to start in time")
        (found,) = monitor.over(1)
        assert holds(found.impacted, Interval(begin_s * 1000 * MS, begin_s * 1000 * MS))
        assert holds(found.recovered, Interval(end_s * 1000 * MS, end_s * 1000 * MS))
    finally:
        server.kill()
        server.wait()
