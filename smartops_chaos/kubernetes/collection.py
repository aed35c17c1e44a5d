"""A collection of objects as the API server keeps it: one list, then every change. Knows no network: others send.

How it is followed, and why each step is there:

1. A list has all objects and a `resourceVersion`: the moment at which it was true.
2. A watch from that version on gives every change since then, so nothing is missed between the two requests.
3. A watch ends: in time (`timeoutSeconds`; a connection that has silently died costs no more than that), with its
   connection, or with its API server. The next one goes on from the version of the last change that was seen.
4. The server keeps changes for some minutes only. In a quiet namespace the last change that we saw may be older, so we
   ask for bookmarks: now and then a version without a change.
5. A version that the server has forgotten is refused by 410 Gone, or by an event of the type ERROR. Only a new list
   helps then. It is compared with what was known, so that objects which came and went are told at least by that.
6. A stream may end at once, for example behind a proxy that allows no streams. So rounds begin at most once a second:
   else we would be a load on the API server that is under test.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from smartops_chaos.kubernetes.cluster import Json

_ROUND_S = 1.0


class ObjectChange(NamedTuple):
    """An object that is new, was changed, or is `gone`; `first` if it was there when we began to look."""

    object: Json
    gone: bool
    first: bool


class Collection:
    """What is known of it."""

    def __init__(self) -> None:
        self.items: dict[str, Json] = {}  # by uid: an object that was deleted and made again is another one
        self.version = ""  # from which the next watch goes on; empty if only a list helps
        self._first = True
        self._began_s = float("-inf")

    def pause_s(self) -> float:
        """How long to sleep before the next round, a list with its watch or a watch alone."""
        now_s = time.monotonic()
        pause_s = max(0.0, self._began_s + _ROUND_S - now_s)
        self._began_s = now_s + pause_s
        return pause_s

    def listed(self, answer: Json) -> list[ObjectChange]:
        """Take in a list; the changes against what was known."""
        before, self.items = self.items, {one["metadata"]["uid"]: one for one in answer["items"]}
        self.version = answer["metadata"]["resourceVersion"]
        gone = [ObjectChange(one, True, False) for uid, one in before.items() if uid not in self.items]
        found = [
            ObjectChange(one, False, self._first)
            for uid, one in self.items.items()
            if uid not in before or _version(before[uid]) != _version(one)
        ]
        self._first = False
        return gone + found

    def watched(self, limit_s: float) -> dict[str, str]:
        """What to ask for in a watch."""
        limit = str(max(1, round(limit_s)))  # zero would stand for no limit
        return {"watch": "1", "resourceVersion": self.version, "timeoutSeconds": limit, "allowWatchBookmarks": "true"}

    def changed(self, line: bytes) -> ObjectChange | None:
        """Take in a line of a watch; None if it is no change. `version` is empty after it if the watch is no good."""
        event = json.loads(line)
        one = event["object"]
        if event["type"] == "ERROR":
            self.version = ""
            return None
        self.version = _version(one)
        if event["type"] == "BOOKMARK":
            return None
        gone = event["type"] == "DELETED"
        if gone:
            self.items.pop(one["metadata"]["uid"], None)
        else:
            self.items[one["metadata"]["uid"]] = one
        return ObjectChange(one, gone, False)


def _version(one: Json) -> str:
    return str(one["metadata"]["resourceVersion"])
