"""What is known of a collection of objects from its lists and watches."""

from __future__ import annotations

import json
from typing import Any

from smartops_chaos.kubernetes.collection import Collection, ObjectChange

Json = dict[str, Any]


def _object(uid: str, version: int) -> Json:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def _list(version: int, *objects: Json) -> Json:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(objects)}


def _line(kind: str, one: Json) -> bytes:
    return json.dumps({"type": kind, "object": one}).encode()


def test_what_was_there_before_is_told_apart_from_what_comes() -> None:
    known = Collection()
    old, new = _object("a", 1), _object("b", 6)
    assert known.listed(_list(5, old)) == [ObjectChange(old, gone=False, first=True)]
    assert known.changed(_line("ADDED", new)) == ObjectChange(new, gone=False, first=False)
    assert known.changed(_line("DELETED", _object("a", 7))) == ObjectChange(_object("a", 7), gone=True, first=False)
    assert known.items == {"b": new}


def test_a_watch_goes_on_from_the_last_version_and_bookmarks_count() -> None:
    known = Collection()
    known.listed(_list(5))
    assert known.watched(30)["resourceVersion"] == "5"
    assert known.changed(_line("BOOKMARK", {"metadata": {"resourceVersion": "90"}})) is None
    assert known.watched(0.1) == {
        "watch": "1",
        "resourceVersion": "90",
        "timeoutSeconds": "1",
        "allowWatchBookmarks": "true",
    }


def test_after_a_gap_the_new_list_tells_what_happened_in_it() -> None:
    known = Collection()
    known.listed(_list(5, _object("stays", 1), _object("changes", 2), _object("goes", 3)))
    assert known.changed(_line("ERROR", {"code": 410, "reason": "Expired"})) is None
    assert known.version == ""
    found = known.listed(_list(50, _object("stays", 1), _object("changes", 20), _object("comes", 30)))
    assert {(one.object["metadata"]["uid"], one.gone, one.first) for one in found} == {
        ("goes", True, False),
        ("changes", False, False),
        ("comes", False, False),
    }


def test_a_stream_that_ends_at_once_is_opened_at_most_once_a_second() -> None:
    known = Collection()
    pauses = [known.pause_s() for _ in range(3)]  # as if no time passed between the rounds
    assert pauses[0] == 0
    assert 0.9 < pauses[1] <= 1 < pauses[2] <= 2
