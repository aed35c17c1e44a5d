"""The cluster as a target: what a campaign changes is put back exactly, whoever died, and nobody else's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from smartops_chaos.errors import PreflightFailed
from smartops_chaos.kubernetes import cluster, objects
from smartops_chaos.kubernetes.changes import LOCK, ChangedObjects, InUse
from smartops_chaos.kubernetes.cluster_target import ClusterTarget as Target
from smartops_chaos.kubernetes.controller import is_ready
from smartops_chaos.model import Variant
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.clustertarget import options
from smartops_chaos.schema.healer_kubernetes import Change
from smartops_chaos.schema.targetspec import KubernetesTargetSpec
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneLost
from smartops_chaos.telemetry.connection import connection
from tests.conftest import command

_POLICY = 'POLICY "p": WHEN anomaly.score > 9 THEN restart(service) PRIORITY 1'
Json = dict[str, Any]
Until = Callable[..., Any]
_ERP, _HEALER, _POLICIES = "smartops-erp-simulator", "smartops-orchestrator", "smartops-policies"


def _options(lab: str, **more: Any) -> Json:
    given = {"kind": "kubernetes", "healer": "lab-kubernetes", "lanes": [{"namespace": lab}], "allow": [lab], **more}
    return options(
        KubernetesTargetSpec.model_validate(given), healerfile.load("lab-kubernetes").model_dump(mode="json")
    )


def _state(lab: str) -> Json:
    """Everything that a campaign may change, without what the cluster itself keeps up to date."""
    here = cluster.connect()
    found: Json = {}
    for kind in ("deployments", "configmaps"):
        group = "/apis/apps/v1" if kind == "deployments" else "/api/v1"
        for one in here.request("GET", f"{group}/namespaces/{lab}/{kind}")["items"]:
            meta = one["metadata"]
            notes = {k: v for k, v in (meta.get("annotations") or {}).items() if not k.startswith("deployment.kub")}
            body = one.get("spec", one.get("data"))
            found[f"{kind}/{meta['name']}"] = (meta.get("labels") or {}, notes, body)
    return found


@pytest.fixture
def untouched(lab: str) -> Iterator[Json]:
    """The namespace before; after the test it must be the same again."""
    before = _state(lab)
    yield before
    after = _state(lab)
    assert {name: one for name, one in after.items() if before.get(name) != one} == {}
    assert set(before) == set(after)


def _objects(lab: str, tmp_path: Path, campaign: str = "c-1") -> ChangedObjects:
    return ChangedObjects(cluster.connect(), lab, campaign, tmp_path / "former.ndjson")


_CHANGES = (
    Change(deployment=_HEALER, env={"DETECTOR": "zscore", "NEW": "1"}, replicas=0),
    Change(deployment=_ERP, args=("--other",), image="localhost/other:1", replicas=1, files={"/tmp/x": "text"}),
)


def _change_all(here: ChangedObjects) -> None:
    for change in _CHANGES:
        here.set("deployment", change.deployment, lambda found, change=change: objects.wanted(change, found))  # type: ignore[misc]
    here.set("configmap", _POLICIES, lambda _: {"data/default.policy": "changed", "data/more": "new"})


def test_what_is_changed_is_put_back_exactly(lab: str, untouched: Json, tmp_path: Path) -> None:
    here = _objects(lab, tmp_path)
    _change_all(here)
    changed = _state(lab)
    assert changed[f"configmaps/{_POLICIES}"][2] == {"default.policy": "changed", "more": "new"}
    assert changed[f"deployments/{_HEALER}"][2]["replicas"] == 0
    assert here.restore() == []
    assert _state(lab) == untouched
    assert here.left() == []
    assert here.restore() == []  # again is as well


def test_the_clusters_labels_alone_are_enough(lab: str, untouched: Json, tmp_path: Path) -> None:
    _change_all(_objects(lab, tmp_path))
    assert "put back deployment smartops-orchestrator" in kinds.revert_namespace("", lab)
    assert _state(lab) == untouched


def test_the_directory_alone_is_enough(lab: str, untouched: Json, tmp_path: Path) -> None:
    here = _objects(lab, tmp_path)
    _change_all(here)
    bare = {"metadata": {"annotations": {objects.FORMER: None}, "labels": {objects.CAMPAIGN: None}}}
    for kind, name in (("deployment", _HEALER), ("deployment", _ERP), ("configmap", _POLICIES)):
        here.cluster.request("PATCH", here.path(kind, name), body=bare, content="application/merge-patch+json")
    assert here.left() == []
    here.restore()
    assert _state(lab) == untouched


def test_somebody_elses_change_in_between_is_told_and_kept(lab: str, tmp_path: Path) -> None:
    here = _objects(lab, tmp_path)
    here.set("configmap", _POLICIES, lambda _: {"data/mine": "1", "data/ours": "1"})
    theirs = {"data": {"theirs": "2", "ours": "3"}}
    path = here.path("configmap", _POLICIES)
    here.cluster.request("PATCH", path, body=theirs, content="application/merge-patch+json")
    told = f'configmap {_POLICIES}: data/ours was "3", not "1" as we had set it; put back to what it was before'
    assert here.restore() == [f"{told} the campaign"]
    data = here.read("configmap", _POLICIES)["data"]
    assert "mine" not in data
    assert "ours" not in data
    assert data["theirs"] == "2"
    here.cluster.request("PATCH", path, body={"data": {"theirs": None}}, content="application/merge-patch+json")


@pytest.mark.usefixtures("untouched")
def test_what_another_campaign_has_set_is_not_touched(lab: str, tmp_path: Path) -> None:
    here = _objects(lab, tmp_path)
    here.set("configmap", _POLICIES, lambda _: {"data/x": "1"})
    with pytest.raises(InUse, match="as campaign c-1 has set it"):
        _objects(lab, tmp_path / "other", "c-2").set("configmap", _POLICIES, lambda _: {"data/x": "2"})
    here.restore()


@pytest.mark.usefixtures("untouched")
def test_a_namespace_is_taken_by_one_campaign_at_a_time(lab: str, tmp_path: Path) -> None:
    first, second = Target(_options(lab)), Target(_options(lab))
    first.open(tmp_path / "a-1" / ".lanes")
    with pytest.raises(PreflightFailed, match=f"namespace {lab} is in use by campaign a-1 on ") as refused:
        second.open(tmp_path / "b-1" / ".lanes")
    assert refused.value.hint.endswith(f"smartops-chaos revert --cluster {lab}")
    again = Target(_options(lab))
    lanes = again.open(tmp_path / "a-1" / ".lanes")  # the same campaign, after its runner died
    assert again.revive(lanes[0]) == lanes[0]
    first.close()
    with pytest.raises(LaneLost, match="not this campaign's any more"):
        again.revive(lanes[0])
    second.open(tmp_path / "b-1" / ".lanes")
    second.close()
    again.close()


@pytest.mark.usefixtures("untouched")
def test_an_arm_takes_effect_with_the_reset_and_the_next_takes_its_place(lab: str, tmp_path: Path) -> None:
    target = Target(_options(lab))
    try:
        address = target.open(tmp_path / "a-1" / ".lanes")[0]
        lane = kinds.connect(_options(lab), address)
        here = _objects(lab, tmp_path)
        lane.apply(Variant("zscore", {"detector": "zscore"}), Variant("p", {"file": "x", "policy": _POLICY}))
        lane.reset()
        assert objects.get(here.read("deployment", _HEALER), f"env/{_HEALER}/DETECTOR")["value"] == "zscore"
        assert here.read("configmap", _POLICIES)["data"]["default.policy"] == _POLICY
        pods = here.cluster.request("GET", cluster.path(lab, "pods"))["items"]
        assert all(is_ready(pod) and not pod["metadata"].get("deletionTimestamp") for pod in pods)
        lane.apply(Variant("off", {"healer": "off"}), Variant("default", {}))
        lane.reset()
        off = here.read("deployment", _HEALER)
        assert off["spec"]["replicas"] == 0
        name = f"env/{_HEALER}/DETECTOR"
        assert objects.get(off, name) == {**objects.former(off)[name]}["was"]
        assert lane.armed()  # nobody to wait for
    finally:
        target.close()


@pytest.mark.usefixtures("untouched")
def test_in_an_arm_of_reference_the_trial_acts_like_a_healer_and_the_reset_undoes_it(lab: str, tmp_path: Path) -> None:
    target = Target(_options(lab))
    try:
        lane = kinds.connect(_options(lab), target.open(tmp_path / "a-1" / ".lanes")[0])
        here = _objects(lab, tmp_path)
        lane.apply(Variant("oracle", {"healer": "off"}), Variant("default", {}))
        lane.reset()
        assert lane.repairable() == (f"{lab}/{_ERP}",)  # and not the healer
        before = here.read("deployment", _ERP)
        lane.repair(f"{lab}/{_ERP}", None)
        restarted = here.read("deployment", _ERP)
        assert restarted["metadata"]["generation"] > before["metadata"]["generation"]
        assert objects.get(restarted, objects.RESTARTED) != objects.get(before, objects.RESTARTED)
        lane.repair(f"{lab}/{_ERP}", 3)
        assert here.read("deployment", _ERP)["spec"]["replicas"] == 3
        lane.reset()
        again = here.read("deployment", _ERP)
        assert again["spec"]["replicas"] == before["spec"]["replicas"]
    finally:
        target.close()


def test_preflight_names_what_is_not_there(lab: str) -> None:
    missing = _options(lab)
    missing["system"]["components"] = ["agent-detect"]
    missing["system"]["settings"]["file"][0]["configmap"] = "no-policies"
    told = [what for what, _ in Target(missing).check()]
    assert told == [
        f"{lab} has no Deployment agent-detect, which the healer file names",
        f"{lab} has no ConfigMap no-policies, which the healer file names",
    ]
    nowhere = _options("smartops-chaos-nowhere")
    assert [what for what, _ in Target(nowhere).check()] == ["there is no namespace smartops-chaos-nowhere"]
    unknown = _options(lab, context="no-such-context")
    assert "no-such-context" in Target(unknown).check()[0][0]


def test_a_label_that_says_production_needs_a_second_key(lab: str, api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    core.patch_namespace(lab, {"metadata": {"labels": {"stage": "prod"}}})
    try:
        assert Target(_options(lab)).check() == [
            (f"a label of {lab} says production: stage=prod", f"if you mean it: `production: [{lab}]`")
        ]
        assert Target(_options(lab, production=[lab])).check() == []
    finally:
        core.patch_namespace(lab, {"metadata": {"labels": {"stage": None}}})


_MATRIX = """\
version: 1
name: killed
target: {{kind: kubernetes, healer: lab-kubernetes, lanes: [{{namespace: {lab}}}], allow: [{lab}]}}
factors:
  chaos: {{pod-kill: {{fault: pod-kill}}}}
  model: {{off: {{healer: off}}, zscore: {{detector: zscore}}}}
  policy: {{default: {{file: my.policy}}}}
exclude: [{{model: off}}]
include: [{{chaos: pod-kill, model: off}}]
repeats: 1
calibrate: 0
baseline: {{model: off}}
slo: {{latency: 300ms, objective: 90%, hold: 2s}}
horizon: {{after: 5s}}
"""


@pytest.mark.parametrize("by_labels", [False, True], ids=["by-directory", "by-labels"])
def test_a_runner_that_is_killed_in_an_arm_change_leaves_what_revert_puts_back(
    lab: str, untouched: Json, tmp_path: Path, until: Until, *, by_labels: bool
) -> None:
    (tmp_path / "m.yaml").write_text(_MATRIX.format(lab=lab), encoding="utf-8")
    (tmp_path / "my.policy").write_text(_POLICY, encoding="utf-8")
    runner = subprocess.Popen(command("run", "m.yaml"), cwd=tmp_path, start_new_session=True)
    here = _objects(lab, tmp_path)
    try:
        until(lambda: f"deployment {_HEALER}" in here.left())
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait()
    assert f"configmap {LOCK}" in here.left()
    assert _state(lab) != untouched
    how = ["--cluster", lab] if by_labels else ["killed-1"]
    done = subprocess.run(command("revert", *how), cwd=tmp_path, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert here.left() == []
    assert _state(lab) == untouched


def test_no_credential_is_in_what_a_campaign_leaves(lab: str, tmp_path: Path) -> None:
    target = Target(_options(lab))
    try:
        address = target.open(tmp_path / "a-1" / ".lanes")[0]
        told = json.dumps(address.environment) + repr(connection(address.environment["SMARTOPS_WORKLOAD_URL"]))
        secrets = [value for value in cluster.connect().headers().values() if value]
        assert not any(secret in told for secret in secrets)
        assert address.environment["SMARTOPS_WORKLOAD_URL"].startswith("kubernetes://")
        assert address.environment["SMARTOPS_WORKLOAD_URL"].endswith(f"@{lab}/{_ERP}:8000")
    finally:
        target.close()
