"""Days of a service in seconds: raw requests as the probe writes them, and monitors that come and go."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from smartops_chaos.analysis import load_incidents
from smartops_chaos.clock import Clock
from smartops_chaos.errors import FileProblems
from smartops_chaos.model import Interval, Request
from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.monitor.standing import StandingMonitor
from smartops_chaos.resources import shipped
from smartops_chaos.schema import monitorfile
from smartops_chaos.schema.monitorfile import MonitorFile
from smartops_chaos.store import request_log
from smartops_chaos.store.incident_book import IncidentBook

S = 1_000_000_000
BEGIN = 1_796_000_000 * S
FILE = """\
version: 1
namespace: shop
service: erp
healer: lab
url: http://127.0.0.1:9
rate: 1/s
slo: {latency: 1s, objective: 80%, hold: 20s}
settle: 1m
horizon: 10m
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., StandingMonitor]:
    """The next monitor of the folder; `more` goes into its file."""

    def start(more: str = "", healer: str = "lab") -> StandingMonitor:
        file = tmp_path / "monitor.yaml"
        file.write_text(FILE.replace("healer: lab", f"healer: {healer}") + more)
        book = IncidentBook(tmp_path / "watched")
        book.raw.mkdir(parents=True, exist_ok=True)
        return StandingMonitor(monitorfile.load(file), tmp_path, book, Clock.anchored(), CampaignMarks(None))

    return start


class Probe:
    """Writes what was asked between two seconds, but for those at which no monitor ran."""

    def __init__(self, raw: Path, outages: list[tuple[int, int]]) -> None:
        self._raw, self._outages = raw, outages
        self._file = raw / "none"

    def begin(self, at_s: int) -> None:
        self._raw.mkdir(parents=True, exist_ok=True)
        self._file = self._raw / f"requests-{BEGIN + at_s * S}.csv"

    def ask(self, from_s: int, to_s: int) -> None:
        with self._file.open("a") as out:
            for second in range(from_s, to_s):
                bad = any(a <= second < b for a, b in self._outages)
                out.write(request_log.line(Request(BEGIN + second * S, 0, 5_000_000, 500 if bad else 200)))
        os.utime(self._file, ns=(BEGIN + to_s * S, BEGIN + to_s * S))


def near(found: Interval | None, second: int) -> bool:
    return found is not None and found.lo_ns <= BEGIN + (second + 1) * S and found.hi_ns >= BEGIN + (second - 1) * S


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_day_with_monitors_that_are_killed_has_every_incident_once(
    make: Callable[..., StandingMonitor], tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some outages are longer than the horizon. A monitor lives for minutes to hours; then nobody looks for a while.

    Raw evidence goes as soon as nothing needs it any more.
    """
    monkeypatch.setattr("smartops_chaos.monitor.standing._REQUEST_BYTES", 1)
    monkeypatch.setattr("smartops_chaos.monitor.standing._TIDIED_EVERY_S", 0.0)
    chance = random.Random(seed)
    day, at, outages = 60_000, 0, []
    while True:
        begins = at + chance.randint(400, 8000)
        at = begins + chance.choice([40, 90, 300, 590, 700, 2500])
        if at > day - 2000:
            break
        outages.append((begins, at))
    probe = Probe(tmp_path / "watched" / "raw", outages)
    second = 0
    while second < day:
        probe.begin(second)
        probe.ask(second, second + 5)
        monitor = make()
        end = min(day, second + chance.choice([30, 200, 1500, 9000]))
        second += 5
        while second < end:
            step = min(end - second, chance.randint(1, 40))
            probe.ask(second, second + step)
            second += step
            monitor.turn(BEGIN + second * S)
        second += chance.randint(0, 8)
    found = IncidentBook(tmp_path / "watched").read()
    assert [one.over for one in found] == [True] * len(outages)
    for one, (begins, ends) in zip(found, outages, strict=True):
        assert near(one.impacted, begins), (one, begins)
        assert near(one.recovered, ends), (one, ends)
        assert (str(one.outcome) == "unrecovered") is (ends - begins > 600)
    kept = [one.name for one in (tmp_path / "watched" / "raw").glob("requests-*")]
    assert len(kept) < 40, "of more than a hundred"
    text = make().numbers.text().decode()
    total = sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("smartops_chaos_incidents_total")
    )
    assert total == len(outages)


def test_what_a_source_tells_late_is_waited_for_and_the_incident_is_on_record_all_the_same(
    make: Callable[..., StandingMonitor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus does not answer at all; the time that is waited for it is set to nothing, then to long."""
    more = "prometheus: http://127.0.0.1:9\n"
    probe = Probe(tmp_path / "watched" / "raw", [(100, 160)])
    probe.begin(0)
    probe.ask(0, 400)
    monitor = make(more)
    monitor.turn(BEGIN + 400 * S)
    assert monitor.incidents == []
    monkeypatch.setattr("smartops_chaos.monitor.standing._PATIENCE_S", 0.0)
    again = make(more)
    again._record_what_is_over(0)
    again.turn(BEGIN + 400 * S)
    again._record_what_is_over(0)
    (found,) = again.incidents
    assert "telemetry_missing" in found.flags
    assert near(found.impacted, 100)


def test_lines_of_loki_tell_what_the_healer_did(make: Callable[..., StandingMonitor], tmp_path: Path) -> None:
    """A store that answers every query with the healer's lines of its window."""
    where = "shop/erp"
    told = [
        (105, 'POST /v1/signals/anomaly HTTP/1.1" 202'),
        (110, f"ClosedLoopManager: executing restart on {where} (attempt=0 windowId=w)"),
        (120, f"Action completed: type=restart target=Deployment {where} status=success"),
    ]

    class Store(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            asked = dict(parse_qsl(urlsplit(self.path).query))
            window = range(int(asked["start"]), int(asked["end"]))
            values = [[str(BEGIN + at * S), text] for at, text in told if BEGIN + at * S in window]
            streams = [{"stream": {"app": "smartops-orchestrator"}, "values": values}] if values else []
            data = json.dumps({"data": {"resultType": "streams", "result": streams}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    lab = shipped("healers", "lab.yaml").read_text(encoding="utf-8")
    (tmp_path / "healer.yaml").write_text(lab + "loki: {query: '{namespace=\"${namespace}\"}'}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    probe = Probe(tmp_path / "watched" / "raw", [(100, 160)])
    probe.begin(0)
    probe.ask(0, 400)
    try:
        monitor = make(f"loki: http://127.0.0.1:{server.server_port}\n", healer="healer.yaml")
        monitor.turn(BEGIN + 400 * S)
    finally:
        server.shutdown()
        server.server_close()
    (found,) = monitor.incidents
    assert (str(found.outcome), found.flags) == ("healed", ())
    assert found.seconds_to("detected") == pytest.approx(5, abs=1)
    assert [action.kind for action in found.timeline.actions] == ["restart"]


def test_what_the_healer_does_while_all_is_well_is_needless_and_on_record_once(
    make: Callable[..., StandingMonitor], tmp_path: Path
) -> None:
    """Three restarts: long before an incident, within it, and a minute before a monitor is killed."""
    log = tmp_path / "orchestrator.log"
    log.touch()
    probe = Probe(tmp_path / "watched" / "raw", [(600, 660)])
    probe.begin(0)
    probe.ask(0, 10)
    more = f"logs: {{smartops-orchestrator: {log}}}\n"
    monitor = make(more)
    for at in (100, 620, 1500):
        stamp = datetime.fromtimestamp(BEGIN / S + at, UTC).isoformat()
        with log.open("a") as out:
            out.write(f"{stamp} ClosedLoopManager: executing restart on shop/erp (attempt=0 windowId={at})\n")
            out.write(f"{stamp} Action completed: type=restart target=Deployment shop/erp status=success\n")
    for second in range(10, 3000, 10):
        probe.ask(second, second + 10)
        if second == 1560:
            monitor = make(more)
        monitor.turn(BEGIN + (second + 10) * S)
    (found,) = monitor.incidents
    assert [round((one.start.lo_ns - BEGIN) / S) for one in found.timeline.actions] == [620]
    kept = IncidentBook(tmp_path / "watched").read_needless()
    assert [round((one.start.lo_ns - BEGIN) / S) for one in kept] == [100, 1500]
    counted = 'smartops_chaos_needless_actions_total{kind="restart",namespace="shop",service="erp"} 2.0'
    assert counted in monitor.numbers.text().decode()
    assert counted in make(more).numbers.text().decode()
    evidence = monitor._book.read_evidence(found.id)
    assert evidence is not None
    assert load_incidents.same(found, evidence)


@pytest.mark.parametrize(
    ("more", "says"),
    [("loki: http://127.0.0.1:9\n", "has no `loki`"), ("logs: {elsewhere: a.log}\n", "no rule is about `elsewhere`")],
)
def test_a_source_that_no_rule_reads_is_refused(make: Callable[..., Any], more: str, says: str) -> None:
    with pytest.raises(FileProblems) as failed:
        make(more)
    assert says in str(failed.value)


def test_the_file_s_load_is_the_healer_file_s(make: Callable[..., StandingMonitor]) -> None:
    load = make().load
    assert (load.url, load.path, load.method, load.rate_per_s) == ("http://127.0.0.1:9", "/simulate/load", "POST", 1.0)
    assert MonitorFile.model_fields["rate"].default == 5.0
