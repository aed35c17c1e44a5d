"""What the driver `proxy` adds to an exchange, how many its proxy carries on one core, and how true its faults are.

    python -m benchmarks.proxy [SECONDS]

The proxy is a real process on loopback, tied to one core, with a stand-in for the API server; behind it stands a server
that answers at once. An open loop of exchanges on 50 open connections goes to the server itself, then over the proxy,
in turns: what is added is the difference of the medians, and of the 99th percentiles.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from smartops_chaos.kubernetes.container import text

RATE = 2000
CONNECTIONS = 50
REQUEST = b"POST /order HTTP/1.1\r\nHost: erp\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"y" * 200
NAME, SERVICE = "the-proxy", "erp"
MARK = "smartops-chaos/fault.a1"
FAULTS: tuple[dict[str, Any], ...] = (
    {"delay": 0.2},
    {"delay": 0.4, "jitter": 0.1},
    {"delay": 1.0},
    {"loss": 0.1},
    {"loss": 0.3},
    {"delay": 0.4, "loss": 0.2},
    {"rate": 100_000},
    {"reset": 0.2},
    {"cut": True},
)


class StandInApi:
    """As much of an API server as the proxy asks: its own Deployment, the pods, the Service."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.version = 1
        self.marks: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.service: dict[str, Any] = {"metadata": {"resourceVersion": "1"}, "spec": {}}
        self.deleted = False
        self.calls: list[str] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def change(self, **values: Any) -> None:
        with self.changed:
            for name, value in values.items():
                setattr(self, name, value)
            self.version += 1
            self.changed.notify_all()

    def end(self) -> None:
        self.change()
        self._server.shutdown()
        self._server.server_close()

    def _listed(self, path: str) -> dict[str, Any]:
        items = self.pods
        if "/deployments" in path:
            noted = {key: json.dumps(detail) for key, detail in self.marks.items()}
            items = [] if self.deleted else [{"metadata": {"name": NAME, "annotations": noted}}]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                if "watch" not in asked:
                    self.answer(api.service if "/services/" in parts.path else api._listed(parts.path))
                    return
                with api.changed:
                    api.changed.wait_for(lambda: str(api.version) != asked["resourceVersion"], 20)
                self.answer({"type": "MODIFIED"}, b"\n")

            def do_PATCH(self) -> None:
                patch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.calls.append("PATCH")
                api.change(service=_merged(api.service, patch))
                self.answer(api.service)

            def do_DELETE(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                api.calls.append("DELETE")
                api.change(deleted=True)
                self.answer({})

            def answer(self, value: Any, after: bytes = b"") -> None:
                body = json.dumps(value).encode() + after
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _merged(found: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    base = dict(found) if isinstance(found, dict) else {}
    for name, value in patch.items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = _merged(base.get(name), value)
    return base


def pod(uid: str, host: str, port: int, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"uid": uid},
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
        "status": {
            "podIP": host,
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class RunningProxy:
    """The proxy as a process here."""

    def __init__(self, api: StandInApi, core: int | None = None) -> None:
        self.port, self.control = free_port(), free_port()
        settings = {
            "namespace": "n",
            "name": NAME,
            "service": SERVICE,
            "selector": "app=erp",
            "unready": False,
            "ports": [{"listen": self.port, "target": "http"}],
            "control": self.control,
            "host": "127.0.0.1",
            "api": api.url,
            "patience_s": 0.2,
            "linger_s": 0.0,
        }
        tied = [] if core is None else ["taskset", "-c", str(core)]
        self.process = subprocess.Popen([*tied, sys.executable, "-c", text("proxy.py"), json.dumps(settings)])
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError):
                self.ask("/ready")
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("the proxy has not become ready")
            time.sleep(0.02)

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}{path}", timeout=60) as answer:
            return json.load(answer)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def mark(params: dict[str, Any], until_s: float = 60, **more: Any) -> dict[str, Any]:
    return {"begun": True, "until": time.time() + until_s, "params": params, "seed": 7, **more}


class _Server(asyncio.Protocol):
    """Answers at once."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.got = transport, 0

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        while self.got >= len(REQUEST):
            self.got -= len(REQUEST)
            self.transport.write(ANSWER)


async def load(port: int, seconds: float, rate: int = RATE) -> list[float]:
    """Seconds that each exchange took, from when it was due."""
    loop, took, idle = asyncio.get_running_loop(), [], asyncio.Queue[Any]()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def exchange(due: float) -> None:
        reader, writer = await idle.get()
        writer.write(REQUEST)
        await reader.readexactly(len(ANSWER))
        took.append(loop.time() - due)
        idle.put_nowait((reader, writer))

    begin, tasks = loop.time(), []
    for number in range(int(seconds * rate)):
        due = begin + number / rate
        if (left_s := due - loop.time()) > 0:
            await asyncio.sleep(left_s)
        tasks.append(asyncio.create_task(exchange(due)))
    await asyncio.gather(*tasks)
    while not idle.empty():
        idle.get_nowait()[1].close()
    return took


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(seconds: float) -> None:
    api = StandInApi()
    server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    api.change(pods=[pod("u1", "127.0.0.1", behind)], marks={MARK: {**mark({}), "begun": False}})
    proxy = await asyncio.to_thread(RunningProxy, api, 0)
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    try:
        direct: list[float] = []
        over: list[float] = []
        used_s = 0.0
        for _ in range(4):
            direct += await load(behind, seconds / 4)
            used_s -= _cpu_s(proxy.process.pid)
            over += await load(proxy.port, seconds / 4)
            used_s += _cpu_s(proxy.process.pid)
        print(f"{RATE} exchanges a second for {seconds:.0f} s, milliseconds")
        for what, of in (("median", 0.5), ("p90", 0.9), ("p99", 0.99)):
            a, b = (sorted(took)[int(of * len(took))] * 1000 for took in (direct, over))
            print(f"  {what}: {a:.2f} direct, {b:.2f} over the proxy: {b - a:+.2f}")
        print(
            f"  mean: {1000 * (statistics.mean(over) - statistics.mean(direct)):+.2f}; core used {used_s / seconds:.0%}"
        )
        for number, params in enumerate(FAULTS):
            name = f"b{number}"
            api.change(marks={f"smartops-chaos/fault.{name}": mark(params)})
            while name not in (await asyncio.to_thread(proxy.ask, "/status"))["troubles"]:
                await asyncio.sleep(0.01)
            begin = time.monotonic()
            found = await asyncio.to_thread(proxy.ask, f"/measure/{name}/1000")
            print(f"  {params}: {found} ({time.monotonic() - begin:.1f} s)")
    finally:
        proxy.end()
        server.close()
        api.end()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0))
