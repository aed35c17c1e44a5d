"""An API server's answers as they come, in one thread: lines, watches that go on where they were cut off, its clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from smartops_chaos.kubernetes.cluster import Json
from smartops_chaos.kubernetes.collection import Collection, ObjectChange
from smartops_chaos.telemetry.connection import Connection

if TYPE_CHECKING:
    import aiohttp

ANSWER_S = 3.0  # without an answer for so long the API server counts as down
_WATCH_S = 240.0  # the server ends a watch then, and it goes on from there
_SILENCE_S = 90.0  # a watch says at least every minute that it lives; a log that is only quiet is opened again
_LIST_S = 30.0
_SAID = 200  # characters of a refusal


class StreamBroken(Exception):
    """No answer, or a refusal. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class ApiStream:
    """`server` gives the API server's root with credentials; it is asked again when they may have run out."""

    def __init__(self, server: Callable[[], Connection]) -> None:
        self._renewed = server
        self._server = server()

    async def __aenter__(self) -> ApiStream:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0, ssl=self._server.tls())
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_S, sock_read=_SILENCE_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def renew(self) -> None:
        """Read the credentials again; where a program makes them that takes a while."""
        self._server = await asyncio.to_thread(self._renewed)

    async def second(self) -> int:
        """The server's Date, whole seconds in nanoseconds. Raises StreamBroken."""
        import aiohttp

        try:
            async with asyncio.timeout(ANSWER_S), self._open("/version", {}) as answer:
                await answer.read()
                if answer.status >= 400:
                    raise StreamBroken(answer.status, f"{answer.status} {answer.reason}")
                return round(parsedate_to_datetime(answer.headers["Date"]).timestamp()) * 10**9
        except TimeoutError:
            raise StreamBroken(0, f"no answer within {ANSWER_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise StreamBroken(0, f"{type(error).__name__}: {error}") from error

    async def lines(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        """The lines of an answer. Raises StreamBroken."""
        import aiohttp

        rest = b""
        try:
            async with self._open(path, query) as answer:
                if answer.status >= 400:
                    raise StreamBroken(answer.status, self._server.hide(await answer.text())[:_SAID])
                async for block in answer.content.iter_any():
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        yield line
                if rest:
                    yield rest
        except (aiohttp.ClientError, OSError) as error:
            raise StreamBroken(0, f"{type(error).__name__}: {error}") from error

    async def watch(self, path: str, seen: Callable[[ObjectChange], None], listed: Callable[[], None]) -> None:
        """Every object of a collection, then every change, for ever; see `collection` for each step.

        `listed` is called after each list. Raises StreamBroken where the right to list is missing, which does not mend
        itself.
        """
        known = Collection()
        while True:
            await asyncio.sleep(known.pause_s())
            try:
                if not known.version:
                    for change in known.listed(await self._list(path)):
                        seen(change)
                    listed()
                async for line in self.lines(path, known.watched(_WATCH_S)):
                    if change_seen := known.changed(line):
                        seen(change_seen)
                    if not known.version:
                        break
            except StreamBroken as broken:
                if broken.status == 403 and not known.version:
                    raise
                if broken.status:  # a refusal, as 410: a new list helps. Without an answer the next watch goes on.
                    known.version = ""

    async def _list(self, path: str) -> Json:
        try:
            async with asyncio.timeout(_LIST_S):
                text = b"\n".join([line async for line in self.lines(path, {})])
        except TimeoutError:
            raise StreamBroken(0, f"no list within {_LIST_S:g} s") from None
        try:
            found = json.loads(text)
            if isinstance(found["metadata"]["resourceVersion"], str) and isinstance(found["items"] or [], list):
                return {**found, "items": found["items"] or []}
        except (ValueError, KeyError, TypeError):
            pass
        raise StreamBroken(0, "what answers is no API server: is a login page or a proxy in between?")

    def _open(self, path: str, query: dict[str, str]) -> aiohttp.client._RequestContextManager:
        more = self._server.streaming()
        return self._session.get(self._server.url + path, params=query, headers=self._server.headers, **more)
