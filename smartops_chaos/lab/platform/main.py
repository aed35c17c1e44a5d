"""The program of a lane: `python -m smartops_chaos.lab.platform.main --directory DIR --name NAME`.

It prints one line when the lane is ready (or the reason why not) and lives until POST /shutdown, SIGTERM, or, with
--lifeline, the end of its stdin. Whatever way it ends, its children end with it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from smartops_chaos.lab.platform import control_api
from smartops_chaos.lab.platform.monitor import MonitorFailed
from smartops_chaos.lab.platform.node import Node
from smartops_chaos.lab.smartops import orders


async def run(options: argparse.Namespace) -> None:
    directory: Path = options.directory
    loop, timeout = asyncio.get_running_loop(), aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        node = Node(directory, options.name, options.core, options.replicas, options.slot, client)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stopping.set)
        if options.lifeline:
            loop.add_reader(0, node.stopping.set)  # nobody writes, so readable means the end
        async with control_api.serve(node):
            try:
                if await _unless_stopped(node, node.start()):
                    print("ready", flush=True)
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever started us may go away now
                    await node.stopping.wait()
            except (MonitorFailed, OSError) as error:
                print(f"failed: {error}", flush=True)
            finally:
                if options.lifeline:
                    loop.remove_reader(0)
                (directory / "lane.json").unlink(missing_ok=True)
                await node.close()


async def _unless_stopped(node: Node, work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work was done before the node had to end."""
    doing, stopped = asyncio.create_task(work), asyncio.create_task(node.stopping.wait())
    await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not doing.done():
        doing.cancel()
        return False
    await doing
    return True


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--directory", type=Path, required=True)
    options.add_argument("--name", required=True)
    options.add_argument("--core", type=int, default=0)
    options.add_argument("--beside", type=int, nargs="+", help="the cores for all but the replicas")
    options.add_argument("--replicas", type=int, default=2)
    options.add_argument("--slot", type=float, default=orders.SLOT_S, help="seconds that an order takes in a replica")
    options.add_argument("--lifeline", action="store_true")
    given = options.parse_args()
    if given.beside:
        os.sched_setaffinity(0, given.beside)
    asyncio.run(run(given))


if __name__ == "__main__":
    main()
