"""Which namespace of which cluster: what a campaign writes down when it takes a namespace, and compares ever after.

A context is a name in a file that anybody may change, and clusters have namespaces of equal names. The UID of a
namespace is its own: it tells it from those of all other clusters, and from one that was made again after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEXT = re.compile(
    r"(?P<namespace>\S+) \(uid (?P<uid>\S+)\) in context (?P<context>.+) at (?P<server>\S+?)"
    r"(?: \(cluster (?P<cluster>\S+)\))?"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A namespace. As text (`str`, `parse`) it stands in provenance, locks, lane addresses and messages."""

    namespace: str
    uid: str
    context: str
    server: str
    cluster: str = ""  # UID of kube-system, by which clusters are told apart; empty where it may not be read

    def __str__(self) -> str:
        cluster = f" (cluster {self.cluster})" if self.cluster else ""
        return f"{self.namespace} (uid {self.uid}) in context {self.context} at {self.server}{cluster}"

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Raises ValueError for what is no such text."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:200]!r} names no namespace of a cluster")
        return cls(**{name: value or "" for name, value in match.groupdict().items()})

    @property
    def where(self) -> str:
        """The cluster, for a person."""
        return f"context {self.context} ({self.server})"

    def is_same(self, other: Identity) -> bool:
        return (self.namespace, self.uid) == (other.namespace, other.uid)

    def was_deleted(self, now: Identity) -> bool:
        """Whether this namespace is gone for sure: `now` is another one of its name, or none, on the same cluster."""
        return bool(self.cluster) and self.cluster == now.cluster and not self.is_same(now)
