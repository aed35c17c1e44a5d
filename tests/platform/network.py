"""What network policies allow, computed from their text as the API documents it. Pure.

Only what the chart uses: matchLabels, namespaceSelector, podSelector, ports by number or name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A pod, or something outside of the cluster: without a namespace."""

    name: str
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


def passes(policies: Iterable[tuple[str, Policy]], sender: Peer, receiver: Peer, port: int) -> bool:
    """Whether a connection gets through: out of the sender and into the receiver. `policies`: namespace and object."""
    known = list(policies)
    return _side(known, sender, receiver, receiver, port, "Egress") and _side(
        known, receiver, sender, receiver, port, "Ingress"
    )


def _side(
    policies: list[tuple[str, Policy]], here: Peer, there: Peer, receiver: Peer, port: int, direction: str
) -> bool:
    about = [
        p["spec"]
        for namespace, p in policies
        if namespace == here.namespace and _has(here.labels, p["spec"]["podSelector"])
    ]
    about = [spec for spec in about if direction in spec["policyTypes"]]
    rules = [rule for spec in about for rule in spec.get(direction.lower(), [])]
    key = "to" if direction == "Egress" else "from"
    own = here.namespace or ""
    return not about or any(
        ("ports" not in rule or any(_is(one, port, receiver) for one in rule["ports"]))
        and (key not in rule or any(_matches(peer, there, own) for peer in rule[key]))
        for rule in rules
    )


def _is(rule: Mapping[str, Any], port: int, receiver: Peer) -> bool:
    wanted = rule["port"]
    return rule.get("protocol", "TCP") == "TCP" and port == (
        receiver.ports.get(wanted) if isinstance(wanted, str) else wanted
    )


def _matches(peer: Mapping[str, Any], other: Peer, own_namespace: str) -> bool:
    if other.namespace is None:
        return False
    name = {"kubernetes.io/metadata.name": other.namespace}
    there = _has(name, peer["namespaceSelector"]) if "namespaceSelector" in peer else other.namespace == own_namespace
    return there and _has(other.labels, peer.get("podSelector", {}))


def _has(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


Pair = tuple[str, str]  # who calls, and whose port


def pairs(policies: Iterable[tuple[str, Policy]], senders: Iterable[Peer], receivers: Iterable[Peer]) -> set[Pair]:
    """Every pair of which one may open a connection to the other's port."""
    known, there = list(policies), list(receivers)
    return {
        (sender.name, f"{receiver.name}:{name}")
        for sender in senders
        for receiver in there
        for name, port in receiver.ports.items()
        if sender.name != receiver.name and passes(known, sender, receiver, port)
    }
