"""A campaign talks to the cluster on which it took its namespace, or says that it cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.errors import RevertFailed
from smartops_chaos.faults import kubernetes as faults
from smartops_chaos.kubernetes import cluster
from smartops_chaos.kubernetes.cluster_target import revert_namespace
from smartops_chaos.kubernetes.identity import Identity
from smartops_chaos.model import Variant
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.run import campaign
from smartops_chaos.run.attempts import Attempts
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress, LaneLost
from smartops_chaos.trial import experiment

_UNDO = """
import sys
from pathlib import Path
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.trial import child
sys.exit(child.run(TrialFolder(Path(sys.argv[1])), undo=True))
"""


@dataclass
class Begun:
    store: CampaignFolder
    trial: TrialFolder
    job: experiment.Job

    def undo(self) -> int:
        """As the runner does it: in a process of its own."""
        return subprocess.run([sys.executable, "-c", _UNDO, str(self.trial.path)], env=dict(os.environ)).returncode


@pytest.fixture
def begun(matrix_on_cluster: Path, tmp_path: Path) -> Callable[[], Begun]:
    """A campaign with one open trial, as the runner leaves it when it dies."""

    def make() -> Begun:
        plan = load_plan(matrix_on_cluster)
        told = kinds.provenance(plan.target)
        store = CampaignFolder((tmp_path / "results" / "w-1").resolve())
        store.create(CampaignFile("matrix.yaml", matrix_on_cluster.read_text(encoding="utf-8"), plan, told))
        plan = kinds.pinned(plan, told)
        target = kinds.target(plan.target)
        lane = target.open(store.lanes)[0]
        job = Attempts(plan, store, target, lambda _: None)._job(lane, plan.trials[0], 1)
        trial = store.trial(plan.trials[0].id)
        trial.begin(experiment.build(job, plan.chaos["zero"].parts), job.fault_ids)
        faults.scale_to_zero("dev", job.environment["SMARTOPS_CONTEXT"], "shop", job.fault_ids[0])
        return Begun(store, trial, job)

    return make


@pytest.fixture
def two(fakes: Any, kubeconfig: Any) -> Any:
    """Two clusters with the same namespace; the first is the current one."""
    made = fakes("a"), fakes("b")
    kubeconfig("a", *made)
    return made


def _replicas(fake: Any) -> int:
    return int(fake.get("deployments", "shop")["spec"]["replicas"])


def test_a_context_that_was_switched_changes_nothing(two: Any, kubeconfig: Any, begun: Any) -> None:
    a, b = two
    made = begun()
    assert _replicas(a) == 0
    kubeconfig("b", a, b)  # kubectl config use-context b
    assert made.undo() == 0
    assert _replicas(a) == 2
    notes = campaign.restore(made.store)
    assert b.asked == []
    assert a.url in notes[0]
    assert ("DELETE", cluster.path("dev", "configmaps", "smartops-chaos")) in a.writes


def test_another_cluster_under_the_same_context_is_refused_by_every_process(
    two: Any, kubeconfig: Any, begun: Any
) -> None:
    a, b = two
    made = begun()
    a.name, b.name = "other", "a"
    kubeconfig("a", b)  # the context of that name leads elsewhere now
    assert made.undo() == RevertFailed.exit_code
    assert made.trial.is_open()
    told = made.trial.log.read_text(encoding="utf-8")
    assert a.url in told
    assert b.url in told
    with pytest.raises(RevertFailed, match="what answers now is"):
        campaign.restore(made.store)
    lane = kinds.connect(made.job.target, LaneAddress("kubernetes", "dev", made.job.environment))
    lane.apply(Variant("off", {"healer": "off"}), Variant("default", {}))
    with pytest.raises(LaneLost, match="what answers now is"):
        lane.reset()
    with pytest.raises(RevertFailed, match="what answers now is"):
        kinds.target(made.job.target).open(made.store.lanes)
    assert b.writes == []
    assert (made.store.lanes / "dev" / "owner").exists()


def test_a_folder_copied_without_its_hidden_files_is_no_all_clear(two: Any, begun: Any) -> None:
    made = begun()
    shutil.rmtree(made.store.lanes)
    with pytest.raises(RevertFailed, match=r"copied without its hidden files.*revert --cluster dev"):
        campaign.restore(made.store)
    assert any("put back" in line or "ended" in line for line in revert_namespace("", "dev"))
    assert _replicas(two[0]) == 2
    assert "nothing of it is there" in campaign.restore(made.store)[0]


def test_a_namespace_that_was_deleted_is_told_apart_from_another_cluster(two: Any, begun: Any) -> None:
    a, _ = two
    made = begun()
    del a.namespaces["dev"]
    a.objects.clear()
    cluster.connect.cache_clear()
    assert made.undo() == 0  # on the same cluster, by the UID of kube-system: it took everything with it
    assert not made.trial.is_open()
    campaign.restore(made.store)


def test_without_a_name_for_the_cluster_a_missing_namespace_is_not_known(two: Any, begun: Any) -> None:
    a, _ = two
    del a.namespaces["kube-system"]
    made = begun()
    del a.namespaces["dev"]
    cluster.connect.cache_clear()
    with pytest.raises(RevertFailed):
        campaign.restore(made.store)


@pytest.mark.usefixtures("two")
def test_a_damaged_owner_file_is_no_all_clear(begun: Any) -> None:
    made = begun()
    (made.store.lanes / "dev" / "owner").write_text("", encoding="ascii")
    with pytest.raises(RevertFailed, match="cannot be read"):
        campaign.restore(made.store)


def test_what_an_earlier_version_has_left_is_put_back_where_its_lock_is(two: Any, kubeconfig: Any, begun: Any) -> None:
    """Its folder and its campaign.json know no cluster; its lock has the owner's name."""
    a, b = two
    made = begun()
    lock = a.get("configmaps", "smartops-chaos")
    (made.store.lanes / "dev" / "owner").write_text(lock["data"]["owner"], encoding="ascii")
    found = made.store.read()
    made.store.create(CampaignFile(found.matrix_file, found.matrix_text, found.plan, {}))
    kubeconfig("b", a, b)
    with pytest.raises(RevertFailed, match="has no lock of this campaign"):
        campaign.restore(made.store)
    kubeconfig("a", a, b)
    assert made.undo() == 0
    campaign.restore(made.store)
    assert _replicas(a) == 2


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", ["smartops-dve", "SMARTOPS", "a/b", "../kube-system"])
def test_a_namespace_that_is_not_there_gets_no_all_clear(name: str) -> None:
    with pytest.raises(RevertFailed, match=r"no name of an object|there is no namespace .* context a"):
        revert_namespace("", name)


def test_an_identity_reads_back_from_its_text() -> None:
    for context in ("kind-a", "arn:aws:eks:eu:1:cluster/x", "two words (old) at home"):
        for known in ("", "c-1"):
            one = Identity("dev", "u-1", context, "https://10.0.0.1:6443/k8s", known)
            assert Identity.parse(str(one)) == one
    for damaged in ("", "dev", json.dumps({}), "dev (uid 1) in context a"):
        with pytest.raises(ValueError, match="names no namespace"):
            Identity.parse(damaged)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a: [", "cannot be read: line"),
        (b"- 1", "it holds no mapping"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"", "it holds no mapping"),
        (b'{"current-context": "x", "contexts": 5}', "cannot be used|no cluster"),
        (
            b'{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],'
            b' "clusters": [{"name": "c", "cluster": {"server": "nowhere"}}], "users": [{"name": "u", "user": {}}]}',
            "no usable address",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}{os.pathsep}{file}")
    with pytest.raises(cluster.ClusterError, match=told) as caught:
        cluster.connect("")
    assert str(file) in str(caught.value)


def test_a_folder_in_place_of_a_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    with pytest.raises(cluster.ClusterError, match="Is a directory"):
        cluster.connect("")


@pytest.mark.usefixtures("fake")
def test_one_proxy_for_every_client_and_none_to_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = {"server": "https://10.1.2.3:6443", "proxy-url": "http://p:8", "tls-server-name": "k"}
    content = {
        "current-context": "far",
        "clusters": [
            {"name": "c", "cluster": far},
            {"name": "d", "cluster": {"server": "https://10.1.2.4:6443"}},
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": n, "context": {"cluster": c, "user": "u"}} for n, c in (("far", "c"), ("near", "d"))],
    }
    file = tmp_path / "more"
    file.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", f"{os.environ['KUBECONFIG']}{os.pathsep}{file}")
    monkeypatch.setenv("HTTPS_PROXY", "http://env:9")
    monkeypatch.setenv("HTTP_PROXY", "http://env:9")
    there = cluster.connect("far").connection("/version")
    assert there.streaming() == {"proxy": "http://p:8", "server_hostname": "k"}
    assert cluster.connect("far").api.configuration.proxy == "http://p:8"
    assert cluster.connect("near").connection().streaming()["proxy"] == "http://env:9"
    assert cluster.connect("a").connection().streaming()["proxy"] is None
    assert cluster.connect("a").request("GET", "/version") == {"gitVersion": "v1.35.0"}
    monkeypatch.setenv("no_proxy", "10.1.2.0/24")
    cluster.connect.cache_clear()
    assert cluster.connect("near").connection().streaming()["proxy"] is None
