"""From an address, as files and the environment hold it, to a connection.

How a server is reached follows its address as a fragment, `https://host#token_env=TOKEN&ca_file=ca.pem`: it names where
secrets are and has none, so that one line of text is all that another process, or a person, needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from smartops_chaos.telemetry.connection import Connection, Secret


def with_keys(url: str, keys: Mapping[str, str]) -> str:
    """The address with the keys that are set; `tenant` is Loki's, "verify" is "no" or nothing."""
    fragment = urlencode({name: value for name, value in keys.items() if value})
    return f"{url}#{fragment}" if fragment else url


def reach(url: str) -> Connection:
    """`kubernetes:` leads through the API server, with the kubeconfig's credentials; see `cluster.service_url`.

    Raises ClusterError when there is no kubeconfig, and ValueError for what is no address.
    """
    address, _, fragment = url.partition("#")
    keys = dict(parse_qsl(fragment))
    tenant = {"X-Scope-OrgID": keys["tenant"]} if "tenant" in keys else {}
    if address.startswith("kubernetes:"):
        where = _through_api_server(address)
        return replace(where, headers={**where.headers, **tenant})
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


def _through_api_server(address: str) -> Connection:
    from smartops_chaos.kubernetes import cluster

    where = cluster.endpoint(address)
    return Connection(
        where.url,
        headers=where.headers,
        ca_file=where.ca or "",
        client_cert=where.cert or "",
        client_key=where.key or "",
        verify=where.verify,
    )


def _file(keys: Mapping[str, str], name: str) -> str:
    return str(Path(keys[name]).expanduser()) if name in keys else ""


def _secret(keys: Mapping[str, str], name: str) -> Secret | None:
    file, env = keys.get(f"{name}_file", ""), keys.get(f"{name}_env", "")
    return Secret(file=file, env=env) if file or env else None
