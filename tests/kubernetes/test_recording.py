"""Who did what to which pod, from what a recording shows; and what it says about clocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smartops_chaos.kubernetes import recording
from smartops_chaos.kubernetes.recording import PodHistory, history
from smartops_chaos.model import Interval

Json = dict[str, Any]
_S = 10**9
_START = 1_800_000_000 * _S


def _pod(at_s: float, name: str, **more: Any) -> Json:
    """A pod of the Deployment `erp` as it was seen at a second of the trial."""
    extra = {key: more.pop(key) for key in ("first", "gone") if key in more}
    container = {
        "restarts": more.pop("restarts", 0),
        "started": True,
        "running_since": _START + round(more.pop("running", 0) * _S),
        "waiting": "",
        "ended": _START + more.pop("ended") * _S if "ended" in more else 0,
        "ended_how": more.pop("how", ""),
    }
    pod = {
        "uid": name,
        "name": name,
        "deployment": "erp",
        "hash": "h1",
        "node": "n",
        "created": 0,
        "deleting": False,
        "phase": "Running",
        "why": "",
        "ready": True,
        "ready_since": _START + int(at_s) * _S,
        "containers": {"main": container},
    }
    return {"at": _START + round(at_s * _S), "pod": pod | more, "gone": False, **extra}


def _size(at_s: float, replicas: int, **more: Any) -> Json:
    return {"at": _START + round(at_s * _S), "deployment": "erp", "replicas": replicas, "generation": 1, **more}


_BEFORE = [_pod(0, "a", first=True), _pod(0, "b", first=True), _size(0, 2, first=True)]


def _causes(found: PodHistory) -> list[tuple[str, str, str]]:
    return [(event.object, event.kind, event.cause) for event in found.events]


def _call(from_s: float, to_s: float) -> Interval:
    return Interval(_START + round(from_s * _S), _START + round(to_s * _S))


def test_a_killed_pod_is_replaced_by_the_platform() -> None:
    entries = [
        *_BEFORE,
        _pod(10.1, "a", gone=True),
        _pod(10.2, "c", ready=False),
        _pod(12.5, "c"),
    ]
    found = history(entries, 0, hit=["erp/a"], injections=[_call(10, 10.1)])
    assert _causes(found) == [
        ("erp/a", "exited", "fault"),
        ("erp/c", "started", "platform"),
        ("erp/c", "ready", "platform"),
    ]
    assert found.with_successors(["erp/a"]) == ("erp/a", "erp/c")
    ready = found.events[-1]
    assert ready.clock == "runner"
    assert ready.at == Interval(
        _START + 12 * _S, _START + 12 * _S + _S // 2
    )  # the node's second, and when it was known


def test_a_pod_of_the_reset_that_is_still_on_its_way_out_is_no_new_template() -> None:
    """Recorded: the old pod was listed last. The new pod's place was then the fault's own, and nobody's to replace."""
    text = (Path(__file__).parent / "data" / "pod-kill.ndjson").read_text(encoding="utf-8")
    entries = [json.loads(line) for line in text.splitlines()]
    old, killed, new = (
        f"smartops-erp-simulator/{uid}"
        for uid in (
            "2477f30d-ed34-44c0-a314-9403f0f880c4",
            "ab9f8b31-3349-4f43-876c-bed0b86a879f",
            "d826a56e-79fc-44ee-a308-a1f1988cc1dc",
        )
    )
    killed_ns = next(
        one["at"] for one in entries if one.get("pod", {}).get("uid") == killed.partition("/")[2] and one["gone"]
    )
    found = history(entries, 0, hit=[killed], injections=[Interval(killed_ns - _S // 10, killed_ns)])
    assert _causes(found) == [
        (killed, "exited", "fault"),
        (new, "started", "platform"),
        (new, "ready", "platform"),
    ]
    assert found.with_successors([killed]) == (killed, new)
    assert old not in found.replaces


def test_a_rollout_is_the_healers_action_on_the_new_pods_and_the_old() -> None:
    entries = [
        *_BEFORE,
        _pod(20, "c", hash="h2", ready=False),
        _pod(22, "c", hash="h2"),
        _pod(22.1, "a", deleting=True),
        _pod(22.2, "d", hash="h2", ready=False),
        _pod(24, "d", hash="h2"),
        _pod(24.1, "b", deleting=True),
        _pod(25, "a", gone=True, deleting=True),
    ]
    found = history(entries, 0, hit=["erp/b"])
    assert {cause for _, kind, cause in _causes(found) if kind in ("ready", "exited")} == {"action"}
    assert found.with_successors(["erp/b"]) == ("erp/b",)


def test_more_replicas_are_the_healers_and_a_lost_one_the_platforms() -> None:
    entries = [
        *_BEFORE,
        _pod(10, "a", gone=True),
        _size(11, 4),
        *(_pod(12, name, ready=False) for name in ("c", "d", "e")),
        *(_pod(13, name) for name in ("c", "d", "e")),
    ]
    found = history(entries, 0, hit=["erp/a"], injections=[_call(9.9, 10)])
    ready = [cause for _, kind, cause in _causes(found) if kind == "ready"]
    assert sorted(ready) == ["action", "action", "platform"]


def test_a_pod_that_somebody_deletes_is_replaced_by_that_action() -> None:
    entries = [*_BEFORE, _pod(20, "b", deleting=True), _pod(20.1, "c", ready=False), _pod(22, "c")]
    found = history(entries, 0, hit=["erp/a"], injections=[_call(10, 10.1)])
    assert ("erp/b", "exited", "action") in _causes(found)
    assert ("erp/c", "ready", "action") in _causes(found)


def test_a_healer_that_deletes_the_faulted_pod_has_acted() -> None:
    entries = [*_BEFORE, _pod(20, "a", deleting=True), _pod(20.1, "c", ready=False), _pod(22, "c")]
    found = history(entries, 0, hit=["erp/a"], injections=[_call(10, 10.1)])
    assert ("erp/c", "ready", "action") in _causes(found)
    assert found.with_successors(["erp/a"]) == ("erp/a", "erp/c")


def test_a_restart_by_the_kubelet_is_the_platforms_with_its_reason() -> None:
    entries = [
        *_BEFORE,
        {
            "at": _START + 14 * _S,
            "event": {"reason": "Unhealthy", "object": "Pod/a", "uid": "a", "message": "Liveness failed", "count": 1},
        },
        _pod(15.2, "a", ready=False, restarts=1, ended=15, how="OOMKilled code 137", running=16),
        _pod(18, "a", restarts=1, ended=15, how="OOMKilled code 137", running=16),
    ]
    found = history(entries, 0, hit=["erp/a"], injections=[_call(10, 10.1)])
    assert _causes(found) == [
        ("erp/a", "exited", "fault"),
        ("erp/a", "started", "platform"),
        ("erp/a", "not_ready", "fault"),
        ("erp/a", "ready", "platform"),
    ]
    assert found.events[0].detail == "main: OOMKilled code 137; Unhealthy: Liveness failed"


def test_an_eviction_is_the_platforms() -> None:
    entries = [
        *_BEFORE,
        _pod(20, "b", ready=False, phase="Failed", why="Evicted"),
        _pod(20.5, "c", ready=False),
        _pod(23, "c"),
    ]
    found = history(entries, 0)
    assert ("erp/b", "exited", "platform") in _causes(found)
    assert ("erp/c", "ready", "platform") in _causes(found)


def test_our_own_scaling_is_the_fault_and_its_end_the_harness() -> None:
    down = [_size(10.05, 0), _pod(10.2, "a", gone=True), _pod(10.3, "b", gone=True)]
    healed = [_size(20, 2), _pod(20.2, "c", ready=False), _pod(22, "c")]
    calls = {"hit": ["erp/a", "erp/b"], "injections": [_call(10, 10.1)]}
    by_healer = _causes(history([*_BEFORE, *down, *healed], 0, **calls))  # type: ignore[arg-type]
    by_us = _causes(history([*_BEFORE, *down, *healed], 0, **calls, ends=[_call(19.9, 20.1)]))  # type: ignore[arg-type]
    assert by_healer[:2] == [("erp/a", "exited", "fault"), ("erp/b", "exited", "fault")]
    assert ("erp/c", "ready", "action") in by_healer
    assert ("erp/c", "ready", "harness") in by_us


def test_a_pod_that_only_was_slow_is_relieved_by_an_action_or_by_itself() -> None:
    slow = [*_BEFORE, _pod(12, "a", ready=False)]
    alone = history([*slow, _pod(20, "a")], 0, hit=["erp/a"])
    assert _causes(alone)[-1] == ("erp/a", "ready", "platform")
    grown = [_size(14, 3), _pod(14.1, "c", ready=False), _pod(16, "c")]
    relieved = history([*slow, *grown, _pod(20, "a")], 0, hit=["erp/a"])
    assert _causes(relieved)[-1] == ("erp/a", "ready", "action")


def test_events_before_the_trial_are_left_out() -> None:
    entries = [*_BEFORE, _pod(5, "a", ready=False), _pod(7, "a")]
    assert [event.kind for event in history(entries, _START + 6 * _S).events] == ["ready"]


def _line(at_ms: int, stamp_ms: int, text: str = "x", *, live: bool = True) -> Json:
    at_ns, stamp_ns = _START + at_ms * 10**6, _START + stamp_ms * 10**6
    return {"at": at_ns, "log": "erp", "uid": "a", "stamp": stamp_ns, "text": text} | ({"live": True} if live else {})


def _server(at_ms: int, takes_ms: int, second: int) -> Json:
    at_ns = _START + at_ms * 10**6
    return {"at": at_ns, "server": [at_ns, at_ns + takes_ms * 10**6, _START + second * _S]}


def test_the_servers_seconds_bound_its_clock() -> None:
    # Its clock is 250 ms ahead: at 740 ms here it is still in second 0, at 760 ms in second 1.
    found = recording.server_offset([_server(740, 2, 0), _server(760, 2, 1)])
    assert found == Interval(238 * 10**6, 260 * 10**6)


def test_lines_that_were_followed_bound_the_nodes_clock_where_the_server_is_far_off() -> None:
    old = _line(500, 499, live=False)
    lines = [old, _line(1000, 990), _line(2000, 1997), _line(9000, 5000)]  # 3 ms at best; the last came late
    assert recording.node_offset([old]) is None
    assert recording.node_offset(lines) == Interval(-3 * 10**6, 497 * 10**6)
    agreed = recording.node_offset([*lines, _server(3000, 2, 3), _server(2990, 2, 2)])
    assert agreed == Interval(-2 * 10**6, 10 * 10**6)
    behind = [_line(1000, 1000 - 5000), _line(2000, 1998 - 5000)]  # a node that is 5 s behind the API server
    assert recording.node_offset([*behind, _server(3000, 2, 3)]) == Interval(-5000 * 10**6, -4500 * 10**6)


def test_lines_from_before_are_left_out_on_a_clock_that_is_behind() -> None:
    entries = [_line(100, -4901, text="old"), _line(2000, -3001, text="new"), _line(3000, -2002, text="newer")]
    assert [line.text for line in recording.lines(entries, _START + 10**9)] == ["new", "newer"]


def test_an_outage_of_the_server_is_told_once_with_its_length() -> None:
    entries = [
        {"at": _START + 4 * _S, "down": [_START + _S, _START + 4 * _S], "why": "refused"},
        {"at": _START + 6 * _S, "down": [_START + _S, _START + 6 * _S], "why": "refused"},
    ]
    assert recording.down(entries, _START) == [(Interval(_START + _S, _START + 6 * _S), "refused")]
    assert recording.down(entries, _START + 7 * _S) == []


def test_a_recording_is_read_while_it_grows_and_again_when_it_is_new(tmp_path: Path) -> None:
    file = tmp_path / "cluster.ndjson"
    tail = recording.RecordingTail(file)
    assert tail.read() == []
    file.write_text(json.dumps({"at": 1}) + '\n{"at": 2', encoding="utf-8")
    assert tail.read() == [{"at": 1}]
    with file.open("a", encoding="utf-8") as out:
        out.write("}\n")
    assert tail.read() == [{"at": 1}, {"at": 2}]
    (tmp_path / "new").write_text('{"at": 3}\n', encoding="utf-8")
    (tmp_path / "new").replace(file)
    assert tail.read() == [{"at": 3}]


_SET = "statefulset/erp"


def _of_set(entries: list[Json]) -> list[Json]:
    """The same of a StatefulSet."""
    return [
        entry | ({"deployment": _SET} if "deployment" in entry else {"pod": entry["pod"] | {"deployment": _SET}})
        for entry in entries
    ]


def test_where_an_old_pod_goes_before_a_new_one_comes_the_rollout_is_the_healers() -> None:
    """A StatefulSet, and a Deployment that recreates: the places that the old pods leave are the rollout's to take."""
    entries = _of_set(
        [
            *_BEFORE,
            _size(20, 2, generation=2),
            _pod(20.1, "b", deleting=True),
            _pod(21, "b", gone=True, deleting=True),
            _pod(21.1, "c", hash="h2", ready=False),
            _pod(23, "c", hash="h2"),
            _pod(23.1, "a", deleting=True),
            _pod(24, "a", gone=True, deleting=True),
            _pod(24.1, "d", hash="h2", ready=False),
            _pod(26, "d", hash="h2"),
            _pod(40, "d", hash="h2", gone=True),
            _pod(40.1, "e", hash="h2", ready=False),
            _pod(42, "e", hash="h2"),
        ]
    )
    found = history(entries, 0, hit=[f"{_SET}/d"], injections=[_call(39.9, 40)])
    causes = {(name.rpartition("/")[2], kind): cause for name, kind, cause in _causes(found)}
    assert {causes[name, "exited"] for name in ("a", "b")} == {"action"}
    assert {causes[name, "ready"] for name in ("c", "d")} == {"action"}
    assert (causes["d", "exited"], causes["e", "ready"]) == ("fault", "platform")
    assert found.with_successors([f"{_SET}/d"]) == (f"{_SET}/d", f"{_SET}/e")


def test_what_an_autoscaler_does_is_the_platforms() -> None:
    for by, cause in (("kube-controller-manager", "platform"), ("keda-operator", "platform"), ("python", "action")):
        entries = [*_BEFORE, _size(11, 3, by=by), _pod(12, "c", ready=False), _pod(13, "c")]
        found = history(entries, 0, hit=["erp/a"], injections=[_call(9.9, 10)])
        assert ("erp/c", "ready", cause) in _causes(found)


def test_a_pod_that_is_known_before_the_size_that_it_was_made_for_is_of_that_size() -> None:
    """Deployments and pods come by streams of their own; versions tell which change was first."""
    old = _pod(0, "a", ready=True) | {"first": True, "version": 5}
    born, ready = _pod(10.0, "b") | {"version": 12}, _pod(12.0, "b", ready=True) | {"version": 14}
    entries = [_size(0, 1) | {"first": True, "version": 4}, old, born, _size(10.1, 2) | {"version": 11}, ready]
    assert ("ready", "action") in [(kind, cause) for _, kind, cause in _causes(history(entries, 0))]
    late = [{name: value for name, value in entry.items() if name != "version"} for entry in entries]
    assert ("ready", "platform") in [(kind, cause) for _, kind, cause in _causes(history(late, 0))]
