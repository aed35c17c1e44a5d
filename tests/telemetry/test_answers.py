"""What a telemetry server answers is parsed at the border; and no text of it shows a secret."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from smartops_chaos.loopback import is_loopback, never_proxied
from smartops_chaos.telemetry import alerts, prometheus
from smartops_chaos.telemetry.connection import Connection, Secret, proxy_of
from smartops_chaos.telemetry.prometheus import PrometheusError

_SHAPES: list[Any] = [
    None,
    [],
    5,
    {},
    {"status": "success"},
    {"status": "success", "data": None},
    {"status": "success", "data": []},
    {"status": "success", "data": {}},
    {"status": "success", "data": {"resultType": "vector", "result": None}},
    {"status": "success", "data": {"resultType": "vector", "result": [5]}},
    {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1]}]}},
    {"status": "success", "data": {"resultType": "scalar", "result": []}},
    {"status": "success", "data": {"resultType": "streams", "result": []}},
    {"status": "success", "warnings": 5, "data": {"resultType": "vector", "result": []}},
    {"status": "success", "data": {"groups": [{"rules": 5}]}},
]


@pytest.mark.parametrize("shape", _SHAPES)
def test_what_is_no_answer_of_prometheus_is_told_as_that(serve: Any, answer: Any, shape: Any) -> None:
    with serve(lambda _: answer(json.dumps(shape))) as url:
        for ask in (
            lambda: prometheus.instant(url, "up"),
            lambda: prometheus.fetch(url, ["up"], 10**18, 10**18 + 10**9),
            lambda: alerts.fetch(url, ["Down"], 10**18, 10**18 + 10**9),
        ):
            with pytest.raises(PrometheusError):
                ask()


_EMPTY = {"resultType": "vector", "result": []}


@pytest.mark.parametrize(
    ("more", "is_whole"),
    [
        ({}, True),
        ({"warnings": ["PromQL info: metric might not be a counter"]}, True),
        ({"infos": ["PromQL info: metric might not be a counter"]}, True),
        ({"warnings": ["store 10.0.0.1 is not reachable"]}, False),
        ({"isPartial": True}, False),
        ({"isPartial": False}, True),
    ],
)
def test_a_part_of_an_answer_is_none_and_a_hint_is_a_note(serve: Any, answer: Any, more: Any, is_whole: bool) -> None:
    with serve(lambda _: answer(json.dumps({"status": "success", "data": _EMPTY, **more}))) as url:
        if is_whole:
            assert prometheus.instant(url, "up") == _EMPTY
        else:
            with pytest.raises(PrometheusError, match="in part only"):
                prometheus.instant(url, "up")


@pytest.mark.parametrize("ways", ["token", "password", "header", "cookie"])
def test_no_way_of_authentication_shows_in_an_error(
    serve: Any, answer: Any, monkeypatch: pytest.MonkeyPatch, ways: str
) -> None:
    """2 kB, so that a text that is cut first would show half of it."""
    secret = "".join(f"{n:04x}" for n in range(512))
    monkeypatch.setenv("SECRET", secret)
    own = {
        "token": {"token": Secret(env="SECRET")},
        "password": {"user": "me", "password": Secret(env="SECRET")},
        "header": {"headers": {"authorization": f"Bearer {secret}"}},
        "cookie": {"headers": {"Cookie": f"a=1; session={secret}"}},
    }[ways]
    sent: list[str] = []

    def echo(asked: Any) -> Any:
        values = [value for name, value in asked.headers.items() if name.lower() in ("authorization", "cookie")]
        sent.extend(values)
        return answer("refused: " + " ".join(values), 400)

    with serve(echo) as url, pytest.raises(PrometheusError) as caught:
        prometheus.instant(Connection(url, **own), "up")
    assert sent
    basic = base64.b64encode(f"me:{secret}".encode()).decode()
    for hidden in (secret, basic):
        for at in range(0, len(hidden) - 16, 8):
            assert hidden[at : at + 16] not in str(caught.value) + caught.value.said


def test_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch, serve: Any, answer: Any) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for address in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.8.9.1:1"):
        assert proxy_of(address) == ""
        assert proxy_of(address, "http://given") == ""
    assert proxy_of("http://prometheus.example") == "http://127.0.0.1:9"
    assert proxy_of("http://prometheus.example", "http://given") == "http://given"
    assert not is_loopback("localhost.example")
    with serve(lambda _: answer("[1]")) as url:
        assert Connection(url).ask(PrometheusError, "/x", {}) == [1]
    environment = {"NO_PROXY": "a.example"}
    never_proxied(environment)
    never_proxied(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == "a.example,localhost,127.0.0.1,::1"
