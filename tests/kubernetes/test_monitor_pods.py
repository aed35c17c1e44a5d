"""A monitor that follows a cluster: what its recorder has seen is read on after any end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.clock import Clock
from smartops_chaos.errors import FileProblems, PreflightFailed
from smartops_chaos.model import Interval, LogLine
from smartops_chaos.monitor import pods
from smartops_chaos.monitor.lines import FollowedLines
from smartops_chaos.monitor.pods import FollowedPods
from smartops_chaos.schema import healerfile
from smartops_chaos.trial import sidecar

S = 1_000_000_000


@pytest.fixture
def healer(matrix_on_cluster: Path) -> Any:
    return healerfile.load(str(matrix_on_cluster.with_name("healer.yaml")))


def test_the_recorder_s_lines_and_pods_are_followed_once(
    fake: Any, pod: Callable[..., Any], healer: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    """The pods are there, one of them leaves; the healer's log is read, and read again by the next monitor."""
    fake.put(
        "pods", pod("watchdog-7f-1", "ReplicaSet/watchdog-7f", labels={"pod-template-hash": "7f"}, containers=("w",))
    )
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    log = f"{stamp}.000000001Z the shop is slow\n{stamp}.000000002Z nothing to say\n".encode()
    fake.rules = lambda _method, path, _query: (200, {}, log) if path.endswith("/log") else None
    taken: list[LogLine] = []
    clock = Clock.anchored()
    sidecar.start(pods.PROCESS, pods.run, pods.watched(healer, "healer.yaml", "dev", "", 0), tmp_path, clock)
    followed = FollowedPods(tmp_path, taken.append)
    try:
        until(lambda: (followed.poll(), [one.text for one in taken])[1].count("the shop is slow") >= 1, 60)
    finally:
        sidecar.stop(pods.PROCESS)
    assert {one.component for one in taken} == {"watchdog"}
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = FollowedLines(raw, {}, healer, 0)
    for one in (*taken, *taken):
        lines.take(one)
    assert [one.text for one in lines.since(0)] == ["the shop is slow"]
    again = FollowedLines(raw, {}, healer, time.time_ns())
    for one in taken:
        again.take(one)
    assert [one.text for one in again.since(0)] == ["the shop is slow"]


def entry(at_s: float, uid: str, *, ready: bool, gone: bool = False, first: bool = False) -> str:
    told = {
        "uid": uid,
        "name": uid,
        "namespace": "dev",
        "deployment": "shop",
        "hash": "7f",
        "node": "",
        "created": 0,
        "deleting": gone,
        "phase": "Running",
        "why": "",
        "ready": ready,
        "ready_since": 0,
        "containers": {},
    }
    return json.dumps({"at": round(at_s * S), "pod": told, "gone": gone, **({"first": True} if first else {})}) + "\n"


def test_what_is_forgotten_is_how_it_came_about_and_not_how_it_is(tmp_path: Path) -> None:
    begin = 1_796_000_000
    size = {"at": begin * S, "deployment": "shop", "replicas": 2, "generation": 1, "by": "", "first": True}
    text = json.dumps(size) + "\n"
    text += "".join(entry(begin, uid, ready=True, first=True) for uid in ("a", "b"))
    text += entry(begin + 10, "a", ready=False, gone=True) + entry(begin + 12, "c", ready=True)
    (tmp_path / f"cluster-{begin * S}.ndjson").write_text(text + '{"at": 1, "po')
    followed = FollowedPods(tmp_path, lambda _: None)
    followed.poll()
    told = [(one.object, one.kind) for one in followed.platform(0)]
    assert told == [("shop/a", "exited"), ("shop/a", "not_ready"), ("shop/c", "ready")]
    followed.forget((begin + 8000) * S)
    assert followed.platform(0) == ()
    later = begin + 8001
    (tmp_path / f"cluster-{later * S}.ndjson").write_text(entry(later, "c", ready=False))
    followed.poll()
    (event,) = followed.platform(0)
    assert (event.object, event.kind, event.at) == ("shop/c", "not_ready", Interval(later * S, later * S))


def test_without_a_cluster_or_a_block_for_it_it_says_so(healer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileProblems, match="no `kubernetes` block"):
        pods.watched(healerfile.load("lab"), "lab", "dev", "", 0)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(PreflightFailed):
        pods.watched(healer, "healer.yaml", "dev", "", 0)
