"""`attach` from its command on an API server in memory: what it asks, injects, takes away and writes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smartops_chaos.cli.commands import app
from smartops_chaos.errors import ChaosError
from smartops_chaos.kubernetes import objects
from smartops_chaos.kubernetes.changes import ChangedObjects
from smartops_chaos.kubernetes.cluster import connect
from smartops_chaos.kubernetes.cluster_target import ClusterTarget
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healer_kubernetes import Change, ObjectRef

_LOG = "/api/v1/namespaces/dev/pods/watchdog-7f-1/log"


def _stamp(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


@pytest.fixture
def healed(fake: Any, pod: Any) -> Any:
    """The watchdog writes what it does, once a pod of the shop is deleted."""
    fake.put(
        "pods", pod("watchdog-7f-1", "ReplicaSet/watchdog-7f", labels={"app": "watchdog", "pod-template-hash": "7f"})
    )
    begun_s = time.time()
    killed: list[float] = []

    def rules(method: str, path: str, query: dict[str, str]) -> Any:
        del query
        if method == "DELETE" and "/pods/shop" in path:
            killed.append(time.time())
        if path != _LOG:
            return None
        lines = [f"{_stamp(begun_s)} looked at 2 pods"]
        for at_s in killed:
            lines += [f"{_stamp(at_s + 0.1)} shop is unhealthy: 1 of 2", f"{_stamp(at_s + 0.2)} restarting shop"]
        time.sleep(0.05)
        return 200, {}, "\n".join(lines).encode() + b"\n"

    fake.rules = rules
    return fake


def _attach(folder: Path, *more: str) -> Any:
    arguments = [
        "attach",
        "dev",
        "--service",
        "shop",
        "--out",
        str(folder / "h.yaml"),
        "--quiet",
        "1s",
        "--watch",
        "2s",
    ]
    return CliRunner().invoke(app, [*arguments, *more])


def test_one_pod_is_deleted_and_what_told_of_it_becomes_a_healer_file(healed: Any, tmp_path: Path) -> None:
    done = _attach(tmp_path, "--yes")
    assert done.exit_code == 0, done.output
    healer = healerfile.load(str(tmp_path / "h.yaml"))
    assert [rule.log for rule in healer.moments.detected] == [r"shop is unhealthy: \S+ of \S+"]
    assert [rule.component for rule in healer.moments.acted] == ["watchdog"]
    assert healer.kubernetes is not None
    assert healer.kubernetes.reset.replicas == {"shop": 2, "watchdog": 1}
    (deleted,) = [path for method, path in healed.writes if method == "DELETE"]
    assert deleted.startswith("/api/v1/namespaces/dev/pods/shop-7f-")
    marks = healed.get("deployments", "shop")["metadata"].get("annotations") or {}
    assert not [key for key in marks if key.startswith("smartops-chaos")]


def test_without_an_answer_nothing_is_touched(healed: Any, tmp_path: Path) -> None:
    done = _attach(tmp_path)
    assert isinstance(done.exception, ChaosError)
    assert "nobody can be asked: delete one pod of 2 of shop in dev" in str(done.exception)
    assert healed.writes == []
    assert not (tmp_path / "h.yaml").exists()


def test_a_service_that_is_not_there(fake: Any, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["attach", "dev", "--yes", "--out", str(tmp_path / "h.yaml")])
    assert "which Deployment of dev is the service under attack?" in str(done.exception)
    assert fake.writes == []


def test_an_object_of_any_kind_is_patched_and_put_back_through_the_api(fake: Any, tmp_path: Path) -> None:
    ref = ObjectRef(api="core.k8sgpt.ai/v1alpha1", resource="k8sgpts", name="k8sgpt", namespace="kube-system")
    spec = {"ai": {"backend": "x"}}
    stored = {"metadata": {"name": "k8sgpt", "uid": "k", "resourceVersion": "1"}, "spec": spec}
    fake.objects[ref.path("dev")] = {"k8sgpt": stored}
    here = ChangedObjects(connect(), "dev", "c-1", tmp_path / "former.ndjson", others=(ref.kind,))
    for enabled in ("true", "false"):  # two arms, one after the other
        change = Change(object=ref, patch={"spec": {"ai": {"heal": {"enabled": "{value}"}}}}).with_value(enabled)
        here.set(ref.kind, ref.name, lambda found, change=change: objects.wanted(change, found))  # type: ignore[misc]
        assert stored["spec"] == {"ai": {"backend": "x", "heal": {"enabled": enabled == "true"}}}
    assert here.left() == [f"{ref.kind} k8sgpt"]
    again = ChangedObjects(connect(), "dev", "", None, others=(ref.kind,))  # another process, by labels alone
    assert again.restore() == []
    assert stored["spec"] == {"ai": {"backend": "x"}}
    assert again.left() == []


def test_doctor_tells_of_what_a_healer_file_reads_and_is_not_there(fake: Any, matrix_on_cluster: Path) -> None:
    """Without that its lines would be missing in every trial, and nobody would know why."""
    file = matrix_on_cluster.parent / "healer.yaml"
    more = (
        "  elsewhere: {kube-system: [agent]}\n"
        "  watch: [{api: autoscaling/v2, resource: horizontalpodautoscalers, name: shop, fields: [status.x]}]\n"
    )
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    plan = load_plan(matrix_on_cluster)
    told = [what for what, _ in ClusterTarget(plan.target).check()]
    assert "kube-system has no Deployment agent, whose log the healer file names" in told
    assert "there is no horizontalpodautoscalers shop of autoscaling/v2, which the healer file watches" in told
    assert fake.writes == []
