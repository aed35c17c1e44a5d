"""The node's side of the gateway: its process, and the routes and network faults that it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import aiohttp

from smartops_chaos.lab.platform.ask import ask
from smartops_chaos.lab.platform.gateway import Route
from smartops_chaos.lab.platform.procs import Process, hold_port, module

_DRAIN_S = 1.0


class Service:
    def __init__(self, token: str, client: aiohttp.ClientSession) -> None:
        self._held = hold_port()
        self.port: int = self._held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = Process(
            module("platform.gateway", "--port", str(self.port)), extra_environment={"LAB_TOKEN": token}
        )
        self._token, self._client = token, client

    async def up(self) -> None:
        """Returns when the gateway answers, or has died."""
        while self.process.running and not await self.answers():
            await asyncio.sleep(0.02)

    async def answers(self) -> bool:
        return await ask(self._client, f"{self.url}/metrics") is not None

    async def put(self, routes: Sequence[Route], flush: bool) -> None:
        """Replace the routes; `flush` drops what is under way."""
        await self._call("PUT", {"routes": [asdict(route) for route in routes], "flush": flush})

    async def drained(self, pod: str) -> None:
        """Returns when nothing is under way to the pod, or after a second."""
        deadline = asyncio.get_running_loop().time() + _DRAIN_S
        while asyncio.get_running_loop().time() < deadline:
            if not (await self._call("GET"))["in_flight"].get(pod):
                return
            await asyncio.sleep(0.03)

    async def seen(self, fault_id: str) -> dict[str, float]:
        """What requests met on the path of this fault, as the gateway measured it; empty = none came that way."""
        return dict((await self._call("GET"))["seen"].get(fault_id, {}))

    async def close(self) -> None:
        self.process.kill()
        await self.process.exited.wait()

    async def _call(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with self._client.request(method, f"{self.url}/-/routes", json=body, headers=headers) as answer:
                return dict(await answer.json())
        except (aiohttp.ClientError, OSError):
            return {"in_flight": {}, "seen": {}}  # not up yet, or dead: then the node ends
