"""How a server is reached: address, TLS, credentials, limits. And the one way in which telemetry servers are asked.

A `Connection` names where a secret is (a file, an environment variable) and never holds it: it is read for each
request, so that a token that is renewed goes on working, and so that no repr, error or record can show it.

Between processes a connection is one line of text, so that a stored experiment, an environment variable and a person
can all hold it. What the address alone does not say follows as a fragment, still without a secret:

    https://loki.example.com/path#token_env=TOKEN&ca_file=ca.pem
    kubernetes://context@namespace/service:port         through a cluster's API server, see _PROXIES
"""

from __future__ import annotations

import importlib
import json
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import requests
from tenacity import stop_after_attempt

from smartops_chaos.loopback import is_loopback
from smartops_chaos.schema.units import retry_after_s
from smartops_chaos.telemetry.retry import LATER, Later, retried

# Scheme of an address -> module whose `connection(address)` makes a Connection of it. By name, since a cluster's client
# takes longer to load than all the rest, and since the core imports no wing.
_PROXIES = {"kubernetes": "smartops_chaos.kubernetes.cluster"}
_LONGEST_GET = 4000  # characters of parameters: beyond it servers and proxies refuse the address
_FORM = "application/x-www-form-urlencoded"
_HINTS = {
    200: "a login page in between? Give the address of the server itself",
    401: "check `token`, or `user` and `password`",
    403: "check what the token or user may read",
    404: "check the address, with the path in front of the server's own",
}
_SAID = 300  # characters of a server's own words in an error
_LONGEST_ANSWER = 100_000  # characters of an answer in which secrets are looked for
_SHORTEST = 4  # characters of a secret that is hidden: hiding a single letter would hide every word
_PUBLIC = {"Bearer", "Basic", "basic", "bearer"}


class SourceError(RuntimeError):
    """A source did not answer, or refused; the text says which and what to do about it.

    `status` is the HTTP status, 0 without an answer; `said` the server's own words.
    """

    source = "the telemetry source"

    def __init__(self, message: str, *, status: int = 0, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a token or password is. Exactly one of the two is given."""

    file: str = ""
    env: str = ""

    def __post_init__(self) -> None:
        if bool(self.file) == bool(self.env):
            raise ValueError("a secret is named by either `file` or `env`: write one of them")

    def read(self) -> str:
        """Raises SourceError if there is none."""
        try:
            value = Path(self.file).expanduser().read_text(encoding="utf-8") if self.file else os.environ[self.env]
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"no secret in {self.file} ({type(error).__name__}): write it there") from None
        except KeyError:
            raise SourceError(f"the environment variable {self.env} is not set: export it") from None
        value = value.strip()
        if not value or not value.isprintable():
            raise SourceError(
                f"the secret in {self.file or self.env} is empty or has more than one line: write it anew"
            )
        return value


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and all that is needed to be let in. Files are PEM. Raises ValueError for what does not fit together.

    `headers` may carry credentials of the caller's own; no repr shows them.
    """

    url: str  # with the path in front of the server's own, as behind a proxy
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: Secret | None = None  # sent as `Authorization: Bearer`
    user: str = ""
    password: Secret | None = None  # with `user`: basic authentication
    ca_file: str = ""  # empty: the usual authorities
    client_cert: str = ""
    client_key: str = ""  # empty: in the same file as the certificate
    verify: bool = True
    timeout_s: float = 5.0  # for the connection, and for each silence of the server
    retries: int = 2  # after a lost connection, and after a status of `retry.LATER`
    proxy: str = ""  # through which it is reached, if not through the environment's
    server_name: str = ""  # in its certificate, if not the address' own
    proxied: bool = False  # a cluster's API server stands in front, which may answer in the server's place

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address: write it as http://host:port or https://host:port/path")
        if parts.username or parts.password or parts.query:
            raise ValueError("no secret belongs into the address: use `token`, or `user` with `password`")
        if self.token is not None and self.user:
            raise ValueError("`token` and `user` exclude each other: keep one")
        if bool(self.user) != (self.password is not None):
            raise ValueError("`user` and `password` belong together: give both")

    def tls(self) -> ssl.SSLContext | bool:
        """What aiohttp takes as `ssl`; `ask` has its own."""
        if self.url.startswith("http:") or (self.verify and not (self.ca_file or self.client_cert)):
            return True
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key or None)
        return context

    def streaming(self) -> dict[str, Any]:
        """What aiohttp takes with each request, beside address, headers and `tls`."""
        return {"proxy": proxy_of(self.url, self.proxy) or None, "server_hostname": self.server_name or None}

    def hide(self, text: str) -> str:
        """A text of others without the credentials of `headers`, should it repeat them."""
        return hidden(text, (value for name, value in self.headers.items() if _is_secret(name)))

    def ask(self, error: type[SourceError], path: str, params: Mapping[str, str], *, retries: int | None = None) -> Any:
        """The JSON at `path`, asked by GET where that is short enough: a role that may only read allows no more.

        `retries` replaces the connection's own number. Raises `error`.
        """
        tries = 1 + (self.retries if retries is None else retries)
        try:
            return retried(lambda: self._once(error, path, params), stop_after_attempt(tries))
        except SourceError as failure:
            raise error(str(failure), status=failure.status, said=failure.said) from failure.__cause__

    def _once(self, error: type[SourceError], path: str, params: Mapping[str, str]) -> Any:
        credentials = _Credentials(self)
        query = urlencode(params)
        short = len(query) <= _LONGEST_GET
        who = f"{error.source} at {self.url}"
        proxy = proxy_of(self.url, self.proxy)
        authorities = self.ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        try:
            with requests.Session() as session:
                session.trust_env = False  # what it says is in `proxy` and `authorities` already
                if self.server_name:
                    session.mount("https://", _Named(self.server_name))
                answer = session.request(
                    "GET" if short else "POST",
                    self.url.rstrip("/") + path,
                    params=query if short else None,
                    data=None if short else query,
                    headers={"Accept": "application/json"} | ({} if short else {"Content-Type": _FORM}),
                    auth=credentials,
                    timeout=self.timeout_s,
                    verify=authorities if self.verify else False,
                    cert=(self.client_cert, self.client_key) if self.client_key else (self.client_cert or None),
                    proxies={"http": proxy, "https": proxy} if proxy else None,
                    allow_redirects=False,  # the headers would go along, whoever it is
                )
        except requests.exceptions.SSLError as failure:
            why = credentials.hide(str(failure))
            raise SourceError(f"{who} cannot be trusted ({why}): give its authority as `ca_file`") from None
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as failure:
            raise Later(SourceError(f"{who} does not answer: {credentials.hide(_why(failure))}")) from None
        except (requests.exceptions.RequestException, OSError) as failure:  # OSError: a certificate file is missing
            raise SourceError(f"{who} cannot be asked: {credentials.hide(str(failure))}") from None
        return self._read(error, answer, credentials)

    def _read(self, error: type[SourceError], answer: requests.Response, credentials: _Credentials) -> Any:
        status = answer.status_code
        whole = f"{error.source} at {self.url}"
        payload = None
        with suppress(ValueError):
            payload = json.loads(answer.content)
            if status == 200:
                return payload
        said = credentials.hide(_words(answer, payload))[:_SAID]
        if status in LATER:
            busy = SourceError(f"{whole} has no time ({status}): {said}", status=status, said=said)
            raise Later(busy, retry_after_s(answer.headers))
        if 300 <= status < 400:
            elsewhere = answer.headers.get("Location", "").partition("?")[0]
            raise SourceError(
                f"{whole} is elsewhere ({status}, {elsewhere}): give the address that answers", status=status
            )
        if status == 200:
            said = "the answer is not JSON"
        hint = _HINTS.get(status, "")
        raise SourceError(f"{whole} refused ({status}): {said}" + (hint and f"; {hint}"), status=status, said=said)


def connection(where: str | Connection) -> Connection:
    """A connection from its line of text; one that is made already stays as it is.

    Raises ValueError for what is no address, and for a proxy what its module raises when it cannot be found
    (of a cluster: ClusterError, without a kubeconfig).
    """
    if isinstance(where, Connection):
        return where
    address, _, fragment = where.partition("#")
    keys = dict(parse_qsl(fragment))
    tenant = {"X-Scope-OrgID": keys["tenant"]} if "tenant" in keys else {}
    if proxy := _PROXIES.get(address.partition(":")[0]):
        made: Connection = importlib.import_module(proxy).connection(address)
        return replace(made, headers={**made.headers, **tenant}, proxied=True)
    return Connection(
        address,
        headers=tenant,
        token=_secret(keys, "token"),
        user=keys.get("user", ""),
        password=_secret(keys, "password"),
        ca_file=_file(keys, "ca_file"),
        client_cert=_file(keys, "client_cert"),
        client_key=_file(keys, "client_key"),
        verify=keys.get("verify") != "no",
    )


def with_keys(url: str, keys: Mapping[str, str]) -> str:
    """The line of text that `connection` reads; `tenant` is Loki's, `verify` is "no" or nothing."""
    fragment = urlencode({name: value for name, value in keys.items() if value})
    return f"{url}#{fragment}" if fragment else url


def _file(keys: Mapping[str, str], name: str) -> str:
    return str(Path(keys[name]).expanduser()) if name in keys else ""


def _secret(keys: Mapping[str, str], name: str) -> Secret | None:
    file, env = keys.get(f"{name}_file", ""), keys.get(f"{name}_env", "")
    return Secret(file=file, env=env) if file or env else None


class _Credentials(requests.auth.AuthBase):
    """The headers of one request. Given as `auth`, since otherwise a ~/.netrc would replace them."""

    def __init__(self, where: Connection) -> None:
        self._headers = dict(where.headers)
        self._basic: requests.auth.HTTPBasicAuth | None = None
        self._secrets = [value for name, value in where.headers.items() if _is_secret(name)]
        if where.token is not None:
            secret = where.token.read()
            self._headers["Authorization"] = f"Bearer {secret}"
            self._secrets.append(secret)
        if where.password is not None:
            secret = where.password.read()
            self._basic = requests.auth.HTTPBasicAuth(where.user.encode(), secret.encode())
            self._secrets.append(secret)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        sent = self._basic(request) if self._basic else request
        self._secrets += [value for name, value in sent.headers.items() if _is_secret(name)]  # as they were encoded
        return sent

    def hide(self, text: str) -> str:
        """Some proxies repeat what they refuse. A text is cut only after this: half a secret would not be found."""
        return hidden(text, self._secrets)


def hidden(text: str, secrets: Iterable[str | bytes]) -> str:
    """The text without the secrets: each as a whole, its words (`Bearer ...`, cookies), and as an address has it."""
    found: set[str] = set()
    for one in secrets:
        secret = one.decode("latin-1") if isinstance(one, bytes) else one
        words = [secret, *re.split(r"[\s;,]+", secret), *(word.partition("=")[2] for word in secret.split(";"))]
        found.update(form for word in words if len(word) >= _SHORTEST for form in (word, quote(word, safe="")))
    for secret in sorted(found - _PUBLIC, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def proxy_of(url: str, given: str = "") -> str:
    """The proxy through which an address is reached: the given one, else the environment's; "" for none.

    Nothing leads to loopback but loopback.
    """
    if is_loopback(urlsplit(url).hostname or ""):
        return ""
    return given or requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url)) or ""


class _Named(requests.adapters.HTTPAdapter):
    """A server whose certificate has another name than its address."""

    def __init__(self, name: str) -> None:
        self._name: dict[str, Any] = {"server_hostname": name, "assert_hostname": name}
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **more, **self._name)

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        return super().proxy_manager_for(proxy, **more, **self._name)


def _why(failure: Exception) -> str:
    """The innermost reason, such as "[Errno 111] Connection refused"; without one all that the library says."""
    reason = getattr(failure.args[0] if failure.args else None, "reason", None)
    return str(reason).partition(": ")[2] if reason else str(failure)


def _is_secret(header: str) -> bool:
    return any(word in header.lower() for word in ("auth", "token", "cookie", "key", "secret"))


def _words(answer: requests.Response, payload: Any) -> str:
    if isinstance(payload, dict):
        for key in ("error", "message"):
            if isinstance(payload.get(key), str):
                return str(payload[key])
    return answer.text.strip()[:_LONGEST_ANSWER]
