"""The proxy as a real process on loopback, with a stand-in for the API server: what passes it, what it does by itself.

How fast it is: benchmarks/proxy.py.
"""

from __future__ import annotations

import json
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.proxy import MARK, NAME, RunningProxy, StandInApi, mark, pod
from smartops_chaos.inside import proxy as inside

ORIGINAL = {"selector": {"app": "erp"}, "ports": [{"name": "http", "port": 8000, "targetPort": "http"}]}
NOBODY = {MARK: {**mark({}), "begun": False}}  # keeps the proxy where it is, and does nothing


class Echo:
    """A pod: says its name and what it was sent, one message after the other."""

    def __init__(self, host: str) -> None:
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one: socket.socket) -> None:
        with suppress(OSError), one:
            while data := one.recv(1 << 16):
                one.sendall(data)

    def end(self) -> None:
        self._listener.close()


@pytest.fixture
def api() -> Iterator[StandInApi]:
    made = StandInApi()
    yield made
    made.end()


@pytest.fixture
def pods() -> Iterator[list[Echo]]:
    made = [Echo("127.0.0.1"), Echo("127.0.0.2")]
    yield made
    for one in made:
        one.end()


@pytest.fixture
def proxy(api: StandInApi, pods: list[Echo]) -> Iterator[RunningProxy]:
    api.change(pods=[pod(f"u{n}", one.host, one.port) for n, one in enumerate(pods)], marks=NOBODY)
    made = RunningProxy(api)
    yield made
    made.end()


def call(proxy: RunningProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=20)


def exchange(one: socket.socket, data: bytes = b"hello") -> float:
    """Seconds until all of it has come back."""
    begin = time.monotonic()
    one.sendall(data)
    got = b""
    while len(got) < len(data):
        part = one.recv(1 << 16)
        if not part:
            raise ConnectionResetError("closed")
        got += part
    assert got == data
    return time.monotonic() - begin


def begin(api: StandInApi, proxy: RunningProxy, until: Callable[..., Any], **params: Any) -> None:
    """A fault in force."""
    more = {"pod": params.pop("pod")} if "pod" in params else {}
    api.change(marks={MARK: mark(params, **more)})
    until(lambda: proxy.ask("/status")["troubles"].get("a1", {}).get("in_force"))


def test_without_a_fault_everything_passes_as_it_is(proxy: RunningProxy) -> None:
    data = random.Random(1).randbytes(3 << 20)
    with call(proxy) as one:
        exchange(one)
        exchange(one, data)
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
    assert proxy.ask("/status")["exchanges"] >= 2  # the echo answers while the client still speaks


def test_a_delay_begins_and_ends_with_its_mark(api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]) -> None:
    with call(proxy) as one:
        exchange(one)
        begin(api, proxy, until, delay=0.3)
        assert exchange(one) >= 0.3  # an open connection too
        seen = proxy.ask("/status")["troubles"]["a1"]
        assert (seen["exchanges"], seen["there"]) == (1, True)
        assert seen["mean_wait_s"] >= 0.3
        begin(api, proxy, until, delay=30)  # the mark's detail counts when it begins: the same fault goes on
        assert exchange(one) < 30
        api.change(marks=NOBODY)
        until(lambda: not proxy.ask("/status")["troubles"]["a1"]["in_force"])
        exchange(one)
    assert proxy.ask("/status")["troubles"]["a1"]["exchanges"] == 2


def test_what_waits_is_let_go_at_the_end(api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]) -> None:
    begin(api, proxy, until, cut=True)
    with call(proxy) as one:
        one.sendall(b"held")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(4)
        one.settimeout(20)
        api.change(marks=NOBODY)
        assert one.recv(4) == b"held"


def test_one_replica_alone(api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]) -> None:
    begin(api, proxy, until, reset=1.0, pod="u1")
    seen = set()
    while len(seen) < 2:
        with call(proxy) as one:
            try:
                exchange(one)
                seen.add("passed")
            except ConnectionResetError:
                seen.add("reset")
    api.change(pods=api.pods[:1])
    until(lambda: not proxy.ask("/status")["troubles"]["a1"]["there"])
    for _ in range(10):
        with call(proxy) as one:
            exchange(one)


def test_new_pods_are_called_and_old_ones_are_not(
    api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]
) -> None:
    api.change(pods=[])
    until(lambda: proxy.ask("/status")["pods"] == 0)
    with pytest.raises(ConnectionResetError), call(proxy) as one:  # a quick reset meets the call
        exchange(one)
    later = Echo("127.0.0.3")
    api.change(pods=[pod("u9", later.host, later.port), pod("u8", "127.0.0.4", 1, ready=False)])
    until(lambda: proxy.ask("/status")["pods"] == 1)
    with call(proxy) as one:
        exchange(one)
    later.end()


def test_a_rate_holds_for_all_connections_together(
    api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]
) -> None:
    begin(api, proxy, until, rate=1_000_000)
    took = []

    def send() -> None:
        with call(proxy) as one:
            took.append(exchange(one, bytes(200_000)))

    api.change(pods=api.pods[:1])
    until(lambda: proxy.ask("/status")["pods"] == 1)
    senders = [threading.Thread(target=send) for _ in range(2)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    assert max(took) >= 0.38  # 400 kB at 1 MB/s


@pytest.mark.parametrize(
    ("params", "shows"),
    [
        ({"delay": 0.2, "jitter": 0.05}, lambda found: found["delay"] >= 0.19 and found["loss"] < 0.2),
        ({"loss": 0.3}, lambda found: 0.2 < found["loss"] < 0.4),
        ({"reset": 0.25}, lambda found: found["reset"] == 0.25),
        ({"cut": True}, lambda found: found["passed"] == 0),
        ({"rate": 50_000}, lambda found: found["rate"] <= 51_000),
    ],
)
def test_the_effect_is_measured(
    api: StandInApi,
    proxy: RunningProxy,
    until: Callable[..., Any],
    params: dict[str, Any],
    shows: Callable[[dict[str, Any]], bool],
) -> None:
    begin(api, proxy, until, **params)
    found = proxy.ask("/measure/a1/200")
    assert shows(found), found


@pytest.mark.usefixtures("proxy")
def test_when_everybody_has_died_it_puts_the_service_back_and_goes(api: StandInApi, until: Callable[..., Any]) -> None:
    led = {
        "metadata": {"resourceVersion": "7", "annotations": {inside.FORMER: json.dumps(ORIGINAL), "other": "stays"}},
        "spec": {
            "selector": {"smartops-chaos/proxy": NAME},
            "ports": [{"port": 8000, "targetPort": 20000}],
            "type": "X",
        },
    }
    api.change(service=led, marks={MARK: mark({"delay": 0.1}, until_s=1.5)})
    until(lambda: api.deleted)
    assert api.service["spec"] == {**ORIGINAL, "type": "X"}
    assert api.service["metadata"]["annotations"] == {"other": "stays"}
    assert api.calls == ["PATCH", "DELETE"]


def test_a_service_that_somebody_else_has_changed_stays_as_it_is() -> None:
    changed = {
        "metadata": {"resourceVersion": "7", "annotations": {inside.FORMER: json.dumps(ORIGINAL)}},
        "spec": {"selector": {"app": "theirs"}, "ports": []},
    }
    assert "spec" not in inside.former(changed, NAME)
    del changed["metadata"]["annotations"]
    assert inside.former(changed, NAME) == {}


def test_when_it_is_deleted_what_is_under_way_ends_well(
    api: StandInApi, proxy: RunningProxy, until: Callable[..., Any]
) -> None:
    begin(api, proxy, until, delay=1.0)
    with call(proxy) as one:
        one.sendall(b"under way")
        until(lambda: proxy.ask("/status")["exchanges"] == 1)
        proxy.process.send_signal(signal.SIGTERM)
        assert one.recv(9) == b"under way"
        assert one.recv(1) == b""  # and then it is closed
    assert proxy.process.wait(20) == 0


def test_a_reset_of_the_client_is_passed_on(proxy: RunningProxy, until: Callable[..., Any]) -> None:
    one = call(proxy)
    exchange(one)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
    until(lambda: proxy.ask("/status")["open"] == 0)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_a_deck_keeps_its_share(share: float, seed: int) -> None:
    deck = inside.Deck(random.Random(seed), share)
    draws = [deck.draw() for _ in range(5 * inside.DECK)]
    assert abs(sum(draws) / len(draws) - share) <= 0.5 / inside.DECK + 1e-9


@given(st.floats(0, 0.5), st.integers(1, 100_000), st.integers(0, 1000))
def test_loss_costs_time_outs_and_nothing_without(loss: float, size: int, seed: int) -> None:
    trouble = inside.Trouble({"params": {"loss": loss}}, seed)
    waited_s = trouble.time_outs_s(0, size)
    steps = waited_s / inside.RTO_S
    assert steps == pytest.approx(round(steps))
    assert (trouble.lost == 0) <= (waited_s == 0)
    assert trouble.sent == -(-size // inside.SEGMENT) + trouble.lost
