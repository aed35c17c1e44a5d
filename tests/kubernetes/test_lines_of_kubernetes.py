"""Events of a namespace and fields of objects as lines that a healer file's rules read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import recorder, recording
from smartops_chaos.kubernetes.collection import ObjectChange
from smartops_chaos.schema.fieldpath import field_text
from smartops_chaos.schema.healer_kubernetes import WatchedObject
from smartops_chaos.schema.healerfile import LogRule

S = 10**9
SCALER = WatchedObject(
    api="autoscaling/v2",
    resource="horizontalpodautoscalers",
    name="shop",
    fields=("status.desiredReplicas", "status.conditions[type=AbleToScale].status"),
)
EVENT = {
    "reason": "Killing",
    "message": "Container app failed liveness probe, will be restarted",
    "type": "Normal",
    "involvedObject": {"kind": "Pod", "name": "shop-1", "uid": "u"},
    "source": {"component": "kubelet"},
    "lastTimestamp": "2026-11-24T10:00:07Z",
}


def scaler(replicas: int, version: str) -> dict[str, Any]:
    meta = {"name": "shop", "uid": "h", "resourceVersion": version}
    conditions = [{"type": "ScalingActive", "status": "False"}, {"type": "AbleToScale", "status": "True"}]
    return {"metadata": meta, "status": {"desiredReplicas": replicas, "conditions": conditions}}


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, Any]]:
    """What a recorder writes of an event and of an autoscaler that first is there and then changes."""
    file = tmp_path / "cluster.ndjson"
    watched = recorder.Watched(lambda: None, "shop", (), objects=(SCALER,))  # type: ignore[arg-type, return-value]
    with file.open("w", encoding="utf-8") as out:
        one = recorder._Recorder(watched, out, Clock.anchored(), lambda: None)
        one._event(ObjectChange(EVENT, False, False))
        for change in (scaler(2, "1"), scaler(2, "2"), scaler(4, "3")):
            one._fields(SCALER, ObjectChange(change, False, change["metadata"]["resourceVersion"] == "1"))
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_an_event_is_a_line_with_its_own_time(entries: list[dict[str, Any]]) -> None:
    (line,) = [one for one in recording.lines(entries, 0) if one.component == "kubernetes/events"]
    assert line.text == (
        "reason=Killing object=Pod/shop-1 by=kubelet type=Normal Container app failed liveness probe, will be restarted"
    )
    assert line.at_ns == recorder.seconds("2026-11-24T10:00:07Z")
    assert 0 < line.cut_ns <= S


def test_a_changed_field_is_a_line_and_what_was_there_before_is_none(entries: list[dict[str, Any]]) -> None:
    found = [one.text for one in recording.lines(entries, 0) if one.component == "kubernetes/objects"]
    assert found == ["horizontalpodautoscalers/shop status.desiredReplicas: 2 -> 4"]


def test_a_rule_without_a_component_is_not_about_kubernetes_itself() -> None:
    assert LogRule(log="Killing", component="kubernetes/events").concerns("kubernetes/events")
    assert not LogRule(log="Killing").concerns("kubernetes/events")
    assert LogRule(log="Killing").concerns("shop")


@pytest.mark.parametrize(
    ("event", "stamp_ns", "cut_ns"),
    [
        ({"eventTime": "2026-11-24T10:00:07.250000Z"}, 250_000_000, 1000),
        (
            {"eventTime": "2026-11-24T10:00:01.5Z", "series": {"lastObservedTime": "2026-11-24T10:00:07.000001Z"}},
            1000,
            1000,
        ),
        ({"eventTime": "2026-11-24T10:00:01.5Z", "lastTimestamp": "2026-11-24T10:00:07Z"}, 0, S),
        ({"eventTime": "2026-11-24T10:00:07.9Z", "lastTimestamp": "2026-11-24T10:00:07Z"}, 900_000_000, 1000),
    ],
)
def test_the_latest_and_finest_time_of_an_event_counts(event: dict[str, Any], stamp_ns: int, cut_ns: int) -> None:
    assert recorder.event_time(event) == (recorder.seconds("2026-11-24T10:00:07Z") + stamp_ns, cut_ns)
    assert recorder.event_time({}) == (0, 0)


def test_paths_of_fields() -> None:
    value = {"a.b": "whole", "a": {"b": [{"type": "x", "n": 1}, {"type": "y", "n": {"deep": True}}]}}
    assert field_text(value, "a.b") == "whole"
    assert field_text(value, "a.b[0].n") == "1"
    assert field_text(value, "a.b[type=y].n") == '{"deep": true}'
    assert field_text(value, "a.b[type=z].n") is None
    assert field_text(value, "a.b.9") is None
