"""One build on its way from dev to stage to production, on a real cluster, and everything that must stop it.

Images are built and signed once, in a registry on loopback, and named by digest from there on. The telemetry is what
platform/deploy installs by itself. The lab's service and healer stand for SmartOps, as in values-testbed.yaml.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.cluster.supply import PLATFORM, Signer, base, call, serving
from tests.cluster.test_deploy import without as without  # what pytest finds here is a fixture here
from tests.conftest import command, until
from tests.platform.conftest import CHART, tool

ENVIRONMENTS = ("dev", "stage", "prod")
# Windows of a minute in the place of days; what is asked is what platform/gates.yaml asks.
GATES = """\
version: 1
environments:
  dev: &short
    namespace: replaced
    window: 1m
    step: 10s
    witness:
      watchdog: 'ALERTS{alertname="Watchdog", alertstate="firing"}'
      groups: [smartops-slo, smartops-healing, smartops-pods, smartops-witness]
      evaluated: prometheus_rule_group_last_evaluation_timestamp_seconds
      targets: 'up{namespace="${namespace}"}'
      wanted: [smartops-erp-simulator, smartops-orchestrator, smartops-chaos-monitor]
      coverage: 80%
      longest_gap: 20s
    workloads: {quiet: 30s}
    alerts: {firing: 'ALERTS{alertstate="firing", alertname=~"SmartOpsPod.*", namespace="${namespace}"}'}
    slo: # how busy this machine is, is not what is tried here
      total: 'smartops_chaos_requests_total{namespace="${namespace}"}'
      errors: 'smartops_chaos_requests_total{namespace="${namespace}", answer!="good"}'
      at_least: 20%
      min_requests: 50
    golden:
      release: '${namespace}'
      versions:
        - {series: 'kube_pod_container_info{namespace="${namespace}"}', of: container, version: image_id}
  stage:
    <<: *short
    mttr: {at_most: 60s, require: estimate, registered: true, public_key: KEY, campaigns: none-here}
  closed: # nothing is an hour old
    namespace: replaced
    window: 1h
    step: 10s
    witness: {watchdog: 'ALERTS{alertname="Watchdog"}', targets: 'up{namespace="${namespace}"}'}
    golden: {release: '${namespace}'}
"""
MATRIX = """\
version: 1
name: stage
target:
  kind: kubernetes
  healer: healer.yaml
  prometheus: {service: prometheus, port: 9090, namespace: TELEMETRY}
  lanes: [{namespace: NAMESPACE}]
  allow: [NAMESPACE]
factors:
  chaos: {kill: {fault: pod-kill}}
  model: {off: {healer: off}, threshold: {detector: threshold}}
  workload: {steady: {rate: 10/s}}
repeats: 1
calibrate: 0
baseline: {model: off}
slo: {latency: 900ms, objective: 80%, hold: 2s}
horizon: {after: 20s}
stop_after_good: 3s
"""


@dataclass(frozen=True)
class Place:
    """Where all of it happens, and with which files."""

    prefix: str
    folder: Path
    images: Path  # as platform/build writes them
    signer: Signer
    registry: str

    @property
    def telemetry(self) -> str:
        return f"{self.prefix}-telemetry"

    def namespace(self, environment: str) -> str:
        return f"{self.prefix}-{environment}"

    def deploy(self, environment: str, *more: str | Path) -> subprocess.CompletedProcess[str]:
        words = ("--namespace", self.namespace(environment), "--telemetry", self.telemetry, "--timeout", "5m", *more)
        return call(PLATFORM / "deploy", environment, *words)

    def promote(
        self, source: str, to: str, *gate: str | Path, signer: Signer | None = None, commit: str = ""
    ) -> subprocess.CompletedProcess[str]:
        words = ("--prefix", self.prefix, "--telemetry", self.telemetry, "--values", self.folder / "mine.yaml")
        words += ("--commit", commit) if commit else ()
        asked = (
            "--gates",
            self.folder / "gates.yaml",
            "--prometheus",
            f"kubernetes://@{self.telemetry}/prometheus:9090",
        )
        verifying = {**(signer or self.signer).verifying, "PATH": _path()}
        return call(PLATFORM / "promote", source, to, *words, "--timeout", "5m", "--", *asked, *gate, **verifying)

    def runs(self, environment: str) -> dict[str, set[str]]:
        """The images of the pods that run there, as their specs name them."""
        told = call("kubectl", "get", "pods", "--namespace", self.namespace(environment), "--output", "json")
        found: dict[str, set[str]] = {}
        for pod in json.loads(told.stdout)["items"]:
            for one in pod["spec"]["containers"]:
                found.setdefault(one["name"], set()).add(one["image"])
        return found

    def exists(self, environment: str) -> bool:
        return call("kubectl", "get", "namespace", self.namespace(environment)).returncode == 0


def _path() -> str:
    """With our own command line on it, which promote calls."""
    return f"{Path(command()[0]).parent}:{call('bash', '-c', 'echo $PATH').stdout.strip()}"


def _stand_ins() -> dict[str, Any]:
    """values-testbed.yaml without its images: those come by digest."""

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        return {k: plain(v) if isinstance(v, dict) else v for k, v in values.items() if k != "image"}

    found = plain(yaml.safe_load((CHART / "values-testbed.yaml").read_text(encoding="utf-8")))
    del found["telemetry"], found["helmTest"]
    # On a busy machine a healer's false alarm restarts the service while helm waits. Environments share two cores.
    found["orchestrator"]["env"]["DETECTOR"] = "none"
    found["erp-simulator"]["replicas"] = 2  # of one, a probe that comes late on a busy machine is an outage
    for one in ("erp-simulator", "orchestrator", "monitor"):
        found[one].setdefault("resources", {}).setdefault("requests", {})["cpu"] = "30m"
    return found


@pytest.fixture(scope="module")
def place(api: client.ApiClient, without: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("promotion")
    prefix = f"smartops-{uuid.uuid4().hex[:6]}"
    with serving(folder / "registry") as registry:
        signer = Signer(folder / "keys", "ours")
        built = call(PLATFORM / "build", registry, "1.4.0", *base(), "--sign", **signer.signing)
        assert built.returncode == 0, built.stderr
        made = Place(prefix, folder, folder / "images.yaml", signer, registry)
        made.images.write_text(built.stdout, encoding="utf-8")
        (folder / "mine.yaml").write_text(yaml.safe_dump(_stand_ins()), encoding="utf-8")
        gates = yaml.safe_load(GATES.replace("KEY", str(signer.public)))
        (folder / "gates.yaml").write_text(json.dumps(gates), encoding="utf-8")
        small = yaml.safe_load((CHART / "values-testbed.yaml").read_text(encoding="utf-8"))["telemetry"]["small"]
        for one in without:
            if one.endswith(".enabled=false"):
                small[one.split(".")[2]]["enabled"] = False
        watched = [made.namespace(one) for one in (*ENVIRONMENTS, "drill")]
        told = {"telemetry": {"small": small, "watches": watched}}
        (folder / "telemetry.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
        try:
            yield made
        finally:
            core = client.CoreV1Api(api)
            for one in core.list_namespace().items:
                if one.metadata.name.startswith(f"{prefix}-"):
                    core.delete_namespace(one.metadata.name)


@pytest.fixture(scope="module")
def dev(place: Place) -> Place:
    """Deployed on a cluster that has nothing of ours: deploy installs the telemetry first."""
    values = ("--telemetry-values", place.folder / "telemetry.yaml", "--", "--values", place.folder / "mine.yaml")
    done = place.deploy("dev", "--images", place.images, *values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the cluster has no telemetry yet: installing it" in done.stderr
    assert done.stderr.count("helm test: all answer") == 2
    return place


@pytest.fixture(scope="module")
def stage(dev: Place) -> Place:
    """Promoted from dev, as soon as its gate can be judged."""
    last: list[str] = []

    def promoted() -> bool:
        done = dev.promote("dev", "stage", "--evidence", dev.folder / "evidence")
        last[:] = [done.stdout + done.stderr]
        assert done.returncode in (0, 1, 4), last[0]
        if dev.exists("stage"):  # the gate was open: whatever came after that must have worked
            assert done.returncode == 0, last[0]
        return done.returncode == 0

    until(promoted, within_s=420, why=lambda: last[0], pause_s=5)
    return dev


def test_every_pod_runs_by_the_digest_that_was_built(dev: Place) -> None:
    told = yaml.safe_load(dev.images.read_text(encoding="utf-8"))
    for name, key in (("smartops-erp-simulator", "erp-simulator"), ("smartops-orchestrator", "orchestrator")):
        image = told[key]["image"]
        assert dev.runs("dev")[name] == {f"{image['repository']}@{image['digest']}"}


def test_only_the_build_that_is_asked_for_is_promoted(dev: Place) -> None:
    commit = yaml.safe_load(dev.images.read_text(encoding="utf-8"))["commit"]
    other = dev.promote("dev", "stage", commit="0" * 40)
    assert other.returncode == 1
    assert f"dev runs what was built of {commit}, not of {'0' * 40}" in other.stderr
    assert not dev.exists("stage")


def test_a_gate_that_is_not_open_lets_nothing_pass(dev: Place) -> None:
    unknown = dev.promote("dev", "stage", "--prometheus", "http://127.0.0.1:9")
    assert unknown.returncode == 4, unknown.stdout + unknown.stderr
    gates = dev.folder / "closed.yaml"
    closed = yaml.safe_load(GATES)["environments"]["closed"]
    gates.write_text(json.dumps({"version": 1, "environments": {"dev": closed}}), encoding="utf-8")
    shut = dev.promote("dev", "stage", "--gates", gates)
    assert shut.returncode == 1, shut.stdout + shut.stderr
    assert "the release changed with revision 1" in shut.stdout
    assert not dev.exists("stage")


def test_an_image_that_was_changed_by_hand_is_not_promoted(dev: Place) -> None:
    """Nobody has signed it, and the release does not name it."""
    image = yaml.safe_load(dev.images.read_text(encoding="utf-8"))["orchestrator"]["image"]
    other = f"{dev.registry}/smartops-unsigned"
    assert call("crane", "copy", f"{image['repository']}@{image['digest']}", f"{other}:1").returncode == 0
    where = ("--namespace", dev.namespace("dev"), "deployment/smartops-orchestrator")
    call("kubectl", "set", "image", *where, f"smartops-orchestrator={other}@{image['digest']}")
    try:
        call("kubectl", "rollout", "status", *where, "--timeout=180s")
        refused = dev.promote("dev", "stage")
        assert refused.returncode == 1
        assert f"these run, and the release does not name them: {other}@" in refused.stderr
    finally:
        call("kubectl", "rollout", "undo", *where)
        call("kubectl", "rollout", "status", *where, "--timeout=180s")
    assert not dev.exists("stage")


def test_stage_runs_the_same_digests(stage: Place) -> None:
    assert stage.runs("stage") == stage.runs("dev")


def test_what_somebody_else_has_signed_is_not_promoted(stage: Place) -> None:
    """The gate of dev is open, as it has just been: the signatures alone keep it back."""
    _refused(stage, "is not signed as it should be", signer=Signer(stage.folder / "keys", "theirs"))


def _refused(place: Place, why: str, signer: Signer | None = None) -> str:
    """What promote says of dev, as soon as its gate is open and it is refused for another reason."""
    last: list[str] = []

    def judged() -> bool:
        refused = place.promote("dev", "stage", signer=signer)
        last[:] = [refused.stdout + refused.stderr]
        assert refused.returncode in (1, 4), last[0]
        return why in refused.stderr

    until(judged, within_s=420, why=lambda: last[0], pause_s=5)
    return last[0]


def test_an_image_that_was_changed_after_it_was_signed_is_not_promoted(stage: Place) -> None:
    """Another one in the same repository: it has a digest of its own, and nobody has signed that."""
    images = yaml.safe_load(stage.images.read_text(encoding="utf-8"))
    signed = images["orchestrator"]["image"]
    changed = f"{signed['repository']}:changed"
    source = f"{signed['repository']}@{signed['digest']}"
    made = call("crane", "mutate", source, "--label", "changed=yes", "--tag", changed)
    assert made.returncode == 0, made.stderr
    images["orchestrator"]["image"] = {**signed, "digest": call("crane", "digest", changed).stdout.strip()}
    file = stage.folder / "changed.yaml"
    file.write_text(yaml.safe_dump(images), encoding="utf-8")
    before = stage.runs("stage")
    values = ("--", "--values", stage.folder / "mine.yaml")
    deployed = stage.deploy("dev", "--images", file, *values)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    try:
        told = _refused(stage, "is not signed as it should be")
        assert images["orchestrator"]["image"]["digest"] in told
        assert stage.runs("stage") == before
    finally:
        back = call(PLATFORM / "rollback", "dev", "--namespace", stage.namespace("dev"))
        assert back.returncode == 0, back.stdout + back.stderr


@pytest.fixture(scope="module")
def campaign(stage: Place) -> Path:
    """Run on stage with its plan registered, and attested over the digests that ran."""
    folder = stage.folder / "campaign"
    folder.mkdir()
    namespace = stage.namespace("stage")
    shipped = Path(__file__).parents[2] / "smartops_chaos" / "healers" / "lab-kubernetes.yaml"
    text = shipped.read_text(encoding="utf-8")
    # One Prometheus sees all environments.
    text = text.replace('{job="smartops-erp-simulator"}', f'{{job="smartops-erp-simulator", namespace="{namespace}"}}')
    text = text.replace("smartops_detector_armed)", f'smartops_detector_armed{{namespace="{namespace}"}})')
    text = text.replace("query: min(", "query: 'min(").replace('"})}', "\"})'}")
    (folder / "healer.yaml").write_text(text, encoding="utf-8")
    matrix = MATRIX.replace("TELEMETRY", stage.telemetry).replace("NAMESPACE", namespace)
    (folder / "m.yaml").write_text(matrix, encoding="utf-8")
    done = subprocess.run(command("run", "m.yaml", "--register"), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = folder / "results" / "stage-1"
    images = {image for some in stage.runs("stage").values() for image in some}
    named = [word for image in sorted(images) for word in ("--image", image)]
    words = command("attest", found, *named, "--key", stage.signer.private)
    signed = call(*words, COSIGN_PASSWORD="", PATH=f"{Path(tool('cosign')).parent}:{_path()}")
    assert signed.returncode == 0, signed.stdout + signed.stderr
    return found


def test_production_gets_what_was_measured_on_stage_and_nothing_before(stage: Place, campaign: Path) -> None:
    nothing = stage.promote("stage", "prod")
    assert nothing.returncode in (1, 4), nothing.stdout + nothing.stderr  # 1: the campaign's rollouts were just now
    assert "not to be judged  mttr: there is no campaign" in nothing.stdout
    assert not stage.exists("prod")
    last: list[str] = []

    def promoted() -> bool:
        done = stage.promote("stage", "prod", "--campaign", campaign)
        last[:] = [done.stdout + done.stderr]
        if stage.exists("prod"):
            assert done.returncode == 0, last[0]
        return done.returncode == 0

    until(promoted, within_s=420, why=lambda: last[0], pause_s=5)
    assert stage.runs("prod") == stage.runs("stage")


def test_the_drill_puts_back_mends_rolls_back_and_takes_away_and_loses_no_request(dev: Place) -> None:
    report = dev.folder / "drill.json"
    words = ("--prefix", dev.prefix, "--telemetry", dev.telemetry, "--timeout", "4m", "--report", report)
    began = time.monotonic()
    done = call(PLATFORM / "drill", "dev", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {one["step"]: one for one in json.loads(report.read_text(encoding="utf-8"))}
    assert list(steps) == ["put back", "changed", "rolled back", "mended", "taken away"]
    assert all(one["lost"] == 0 for one in steps.values())
    assert all(steps[name]["sent"] > 50 for name in ("put back", "changed", "mended"))
    assert sum(one["seconds"] for one in steps.values()) <= time.monotonic() - began
    until(lambda: not dev.exists("drill"))
