"""One replica of the ERP: `python -m smartops_chaos.lab.smartops.erp --port N`, on a core of its own or in a container.

Its work is in `orders.py`: so many orders a second, on every machine. Few may wait, the rest is refused at once.
Standard library only, since a restarted pod has to be ready quickly.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from smartops_chaos.lab.smartops import cgroup, spans
from smartops_chaos.lab.smartops.exposition import CONTENT_TYPE, Metrics
from smartops_chaos.lab.smartops.modes import Modes
from smartops_chaos.lab.smartops.orders import CPU_S, MAX_WAITING, SLOT_S, SPAN_S, Worker, units_for

DRAIN_S = 1.5  # from the order to end to the end: until then the platform may still send requests


class Erp:
    def __init__(self, units: int, slot_s: float, own_cgroup: Path | None = None, switches: bool = True) -> None:
        self.metrics = Metrics()
        self.metrics_lock = threading.Lock()
        self.modes = Modes()
        self.switches = switches
        self.worker = Worker(units, slot_s, self.modes.burn)
        self.tracer = spans.Tracer("smartops-erp-simulator")
        self.slow_s = (MAX_WAITING + 1) * slot_s  # that a request takes behind a full queue
        self._cgroup = own_cgroup

    def load(self, arrived_s: float) -> str | None:
        """Do one request's work; None when too many wait already."""
        answer = self.worker.carry_out(arrived_s)
        if answer is not None:
            with self.metrics_lock:
                self.metrics.observe("erp_simulator_load_duration_seconds", time.perf_counter() - arrived_s)
        return answer

    def exposition(self) -> str:
        with self.metrics_lock:
            self.metrics.set("erp_simulator_modes_enabled", sum(self.modes.on.values()))
            self.metrics.set_counter("erp_simulator_memory_leak_bytes_total", self.modes.leaked_bytes)
            done = self.worker.timetable
            self.metrics.set_counter("erp_simulator_orders_total", done.orders)
            self.metrics.set_counter("erp_simulator_busy_seconds_total", done.busy_s)
            self.metrics.set_counter("erp_simulator_work_seconds_total", done.work_s)
            if self._cgroup is not None:
                used = cgroup.usage(self._cgroup)
                self.metrics.set_counter("container_cpu_usage_seconds_total", used.cpu_s)
                self.metrics.set("container_memory_working_set_bytes", used.memory_bytes)
                self.metrics.set("container_spec_memory_limit_bytes", used.memory_limit_bytes or 0)
            return self.metrics.render()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_port = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, erp: Erp) -> None:
        self.erp = erp
        super().__init__((host, port), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        erp = self.server.erp
        if self.path == "/healthz":
            self._answer(200, '{"status": "ok"}')
        elif self.path == "/metrics":
            self._answer(200, erp.exposition(), CONTENT_TYPE)
        elif self.path == "/chaos/modes":
            self._answer(200, json.dumps({"modes": erp.modes.on}))
        elif urlsplit(self.path).path == "/load":
            span_s = float(parse_qs(urlsplit(self.path).query).get("span_s", [str(SPAN_S)])[0])
            recent = erp.worker.timetable.recent(time.perf_counter(), span_s)
            self._answer(200, json.dumps(asdict(recent)))
        else:
            self._answer(404, '{"detail": "Not Found"}')

    def do_POST(self) -> None:
        arrived_s = time.perf_counter()
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/simulate/load":
            self._load(self.server.erp, arrived_s)
        elif self.server.erp.switches and (answer := self.server.erp.modes.switch(self.path)) is not None:
            self._answer(200, json.dumps(answer))
        else:
            self._answer(404, '{"detail": "Not Found"}')

    def _load(self, erp: Erp, arrived_s: float) -> None:
        begin_ns = time.time_ns()
        if erp.modes.arrive():
            self._fail(500, "a burst of errors")
        elif (signature := erp.load(arrived_s)) is not None:
            self._answer(200, json.dumps({"status": "completed", "signature": signature}))
            if time.perf_counter() - arrived_s > erp.slow_s:
                self._trace(begin_ns, ok=True)
            return
        else:
            self._fail(503, "too many requests are waiting")
        self._trace(begin_ns, ok=False)

    def _trace(self, begin_ns: int, *, ok: bool) -> None:
        """Of what failed or was slow alone: spans of all requests would cost the service time."""
        if parent := spans.parent(self.headers.get("traceparent")):
            self.server.erp.tracer.served(f"POST {self.path}", parent, begin_ns, ok=ok)

    def _fail(self, status: int, why: str) -> None:
        with self.server.erp.metrics_lock:
            self.server.erp.metrics.inc("erp_simulator_errors_total", endpoint=self.path)
        self._answer(status, json.dumps({"detail": why}))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the gateway counts."""

    def _answer(self, status: int, text: str, kind: str = "application/json") -> None:
        with self.server.erp.metrics_lock:
            endpoint = "other" if status == 404 else urlsplit(self.path).path
            self.server.erp.metrics.inc("erp_simulator_requests_total", method=self.command, endpoint=endpoint)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--units", type=int, help="units of work in a request; measured when not said")
    options.add_argument("--slot", type=float, default=SLOT_S, help="seconds from an order's begin to its answer")
    options.add_argument("--core", type=int, help="run on this core alone")
    options.add_argument("--no-switches", action="store_true", help="do not obey the fault switches, POST /chaos/...")
    options.add_argument("--cgroup", type=Path, help="tell what the container uses whose own cgroup is mounted here")
    given = options.parse_args()
    # Not before the imports, or a new pod's start would queue up behind the stressors of the one that it replaces. And
    # before the first thread, since a thread has the affinity of the one that started it.
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    units = given.units or units_for(CPU_S)
    server = Server(given.host, given.port, Erp(units, given.slot, given.cgroup, switches=not given.no_switches))

    def give_way(number: int, _: Any) -> None:
        """SIGUSR1: to what burns in the container; SIGUSR2: no longer."""
        server.erp.worker.gives_way = number == signal.SIGUSR1

    def drain(*_: Any) -> None:
        threading.Timer(DRAIN_S, os._exit, (0,)).start()

    signal.signal(signal.SIGTERM, drain)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, give_way)
    server.serve_forever()


if __name__ == "__main__":
    main()
