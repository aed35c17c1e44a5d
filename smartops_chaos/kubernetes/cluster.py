"""The connection to a Kubernetes cluster: one client a process, with limits on every call and words for every refusal.

The kubeconfig (KUBECONFIG, else ~/.kube/config) with a context says where it is, or a pod's own service account.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode, urlsplit

import urllib3
import yaml
from kubernetes import client, config
from tenacity import stop_before_delay

from smartops_chaos.kubernetes.chaos_mesh_spec import GROUP, KINDS
from smartops_chaos.kubernetes.identity import Identity
from smartops_chaos.schema.names import is_label, is_subdomain
from smartops_chaos.schema.units import retry_after_s
from smartops_chaos.telemetry.connection import Connection, hidden, proxy_of
from smartops_chaos.telemetry.retry import LATER, Later, retried

CALL_S = 10.0  # limit of one call
_PATIENCE_S = 15.0  # how long a call that may succeed later is repeated
_SCHEME = "kubernetes"
_TRIES = 8  # to change what others change as well
MERGE = "application/merge-patch+json"
ASK_FOR_ROLES = "`smartops-chaos doctor --rbac MATRIX` prints the roles that are needed"
IN_CLUSTER = "in-cluster"  # the context of a pod's own service account, which no kubeconfig names
IDENTITY = "SMARTOPS_IDENTITY"  # environment variable of a lane: the namespace that its processes must find
_DEFAULT = "~/.kube/config"
_SAID = 600  # characters of the API server's own words in an error

# API group and version of a collection; the core group, of pods, Services, ConfigMaps and events, has no name.
_APIS = {
    "deployments": "apps/v1",
    "statefulsets": "apps/v1",
    "daemonsets": "apps/v1",
    "replicasets": "apps/v1",
    "rollouts": "argoproj.io/v1alpha1",
    "horizontalpodautoscalers": "autoscaling/v2",
    "scaledobjects": "keda.sh/v1alpha1",
    "poddisruptionbudgets": "policy/v1",
    "endpointslices": "discovery.k8s.io/v1",
    "roles": "rbac.authorization.k8s.io/v1",
    "rolebindings": "rbac.authorization.k8s.io/v1",
    **dict.fromkeys(KINDS.values(), f"{GROUP}/v1alpha1"),  # of Chaos Mesh
}
GROUPS = {collection: api.partition("/")[0] for collection, api in _APIS.items()}
_NAMESPACE = re.compile(r"/(?:api|apis/[^/]+)/[^/]+/namespaces/([^/]+)(?:/|$)")
_ODD = re.compile(r"[^\x21-\x7e]|[?#\\]")  # in a path, where they would end it or lead elsewhere

Json = dict[str, Any]
T = TypeVar("T")


class ClusterError(RuntimeError):
    """The cluster refused, or did not answer. `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Gone(ClusterError):
    """The object, or the namespace, does not exist (any more)."""


class AnotherCluster(ClusterError):
    """The namespace that answers is not the one on which the campaign took its lock: nothing of it is known here."""


class NamespaceGone(Gone):
    """The campaign's namespace was deleted, on the very cluster where it was: everything in it is gone with it."""


class Cluster:
    """The API server of one context."""

    def __init__(self, api: client.ApiClient, context: str) -> None:
        self.api = api
        self.context = context
        self._given_up = False  # the last call was repeated in vain: the next one need not wait as long once more
        self._expected: dict[str, Identity] = {}  # by namespace
        self._compared: set[str] = set()

    @property
    def server(self) -> str:
        return str(self.api.configuration.host)

    @property
    def where(self) -> str:
        """For a person."""
        return f"context {self.context} ({self.server})"

    # ---- identity ------------------------------------------------------------------------------------------------

    def identify(self, namespace: str) -> Identity:
        """Who a namespace is. Raises Gone, ClusterError."""
        found = self.request("GET", f"/api/v1/namespaces/{_checked(namespace, is_label)}", compare=False)
        return Identity(namespace, _uid(found), self.context, self.server, self._cluster_uid())

    def _cluster_uid(self) -> str:
        with suppress(ClusterError):  # not everybody may look there
            return _uid(self.request("GET", "/api/v1/namespaces/kube-system", patience_s=0, compare=False))
        return ""

    def expect(self, identity: Identity) -> None:
        """From now on nothing is read or written in that namespace before it was found to be this one."""
        self._expected[identity.namespace] = identity
        self._compared.discard(identity.namespace)

    def compare(self, namespace: str) -> None:
        """See that a namespace is the expected one: once, before the first request into it.

        Raises AnotherCluster, NamespaceGone, ClusterError.
        """
        wanted = self._expected.get(namespace)
        if wanted is None or namespace in self._compared:
            return
        try:
            found = self.request("GET", f"/api/v1/namespaces/{_checked(namespace, is_label)}", compare=False)
            now = Identity(namespace, _uid(found), self.context, self.server)
        except Gone:
            now = Identity(namespace, "none", self.context, self.server)
        if not wanted.is_same(now):
            now = Identity(namespace, now.uid, now.context, now.server, self._cluster_uid() if wanted.cluster else "")
            if wanted.was_deleted(now):
                raise NamespaceGone(f"{wanted} was deleted since, and everything in it", 404)
            raise AnotherCluster(
                f"the campaign has {wanted}, but what answers now is {now}: choose the context of the campaign again"
            )
        self._compared.add(namespace)

    def _compare_that_of(self, path: str) -> None:
        """`compare`, if the path leads into a namespace."""
        if match := _NAMESPACE.match(path):
            self.compare(match[1])

    # ---- requests ------------------------------------------------------------------------------------------------

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
        compare: bool = True,
    ) -> Any:
        """The answer's JSON, as the API server wrote it: no model between that could refuse a newer field.

        Repeated after a status of `retry.LATER` and a lost connection, for `patience_s`. Of an outage only the first
        call is so patient: several in a row would put off the end of a trial by minutes. A 409 is not repeated: what
        was read is stale, see `amend`. `compare`: only after the namespace was found to be the expected one, see
        `compare`. Raises Gone for 404, ClusterError with the reason for everything else.
        """
        if compare:
            self._compare_that_of(path)
        through = "/proxy/" in path  # what answers is no API server but the application behind it

        def attempt() -> Any:
            answer = self._open(method, path, query, body, content, limit_s)
            try:
                found = json.loads(answer.data or b"null")
            except ValueError:
                raise ClusterError(f"{method} {path}: the answer is no JSON; {_NO_API}") from None
            if not through and not isinstance(found, dict):
                raise ClusterError(f"{method} {path}: {_NO_API}")
            return found

        try:
            answer = retried(attempt, stop_before_delay(0.0 if self._given_up else patience_s))
        except ClusterError as error:
            self._given_up = not error.status and not through  # a silent pod behind it is no outage
            raise
        self._given_up = False
        return answer

    def items(self, path: str, query: dict[str, str] | None = None) -> list[Json]:
        """The objects of a collection. Raises ClusterError, also for what is no list of objects."""
        found: list[Json] = self.listing(path, query)["items"]
        return found

    def listing(self, path: str, query: dict[str, str] | None = None) -> Json:
        """A collection as it is: `items`, and in `metadata` the version of the list. Raises ClusterError."""
        listed = self.request("GET", path, query=query)
        found = listed.get("items") or []  # null is how an empty one is written at times
        if "items" not in listed or not isinstance(found, list) or not all(map(_is_object, found)):
            raise ClusterError(f"GET {path}: {_NO_API}")
        return {**listed, "items": found}

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
        self._compare_that_of(path)
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
        self._compare_that_of(path)
        found = self.api.configuration
        return Connection(
            found.host + _unbroken(path),
            headers=self.headers(),
            ca_file=found.ssl_ca_cert or "",
            client_cert=found.cert_file or "",
            client_key=found.key_file or "",
            verify=found.verify_ssl,
            proxy=found.proxy or "",
            server_name=found.tls_server_name or "",
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
        credentials = self.headers()
        headers = {**credentials, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        pool: urllib3.PoolManager = self.api.rest_client.pool_manager
        try:
            answer = pool.request(
                method,
                self.server + _unbroken(path) + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=CALL_S, read=limit_s),
                retries=False,
                preload_content=whole,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Later(ClusterError(f"the API server does not answer: {error}")) from error
        if 300 <= answer.status < 400:
            raise ClusterError(f"{method} {path}: {answer.status}, what is asked for is elsewhere; {_NO_API}")
        if answer.status >= 400:
            refused = _refusal(answer, method, path, credentials)
            raise Later(refused, retry_after_s(answer.headers)) if answer.status in LATER else refused
        return answer


def path(namespace: str, collection: str, name: str = "") -> str:
    """Of a collection of objects ("pods", "deployments", ...), or of one of them.

    Raises ClusterError for what is no name: a request with it could go to another object, in another namespace.
    """
    group = f"/apis/{_APIS[collection]}" if collection in _APIS else "/api/v1"
    inside = f"{group}/namespaces/{_checked(namespace, is_label)}/{collection}"
    return f"{inside}/{_checked(name, is_subdomain)}" if name else inside


def path_of(collection: str, name: str = "") -> str:
    """Of an object in a collection of any API, whose path is known. Raises ClusterError for what is no name."""
    return f"{collection}/{_checked(name, is_subdomain)}" if name else collection


def proxy(namespace: str, collection: str, name: str, port: int | str, path_there: str = "") -> str:
    """The path through the API server to a server in the cluster; `collection` is "services" or "pods"."""
    if not (str(port).isascii() and str(port).isdigit()) and not is_label(str(port)):
        raise ClusterError(f"{str(port)[:70]!r} is no port: correct the file that names it")
    return f"{path(namespace, collection, name)}:{port}/proxy{path_there}"


def _checked(name: str, fits: Callable[[str], bool]) -> str:
    if not fits(name):
        raise ClusterError(f"{name[:70]!r} is no name of an object: correct the file or the annotation that has it")
    return name


def _unbroken(path: str) -> str:
    """The path as it is, if no part of it leads elsewhere. Raises ClusterError."""
    if _ODD.search(path) or any(part in (".", "..") for part in re.split(r"[/\\]", unquote(path))):
        raise ClusterError(f"{path[:200]!r} is no path that is asked for: it leads to somewhere else")
    return path


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

    A trial's process finds in its environment which namespace it is about, see `Cluster.expect`. Raises ClusterError
    when nothing says where the cluster is, or what says it cannot be used.
    """
    configuration = client.Configuration()
    configuration.retries = 0  # `request` repeats what may be repeated
    configuration.proxy = None  # the environment's is known to `proxy_of`: what is here afterwards is the kubeconfig's
    files = _kubeconfig()
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if in_pod and (context == IN_CLUSTER or (not context and not any(map(Path.exists, files)))):
            if not context:
                return connect(IN_CLUSTER)
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            file = os.pathsep.join(map(str, files))
            if not context:
                _, current = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
                return connect(str(current["name"]))
            given: dict[str, Any] = {"config_file": file, "context": context, "persist_config": False}
            given["client_configuration"] = configuration
            config.load_kube_config(**given)  # type: ignore[no-untyped-call]
    except ClusterError:
        raise
    except config.ConfigException as error:
        lacking = "" if any(map(Path.exists, files)) else f"{_listed(files)} is not there"
        raise ClusterError(
            f"no cluster: {_culprit(files) or lacking or f'{_listed(files)}: {error}'}; {_SET_IT}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        why = _culprit(files) or f"{_listed(files)} cannot be used: {type(error).__name__}: {_first_line(error)}"
        raise ClusterError(f"no cluster: {why}; {_SET_IT}") from None
    address = urlsplit(str(configuration.host))
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ClusterError(f"no cluster: {_listed(files)} has no usable address of a server for {context}; {_SET_IT}")
    if not configuration.api_key and not configuration.cert_file and (program := _program(files, context)):
        raise ClusterError(
            f"no cluster: {_listed(files)} has `{program}` give the credentials of {context}, and it gave none: "
            "run it by hand and see what it says"
        )
    _through_proxy(configuration)
    found = Cluster(client.ApiClient(configuration), context)
    if expected := os.environ.get(IDENTITY):
        try:
            found.expect(Identity.parse(expected))
        except ValueError as error:
            raise ClusterError(f"{IDENTITY}: {error}") from None
    return found


_SET_IT = "set KUBECONFIG, or name its context: `target.context` in a matrix, `--context` of a command"
_NO_API = "what answers is no API server: is a login page or a proxy in between?"


def _kubeconfig() -> list[Path]:
    """The files of KUBECONFIG, a list as PATH is one."""
    given = os.environ.get("KUBECONFIG") or _DEFAULT
    return [Path(one).expanduser() for one in given.split(os.pathsep) if one]


def _listed(files: list[Path]) -> str:
    return f"the kubeconfig {' and '.join(map(str, files))}"


def _culprit(files: list[Path]) -> str:
    """The first file that is no kubeconfig, and why; empty if each is one, or is not there."""
    for file in files:
        if not file.exists():
            continue
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            return f"the kubeconfig {file} cannot be read: {_first_line(error)}"
        if not isinstance(content, dict):
            return f"the kubeconfig {file} is none: it holds no mapping with clusters, users and contexts"
    return ""


def _program(files: list[Path], context: str) -> str:
    """The program that gives a context's credentials; empty if there is none."""
    with suppress(Exception):  # the same files were read a moment ago
        read = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.exists()]
        contexts = [one for content in read for one in content.get("contexts") or () if one["name"] == context]
        users = [one for content in read for one in content.get("users") or () if contexts]
        user = next(one["user"] for one in users if one["name"] == contexts[0]["context"]["user"])
        return str(user["exec"]["command"])
    return ""


def _first_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(getattr(error, "strerror", None) or error).partition("\n")[0][:200]


def _through_proxy(configuration: client.Configuration) -> None:
    """One way for every client: the kubeconfig's `proxy-url`, else the environment's, and none to loopback."""
    way = proxy_of(str(configuration.host), configuration.proxy or "")
    configuration.proxy, configuration.no_proxy = way or None, ""
    parts = urlsplit(way)
    if parts.username:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=who)


def _uid(found: Any) -> str:
    if not _is_object(found) or not isinstance(found["metadata"].get("uid"), str):
        raise ClusterError(f"a namespace without a UID: {_NO_API}")
    return str(found["metadata"]["uid"])


def _is_object(found: Any) -> bool:
    """Whether it is what every object of the API is at least: a mapping with metadata, and a name in it."""
    meta = found.get("metadata") if isinstance(found, dict) else None
    return isinstance(meta, dict) and isinstance(meta.get("name"), str)


def _refusal(answer: urllib3.BaseHTTPResponse, method: str, path: str, credentials: Mapping[str, str]) -> ClusterError:
    """What the API server said, as an error with what to do about it."""
    status = answer.status
    try:
        said = str(json.loads(answer.data)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(answer.reason or status)
    said = hidden(said, credentials.values())[:_SAID]
    if status == 401:
        return ClusterError("the cluster does not accept the credentials (401): log in again or renew the token", 401)
    if status == 403:
        return ClusterError(f"{said}; {ASK_FOR_ROLES}", 403)
    if status == 404 or (status == 410 and method == "DELETE"):
        return Gone(said, status)
    return ClusterError(f"{method} {path}: {status} {said}", status)
