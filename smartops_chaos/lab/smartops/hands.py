"""The platform as the healer sees and moves it. A call that fails raises OSError."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from smartops_chaos.lab.smartops import detect

Request = AbstractAsyncContextManager[aiohttp.ClientResponse]

SERVICE, DEPLOYMENT = "erp-simulator", "smartops-erp-simulator"


@dataclass(frozen=True, slots=True)
class Status:
    """Of a deployment."""

    desired: int
    generation: int  # of what is wanted
    rolled_out: bool  # every pod is ready and of this generation


class Hands(Protocol):
    """Eyes and hands: the lab's node, or a Kubernetes API server."""

    namespace: str

    async def look(self) -> detect.ServiceSample:
        """What the service has done so far."""

    async def status(self, deployment: str) -> Status: ...

    async def restart(self, deployment: str) -> int:
        """Replace every pod, one after the other; returns the generation to wait for."""

    async def scale(self, deployment: str, replicas: int) -> int:
        """Have so many pods; returns the generation to wait for."""


class LabNode:
    """The lab's node, by its Kubernetes-like API and its metrics; requests are counted at the gateway."""

    namespace = "lab"

    def __init__(self, url: str, gateway: str, token: str, client: aiohttp.ClientSession) -> None:
        self._url, self._gateway, self._client = url, gateway, client
        self._headers = {"Authorization": f"Bearer {token}"}

    async def look(self) -> detect.ServiceSample:
        pages = (self._client.get(f"{url}/metrics") for url in (self._gateway, self._url))
        seen, used = await asyncio.gather(*map(fetch_text, pages))
        return detect.sample(time.monotonic(), seen, used, DEPLOYMENT)

    async def status(self, deployment: str) -> Status:
        return _status(await self._call("GET", deployment))

    async def restart(self, deployment: str) -> int:
        return _status(await self._call("POST", f"{deployment}/restart")).generation

    async def scale(self, deployment: str, replicas: int) -> int:
        return _status(await self._call("POST", f"{deployment}/scale", {"replicas": replicas})).generation

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self._url}/apis/deployments/{path}"
        return await fetch_json(self._client.request(method, url, json=body, headers=self._headers))


def _status(told: dict[str, Any]) -> Status:
    return Status(int(told["desired"]), int(told["generation"]), bool(told["rolled_out"]))


async def fetch_json(request: Request) -> dict[str, Any]:
    try:
        async with request as answer:
            if answer.status >= 400:
                raise OSError(f"{answer.url}: {answer.status} {await answer.text()}")
            return dict(await answer.json())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{error!r}") from error


async def fetch_text(request: Request) -> str:
    try:
        async with request as answer:
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{error!r}") from error
