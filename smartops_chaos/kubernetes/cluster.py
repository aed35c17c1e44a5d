"""The connection to a Kubernetes cluster: one client a process, with limits on every call and words for every refusal.

The kubeconfig (KUBECONFIG, else ~/.kube/config) with a context says where it is, or a pod's own service account.
"""

from __future__ import annotations

import functools
import json
import os
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from smartops_chaos.schema.units import retry_after_s

CALL_S = 10.0  # limit of one call
_PATIENCE_S = 15.0  # how long a call that may succeed later is repeated
_LATER = (429, 500, 502, 503, 504)
_SCHEME = "kubernetes"
_TRIES = 8  # to change what others change as well
MERGE = "application/merge-patch+json"
ASK_FOR_ROLES = "`smartops-chaos doctor --rbac MATRIX` prints the roles that are needed"

T = TypeVar("T")


class ClusterError(RuntimeError):
    """The cluster refused, or did not answer. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Gone(ClusterError):
    """The object, or the namespace, does not exist (any more)."""


class Cluster:
    """The API server of one context."""

    def __init__(self, api: client.ApiClient, context: str) -> None:
        self.api = api
        self.context = context
        self._given_up = False  # the last call was repeated in vain: the next one need not wait as long once more

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content: str = "application/json",
        limit_s: float = CALL_S,
        patience_s: float = _PATIENCE_S,
    ) -> Any:
        """The answer's JSON, as the API server wrote it: no model between that could refuse a newer field.

        Repeated after 429, 5xx and lost connections for `patience_s`, once in an outage. Raises Gone for 404,
        ClusterError with words for everything else. A 409 is not repeated: what was read is stale.
        """
        deadline = time.monotonic() + (0.0 if self._given_up else patience_s)
        pause_s = 0.1
        while True:
            try:
                answer = self._open(method, path, query, body, content, limit_s)
                self._given_up = False
                return json.loads(answer.data or b"null")
            except ApiException as error:
                self._given_up = False
                if error.status not in _LATER or time.monotonic() + pause_s > deadline:
                    raise _in_words(error, f"{method} {path}") from error
                pause_s = max(pause_s, retry_after_s(error.headers or {}))
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if time.monotonic() + pause_s > deadline:
                    self._given_up = "/proxy/" not in path  # a silent pod behind it is no outage
                    raise ClusterError(f"the API server does not answer: {error}") from error
            time.sleep(pause_s * (1 + random.random() / 4))
            pause_s = min(2 * pause_s, 2.0)

    def amend(self, what: str, once: Callable[[], T]) -> T:
        """`once` reads an object and patches the version that it read; again while somebody else is quicker.

        Raises ClusterError when that goes on, and what `once` raises.
        """
        for _ in range(_TRIES):
            try:
                return once()
            except ClusterError as error:
                if error.status != 409:
                    raise
        raise ClusterError(f"{what} is changed by somebody else all the time", 409)

    def stream(self, path: str, query: dict[str, str], limit_s: float) -> Iterator[bytes]:
        """The lines of an answer as they come, until silence of more than `limit_s`. Raises ClusterError."""
        try:
            opened = self._open("GET", path, query, None, "", limit_s, whole=False)
        except ApiException as error:
            raise _in_words(error, path) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"the API server does not answer: {error}") from error
        with opened as answer:
            rest = b""
            with suppress(urllib3.exceptions.HTTPError, OSError):
                for block in answer.stream(65536):
                    *lines, rest = (rest + block).split(b"\n")
                    yield from lines

    def endpoint(self, path: str) -> Endpoint:
        """A path of the API server, for a caller with a client of its own."""
        found = self.api.configuration
        return Endpoint(
            found.host + path, self.headers(), found.ssl_ca_cert, found.cert_file, found.key_file, found.verify_ssl
        )

    def headers(self) -> dict[str, str]:
        """The credentials of a call; a token that has expired is renewed where the kubeconfig says how."""
        settings = self.api.configuration.auth_settings()
        return {str(one["key"]): str(one["value"]) for one in settings.values() if one["value"]}

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: Any,
        content: str,
        limit_s: float,
        *,
        whole: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        headers = {**self.headers(), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        pool: urllib3.PoolManager = self.api.rest_client.pool_manager
        answer = pool.request(
            method,
            self.api.configuration.host + path + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=urllib3.Timeout(connect=CALL_S, read=limit_s),
            retries=False,
            preload_content=whole,
        )
        if answer.status >= 400:
            error = ApiException(status=answer.status, reason=answer.reason)
            error.body, error.headers = answer.data.decode(errors="replace"), answer.headers
            raise error
        return answer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP address with what it needs to be let in. The credentials are in no file and no repr."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    verify: bool = True

    def tls(self) -> ssl.SSLContext | bool:
        """For aiohttp."""
        if self.url.startswith("http:") or (self.verify and not (self.ca or self.cert)):
            return True
        context = ssl.create_default_context(cafile=self.ca)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context


def path(namespace: str, kind: str, name: str = "") -> str:
    """Of a collection of objects ("pods", "deployments", ...), or of one of them."""
    group = "/apis/apps/v1" if kind == "deployments" else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind}" + (f"/{name}" if name else "")


def proxy(namespace: str, kind: str, name: str, port: int | str, path_there: str = "") -> str:
    """The path through the API server to a server in the cluster; `kind` is "services" or "pods"."""
    return path(namespace, kind, f"{name}:{port}") + f"/proxy{path_there}"


def service_url(context: str, namespace: str, service: str, port: int | str) -> str:
    """The address of a Service through the API server's proxy, as files and the environment hold it: no secret."""
    return f"{_SCHEME}://{quote(context, safe='')}@{namespace}/{service}:{port}"


def endpoint(url: str) -> Endpoint:
    """An address as it is called: a `kubernetes://` one with the API server's own, any other one unchanged."""
    parts = urlsplit(url)
    if parts.scheme != _SCHEME:
        return Endpoint(url)
    context, _, namespace = parts.netloc.rpartition("@")
    service, _, below = parts.path.strip("/").partition("/")
    name, _, port = service.partition(":")
    return connect(unquote(context)).endpoint(proxy(namespace, "services", name, port, below and f"/{below}"))


@functools.cache
def connect(context: str = "") -> Cluster:
    """The cluster of a context ("" = the current one), the same object for every caller in this process.

    Raises ClusterError when nothing says where it is.
    """
    configuration = client.Configuration()
    configuration.retries = 0  # `call` repeats what may be repeated
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ and not _kubeconfig().exists():
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            file = os.environ.get("KUBECONFIG") or None  # the client itself looks only when it is imported
            given: dict[str, Any] = {"config_file": file, "context": context or None, "persist_config": False}
            given["client_configuration"] = configuration
            config.load_kube_config(**given)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ClusterError(f"no cluster: {error}; set KUBECONFIG, or `target.context` in the matrix") from error
    return Cluster(client.ApiClient(configuration), context)


def _kubeconfig() -> Path:
    return Path(os.environ.get("KUBECONFIG", "~/.kube/config")).expanduser()


def _in_words(error: ApiException, what: str) -> ClusterError:
    told = _message(error)
    if error.status == 401:
        return ClusterError("the cluster does not accept the credentials (401): log in again or renew the token", 401)
    if error.status == 403:
        return ClusterError(f"{told}; {ASK_FOR_ROLES}", 403)
    if error.status == 404:
        return Gone(told, 404)
    return ClusterError(f"{what}: {error.status} {told}", error.status or 0)


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason or error.status)
