"""Real Prometheus servers on blocks with known stamps, and HTTP servers that answer as a test says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from smartops_chaos.lab.platform.procs import prometheus_program
from smartops_chaos.model import Evidence, Interval, Slo, Trial
from smartops_chaos.schema.healerfile import HealerFile
from smartops_chaos.telemetry import prometheus
from smartops_chaos.timeline.interval import Frame
from smartops_chaos.timeline.rules import Match, read


class Asked(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]


class Answer(NamedTuple):
    body: str
    status: int = 200
    headers: Mapping[str, str] = {}


Handler = Callable[[Asked], Answer]


@contextmanager
def serving(handler: Handler, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server in a thread; `handler` gets every request. Yields its address."""

    async def handle(request: web.Request) -> web.Response:
        params = {**request.query, **(dict(await request.post()) if request.method == "POST" else {})}
        asked = Asked(request.method, request.path, params, dict(request.headers))  # type: ignore[arg-type]
        body, status, headers = await asyncio.to_thread(handler, asked)
        return web.Response(text=body, status=status, headers=headers)

    loop = asyncio.new_event_loop()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    loop.run_until_complete(site.start())
    port = runner.addresses[0][1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def serve() -> Any:
    return serving


def programs() -> dict[str, str]:
    """The first Prometheus of version 2 and of 3 that is found; `go install` leaves one that names no version."""
    places = [os.environ.get("PROMETHEUS_3"), prometheus_program(), str(Path.home() / "go" / "bin" / "prometheus")]
    places += [str(Path(folder) / "prometheus") for folder in os.get_exec_path()]
    found: dict[str, str] = {}
    for place in places:
        if place and os.access(place, os.X_OK):
            told = subprocess.run([place, "--version"], capture_output=True, text=True, timeout=20)
            found.setdefault("2" if "version 2." in told.stdout + told.stderr else "3", place)
    return found


@pytest.fixture(scope="session", params=["2", "3"])
def program(request: pytest.FixtureRequest) -> str:
    """Each version of Prometheus that there is: the selectors of 3 are left-open."""
    found = programs()
    if not found:
        pytest.fail("prometheus is missing: ./script/setup dev installs it")
    if request.param not in found:
        made = "go install github.com/prometheus/prometheus/cmd/prometheus@v0.316.0, or name it in PROMETHEUS_3"
        pytest.skip(f"no Prometheus {request.param}" + (f": {made}" if request.param == "3" else ""))
    return found[request.param]


@contextmanager
def prometheus_server(program: str, folder: Path, config: str, *arguments: str) -> Iterator[str]:
    """A server on `folder`/data; yields its address once it is ready."""
    (folder / "prometheus.yml").write_text(config, encoding="ascii")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            *arguments,
        ],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    try:
        while True:
            try:
                prometheus.instant(address, "1")
                break
            except prometheus.PrometheusError:
                assert server.poll() is None
                assert time.monotonic() < deadline
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def run_prometheus() -> Any:
    return prometheus_server


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory, program: str) -> Iterator[Callable[..., str]]:
    """OpenMetrics lines with stamps -> the address of a server that has exactly these samples."""
    beside = os.pathsep.join(str(Path(place).parent) for place in programs().values())
    promtool = shutil.which("promtool", path=f"{beside}{os.pathsep}{os.defpath}") or shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing: ./script/setup dev installs it with prometheus")
    running: list[Any] = []

    def store(lines: list[str], *arguments: str) -> str:
        folder = tmp_path_factory.mktemp("prometheus")
        (folder / "metrics").write_text("\n".join([*lines, "# EOF", ""]), encoding="ascii")
        subprocess.run(
            [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "metrics", folder / "data"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        old = "--storage.tsdb.retention.time=100y"
        server = prometheus_server(program, folder, "global: {}\n", old, *arguments)
        running.append(server)
        return server.__enter__()

    yield store
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def answer() -> type[Answer]:
    return Answer


@pytest.fixture(scope="session")
def reading() -> Callable[..., list[Match]]:
    """A rule for `detected` on evidence -> all that it matched."""

    def read_rule(rule: dict[str, Any], start_ns: int, until_ns: int, **evidence: Any) -> list[Match]:
        healer = HealerFile.model_validate(
            {
                "version": 1,
                "name": "h",
                "poll": "1s",
                "warm_up": "1s",
                "workload": {"path": "/", "timeout": "1s"},
                "settings": {},
                "steady": "up",
                "metrics": [rule["increase"]] if "increase" in rule else [],
                "moments": {"detected": [rule]},
            }
        )
        trial = Trial("t", "measure", "c", "w", "m", "p", 1, 1, 1)
        stored = Evidence(trial, 1, "lane-1", "", Slo(1, 1, 1), 60, 4, **evidence)
        begin = Interval(start_ns, start_ns)
        return list(read(stored, healer, Frame(begin, begin, until_ns)).matches[0].matches)

    return read_rule
