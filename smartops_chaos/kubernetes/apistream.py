"""An API server's answers as they come, in one thread: lines, watches that go on where they were cut off, its clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from smartops_chaos.kubernetes.cluster import Endpoint
from smartops_chaos.kubernetes.objects import Json

if TYPE_CHECKING:
    import aiohttp

ANSWER_S = 3.0  # without an answer for so long the API server counts as down
PAUSE_S = 0.2  # before a stream is opened again
_WATCH_S = 240  # the server ends a watch then, and it goes on from there
_SILENCE_S = 90.0  # a watch says at least every minute that it lives; a log that is only quiet is opened again
_LIST_S = 30.0

Seen = Callable[[Json, bool, bool], None]  # the object, whether it is gone, whether it was there from the beginning


class Trouble(Exception):
    """No answer, or a refusal. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Expired(Trouble):
    """The server no longer knows the version that a watch was to go on from."""


class ApiStream:
    """`server` gives the API server's root with credentials; it is asked again when they may have run out."""

    def __init__(self, server: Callable[[], Endpoint]) -> None:
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
        """The server's Date, whole seconds in nanoseconds. Raises Trouble."""
        import aiohttp

        try:
            async with asyncio.timeout(ANSWER_S), self._open("/version", {}) as answer:
                await answer.read()
                if answer.status >= 400:
                    raise Trouble(answer.status, f"{answer.status} {answer.reason}")
                return round(parsedate_to_datetime(answer.headers["Date"]).timestamp()) * 10**9
        except TimeoutError:
            raise Trouble(0, f"no answer within {ANSWER_S:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Trouble(0, f"{type(error).__name__}: {error}") from error

    async def lines(self, path: str, query: dict[str, str]) -> AsyncIterator[bytes]:
        """The lines of an answer. Raises Trouble."""
        import aiohttp

        rest = b""
        try:
            async with self._open(path, query) as answer:
                if answer.status >= 400:
                    text = (await answer.text())[:200]
                    raise (_Expired if answer.status == 410 else Trouble)(answer.status, text)
                async for block in answer.content.iter_any():
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        yield line
                if rest:
                    yield rest
        except (aiohttp.ClientError, OSError) as error:
            raise Trouble(0, f"{type(error).__name__}: {error}") from error

    async def watch(self, path: str, seen: Seen, listed: Callable[[], None]) -> None:
        """List, then every change, for ever. After a gap that the server has forgotten a new list is compared.

        Raises Trouble where the right is missing: that does not mend itself.
        """
        known: dict[str, Json] = {}
        first = True
        while True:
            try:
                answer = await self._list(path)
                before, known = known, {one["metadata"]["uid"]: one for one in answer["items"]}
                for uid, one in before.items():
                    if uid not in known:
                        seen(one, True, False)
                for uid, one in known.items():
                    if uid not in before or _version(before[uid]) != _version(one):
                        seen(one, False, first)
                first = False
                listed()
                version: str = answer["metadata"]["resourceVersion"]
                while version:
                    version = await self._changes(path, version, known, seen)
            except Trouble as trouble:
                if trouble.status == 403:
                    raise
                await asyncio.sleep(PAUSE_S)

    async def _changes(self, path: str, version: str, known: dict[str, Json], seen: Seen) -> str:
        """The changes of one watch; from where the next goes on, empty if only a new list helps."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_S),
            "allowWatchBookmarks": "true",
        }
        try:
            async for line in self.lines(path, query):
                event = json.loads(line)
                one = event["object"]
                if event["type"] == "ERROR":
                    return ""
                version = _version(one)
                if event["type"] != "BOOKMARK":
                    gone = event["type"] == "DELETED"
                    if gone:
                        known.pop(one["metadata"]["uid"], None)
                    else:
                        known[one["metadata"]["uid"]] = one
                    seen(one, gone, False)
        except _Expired:
            return ""
        except Trouble:
            await asyncio.sleep(PAUSE_S)
        return version

    async def _list(self, path: str) -> Json:
        try:
            async with asyncio.timeout(_LIST_S):
                found: Json = json.loads(b"\n".join([line async for line in self.lines(path, {})]))
                return found
        except TimeoutError:
            raise Trouble(0, f"no list within {_LIST_S:g} s") from None

    def _open(self, path: str, query: dict[str, str]) -> aiohttp.client._RequestContextManager:
        return self._session.get(self._server.url + path, params=query, headers=self._server.headers)


def _version(one: Json) -> str:
    version: str = one["metadata"]["resourceVersion"]
    return version
