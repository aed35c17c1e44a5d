from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from smartops_chaos.schema.healer_kubernetes import Source
from smartops_chaos.telemetry.connection import Connection, Secret, connection, with_keys


def test_an_address_carries_how_it_is_reached_and_no_secret(monkeypatch: Any) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")
    keys = {"token_env": "TOKEN", "ca_file": "~/a b.pem", "verify": False, "tenant": "a|b"}
    source = Source(url="https://loki.example.com/path", **keys)
    text = with_keys(source.url, source.keys())
    assert "s3cr3t" not in text
    assert connection(text) == Connection(
        "https://loki.example.com/path",
        headers={"X-Scope-OrgID": "a|b"},
        token=Secret(env="TOKEN"),
        ca_file=str(Path("~/a b.pem").expanduser()),
        verify=False,
    )
    plain = Source(url="http://prometheus:9090")
    assert with_keys(plain.url, plain.keys()) == plain.url
    assert connection(plain.url) == Connection(plain.url)
    basic = Source(url="http://h", user="me", password_file="/run/p", client_cert="c", client_key="k")
    assert connection(with_keys(basic.url, basic.keys())) == Connection(
        "http://h", user="me", password=Secret(file="/run/p"), client_cert="c", client_key="k"
    )


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "http://h", "token_env": "A", "token_file": "b"}, "keep one"),
        ({"url": "http://h", "token_env": "A", "user": "me", "password_env": "B"}, "exclude each other"),
        ({"url": "http://me:secret@h"}, "no user, password or query"),
        ({"url": "http://h", "user": "me"}, "give both"),
        ({"url": "http://h", "password_env": "B"}, "give both"),
        ({"service": "loki", "token_env": "A"}, "the kubeconfig's credentials"),
        ({"service": "loki", "tenant": "a", "verify": False}, "the kubeconfig's credentials"),
    ],
)
def test_what_cannot_be(keys: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Source(**keys)


def test_a_service_may_have_a_tenant() -> None:
    assert Source(service="loki", tenant="a").keys() == {"tenant": "a"}
