"""The Service in front of the ERP: `python -m smartops_chaos.lab.platform.gateway --port N`, admin token in LAB_TOKEN.

Sends each request to the next ready replica, in turn. Network faults on the way to one replica are applied here
(`network.py`): emulated, and measured on every request that meets them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from smartops_chaos.lab.platform.network import NetworkFault, NetworkPath
from smartops_chaos.lab.smartops.exposition import CONTENT_TYPE, Metrics

UPSTREAM_TIMEOUT_S = 2.0
_HANDED_ON = ("Content-Type", "traceparent")


@dataclass(frozen=True, slots=True)
class Route:
    pod: str
    port: int
    faults: tuple[NetworkFault, ...] = ()  # in force on the way to the pod


@dataclass
class Gateway:
    client: aiohttp.ClientSession
    metrics: Metrics = field(default_factory=Metrics)
    routes: tuple[Route, ...] = ()
    paths: dict[str, NetworkPath] = field(default_factory=dict)  # by fault; they outlast it, for who asks what it did
    in_flight: Counter[str] = field(default_factory=Counter)
    _turn: int = 0
    _passing: set[asyncio.Task[tuple[int, bytes]]] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.Response:
        begin = time.perf_counter()
        body = await request.read()
        passing = asyncio.create_task(self._pass_on(request, body))
        self._passing.add(passing)
        try:
            status, answer = await passing
        except asyncio.CancelledError:
            if not passing.cancelled():
                raise
            status, answer = 503, b'{"detail": "dropped by a reset"}'
        finally:
            self._passing.discard(passing)
        self.metrics.inc("gateway_requests_total", code=str(status))
        self.metrics.observe("gateway_request_duration_seconds", time.perf_counter() - begin)
        return web.Response(status=status, body=answer, content_type="application/json")

    async def _pass_on(self, request: web.Request, body: bytes) -> tuple[int, bytes]:
        if not self.routes:
            return 503, b'{"detail": "no replica is ready"}'
        self._turn += 1
        route = self.routes[self._turn % len(self.routes)]
        faulty = [self._path(fault) for fault in route.faults]
        self.in_flight[route.pod] += 1
        try:
            async with asyncio.timeout(UPSTREAM_TIMEOUT_S if faulty else None):
                for one in faulty:
                    await one.there()
                url = f"http://127.0.0.1:{route.port}{request.path_qs}"
                headers = {name: request.headers[name] for name in _HANDED_ON if name in request.headers}
                async with self.client.request(request.method, url, data=body, headers=headers) as reply:
                    status, answer = reply.status, await reply.read()
                for one in faulty:
                    await one.back()
                return status, answer
        except TimeoutError:
            return 504, b'{"detail": "the replica did not answer in time"}'
        except (aiohttp.ClientError, OSError) as error:
            return 502, b'{"detail": "the replica is gone: %s"}' % type(error).__name__.encode()
        finally:
            self.in_flight[route.pod] -= 1
            self.in_flight += Counter()  # forgets the pods with nothing under way

    def _path(self, fault: NetworkFault) -> NetworkPath:
        """Its dice go on from request to request."""
        known = self.paths.get(fault.id)
        if known is None or known.fault != fault:
            known = self.paths[fault.id] = NetworkPath(fault)
        return known

    async def put_routes(self, request: web.Request) -> web.Response:
        """Replace the routes; `flush` also drops every request that is under way and forgets what was measured."""
        wanted: dict[str, Any] = await request.json()
        self.routes = tuple(
            Route(route["pod"], route["port"], tuple(NetworkFault(**fault) for fault in route["faults"]))
            for route in wanted["routes"]
        )
        if wanted.get("flush"):
            self.paths.clear()
            for passing in self._passing:
                passing.cancel()
        return self.status()

    def status(self) -> web.Response:
        seen = {fault_id: path.seen() for fault_id, path in self.paths.items()}
        return web.json_response({"in_flight": self.in_flight, "seen": seen})


def application(gateway: Gateway, token: str) -> web.Application:
    async def admin(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"detail": "a token is needed"}, status=401)
        return await gateway.put_routes(request) if request.method == "PUT" else gateway.status()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=gateway.metrics.render().encode(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_route("*", "/-/routes", admin)
    app.router.add_get("/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    return app


async def serve(port: int, token: str) -> None:
    timeout = aiohttp.ClientTimeout(total=UPSTREAM_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
        runner = web.AppRunner(application(Gateway(client), token), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
        await asyncio.Event().wait()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    asyncio.run(serve(options.parse_args().port, os.environ["LAB_TOKEN"]))


if __name__ == "__main__":
    main()
