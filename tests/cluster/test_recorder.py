"""The recording of a trial on a real API server: nothing is lost when connections are cut, and an outage is noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import cluster, recorder, recording
from smartops_chaos.kubernetes.cluster_lane import ClusterLane
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.clustertarget import options
from smartops_chaos.schema.targetspec import KubernetesTargetSpec
from smartops_chaos.targets.base import LaneAddress, LaneLost

Until = Callable[..., Any]
_LINES = 300
_TALKER = f"""
import sys, time
for number in range({_LINES}):
    print("line", number, flush=True)
    time.sleep(0.01)
sys.exit(3)
"""
_SLOW_TO_GO = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    print("still here", flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(autouse=True)
def _no_recorder_is_left() -> Iterator[None]:
    yield
    recorder.stop()


def _record(wire: Any, namespace: str, components: tuple[str, ...], folder: Path) -> recording.RecordingTail:
    through = replace(cluster.connect().connection(), url=f"https://127.0.0.1:{wire.port}", verify=False)
    file = folder / "cluster.ndjson"
    recorder.start(recorder.Watched(lambda: through, namespace, components), file, Clock.anchored())
    return recording.RecordingTail(file)


@pytest.fixture
def talker(api: client.ApiClient, lab: str) -> Iterator[str]:
    """A Deployment whose container writes its lines and fails: what it wrote last can only be read of the dead one."""
    apps = client.AppsV1Api(api)
    image = apps.read_namespaced_deployment("smartops-erp-simulator", lab).spec.template.spec.containers[0].image
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _TALKER],
    }
    labels = {"app": "talker"}
    body = {
        "metadata": {"name": "talker"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }
    apps.create_namespaced_deployment(lab, body)
    yield "talker"
    apps.delete_namespaced_deployment("talker", lab)


def test_no_line_is_lost_or_doubled_by_cuts_and_restarts(
    wire: Any, talker: str, api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    tail = _record(wire, lab, (talker,), tmp_path)
    client.AppsV1Api(api).patch_namespaced_deployment_scale(talker, lab, {"spec": {"replicas": 1}})

    def texts() -> list[str]:
        return [entry["text"] for entry in tail.read() if "log" in entry]

    for sooner in (20, 100, 290):
        until(lambda sooner=sooner: len(texts()) > sooner, 60)
        wire.cut()
    until(lambda: Counter(texts())["line 0"] == 2, 60, lambda: f"{len(texts())} lines")  # the next container's
    first, second = texts()[:_LINES], texts()[_LINES:]
    assert first == [f"line {number}" for number in range(_LINES)]
    assert second == [f"line {number}" for number in range(len(second))]
    restarts = [entry["pod"]["containers"]["main"]["restarts"] for entry in tail.read() if _is_talkers(entry)]
    assert restarts[-1] == 1
    assert recording.lost(tail.read()) == ()


def test_what_a_pod_on_its_way_out_says_is_no_signal_of_this_trial(
    wire: Any, talker: str, api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    """The reset has replaced it: its healer's last words would be a false alarm of the arm that comes."""
    apps, core, label = client.AppsV1Api(api), client.CoreV1Api(api), "app=talker"
    container = {"name": "main", "command": ["python", "-c", _SLOW_TO_GO]}
    template = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 8}}
    apps.patch_namespaced_deployment(talker, lab, {"spec": {"replicas": 1, "template": template}})

    def running() -> list[Any]:
        found = core.list_namespaced_pod(lab, label_selector=label).items
        ours = [pod for pod in found if pod.spec.termination_grace_period_seconds == 8]  # not an earlier test's
        return [pod for pod in ours if pod.status.phase == "Running"]

    old = until(running, 30)[0].metadata
    core.delete_namespaced_pod(old.name, lab)
    tail = _record(wire, lab, (talker,), tmp_path)
    until(lambda: any("log" in entry and entry["uid"] != old.uid for entry in tail.read()), 60)
    until(lambda: any(_is_talkers(entry) and entry["gone"] for entry in tail.read()), 60)
    assert not [entry for entry in tail.read() if "log" in entry and entry["uid"] == old.uid]


def _is_talkers(entry: dict[str, Any]) -> bool:
    return "pod" in entry and entry["pod"]["deployment"] == "talker" and bool(entry["pod"]["containers"])


def test_what_happened_while_the_line_was_down_is_seen_after_it(
    wire: Any, api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    tail = _record(wire, lab, (), tmp_path)
    core = client.CoreV1Api(api)
    selector = "app=smartops-erp-simulator"
    victim = core.list_namespaced_pod(lab, label_selector=selector).items[0].metadata
    wire.closed = True
    wire.cut()
    core.delete_namespaced_pod(victim.name, lab, grace_period_seconds=0)
    silent = until(lambda: recording.down(tail.read(), 0), 60)
    assert silent[0][1]
    wire.closed = False
    name = f"smartops-erp-simulator/{victim.uid}"

    def replaced() -> bool:
        found = recording.history(tail.read(), 0, [name])
        events = {(event.object, event.kind) for event in found.events}
        return (name, "exited") in events and any((new, "ready") in events for new in found.replaces)

    until(replaced, 30, lambda: str(recording.history(tail.read(), 0, [name])))
    until(lambda: "server" in tail.read()[-1], 60)  # and its clock is asked again


def test_a_trial_whose_requests_went_through_a_silent_server_is_no_trial(
    wire: Any, lab: str, tmp_path: Path, until: Until
) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    tail = _record(wire, lab, (), samples)
    given = {"kind": "kubernetes", "healer": "lab-kubernetes", "lanes": [{"namespace": lab}], "allow": [lab]}
    made = options(
        KubernetesTargetSpec.model_validate(given), healerfile.load("lab-kubernetes").model_dump(mode="json")
    )
    environment = {"SMARTOPS_NAMESPACE": lab, "SMARTOPS_TRIAL_DIR": str(tmp_path)}

    def lane(url: str) -> ClusterLane:
        return ClusterLane(made, LaneAddress("kubernetes", lab, environment | {"SMARTOPS_WORKLOAD_URL": url}))

    through = lane(cluster.service_url("", lab, "smartops-erp-simulator", 8000))
    assert through.platform(0) == ()
    wire.closed = True
    wire.cut()
    until(lambda: recording.down(tail.read(), 0), 60)
    with pytest.raises(LaneLost, match="the requests go through the API server, and the API server was silent for"):
        through.platform(0)
    direct = lane("http://127.0.0.1:1")
    direct.platform(0)
    assert direct.lost(0)[0].startswith("the API server was silent for")


def test_the_servers_clock_is_known_to_some_milliseconds(wire: Any, lab: str, tmp_path: Path, until: Until) -> None:
    tail = _record(wire, lab, (), tmp_path)

    def narrow() -> bool:
        found = recording.server_offset(tail.read())
        return found is not None and found.hi_ns - found.lo_ns < 100_000_000

    until(narrow, 30, lambda: str(recording.server_offset(tail.read())))


def test_a_size_that_an_autoscaler_sets_is_the_platforms_and_a_healers_is_an_action(
    wire: Any, talker: str, api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    """Both write the same number; which of them did is known from the API server's note of who manages the field."""
    apps, scaling = client.AppsV1Api(api), client.AutoscalingV2Api(api)
    container = {"name": "main", "command": ["sleep", "600"]}
    steady = {"replicas": 1, "template": {"spec": {"containers": [container]}}}
    apps.patch_namespaced_deployment(talker, lab, {"spec": steady})
    until(lambda: apps.read_namespaced_deployment(talker, lab).status.available_replicas == 1, 60)
    tail = _record(wire, lab, (), tmp_path)
    until(lambda: any(_is_talkers(entry) for entry in tail.read()), 60)

    def ready_by() -> list[str]:
        events = recording.history(tail.read(), 0).events
        return [one.cause for one in events if one.kind == "ready" and one.object.startswith(f"{talker}/")]

    apps.patch_namespaced_deployment_scale(talker, lab, {"spec": {"replicas": 2}})
    until(lambda: ready_by() == ["action"], 60, lambda: str(ready_by()))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": talker}
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 3}
    scaling.create_namespaced_horizontal_pod_autoscaler(lab, {"metadata": {"name": talker}, "spec": spec})
    try:
        until(lambda: ready_by() == ["action", "platform"], 60, lambda: str(ready_by()))
    finally:
        scaling.delete_namespaced_horizontal_pod_autoscaler(talker, lab)
