"""The platform as the healer sees it: a client of the node's Kubernetes-like API. A call that fails raises OSError."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

Request = AbstractAsyncContextManager[aiohttp.ClientResponse]


class Cluster:
    def __init__(self, url: str, token: str, client: aiohttp.ClientSession) -> None:
        self._url, self._client = f"{url}/apis/deployments", client
        self._headers = {"Authorization": f"Bearer {token}"}

    async def status(self, deployment: str) -> dict[str, Any]:
        return await self._call("GET", deployment)

    async def restart(self, deployment: str) -> dict[str, Any]:
        return await self._call("POST", f"{deployment}/restart")

    async def scale(self, deployment: str, replicas: int) -> dict[str, Any]:
        return await self._call("POST", f"{deployment}/scale", {"replicas": replicas})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await fetch_json(self._client.request(method, f"{self._url}/{path}", json=body, headers=self._headers))


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
