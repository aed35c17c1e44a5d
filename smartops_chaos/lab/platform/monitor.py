"""The lane's Prometheus: the real server, scraping every second."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from smartops_chaos.lab.platform.ask import ask
from smartops_chaos.lab.platform.procs import Process, prometheus_program

_TRIES = 5
_READY_WITHIN_S = 15.0
_ANSWERS_WITHIN_S = 3.0
_CONFIG = """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: lab
    file_sd_configs: [{files: [targets.json], refresh_interval: 5s}]
"""


class MonitorFailed(RuntimeError):
    """Prometheus did not come up; the text has its last words."""


class Monitor:
    def __init__(self, directory: Path, client: aiohttp.ClientSession) -> None:
        self._directory = directory
        self._client = client
        self._process: Process | None = None
        self._port = 0
        directory.mkdir(exist_ok=True)
        (directory / "prometheus.yml").write_text(_CONFIG, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def set_targets(self, jobs: Mapping[str, Mapping[str, int]]) -> None:
        """`jobs`: job -> pod name -> port; an empty pod name means that the job has no pods."""
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job, **({"pod": pod} if pod else {})}}
            for job, pods in jobs.items()
            for pod, port in pods.items()
        ]
        new = self._directory / "targets.new"
        new.write_text(json.dumps(targets), encoding="utf-8")
        new.replace(self._directory / "targets.json")

    async def ensure(self) -> None:
        """Start it if it does not answer, on the same port as before if that is free; returns when it is ready.

        Raises MonitorFailed, or FileNotFoundError when the program is missing.
        """
        if await self._ready(_ANSWERS_WITHIN_S):
            return
        await self.close()
        for _ in range(_TRIES):
            self._port = self._port or _free_port()
            self._process = self._start()
            if await self._ready(_READY_WITHIN_S):
                return
            await self.close()
            self._port = 0  # somebody else may have taken it
        words = (self._directory / "prometheus.log").read_text(encoding="utf-8", errors="replace")[-500:]
        raise MonitorFailed(f"Prometheus did not get ready: {words}")

    async def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.exited.wait()

    def _start(self) -> Process:
        command = [
            prometheus_program() or "prometheus",
            f"--config.file={self._directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            "--storage.tsdb.retention.time=6h",
            "--storage.tsdb.wal-segment-size=10MB",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with (self._directory / "prometheus.log").open("ab") as log:
            return Process(command, output=log, extra_environment={"GOMAXPROCS": "1"})

    async def _ready(self, within_s: float) -> bool:
        deadline = asyncio.get_running_loop().time() + within_s
        while self._process is not None and self._process.running and asyncio.get_running_loop().time() < deadline:
            if await ask(self._client, f"{self.url}/-/ready") is not None:
                return True
            await asyncio.sleep(0.02)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
