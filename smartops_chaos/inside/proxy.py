"""python3 -c TEXT SETTINGS: a small TCP proxy in front of a Service's pods that troubles what passes it.

It stands where the Service leads to, and passes every connection on to one of the pods behind it. What it does to
connections stands in the annotations of its own Deployment (the marks of faults, see `driver_proxy`), which it follows:
a mark appears, and its trouble begins; it goes, and the trouble ends. So a proxy that is restarted goes on as it was.

    delay, jitter   seconds that each exchange waits on its way there; an exchange begins when the client speaks again
    loss            share of segments that are lost on either way; TCP sends them again, after its time-out
    rate            bytes a second, each way, of all connections to a pod together
    reset           share of exchanges that meet a reset of their connection
    cut             nothing passes; what was sent arrives when the trouble is over, as TCP does it

When the time of all marks is over, or there is none, it puts the Service back by itself and deletes its own Deployment.
SETTINGS is JSON: namespace, name (of its Deployment), service, selector (of the pods behind it), unready (whether pods
that are not ready count), ports ([{listen, target}], target being a number or the name of a pod's port), control (a
port), patience_s; and for tests without a cluster host and api.

What stands for loss: a lost segment is told by the retransmission time-out alone, 200 ms (Linux' TCP_RTO_MIN), doubled
each time that it is lost again (RFC 6298, 5.5), unless three later segments of the same burst tell of it at once
(RFC 5681, 3.2). First transmissions are lost by shuffled decks of 200, so that the share is kept, not only expected.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.client
import json
import os
import random
import resource
import signal
import socket
import ssl
import statistics
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

MARK = "smartops-chaos/fault."
FORMER = "smartops-chaos/former-service"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/"
SEGMENT = 1448  # bytes, of a usual path
RTO_S = 0.2
DECK = 200
MOST_HELD = 1 << 19  # bytes that wait on one way of a connection; beyond them its sender has to wait
IDLE_S = 2.0  # a connection whose server spoke last, so long ago, may be closed at the end
BUSY_S = 20.0  # from then on also one whose server spoke last just now
PREPARED_S = 120.0  # so long a fault may be prepared and not begun
AGAIN_S = 0.5  # between two tries of the API server
MEASURE_EVERY_S = 0.002
FAR = float("inf")


class Deck:
    """Draws that are true in a share of the cases: exactly that share of each deck."""

    def __init__(self, dice: random.Random, share: float) -> None:
        self.dice, self.share = dice, share
        self.cards: list[bool] = []

    def draw(self) -> bool:
        if not self.cards:
            self.cards = [number < round(DECK * self.share) for number in range(DECK)]
            self.dice.shuffle(self.cards)
        return self.cards.pop()


class Trouble:
    """What a fault does to connections, its dice, and what they have met."""

    def __init__(self, detail: dict[str, Any], seed: int) -> None:
        params = detail["params"]
        self.detail = detail
        self.delay_s, self.jitter_s = float(params.get("delay", 0)), float(params.get("jitter", 0))
        self.loss, self.rate = float(params.get("loss", 0)), float(params.get("rate", 0))
        self.reset, self.cut = float(params.get("reset", 0)), bool(params.get("cut", False))
        self.dice = random.Random(seed)
        self.lost_first = (Deck(self.dice, self.loss), Deck(self.dice, self.loss))  # there and back
        self.resets_next = Deck(self.dice, self.reset)
        self.free_at: dict[tuple[str, int], float] = {}  # pod, way -> when its link has sent what it was given
        self.exchanges = self.sent = self.lost = self.resets = 0
        self.waited_s = 0.0
        self.measured: dict[str, Any] = {}

    def hits(self, pod: str) -> bool:
        return self.detail.get("pod", "") in ("", pod)

    def drawn_delay_s(self) -> float:
        return max(0.0, self.delay_s + self.dice.uniform(-self.jitter_s, self.jitter_s))

    def due(self, pod: str, way: int, size: int, at: float) -> float:
        """When what was sent at this moment is there, but for the delay."""
        if self.cut:
            return FAR
        if self.loss:
            at += self.time_outs_s(way, size)
        if self.rate:
            at = self.free_at[pod, way] = max(at, self.free_at.get((pod, way), 0.0)) + size / self.rate
        return at

    def time_outs_s(self, way: int, size: int) -> float:
        segments, longest_s = max(1, -(-size // SEGMENT)), 0.0
        for later in reversed(range(segments)):
            self.sent += 1
            if self.lost_first[way].draw():
                self.lost += 1
                waits_s, time_out_s = (0.0, RTO_S) if later >= 3 else (RTO_S, 2 * RTO_S)
                self.sent += 1
                while self.dice.random() < self.loss:
                    self.sent += 1
                    self.lost += 1
                    waits_s, time_out_s = waits_s + time_out_s, 2 * time_out_s
                longest_s = max(longest_s, waits_s)
        return longest_s

    def seen(self) -> dict[str, Any]:
        mean_s = self.waited_s / self.exchanges if self.exchanges else 0.0
        return {
            "exchanges": self.exchanges,
            "mean_wait_s": mean_s,
            "sent": self.sent,
            "lost": self.lost,
            "resets": self.resets,
        }


Chunk = tuple[float, float, bytes, tuple[Trouble, ...]]  # due, received, data (empty = end), who made an exchange wait


class Flow:
    """One direction of a connection: data in their order, each when it is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, went_on: Callable[[], None]) -> None:
        self.loop, self.went_on = loop, went_on
        self.held = 0  # bytes that wait
        self.to: asyncio.Transport | None = None
        self.waiting: collections.deque[Chunk] = collections.deque()
        self.timer: asyncio.TimerHandle | None = None
        self.ended = False

    def add(self, due: float, data: bytes, by: tuple[Trouble, ...]) -> None:
        self.waiting.append((due, self.loop.time(), data, by))
        self.held += len(data)
        if len(self.waiting) == 1:
            self.go_on()

    def go_on(self) -> None:
        """Send what is due, and come back for the rest."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        now = self.loop.time()
        while self.waiting and self.waiting[0][0] <= now:
            _, received, data, by = self.waiting.popleft()
            self.held -= len(data)
            for trouble in by:
                trouble.exchanges += 1
                trouble.waited_s += now - received
            self.send(data)
        if self.waiting and self.waiting[0][0] != FAR:
            self.timer = self.loop.call_at(self.waiting[0][0], self.go_on)
        self.went_on()

    def send(self, data: bytes) -> None:
        if self.to is None or self.to.is_closing():
            return
        if data:
            self.to.write(data)
            return
        self.ended = True
        with contextlib.suppress(OSError):  # it is gone already
            self.to.write_eof()

    def release(self) -> None:
        """Nothing waits any longer."""
        self.waiting = collections.deque((0.0, received, data, by) for _, received, data, by in self.waiting)
        self.go_on()


class End(asyncio.Protocol):
    """The client's end of a connection, or the server's."""

    def __init__(self, carried: Carried, way: int) -> None:
        self.carried, self.way = carried, way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.carried.made(self.way, transport)

    def data_received(self, data: bytes) -> None:
        self.carried.received(self.way, data)

    def eof_received(self) -> bool:
        self.carried.received(self.way, b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.carried.over(error)

    def pause_writing(self) -> None:
        self.carried.hold(1 - self.way, True)

    def resume_writing(self) -> None:
        self.carried.hold(1 - self.way, False)


class Carried:
    """A connection of a client (way 0: there) and the one to a pod that it is passed on to (way 1: back)."""

    def __init__(self, proxy: Proxy, target: Any, troubles: list[Trouble] | None = None) -> None:
        self.proxy, self.target = proxy, target
        self.own = troubles  # of a measurement
        self.pod = ""
        self.ends: list[asyncio.Transport | None] = [None, None]
        self.flows = (Flow(proxy.loop, self.went_on), Flow(proxy.loop, self.went_on))
        self.full = [False, False]  # whether an end is not read any more, since so much of it waits
        self.gone = False  # one end
        self.delay_s = 0.0
        self.delayed_by: tuple[Trouble, ...] = ()
        self.server_spoke = True
        self.early: list[bytes] = []
        self.last = proxy.loop.time()
        self.connecting: asyncio.Task[None] | None = None

    def made(self, way: int, transport: asyncio.Transport) -> None:
        self.ends[way] = transport
        self.flows[1 - way].to = transport
        if way == 0:
            self.proxy.carried.add(self)
            self.proxy.called = self.last
            transport.pause_reading()  # until the pod has answered the call
            self.connecting = self.proxy.loop.create_task(self.connect())

    async def connect(self) -> None:
        try:
            self.pod, host, port = self.proxy.choose(self.target)
            await self.proxy.loop.create_connection(lambda: End(self, 1), host, port)
        except OSError:
            self.reset()
            return
        client = self.ends[0]
        if client is None or client.is_closing():
            self.reset()
        else:
            for data in self.early:
                self.received(0, data)
            self.early.clear()
            client.resume_reading()

    def received(self, way: int, data: bytes) -> None:
        if way == 0 and self.ends[1] is None:
            self.early.append(data)  # some versions of asyncio read once more after they were told not to
            return
        now = self.last = self.proxy.loop.time()
        begins = way == 0 and self.server_spoke and bool(data)
        self.server_spoke = way == 1
        flow = self.flows[way]
        troubles = self.proxy.troubles if self.own is None else self.own
        if begins:
            self.proxy.exchanges += self.own is None
            self.delay_s, self.delayed_by = 0.0, ()
        if not troubles and not flow.waiting:
            flow.send(data)
        else:
            due = self.due(way, data, now, begins, troubles)
            flow.add(due, data, self.delayed_by if begins else ())
            if flow.held > MOST_HELD and not self.full[way]:
                self.full[way] = True
                self.hold(way, True)
        if not data:
            self.maybe_done()

    def went_on(self) -> None:
        for way, flow in enumerate(self.flows):
            if self.full[way] and flow.held <= MOST_HELD // 2:
                self.full[way] = False
                self.hold(way, False)
        self.maybe_done()

    def due(self, way: int, data: bytes, now: float, begins: bool, troubles: list[Trouble]) -> float:
        mine = [trouble for trouble in troubles if self.own is not None or trouble.hits(self.pod)]
        if begins:
            for trouble in mine:
                if trouble.reset and trouble.resets_next.draw():
                    trouble.resets += 1
                    self.reset()
            self.delay_s, self.delayed_by = sum(one.drawn_delay_s() for one in mine), tuple(mine)
        due = now + (self.delay_s if way == 0 else 0.0)
        for trouble in mine:
            due = trouble.due(self.pod, way, len(data), due)
        return due

    def hold(self, way: int, still: bool) -> None:
        """Read no more from this end while the other cannot take it."""
        end = self.ends[way]
        if end is not None and not end.is_closing():
            if still:
                end.pause_reading()
            else:
                end.resume_reading()

    def release(self) -> None:
        self.delay_s = 0.0
        for flow in self.flows:
            flow.release()

    def over(self, error: Exception | None) -> None:
        """One end is gone: what is still on its way to the other arrives, unless it was a reset."""
        if error is not None:
            self.reset()
        self.end()

    def end(self) -> None:
        self.gone = True
        self.maybe_done()

    def maybe_done(self) -> None:
        if self.gone or all(flow.ended for flow in self.flows):
            for end, flow in ((self.ends[0], self.flows[1]), (self.ends[1], self.flows[0])):
                if end is not None and not flow.waiting:
                    end.close()
        if all(end is None or end.is_closing() for end in self.ends):
            self.proxy.carried.discard(self)

    def reset(self) -> None:
        for end in self.ends:
            if end is not None and not end.is_closing():
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.abort()
        for flow in self.flows:
            flow.waiting.clear()
            flow.held = 0
        self.proxy.carried.discard(self)


class Api:
    """The API server, with the token of the pod's own account. Blocking: for threads."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.url = urllib.parse.urlsplit(
            settings.get("api")
            or "https://{}:{}".format(
                _bracketed(os.environ["KUBERNETES_SERVICE_HOST"]), os.environ["KUBERNETES_SERVICE_PORT"]
            )
        )
        self.ahead_s = 0.0  # its clock minus ours

    def open(self, method: str, path: str, body: Any, limit_s: float) -> tuple[Any, http.client.HTTPResponse]:
        where: http.client.HTTPConnection
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        host, port = str(self.url.hostname), self.url.port
        if self.url.scheme == "https":
            trusted = ssl.create_default_context(cafile=ACCOUNT + "ca.crt")
            where = http.client.HTTPSConnection(host, port, timeout=limit_s, context=trusted)
            with open(ACCOUNT + "token", encoding="ascii") as file:
                headers["Authorization"] = "Bearer " + file.read().strip()
        else:
            where = http.client.HTTPConnection(host, port, timeout=limit_s)
        if method != "PATCH":
            headers["Content-Type"] = "application/json"
        where.request(method, path, None if body is None else json.dumps(body), headers)
        answer = where.getresponse()
        if answer.status >= 400:
            said = answer.read(1000).decode(errors="replace")
            where.close()
            raise OSError(answer.status, method + " " + path + ": " + said)
        return where, answer

    def call(self, method: str, path: str, body: Any = None) -> Any:
        where, answer = self.open(method, path, body, 10.0)
        try:
            found = json.loads(answer.read())
            stamp = answer.getheader("Date")
            if stamp:  # a whole second, cut
                told = time.strptime(stamp, "%a, %d %b %Y %H:%M:%S GMT")
                self.ahead_s = _utc(told) + 0.5 - time.time()
            return found
        finally:
            where.close()

    def changed(self, path: str, version: str) -> None:
        """Return when something has changed since that version, or after a while."""
        where, answer = self.open("GET", path + "&watch=1&timeoutSeconds=30&resourceVersion=" + version, None, 40.0)
        try:
            answer.readline()
        finally:
            where.close()

    def follow(self, path: str, tell: Callable[[Any], None]) -> None:
        """Tell the collection at this path, again and again when it changes. Never returns."""
        while True:
            try:
                found = self.call("GET", path)
                tell(found)
                self.changed(path, found["metadata"]["resourceVersion"])
            except (OSError, http.client.HTTPException, ValueError) as error:
                print("API server:", error, file=sys.stderr, flush=True)
                time.sleep(AGAIN_S)

    def now(self) -> float:
        return time.time() + self.ahead_s


def _bracketed(host: str) -> str:
    return "[" + host + "]" if ":" in host else host  # an IPv6 address


def _utc(told: time.struct_time) -> float:
    import calendar

    return float(calendar.timegm(told))


class Proxy:
    def __init__(self, settings: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.settings, self.loop = settings, loop
        self.api = Api(settings)
        self.carried: set[Carried] = set()
        self.pods: list[dict[str, Any]] = []
        self.known: dict[str, Trouble] = {}  # by mark
        self.marks: dict[str, dict[str, Any]] | None = None  # None until they are known, or when we are deleted
        self.troubles: list[Trouble] = []  # in force
        self.exchanges = 0
        self.reached = False
        self.leaving = 0.0
        self.born = self.called = loop.time()  # called: when the last connection came
        self.linger_s = float(settings.get("linger_s", 8.0))  # after SIGTERM, until all of the cluster know that we go
        space = "/namespaces/" + settings["namespace"]
        self.service = "/api/v1" + space + "/services/" + settings["service"]
        self.deployments = "/apis/apps/v1" + space + "/deployments"
        self.name = settings["name"]
        self.of_pods = "/api/v1" + space + "/pods?labelSelector=" + urllib.parse.quote(settings["selector"])

    # ---- what is told from the cluster -------------------------------------------------------------------------------

    def pods_told(self, found: Any) -> None:
        self.pods = [pod for pod in found["items"] if self.serves(pod)]

    def serves(self, pod: dict[str, Any]) -> bool:
        status = pod.get("status", {})
        if not status.get("podIP") or "deletionTimestamp" in pod["metadata"]:
            return False
        conditions = status.get("conditions") or ()
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        return ready or (self.settings["unready"] and status.get("phase") == "Running")

    def marks_told(self, found: Any) -> None:
        mine = found["items"]
        if not mine:
            self.marks = None
        else:
            noted = mine[0]["metadata"].get("annotations") or {}
            self.marks = {key: json.loads(value) for key, value in noted.items() if key.startswith(MARK)}
        self.act()

    def act(self) -> None:
        """Have exactly those troubles in force whose marks say so. Those that end let go of what they hold."""
        noted = self.marks or {}
        acting = [key for key, detail in noted.items() if self.in_force(detail)]
        for key in acting:
            if key not in self.known:
                self.known[key] = Trouble(noted[key], int(noted[key].get("seed", 0)))
        before, self.troubles = self.troubles, [self.known[key] for key in acting]
        if any(one not in self.troubles for one in before):
            for one in list(self.carried):
                if one.own is None:
                    one.release()

    def is_over(self, detail: dict[str, Any]) -> bool:
        """One that was prepared and never begun has its time too."""
        if not detail.get("begun"):
            return bool(detail.get("over")) or self.loop.time() - self.born > PREPARED_S
        return bool(detail.get("over")) or self.api.now() >= detail["until"]

    def in_force(self, detail: dict[str, Any]) -> bool:
        return bool(detail.get("begun")) and not self.is_over(detail)

    # ---- connections -------------------------------------------------------------------------------------------------

    def choose(self, target: Any) -> tuple[str, str, int]:
        """A pod at random, as kube-proxy does. Raises OSError without one."""
        if isinstance(target, tuple):  # of a measurement
            return "", target[0], target[1]
        served = [(pod, port) for pod in self.pods for port in [port_of(pod, target)] if port]
        if not served:
            raise OSError("no pod is ready")
        pod, port = random.choice(served)
        return pod["metadata"]["uid"], pod["status"]["podIP"], port

    async def reach(self) -> None:
        """Ready only when a pod behind can be reached: a policy of the network may forbid it."""
        while not self.reached:
            for port in self.settings["ports"]:
                try:
                    _, host, number = self.choose(port["target"])
                    _, writer = await asyncio.wait_for(asyncio.open_connection(host, number), 2.0)
                    writer.close()
                    self.reached = True
                except (TimeoutError, OSError) as error:
                    print("no way to the pods:", error, file=sys.stderr, flush=True)
            await asyncio.sleep(0.1)

    # ---- the end -----------------------------------------------------------------------------------------------------

    async def expire(self) -> None:
        """Put the Service back when no mark wants us any more, whoever is still alive."""
        while True:
            await asyncio.sleep(0.2)
            self.act()
            if self.marks is None or self.leaving:
                continue
            if all(self.is_over(one) for one in self.marks.values()):
                await asyncio.sleep(float(self.settings.get("patience_s", 3.0)))  # somebody may be about to do it
                if self.marks is not None and not self.leaving:
                    await self.loop.run_in_executor(None, self.put_back)

    def put_back(self) -> None:
        try:
            found = self.api.call("GET", self.service)
            patch = former(found, self.name)
            if patch:
                self.api.call("PATCH", self.service, patch)
            self.api.call("DELETE", self.deployments + "/" + self.name, {"propagationPolicy": "Background"})
            print("the Service is put back", flush=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            print("the Service is not put back:", error, file=sys.stderr, flush=True)

    def leave(self) -> None:
        self.leaving = self.leaving or self.loop.time()

    async def drain(self) -> None:
        """After SIGTERM: connections in use go on for as long as they may."""
        while True:
            await asyncio.sleep(0.1)
            if not self.leaving:
                continue
            now = self.loop.time()
            for one in list(self.carried):
                quiet = one.server_spoke and not any(flow.waiting for flow in one.flows)
                if quiet and (now - one.last > IDLE_S or now - self.leaving > BUSY_S):
                    one.end()
            if not self.carried and now - max(self.leaving + self.linger_s, self.called) > IDLE_S:
                os._exit(0)

    # ---- what others ask ---------------------------------------------------------------------------------------------

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = (await reader.readline()).decode("latin-1").split()
            while (await reader.readline()).strip():
                pass
            path = line[1] if len(line) > 1 else ""
            told: dict[str, Any]
            if path == "/ready":
                status, told = (200 if self.reached and self.marks is not None else 503), {"reached": self.reached}
            elif path == "/status":
                status, told = 200, self.status()
            elif path.startswith("/measure/") and MARK + path.split("/")[2] in self.known:
                _, _, key, count = path.split("/")
                status, told = 200, await self.measure(self.known[MARK + key], int(count))
            else:
                status, told = 404, {"message": "nothing is here"}
            body = json.dumps(told).encode()
            head = "HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write((head % (status, len(body))).encode() + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def status(self) -> dict[str, Any]:
        there = {pod["metadata"]["uid"] for pod in self.pods}
        troubles = {
            key[len(MARK) :]: {
                **one.seen(),
                "measured": one.measured,
                "in_force": one in self.troubles,
                "there": not one.detail.get("pod") or one.detail["pod"] in there,
            }
            for key, one in self.known.items()
        }
        return {
            "now": self.api.now(),
            "troubles": troubles,
            "pods": len(self.pods),
            "open": len(self.carried),
            "exchanges": self.exchanges,
        }

    async def measure(self, trouble: Trouble, count: int) -> dict[str, Any]:
        """The effect of a trouble on exchanges with ourselves, over real connections, timed at both ends.

        Dice of their own: the traffic goes on as it would. An exchange's first transmission on a way counts as lost if
        it took longer than the delay and (nearly) a time-out.
        """
        own = Trouble(trouble.detail, 1)
        arrived: dict[bytes, float] = {}

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                name = await reader.readexactly(8)
                arrived[name] = self.loop.time()
                blob = int(own.rate / 2) if own.rate and name == b"the-blob" else 0
                writer.write(name + bytes(blob))
                await reader.read()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=1024)
        behind = server.sockets[0].getsockname()[:2]

        def untroubled() -> End:
            return End(Carried(self, behind, []), 0)

        plain = await self.loop.create_server(untroubled, "127.0.0.1", 0, backlog=1024)
        entry = await self.loop.create_server(
            lambda: End(Carried(self, behind, [own]), 0), "127.0.0.1", 0, backlog=1024
        )
        port = entry.sockets[0].getsockname()[1]
        late_s = own.delay_s + own.jitter_s + 0.9 * RTO_S
        patience_s = late_s + 1.0
        ways: list[tuple[float | None, float | None]] = []
        resets = 0
        plainly: list[float] = []

        async def passed_plainly(name: bytes) -> None:
            """What an exchange takes that no trouble delays, in between the others: it is none of the delay."""
            reader, writer = await asyncio.open_connection("127.0.0.1", plain.sockets[0].getsockname()[1])
            begin = self.loop.time()
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                writer.write(name)
                await reader.readexactly(8)
                plainly.append(arrived[name] - begin)
            writer.transport.abort()

        async def exchange(name: bytes) -> None:
            nonlocal resets
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begin = self.loop.time()
            there: float | None = None
            back: float | None = None
            try:
                writer.write(name)
                try:
                    await asyncio.wait_for(reader.readexactly(8), patience_s)
                    back = self.loop.time() - arrived[name]
                except TimeoutError:
                    pass
                if name in arrived:
                    there = arrived[name] - begin
                    if back is None and self.loop.time() - arrived[name] > 0.9 * RTO_S:
                        back = FAR
                else:
                    there = FAR
                ways.append((there, back))
            except (OSError, asyncio.IncompleteReadError):
                resets += 1
            finally:
                writer.transport.abort()

        count = min(count, 20) if own.cut else count
        tasks = []
        for number in range(count):
            tasks.append(self.loop.create_task(exchange(b"%08d" % number)))
            if number % 5 == 0:
                tasks.append(self.loop.create_task(passed_plainly(b"p%07d" % number)))
            await asyncio.sleep(MEASURE_EVERY_S)
        await asyncio.gather(*tasks)
        theres = [there for there, _ in ways if there is not None]
        backs = [back for _, back in ways if back is not None]
        firsts = len(theres) + len(backs)
        lost = sum(there > late_s for there in theres) + sum(back > 0.9 * RTO_S for back in backs)
        intime = [there for there in theres if there <= late_s]
        told: dict[str, Any] = {
            "exchanges": count,
            "delay": max(0.0, statistics.median(intime) - statistics.median(plainly or [0.0])) if intime else None,
            "loss": lost / firsts if firsts else None,
            "reset": resets / count,
            "passed": sum(there != FAR for there in theres),
        }
        if own.rate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"the-blob")
            await reader.readexactly(8 + int(own.rate / 2))
            told["rate"] = int(own.rate / 2) / (self.loop.time() - arrived[b"the-blob"])
            writer.transport.abort()
        entry.close()
        plain.close()
        server.close()
        trouble.measured = told
        return told

    def accepting(self, target: Any) -> Callable[[], End]:
        return lambda: End(Carried(self, target), 0)

    async def run(self) -> None:
        host = self.settings.get("host", "0.0.0.0")
        for port in self.settings["ports"]:
            await self.loop.create_server(self.accepting(port["target"]), host, port["listen"], backlog=1024)
        await asyncio.start_server(self.control, host, self.settings["control"])
        self.loop.add_signal_handler(signal.SIGTERM, self.leave)
        mine = self.deployments + "?fieldSelector=metadata.name%3D" + self.name
        for path, tell in ((mine, self.marks_told), (self.of_pods, self.pods_told)):

            def told(found: Any, tell: Callable[[Any], None] = tell) -> None:
                self.loop.call_soon_threadsafe(tell, found)

            threading.Thread(target=self.api.follow, args=(path, told), daemon=True).start()
        await asyncio.gather(self.expire(), self.drain(), self.reach())


def port_of(pod: dict[str, Any], target: Any) -> int:
    """The number of a pod's port; 0 if it has none of that name."""
    if isinstance(target, int):
        return target
    ports = [port for one in pod["spec"]["containers"] for port in one.get("ports") or ()]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == target), 0)


def former(service: dict[str, Any], name: str) -> dict[str, Any]:
    """The patch that puts a Service back to what it says itself that it was; empty if it does not say.

    Where it does not lead to the proxy any more, somebody has changed it meanwhile: then that stays.
    """
    noted = (service["metadata"].get("annotations") or {}).get(FORMER)
    if noted is None:
        return {}
    was, now = json.loads(noted), service["spec"].get("selector") or {}
    spec = {"selector": {**dict.fromkeys(now), **was["selector"]}, "ports": was["ports"]}
    ours = name in now.values()
    metadata = {"annotations": {FORMER: None}, "resourceVersion": service["metadata"]["resourceVersion"]}
    return {"metadata": metadata, **({"spec": spec} if ours else {})}


def main() -> None:
    settings = json.loads(sys.argv[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16) if hard > 0 else soft, hard))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(Proxy(settings, loop).run())


if __name__ == "__main__":
    main()
