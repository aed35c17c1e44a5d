"""The load of a trial: an open loop in a process of its own, every request kept.

An open loop sends by the clock and not after the last answer, so a slow service cannot slow its own judge. A request
belongs to its scheduled time; its latency counts from there, and how late it was sent is recorded beside it.

A request that nobody could have answered, since the way to the service was down and not the service, has no line: of
those seconds nothing is known. `store.request_log` has the form of the file, and reads it.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartops_chaos.clock import Clock
from smartops_chaos.model import Request
from smartops_chaos.store import request_log
from smartops_chaos.telemetry.connection import connection
from smartops_chaos.timeline.tracing import traceparent
from smartops_chaos.trial import sidecar

if TYPE_CHECKING:
    import aiohttp

_NAME = "smartops-chaos-workload"
_RENEW_S = 30.0
# What an API server says of a service that it cannot reach: the service's failure, and not its own.
_OF_THE_SERVICE = (b"no endpoints", b"error trying to reach service", b"dial tcp", b"connection refused")


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `rate_per_s` requests, evenly spaced, until told to stop or `limit_s` has passed."""

    url: str  # of the server, as `telemetry.connection` reads it
    method: str
    body: dict[str, Any] | None
    timeout_s: float
    good_within_s: float  # an answer later than this is a bad one
    rate_per_s: float
    limit_s: float  # the loop ends by itself, whatever becomes of the trial
    query: str = ""  # not empty: `url` is a Prometheus that is asked this instead, see `slo_query`
    at_least: float = 0.0
    path: str = ""  # after the server's address
    traces: str = ""  # what makes the requests' trace IDs this trial's own; empty: none is sent


def start(load: Load, file: Path, clock: Clock) -> None:
    """Fork the load generator. It writes `file` and dies with this process."""
    sidecar.start(_NAME, _run, load, file, clock)


def stop() -> None:
    """End the load generator of this process, if there is one; requests in flight are recorded as unanswered."""
    sidecar.stop(_NAME)


def running() -> bool:
    return sidecar.running(_NAME)


def _run(load: Load, file: Path, clock: Clock) -> None:
    with file.open("w", encoding="ascii", buffering=1) as out:
        send(load, out, clock)


def send(load: Load, out: request_log.Sink, clock: Clock) -> None:
    """Send, or ask, in this process until it is told to stop; every request is a line of `out`."""
    if load.query:
        from smartops_chaos.trial import slo_query

        slo_query.loop(
            out,
            clock,
            url=load.url,
            query=load.query,
            at_least=load.at_least,
            rate_per_s=load.rate_per_s,
            timeout_s=load.timeout_s,
            limit_s=load.limit_s,
        )
    else:
        asyncio.run(_loop(load, out, clock))


async def _loop(load: Load, out: request_log.Sink, clock: Clock) -> None:
    import aiohttp

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    spacing_ns = int(1e9 / load.rate_per_s)
    begin_ns = clock.now_ns() + spacing_ns
    end_ns = begin_ns + int(load.limit_s * 1e9)
    in_flight: set[asyncio.Task[None]] = set()
    failed: list[BaseException] = []

    def sent(task: asyncio.Task[None]) -> None:
        in_flight.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failed.append(error)  # the disk is full: without a record there is no load
            stopping.set()

    server = _Server(load.url)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ssl=server.connection.tls())
    timeout = aiohttp.ClientTimeout(total=load.timeout_s)
    renewing = asyncio.create_task(server.renew())
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        sched_ns = begin_ns
        while not stopping.is_set() and sched_ns < end_ns:
            wait_s = (sched_ns - clock.now_ns()) / 1e9
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if server.refused:
                break  # whoever observes sees that the load has ended
            task = asyncio.create_task(_send(session, server, load, sched_ns, out, clock))
            in_flight.add(task)
            task.add_done_callback(sent)
            sched_ns += spacing_ns
        for task in (*in_flight, renewing):
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    if failed:
        raise failed[0]


class _Server:
    """Where requests go. Behind a cluster's API server that is a proxy with credentials of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.connection = connection(url)
        self.refused = False  # the proxy has answered that we may not

    async def renew(self) -> None:
        """Tokens of a cloud's kubeconfig live for minutes; to renew one may take a program and a second."""
        while self.connection.proxied:
            await asyncio.sleep(_RENEW_S)
            with suppress(RuntimeError):  # the next round may have it
                self.connection = await asyncio.to_thread(connection, self._url)

    def refuses(self, status: int, body: bytes) -> bool:
        """Whether the API server itself answered that we may not: that says nothing about the service."""
        self.refused |= self.connection.proxied and status in (401, 403, 429) and b'"kind":"Status"' in body[:200]
        return self.refused

    def speaks_for_itself(self, status: int, body: bytes) -> bool:
        """Whether the API server answered that it is in trouble itself, and not that it cannot reach the service."""
        own = self.connection.proxied and status >= 500 and b'"kind":"Status"' in body[:200].replace(b" ", b"")
        return own and not any(words in body for words in _OF_THE_SERVICE)


async def _send(
    session: aiohttp.ClientSession, server: _Server, load: Load, sched_ns: int, out: request_log.Sink, clock: Clock
) -> None:
    import aiohttp

    late_ns = clock.now_ns() - sched_ns
    status, latency_ns = 0, -1
    try:
        url, headers = server.connection.url + load.path, dict(server.connection.headers)
        if load.traces:
            headers["traceparent"] = traceparent(load.traces, sched_ns)
        more = server.connection.streaming()
        async with session.request(load.method, url, json=load.body, headers=headers, **more) as answer:
            body = await answer.read()
            latency_ns = clock.now_ns() - sched_ns
            status = answer.status
            if server.refuses(status, body) or server.speaks_for_itself(status, body):
                return
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError):
        return  # our own proxy: the service was never asked
    except (aiohttp.ClientConnectionError, OSError) as error:
        # Between us and the API server: no connection, or one that broke before there was an answer. A time-out is
        # none of these, since the API server waits for the service. Nobody knows what the service would have said.
        if server.connection.proxied and not isinstance(error, TimeoutError):
            return
    except (aiohttp.ClientError, TimeoutError):
        pass
    except asyncio.CancelledError:
        # Cut off by the end of the trial: bad if it was overdue by then, else it says nothing.
        if clock.now_ns() - sched_ns < load.good_within_s * 1e9:
            return
    out.write(request_log.line(Request(sched_ns, late_ns, latency_ns, status)))
