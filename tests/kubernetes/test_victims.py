"""Whose pod is hit, and which container of it; and that no name leads a request to another namespace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.errors import FileProblems, RevertFailed
from smartops_chaos.faults import kubernetes as faults
from smartops_chaos.kubernetes import cluster, drivers, preflight, victims
from smartops_chaos.kubernetes.cluster import ClusterError
from smartops_chaos.kubernetes.cluster_target import revert_namespace
from smartops_chaos.kubernetes.controller import KINDS, Controller
from smartops_chaos.plan.expand import load_plan


def _hit(name: str = "shop", **more: Any) -> set[str]:
    here = cluster.connect("")
    chosen = [victims.choose(here, "dev", name, seed, **more)[0] for seed in range(20)]
    return {f"{one.container.pod}:{one.container.name}" for one in chosen}


_EXPRESSIONS = [
    {"key": "tier", "operator": "In", "values": ["shop"]},
    {"key": "role", "operator": "NotIn", "values": ["db"]},
    {"key": "x", "operator": "Exists"},
    {"key": "y", "operator": "DoesNotExist"},
]


def test_the_whole_selector_counts(fake: Any, pod: Any, controller: Any) -> None:
    labels = {"tier": "shop", "x": "1"}
    fake.put("deployments", controller("shop", selector={"matchExpressions": _EXPRESSIONS}))
    fake.objects[cluster.path("dev", "pods")].clear()
    fake.put("pods", pod("shop-7f-1", "ReplicaSet/shop-7f", labels))
    for name, more in (("a", {"tier": "other"}), ("b", {"role": "db"}), ("c", {"y": "1"})):
        fake.put("pods", pod(name, "ReplicaSet/shop-7f", labels | more))
    fake.put("pods", pod("d", "ReplicaSet/shop-7f", {"tier": "shop"}))
    assert _hit() == {"shop-7f-1:shop"}


@pytest.mark.parametrize(
    "owner", ["StatefulSet/shop", "ReplicaSet/shop-canary-7f", "ReplicaSet/other-7f", "Job/shop-7f", ""]
)
def test_a_pod_of_somebody_else_with_the_same_labels_is_no_victim(fake: Any, pod: Any, owner: str) -> None:
    fake.put("pods", pod("alien", owner))
    assert _hit() == {"shop-7f-1:shop", "shop-7f-2:shop"}


@pytest.mark.parametrize("kind", ["statefulset", "daemonset", "replicaset"])
def test_other_controllers_own_their_pods_themselves(fake: Any, pod: Any, controller: Any, kind: str) -> None:
    fake.put(KINDS[kind].plural, controller("shop"))
    fake.put("pods", pod("own", f"{KINDS[kind].word}/shop"))
    assert _hit(f"{kind}/shop") == {"own:shop"}


def test_a_rollout_of_argo_and_a_deployment_of_its_name_are_told_apart(fake: Any, pod: Any, controller: Any) -> None:
    fake.put("rollouts", controller("shop"))
    fake.put("pods", pod("r", "ReplicaSet/shop-9c", {"app": "shop", "rollouts-pod-template-hash": "9c"}))
    for n in (1, 2):
        fake.get("pods", f"shop-7f-{n}")["metadata"]["labels"]["pod-template-hash"] = "7f"
    assert _hit("rollout/shop") == {"r:shop"}
    assert _hit() == {"shop-7f-1:shop", "shop-7f-2:shop"}


def test_an_empty_selector_is_refused(fake: Any, controller: Any) -> None:
    fake.put("deployments", controller("shop", selector={}))
    with pytest.raises(ClusterError, match="selects every pod of its namespace"):
        _hit()


def test_a_proxy_that_was_put_into_the_pod_is_no_victim(fake: Any, pod: Any, controller: Any) -> None:
    fake.objects[cluster.path("dev", "pods")].clear()
    both = ("istio-proxy", "main", "helper")
    fake.put("deployments", controller("shop", containers=("main", "helper")))
    fake.put("pods", pod("p", "ReplicaSet/shop-7f", containers=both))
    assert _hit() == {"p:main"}
    assert _hit(container="istio-proxy") == {"p:istio-proxy"}
    fake.get("pods", "p")["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "helper"}
    assert _hit() == {"p:helper"}
    fake.get("pods", "p")["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "gone"}
    assert _hit() == {"p:main"}
    with pytest.raises(ActivityFailed, match="has no container nothing: it has istio-proxy, main, helper"):
        _hit(container="nothing")


def test_doctor_and_plan_say_what_would_be_hit_and_what_else_sets_sizes(
    fake: Any, matrix_on_cluster: Path, pod: Any
) -> None:
    fake.put("pods", pod("shop-db-0", "StatefulSet/shop-db"))
    target = {"kind": "Deployment", "name": "shop"}
    fake.put("horizontalpodautoscalers", {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target}})
    budget = {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"app": "shop"}}}}
    fake.put("poddisruptionbudgets", budget)
    plan = load_plan(matrix_on_cluster)
    told = preflight.targeted(plan)
    assert told[0] == f"cluster: context a ({fake.url})"
    assert told[1] == "`zero` in dev: scale-to-zero hits all of shop-7f-1, shop-7f-2, container shop"
    notes = "\n".join(preflight.notes(plan))
    assert "HorizontalPodAutoscaler h sets the size of shop, which is attacked" in notes
    assert "PodDisruptionBudget b is about pods of shop" in notes


def test_scale_to_zero_by_a_patch_whose_answer_was_lost(fake: Any) -> None:
    """The API server has applied it, and refuses when it is repeated."""
    lost: list[str] = []

    def rule(method: str, path: str, query: dict[str, str]) -> Any:
        if method == "PATCH" and path.endswith("/deployments/shop") and not lost:
            lost.append(path)
            fake.get("deployments", "shop")  # applied below, but told as a failure
            body = {"spec": {"replicas": 0}, "metadata": {"resourceVersion": "77"}}
            found = fake.get("deployments", "shop")
            found["spec"] |= body["spec"]
            found["metadata"]["resourceVersion"] = "77"
            key = victims._key("f.0")
            found["metadata"]["annotations"] = {key: json.dumps({"id": "f.0", "fault": "scale-to-zero", "replicas": 2})}
            found["metadata"]["labels"] = {victims.LABEL: "in-force"}
            return 503, {}, {"message": "the connection was lost"}
        del query
        return None

    fake.rules = rule
    assert faults.scale_to_zero("dev", "", "shop", "f.0")["replicas"] == 2
    assert faults.scale_back("dev", "", "f.0", "shop") == {
        "in_force": True,
        "effect": "no replicas instead of 2",
        "gone": "",
    }
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 2


def test_a_kill_is_for_the_pod_that_was_chosen(fake: Any) -> None:
    bodies = [faults.pod_kill("dev", "", "shop", "f.0", 1)["objects"][0]]
    (gone,) = [path.rpartition("/")[2] for method, path in fake.asked if method == "DELETE"]
    assert bodies == [f"shop/uid-{gone}"]
    assert faults.pod_gone("dev", "", "f.0", deployment="shop")
    fake.rules = lambda *asked: (409, {}, {"message": "uid"}) if asked[0] == "DELETE" else None
    with pytest.raises(ActivityFailed, match="was replaced before it could be killed"):
        faults.pod_kill("dev", "", "shop", "f.1", 1)


# ---- names -----------------------------------------------------------------------------------------------------------

_HOSTILE = [
    "../../kube-system/deployments/coredns",
    "..",
    "a/../../x",
    "Shop",
    "a%2f..%2fb",
    "a?x=1",
    "a b",
    "a.",
    ".a",
]


@pytest.mark.parametrize("name", _HOSTILE[:2])
def test_a_name_that_leads_elsewhere_is_refused_in_every_file(matrix_on_cluster: Path, name: str) -> None:
    text = matrix_on_cluster.read_text(encoding="utf-8")
    matrix_on_cluster.write_text(
        text.replace("{fault: scale-to-zero}", f"{{fault: scale-to-zero, deployment: {json.dumps(name)}}}"),
        encoding="utf-8",
    )
    with pytest.raises(FileProblems, match=r"matrix\.yaml:5:.*no (name|controller)"):
        load_plan(matrix_on_cluster)
    matrix_on_cluster.write_text(text, encoding="utf-8")
    healer = matrix_on_cluster.with_name("healer.yaml")
    known = healer.read_text(encoding="utf-8")
    for key in ("service: shop", "configmap: watchdog", "deployment: watchdog", "{service: shop"):
        changed = known.replace(key, f"{key.partition(':')[0]}: {json.dumps(name)}", 1)
        healer.write_text(changed, encoding="utf-8")
        with pytest.raises(FileProblems):
            load_plan(matrix_on_cluster)
    healer.write_text(known, encoding="utf-8")


@pytest.mark.parametrize("path", ["/../../pods/p", "/a/%2e%2e/b", "orders", "/a/./b", "/a\\..\\b"])
def test_requests_stay_on_the_service(matrix_on_cluster: Path, path: str) -> None:
    healer = matrix_on_cluster.with_name("healer.yaml")
    text = healer.read_text(encoding="utf-8").replace("path: /orders", f"path: {json.dumps(path)}")
    healer.write_text(text, encoding="utf-8")
    with pytest.raises(FileProblems, match="is no path of the service"):
        load_plan(matrix_on_cluster)


@given(name=st.one_of(st.sampled_from(_HOSTILE), st.text(max_size=30)))
def test_no_path_leaves_its_namespace(name: str) -> None:
    for made in (
        lambda: cluster.path(name, "pods"),
        lambda: cluster.path("dev", "pods", name),
        lambda: cluster.proxy("dev", "services", name, 80),
        lambda: cluster.proxy("dev", "services", "s", name),
    ):
        try:
            path = made()
        except ClusterError:
            continue
        assert path.count("/") <= 8
        assert ".." not in path
        assert cluster._unbroken(path) == path


@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2e/b", "/a/./b", "/a?b", "/a#b", "/a b", "/a\\..\\b", "/a/%2E./b"])
def test_a_path_with_steps_is_not_sent(fake: Any, path: str) -> None:
    with pytest.raises(ClusterError, match="no path that is asked for"):
        cluster.connect("").request("GET", path)
    assert fake.asked == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '"x"',
        '{"id": "f.0"}',
        '{"id": 5, "fault": "app"}',
        '{"id": "f.0", "fault": "app", "mode": "../../x"}',
        '{"id": "f.0", "fault": "app", "port": "1/../2"}',
        '{"id": "other", "fault": "scale-to-zero", "replicas": 2}',
    ],
)
def test_a_mark_that_cannot_be_read_is_in_force_and_hides_no_other(fake: Any, text: str) -> None:
    faults.scale_to_zero("dev", "", "shop", "f.1")
    alien = fake.get("pods", "shop-7f-1")["metadata"]
    alien["labels"][victims.LABEL], alien["annotations"] = "in-force", {victims._key("f.0"): text}
    here = cluster.connect("")
    leaks = drivers.leaks(here, "dev")
    assert "f.1" in leaks
    assert any(victims._key("f.0") in one for one in leaks)
    with pytest.raises(RevertFailed, match="a mark that cannot be read"):
        revert_namespace("", "dev")
    assert fake.get("deployments", "shop")["spec"]["replicas"] == 2  # the other was ended all the same


@pytest.mark.parametrize("body", [b"<html>login", b"null", b"[]", b'{"items": 5}', b'{"items": [5]}', b"{}", b""])
def test_what_is_no_api_answer_is_an_error_and_no_traceback(fake: Any, body: bytes) -> None:
    fake.rules = lambda *_: (200, {}, body)
    here = cluster.connect("")
    for call in (
        lambda: here.items(cluster.path("dev", "pods")),
        lambda: Controller.read(here, "dev", "shop"),
        lambda: here.identify("dev"),
        lambda: drivers.leaks(here, "dev"),
    ):
        with pytest.raises(ClusterError):
            call()
    with pytest.raises(RevertFailed):
        revert_namespace("", "dev")


def test_a_redirect_is_not_followed(fake: Any) -> None:
    fake.rules = lambda *_: (302, {"Location": fake.url + "/login"}, b"")
    with pytest.raises(ClusterError, match="is elsewhere"):
        cluster.connect("").request("GET", "/version")
    assert len(fake.asked) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_gone_is_gone(fake: Any, status: int) -> None:
    fake.rules = lambda *_: (status, {}, {"message": "gone"})
    with pytest.raises(cluster.Gone):
        cluster.connect("").request("DELETE", cluster.path("dev", "pods", "p"))
