"""Healers that are not ours, on real pods: arms that are patches of any object, events and fields that tell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.clock import Clock
from smartops_chaos.kubernetes import cluster, objects, recorder, recording
from smartops_chaos.kubernetes.changes import ChangedObjects
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healer_kubernetes import Change, ObjectRef, WatchedObject

Until = Callable[..., Any]
_ERP = "smartops-erp-simulator"
_SCALER = ":autoscaling/v2:horizontalpodautoscalers"
_WIDGETS = ":smartops-chaos-test.example/v1:widgets"
_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def _changed(lab: str, tmp_path: Path, *others: str) -> ChangedObjects:
    return ChangedObjects(cluster.connect(), lab, "c-1", tmp_path / "former.ndjson", others=others)


def _set(here: ChangedObjects, kind: str, name: str, change: Change) -> None:
    here.set(kind, name, lambda found: objects.wanted(change, found))


def _spec(here: ChangedObjects, kind: str, name: str) -> str:
    found = here.read(kind, name)
    notes = found["metadata"].get("annotations") or {}
    kept = {key: text for key, text in notes.items() if not key.startswith("deployment.kubernetes.io/")}
    meta = [found["metadata"].get("labels") or {}, kept]
    return json.dumps([found.get("spec"), found.get("data"), meta], sort_keys=True)


def test_the_kubelets_probe_is_set_and_taken_off_and_put_back_exactly(lab: str, tmp_path: Path) -> None:
    block = healerfile.load("kubelet").kubernetes
    assert block is not None
    here = _changed(lab, tmp_path)
    before = _spec(here, "deployment", _ERP)
    for arm, probed in (("on", True), ("off", False), ("on", True)):
        (change,) = block.changes({"healer": arm})
        _set(here, "deployment", _ERP, change)
        (container,) = here.read("deployment", _ERP)["spec"]["template"]["spec"]["containers"]
        assert ("livenessProbe" in container) == probed
    assert here.restore() == []
    assert _spec(here, "deployment", _ERP) == before


def test_an_autoscalers_bounds_and_behaviour_are_put_back_exactly(lab: str, tmp_path: Path) -> None:
    block = healerfile.load("autoscaler").kubernetes
    assert block is not None
    here = _changed(lab, tmp_path, _SCALER)
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _ERP},
        "minReplicas": 2,
        "maxReplicas": 4,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": _ERP}, "spec": spec}
    here.cluster.request("POST", here.path(_SCALER), body=body)
    try:
        before = _spec(here, _SCALER, _ERP)
        arm = block.changes({"healer": "off", "max_replicas": "3"})
        here.set(_SCALER, _ERP, lambda found: {k: v for one in arm for k, v in objects.wanted(one, found).items()})
        now = here.read(_SCALER, _ERP)["spec"]
        assert (now["maxReplicas"], now["behavior"]["scaleUp"]["selectPolicy"]) == (3, "Disabled")
        assert here.left() == [f"{_SCALER} {_ERP}"]
        assert here.restore() == []
        assert _spec(here, _SCALER, _ERP) == before
    finally:
        here.cluster.request("DELETE", here.path(_SCALER, _ERP))


@pytest.fixture
def widget(lab: str, until: Until) -> Iterator[str]:
    """An object of a kind of its own, as operators are switched by."""
    here, name = cluster.connect(), "widgets.smartops-chaos-test.example"
    version = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}  # type: ignore[assignment]
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    spec = {"group": "smartops-chaos-test.example", "scope": "Namespaced", "names": names, "versions": [version]}
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}}
    here.request("POST", _CRD, body={**kind, "spec": spec})
    path = ObjectRef.collection(_WIDGETS, lab)
    body = {"apiVersion": "smartops-chaos-test.example/v1", "kind": "Widget", "metadata": {"name": "w"}}

    def made() -> bool:
        try:
            here.request("POST", path, body={**body, "spec": {"ai": {"backend": "none"}}})
        except cluster.ClusterError as error:
            return error.status == 409
        return True

    until(made)
    yield "w"
    here.request("DELETE", f"{_CRD}/{name}")


def test_an_operators_own_object_and_a_secret_are_switched_and_watched(
    lab: str, widget: str, tmp_path: Path, until: Until
) -> None:
    here = _changed(lab, tmp_path, _WIDGETS, ":v1:secrets")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "playbooks"}, "data": {"a": "b2xk"}}
    here.cluster.request("POST", here.path(":v1:secrets"), body=secret)
    before = _spec(here, _WIDGETS, widget), _spec(here, ":v1:secrets", "playbooks")
    watched = WatchedObject(
        api="smartops-chaos-test.example/v1", resource="widgets", name=widget, fields=("spec.ai.heal.enabled",)
    )
    file = tmp_path / "cluster.ndjson"
    recorder.start(recorder.Watched(here.cluster.connection, lab, (), objects=(watched,)), file, Clock.anchored())
    tail = recording.RecordingTail(file)
    try:
        patch = {"spec": {"ai": {"heal": {"enabled": True}}}}
        ref = ObjectRef(api=watched.api, resource="widgets", name=widget)
        _set(here, _WIDGETS, widget, Change(object=ref, patch=patch))
        _set(here, ":v1:secrets", "playbooks", Change(secret="playbooks", data={"a": "new", "more": "x"}))
        assert here.read(_WIDGETS, widget)["spec"]["ai"] == {"backend": "none", "heal": {"enabled": True}}
        assert here.read(":v1:secrets", "playbooks")["data"] == {"a": "bmV3", "more": "eA=="}
        until(lambda: [one for one in recording.lines(tail.read(), 0) if one.component == "kubernetes/objects"])
        assert here.restore() == []
        assert (_spec(here, _WIDGETS, widget), _spec(here, ":v1:secrets", "playbooks")) == before
    finally:
        recorder.stop()
        here.cluster.request("DELETE", here.path(":v1:secrets", "playbooks"))
    first = next(one for one in recording.lines(tail.read(), 0) if one.component == "kubernetes/objects")
    assert first.text == f"widgets/{widget} spec.ai.heal.enabled: None -> true"


def test_what_the_kubelet_does_is_read_from_events(
    api: client.ApiClient, lab: str, tmp_path: Path, until: Until
) -> None:
    apps = client.AppsV1Api(api)
    image = apps.read_namespaced_deployment(_ERP, lab).spec.template.spec.containers[0].image
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", "import time; time.sleep(600)"],
        "livenessProbe": {
            "tcpSocket": {"port": 9},  # nothing listens there
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    labels = {"app": "sick"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    here = cluster.connect()
    file = tmp_path / "cluster.ndjson"
    recorder.start(recorder.Watched(here.connection, lab, ()), file, Clock.anchored())
    tail = recording.RecordingTail(file)
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    apps.create_namespaced_deployment(lab, {"metadata": {"name": "sick"}, "spec": spec})
    try:
        rules = healerfile.load("kubelet").moments
        wanted = [rules.detected[0].log, rules.decided[0].log]
        patterns = [str(one).replace(_ERP, "sick") for one in wanted]

        def told() -> bool:
            lines = [one for one in recording.lines(tail.read(), 0) if one.component == "kubernetes/events"]
            return all(any(re.search(one, line.text) for line in lines) for one in patterns)

        until(told)
    finally:
        recorder.stop()
        apps.delete_namespaced_deployment("sick", lab)
