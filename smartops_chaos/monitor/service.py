"""The monitor as a process: the probe beside it, a turn every half second, and what it knows by HTTP.

    GET /          the page, one static file          GET /metrics     Prometheus' text format
    GET /state.js  its state, for the beginning       GET /live        the same as server-sent events
    GET /healthz   200 while turns are made

Nothing is done at the end, since it may come at any moment: whoever is started next goes on with what is on disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from smartops_chaos.clock import Clock
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.monitor import numbers, pods, probe
from smartops_chaos.monitor.campaigns import CampaignMarks
from smartops_chaos.monitor.standing import StandingMonitor
from smartops_chaos.resources import shipped
from smartops_chaos.schema.monitorfile import MonitorFile, listened
from smartops_chaos.store.incident_book import IncidentBook
from smartops_chaos.trial import sidecar

_TURN_S, _MARKS_S, _AGENTS_S, _MTTR_S, _LIVE_S = 0.5, 2.0, 5.0, 60.0, 1.0
_STEP_NS = 1_000_000_000  # the wall clock has left ours: somebody has set it, or the machine has slept
_AGAIN_S = 5.0
_STUCK_S = 60.0
_CHECKED_S = 5.0  # after its start everything has had the time to answer once

logger = logging.getLogger("smartops_chaos")


def run(file: MonitorFile, base: Path, folder: Path) -> None:
    """Until SIGTERM or Ctrl-C. `base` is where paths in the file begin. Raises PreflightFailed, FileProblems."""
    book = IncidentBook(folder)
    with book.locked():
        clock = Clock.anchored()
        marks = CampaignMarks(base / file.results if file.results else None)
        monitor = StandingMonitor(file, base, book, clock, marks)
        watched = monitor.watched
        sidecar.start(probe.PROCESS, probe.run, monitor.load, book.raw, clock)  # forked before there is any thread
        if watched:
            sidecar.start(pods.PROCESS, pods.run, watched, book.raw, clock)
        try:
            again = asyncio.run(_Service(file, monitor, marks, clock).run())
        finally:
            for name in (probe.PROCESS, pods.PROCESS):
                sidecar.stop(name)
    if again:
        os.execv(sys.executable, sys.orig_argv)  # as after any other end


class _Service:
    def __init__(self, file: MonitorFile, monitor: StandingMonitor, marks: CampaignMarks, clock: Clock) -> None:
        self._file, self._monitor, self._marks, self._clock = file, monitor, marks, clock
        self._stopping = asyncio.Event()
        self._state = "{}"
        self._turned_s = time.monotonic()
        self._unanswered: list[str] = []
        self._said: deque[str] = deque(maxlen=20)

    async def run(self) -> bool:
        """Whether to start anew, since the probe has ended or the wall clock was set."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        await asyncio.to_thread(self._turn)
        runner = await self._listen()
        for what in self._monitor.follows():
            logger.info("%s", what)
        check_s = time.monotonic() + _CHECKED_S
        tasks = [
            asyncio.create_task(self._every(seconds, job))
            for seconds, job in ((_MARKS_S, self._look), (_AGENTS_S, self._ask), (_MTTR_S, self._mttr))
        ]
        try:
            while not self._stopping.is_set():
                begun_s = time.monotonic()
                await asyncio.to_thread(self._turn)
                if begun_s > check_s:
                    check_s = math.inf
                    await asyncio.to_thread(self._check)
                beside = (probe.PROCESS, *([pods.PROCESS] if self._file.cluster else []))
                if not all(map(sidecar.running, beside)) or self._clock.wall_bounds_ns()[0] > _STEP_NS:
                    logger.warning("a process beside this one has ended, or the clock was set: starting anew")
                    await self._wait(_AGAIN_S)
                    return not self._stopping.is_set()
                await self._wait(max(_TURN_S, 3 * (time.monotonic() - begun_s)))
        finally:
            for task in tasks:
                task.cancel()
            await runner.cleanup()
        return False

    async def _listen(self) -> web.AppRunner:
        app = web.Application()
        routes = {"/": self._page, "/state.js": self._first, "/live": self._live}
        routes |= {"/metrics": self._metrics, "/healthz": self._healthz}
        app.add_routes([web.get(path, handler) for path, handler in routes.items()])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, *listened(self._file.listen)).start()
        except OSError as error:
            await runner.cleanup()
            what = f"{self._file.listen} cannot be listened on: {error.strerror or error}"
            raise PreflightFailed(what, "another monitor? say another address with --listen") from None
        logger.info("listening on http://%s:%s", *runner.addresses[0][:2])
        return runner

    # ---- what is done again and again --------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            self._monitor.turn(self._clock.now_ns())
            self._turned_s = time.monotonic()
        except OSError as error:  # a full disk: the next turn may find it mended, and what is on record stays
            self._say(f"{error.filename}: {error.strerror}")
        state = self._monitor.state() | {
            "faults": [
                {
                    "campaign": one.campaign,
                    "fault": one.fault,
                    "from": one.lo_ns / 1e9,
                    "to": one.hi_ns and one.hi_ns / 1e9,
                }
                for one in self._marks.faults
            ],
            "lanes": self._marks.lanes,
            "notes": self._unanswered,
        }
        self._state = json.dumps(state)

    def _check(self) -> None:
        for what in self._monitor.unreached():
            self._say(f"not reached: {what}")

    def _look(self) -> None:
        self._marks.look()
        self._monitor.numbers.faults(self._marks.active())

    def _ask(self) -> None:
        self._unanswered = self._monitor.agents.ask()
        for what in self._unanswered:
            self._say(f"not reached: {what}")

    def _mttr(self) -> None:
        self._monitor.numbers.mttr(self._marks.mttr())

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.append(what)
            logger.warning("%s", what)

    async def _every(self, seconds: float, job: Callable[[], None]) -> None:
        while True:
            try:
                await asyncio.to_thread(job)
            except Exception as error:  # the boundary: what stands beside the incidents must not end them
                self._say(f"{type(error).__name__}: {error}")
            await asyncio.sleep(seconds)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    # ---- HTTP --------------------------------------------------------------------------------------------------

    async def _page(self, _: web.Request) -> web.Response:
        text = shipped("monitor", "page.html").read_text(encoding="utf-8")
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    async def _first(self, _: web.Request) -> web.Response:
        text = f"const FIRST = {self._state};\n"
        return web.Response(text=text, content_type="text/javascript", headers={"Cache-Control": "no-store"})

    async def _live(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        while not self._stopping.is_set():
            try:
                await answer.write(f"data: {self._state}\n\n".encode())
            except ConnectionError:
                break
            await self._wait(_LIVE_S)
        return answer

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._monitor.numbers.text(), headers={"Content-Type": numbers.CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        stuck = time.monotonic() - self._turned_s > _STUCK_S
        told: dict[str, Any] = {"turned_s_ago": round(time.monotonic() - self._turned_s, 1)}
        return web.json_response(told, status=503 if stuck else 200)
