"""The connection to a Kubernetes cluster: one client a process, with limits on every call and words for every refusal.

The kubeconfig (KUBECONFIG, else ~/.kube/config) with a context says where it is, or a pod's own service account.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

import urllib3
from kubernetes import client, config
from tenacity import stop_before_delay

from smartops_chaos.kubernetes.chaos_mesh_spec import GROUP, KINDS
from smartops_chaos.schema.units import retry_after_s
from smartops_chaos.telemetry.connection import Connection
from smartops_chaos.telemetry.retry import LATER, Later, retried

CALL_S = 10.0  # limit of one call
_PATIENCE_S = 15.0  # how long a call that may succeed later is repeated
_SCHEME = "kubernetes"
_TRIES = 8  # to change what others change as well
MERGE = "application/merge-patch+json"
ASK_FOR_ROLES = "`smartops-chaos doctor --rbac MATRIX` prints the roles that are needed"

# API group of a collection; the core group, of pods, Services, ConfigMaps and events, has no name.
_RBAC = "rbac.authorization.k8s.io"
GROUPS = {
    "deployments": "apps",
    "statefulsets": "apps",
    "daemonsets": "apps",
    "endpointslices": "discovery.k8s.io",
    "roles": _RBAC,
    "rolebindings": _RBAC,
    **dict.fromkeys(KINDS.values(), GROUP),  # of Chaos Mesh
}
_VERSIONS = {GROUP: "v1alpha1"}

Json = dict[str, Any]
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

        Repeated after a status of `retry.LATER` and a lost connection, for `patience_s`. Of an outage only the first
        call is so patient: several in a row would put off the end of a trial by minutes. A 409 is not repeated: what
        was read is stale, see `amend`. Raises Gone for 404, ClusterError with the reason for everything else.
        """

        def attempt() -> Any:
            return json.loads(self._open(method, path, query, body, content, limit_s).data or b"null")

        try:
            answer = retried(attempt, stop_before_delay(0.0 if self._given_up else patience_s))
        except ClusterError as error:
            self._given_up = not error.status and "/proxy/" not in path  # a silent pod behind it is no outage
            raise
        self._given_up = False
        return answer

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
        except Later as error:
            raise error.error from error.__cause__
        with opened as answer:
            rest = b""
            with suppress(urllib3.exceptions.HTTPError, OSError):
                for block in answer.stream(65536):
                    *lines, rest = (rest + block).split(b"\n")
                    yield from lines

    def connection(self, path: str = "") -> Connection:
        """A path of the API server, for a caller with a client of its own."""
        found = self.api.configuration
        return Connection(
            found.host + path,
            headers=self.headers(),
            ca_file=found.ssl_ca_cert or "",
            client_cert=found.cert_file or "",
            client_key=found.key_file or "",
            verify=found.verify_ssl,
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
        try:
            answer = pool.request(
                method,
                self.api.configuration.host + path + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=CALL_S, read=limit_s),
                retries=False,
                preload_content=whole,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Later(ClusterError(f"the API server does not answer: {error}")) from error
        if answer.status >= 400:
            refused = _refusal(answer, f"{method} {path}")
            raise Later(refused, retry_after_s(answer.headers)) if answer.status in LATER else refused
        return answer


def path(namespace: str, collection: str, name: str = "") -> str:
    """Of a collection of objects ("pods", "deployments", ...), or of one of them."""
    group = GROUPS.get(collection)
    api = f"/apis/{group}/{_VERSIONS.get(group, 'v1')}" if group else "/api/v1"
    return f"{api}/namespaces/{namespace}/{collection}" + (f"/{name}" if name else "")


def proxy(namespace: str, collection: str, name: str, port: int | str, path_there: str = "") -> str:
    """The path through the API server to a server in the cluster; `collection` is "services" or "pods"."""
    return path(namespace, collection, f"{name}:{port}") + f"/proxy{path_there}"


def service_url(context: str, namespace: str, service: str, port: int | str) -> str:
    """The address of a Service through the API server's proxy, as files and the environment hold it: no secret."""
    return f"{_SCHEME}://{quote(context, safe='')}@{namespace}/{service}:{port}"


def connection(address: str) -> Connection:
    """A `kubernetes://` address of `service_url` as it is called: the API server's, with its credentials."""
    parts = urlsplit(address)
    context, _, namespace = parts.netloc.rpartition("@")
    name, _, port = parts.path.strip("/").partition(":")
    return connect(unquote(context)).connection(proxy(namespace, "services", name, port))


@functools.cache
def connect(context: str = "") -> Cluster:
    """The cluster of a context ("" = the current one), the same object for every caller in this process.

    Raises ClusterError when nothing says where it is.
    """
    configuration = client.Configuration()
    configuration.retries = 0  # `request` repeats what may be repeated
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


def _refusal(answer: urllib3.BaseHTTPResponse, what: str) -> ClusterError:
    """What the API server said, as an error with what to do about it."""
    status = answer.status
    try:
        said = str(json.loads(answer.data)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(answer.reason or status)
    if status == 401:
        return ClusterError("the cluster does not accept the credentials (401): log in again or renew the token", 401)
    if status == 403:
        return ClusterError(f"{said}; {ASK_FOR_ROLES}", 403)
    if status == 404:
        return Gone(said, 404)
    return ClusterError(f"{what}: {status} {said}", status)
