"""This machine's own addresses, to which no proxy leads: the lab, a port that was forwarded, a local API server."""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping

_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether a host of an address is this machine."""
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def never_proxied(environment: MutableMapping[str, str]) -> None:
    """Have every program that reads NO_PROXY go to loopback directly: other extensions' probes among them.

    Both spellings: some programs read the one, some the other, and where both are set the small one counts.
    """
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    listed = [one.strip() for one in given.split(",") if one.strip()]
    told = ",".join(dict.fromkeys([*listed, *_NAMES]))
    environment["no_proxy"] = environment["NO_PROXY"] = told
