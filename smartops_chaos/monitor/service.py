"""The monitor as a process: the probe beside it, a turn every half second, and what it knows by HTTP.

Nothing is done at the end, since it may come at any moment: whoever is started next goes on with what is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from smartops_chaos.clock import Clock
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.monitor import numbers, probe
from smartops_chaos.monitor.standing import StandingMonitor
from smartops_chaos.schema.monitorfile import MonitorFile, listened
from smartops_chaos.store.incident_book import IncidentBook

_EVERY_S = 0.5
_STEP_NS = 1_000_000_000  # the wall clock has left ours: somebody has set it, or the machine has slept
_AGAIN_S = 5.0

logger = logging.getLogger("smartops_chaos")


def run(file: MonitorFile, base: Path, folder: Path) -> None:
    """Until SIGTERM or Ctrl-C. `base` is where paths in the file begin. Raises PreflightFailed, FileProblems."""
    book = IncidentBook(folder)
    with book.locked():
        clock = Clock.anchored()
        monitor = StandingMonitor(file, base, book, clock, lambda _begin, _end: "")
        probe.start(monitor.load, book.raw, clock)  # forked before there is any thread
        try:
            again = asyncio.run(_serve(monitor, file, clock))
        finally:
            probe.stop()
    if again:
        os.execv(sys.executable, sys.orig_argv)  # as after any other end


async def _serve(monitor: StandingMonitor, file: MonitorFile, clock: Clock) -> bool:
    """Whether to start anew, since the probe has ended or the wall clock was set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    app = web.Application()
    app.add_routes([web.get("/metrics", _metrics(monitor))])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, port = listened(file.listen)
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError as error:
        raise PreflightFailed(
            f"{file.listen} cannot be listened on: {error.strerror}", "say another `listen`"
        ) from None
    logger.info("listening on %s", runner.addresses[0])
    try:
        while not stopping.is_set():
            await asyncio.to_thread(monitor.turn)
            if not probe.running() or clock.wall_bounds_ns()[0] > _STEP_NS:
                logger.warning("the probe has ended, or the clock was set: starting anew")
                await asyncio.sleep(_AGAIN_S)
                return True
            try:
                await asyncio.wait_for(stopping.wait(), _EVERY_S)
            except TimeoutError:
                continue
    finally:
        await runner.cleanup()
    return False


def _metrics(monitor: StandingMonitor):  # type: ignore[no-untyped-def]
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=monitor.numbers.text(), headers={"Content-Type": numbers.CONTENT_TYPE})

    return answer
