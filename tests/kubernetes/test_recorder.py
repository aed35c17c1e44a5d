"""Reading a container's log on after a cut: every line once, whatever comes again."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.kubernetes.recorder import LogReader, LogText, owner, parse, sizer

_START_NS = 1_800_000_000 * 10**9


def _raw(line: LogText) -> bytes:
    second = datetime.fromtimestamp(line.stamp_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{second}.{line.stamp_ns % 10**9:09d}Z {line.text}".encode()


def _server(log: list[LogText], query: dict[str, str]) -> list[LogText]:
    """As the kubelet answers: `sinceTime` has whole seconds and counts itself in."""
    since_ns = round(datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00")).timestamp()) * 10**9
    return [line for line in log if line.stamp_ns >= since_ns]


_STEPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 10**6, 4 * 10**8, 3 * 10**9]), st.sampled_from("ab")), max_size=25
)


@given(steps=_STEPS, cuts=st.lists(st.integers(0, 25), max_size=5), swap=st.integers(0, 24))
def test_every_line_comes_once_whatever_is_cut_off(steps: list[tuple[int, str]], cuts: list[int], swap: int) -> None:
    """Equal stamps, equal texts, and two streams whose stamps are out of order by a little."""
    at_ns, log = _START_NS, []
    for step_ns, text in steps:
        at_ns += step_ns
        log.append(LogText(at_ns, text))
    if swap + 1 < len(log) and log[swap + 1].stamp_ns - log[swap].stamp_ns < 10**9:
        log[swap], log[swap + 1] = log[swap + 1], log[swap]
    reader, taken = LogReader(_START_NS), []
    for cut in [*sorted(cuts), len(log)]:
        there = log[: max(cut, len(taken))]  # written so far; what was read before the cut stays written
        for line in _server(there, reader.query("main", follow=True)):
            if (new := reader.take(_raw(line))) is not None:
                taken.append(new)
    assert taken == log


def test_stamps_keep_their_nanoseconds() -> None:
    line = parse(b"2026-11-23T20:37:27.000000501+01:00 SIGNAL_RAW | kind=rca")
    assert line == LogText(1795462647 * 10**9 + 501, "SIGNAL_RAW | kind=rca")
    assert parse(b"2026-11-23T20:37:27Z ") == LogText(1795466247 * 10**9, "")
    assert parse(b"failed to try resolving symlinks in path") is None


def test_whose_pod_it_is_is_said_as_files_name_controllers() -> None:
    def pod(kind: str, name: str, **labels: str) -> dict[str, object]:
        return {"metadata": {"labels": labels, "ownerReferences": [{"controller": True, "kind": kind, "name": name}]}}

    told = {
        owner(pod("ReplicaSet", "erp-7f", **{"pod-template-hash": "7f"})),
        owner(pod("ReplicaSet", "shop-9c", **{"rollouts-pod-template-hash": "9c"})),
        owner(pod("ReplicaSet", "bare")),
        owner(pod("StatefulSet", "db", **{"controller-revision-hash": "db-1"})),
        owner(pod("DaemonSet", "agent")),
        owner({"metadata": {}}),
    }
    assert told == {"erp", "rollout/shop", "replicaset/bare", "statefulset/db", "daemonset/agent", ""}


def test_who_has_set_the_size_last() -> None:
    def field(manager: str, time: str, **spec: object) -> dict[str, object]:
        return {"manager": manager, "time": time, "fieldsV1": {"f:spec": spec}}

    size = {"f:replicas": {}}
    fields = [field("kubectl", "2026-11-29T10:00:00Z", **size), field("helm", "2026-11-29T12:00:00Z")]
    assert sizer({"metadata": {"managedFields": fields}}) == "kubectl"
    fields.append(field("kube-controller-manager", "2026-11-29T11:00:00Z", **size))
    assert sizer({"metadata": {"managedFields": fields}}) == "kube-controller-manager"
    assert sizer({"metadata": {}}) == ""
