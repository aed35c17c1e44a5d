"""Secrets, TLS and retries, on real sockets."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.telemetry.connection import Connection, Secret, SourceError, connection

SECRET = "s3cr3t-t0ken"


class SomeError(SourceError):
    source = "Something"


@pytest.fixture
def token(tmp_path: Path) -> Secret:
    (tmp_path / "token").write_text(f"{SECRET}\n", encoding="utf-8")
    return Secret(file=str(tmp_path / "token"))


def ask(where: Connection, path: str = "/x", **params: str) -> Any:
    return where.ask(SomeError, path, params)


def test_a_token_is_sent_and_read_again_for_each_request(serve: Any, answer: Any, token: Secret) -> None:
    seen: list[str] = []

    def handler(asked: Any) -> Any:
        seen.append(asked.headers["Authorization"])
        return answer("{}")

    with serve(handler) as url:
        where = Connection(url, token=token)
        ask(where)
        Path(token.file).write_text("renewed", encoding="utf-8")
        ask(where)
    assert seen == [f"Bearer {SECRET}", "Bearer renewed"]


def test_basic_authentication_and_headers(serve: Any, answer: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PASSWORD", "pä:ss")

    def handler(asked: Any) -> Any:
        assert asked.headers["X-Scope-OrgID"] == "a|b"
        return answer(json.dumps(asked.headers["Authorization"]))

    with serve(handler) as url:
        where = Connection(url, headers={"X-Scope-OrgID": "a|b"}, user="me", password=Secret(env="PASSWORD"))
        said = ask(where)
    assert base64.b64decode(said.removeprefix("Basic ")).decode() == "me:pä:ss"


def test_a_netrc_does_not_replace_the_credentials(
    serve: Any, answer: Any, token: Secret, tmp_path: Path, monkeypatch: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serve(lambda asked: answer(json.dumps(asked.headers.get("Authorization")))) as url:
        assert ask(Connection(url, token=token)) == f"Bearer {SECRET}"
        assert ask(Connection(url)) is None


def test_no_secret_in_repr_dump_or_errors(serve: Any, answer: Any, token: Secret) -> None:
    """Also not where the server repeats what it refuses."""
    headers = {"Authorization": f"Bearer {SECRET}"}

    def handler(asked: Any) -> Any:
        return answer(f"no such token: {asked.headers['Authorization']}", 401)

    with serve(handler) as url:
        for where in (Connection(url, token=token), Connection(url, headers=headers)):
            with pytest.raises(SomeError) as caught:
                ask(where)
            told = f"{caught.value} {caught.value.said} {caught.value.__cause__} {caught.value.__context__}"
            assert SECRET not in told
            assert "check `token`" in told
            assert SECRET not in repr(where)
        assert SECRET not in repr(asdict(Connection(url, token=token)))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "http://me:secret@host"}, "no secret belongs into the address"),
        ({"url": "host:9090"}, "not an address"),
        ({"url": "http://h", "user": "me"}, "belong together"),
        ({"url": "http://h", "user": "me", "token": Secret(env="A")}, "exclude each other"),
    ],
)
def test_what_is_no_connection(keys: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Connection(**keys)
    with pytest.raises(ValueError, match="either `file` or `env`"):
        Secret()


def test_a_missing_secret_is_told_by_its_place(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    (tmp_path / "two").write_text("a\nb", encoding="ascii")
    for secret, told in (
        (Secret(env="NOT_THERE"), "NOT_THERE is not set"),
        (Secret(file=str(tmp_path / "none")), "no secret in"),
        (Secret(file=str(tmp_path / "two")), "more than one line"),
    ):
        with pytest.raises(SourceError, match=told):
            ask(Connection("http://127.0.0.1:9", token=secret))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_repeated_within_limits(serve: Any, answer: Any, status: int) -> None:
    asked: list[int] = []

    def handler(_: Any) -> Any:
        asked.append(1)
        return answer("{}") if len(asked) == 3 else answer("busy", status, {"Retry-After": "0"})

    with serve(handler) as url:
        assert ask(Connection(url)) == {}
        asked.clear()
        with pytest.raises(SomeError, match=f"has no time \\({status}\\): busy"):
            ask(Connection(url, retries=1))
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, '{"status": "error", "error": "parse error"}', r"Something at .* refused \(400\): parse error$"),
        (403, "no", "what the token or user may read"),
        (404, "nothing", "with the path in front"),
        (200, "<html>", "login page"),
        (302, "", r"is elsewhere \(302, http://login\): give the address"),
    ],
)
def test_refusals_are_not_repeated(serve: Any, answer: Any, status: int, body: str, told: str) -> None:
    asked: list[int] = []

    def handler(_: Any) -> Any:
        asked.append(1)
        return answer(body, status, {"Location": "http://login?state=1"})

    with serve(handler) as url, pytest.raises(SomeError, match=told) as caught:
        ask(Connection(url))
    assert len(asked) == 1
    assert caught.value.status == status


def test_a_dead_server_is_told_with_its_address() -> None:
    with pytest.raises(SomeError, match=r"Something at http://127\.0\.0\.1:9 does not answer") as caught:
        ask(Connection("http://127.0.0.1:9", retries=1))
    assert caught.value.status == 0


def test_reading_goes_by_get_while_that_is_short_enough(serve: Any, answer: Any) -> None:
    with serve(lambda asked: answer(json.dumps([asked.method, asked.path, len(asked.params["q"])]))) as url:
        assert ask(connection(f"{url}/proxy/"), "/api", q="a b") == ["GET", "/proxy/api", 3]
        assert ask(connection(f"{url}/proxy"), "/api", q="ü" * 9000) == ["POST", "/proxy/api", 9000]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_tls_with_an_authority_and_a_client_certificate(serve: Any, answer: Any, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no program openssl to make certificates with")
    for name in ("server", "client"):
        make = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
        ]
        files = ["-keyout", tmp_path / f"{name}.key", "-out", tmp_path / f"{name}.pem"]
        names = ["-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(["openssl", *make, *names, *files], check=True, capture_output=True, timeout=60)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "client.pem")
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    own = {"client_cert": str(tmp_path / "client.pem"), "client_key": str(tmp_path / "client.key")}
    with serve(lambda _: answer("[1]"), context) as url:
        with pytest.raises(SomeError, match=r"cannot be trusted .* as `ca_file`"):
            ask(Connection(url))
        assert ask(Connection(url, ca_file=str(tmp_path / "server.pem"), **own)) == [1]
        assert ask(Connection(url, verify=False, **own)) == [1]
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(SomeError):
            ask(Connection(url, ca_file=str(tmp_path / "server.pem"), retries=0))
        assert ask(Connection(url, ca_file=str(tmp_path / "server.pem"), **own)) == [1]
        with pytest.raises(SomeError, match="cannot be asked"):
            ask(Connection(url, ca_file=str(tmp_path / "missing.pem"), **own))
