"""The shipped files for the public SmartOps: a namespace is enough, arms differ as they should, all arms wait alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartops_chaos.model import Plan
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped
from smartops_chaos.schema import healerfile
from smartops_chaos.schema.healer_kubernetes import KubernetesBlock

DETECTORS = {"smartops-agent-detect-sim", "smartops-agent-detect"}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(shipped("matrix", "smartops.yaml"), repeats=1)


@pytest.fixture(scope="module")
def block() -> KubernetesBlock:
    found = healerfile.load("smartops").kubernetes
    assert found is not None
    return found


def with_target(tmp_path: Path, old: str, new: str) -> Plan:
    text = shipped("matrix", "smartops.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "policies").mkdir()
    policy = shipped("matrix", "policies", "smartops-restart.policy")
    (tmp_path / "policies" / policy.name).write_text(policy.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "matrix.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return load_plan(tmp_path / "matrix.yaml", repeats=1)


def test_the_evaluation_has_every_factor(plan: Plan) -> None:
    measured = [trial for trial in plan.trials if trial.phase == "measure"]
    assert {trial.model for trial in measured} == {"off", "shipped", "open-gate", "fast"}
    assert {trial.policy for trial in measured} == {"shipped", "restart"}
    assert {trial.workload for trial in measured} == {"steady", "busy"}
    assert plan.same_arm == {"off/restart": "off/shipped"}  # without the healer a policy makes no difference
    assert plan.healer["warm_up_s"] == 45


def test_the_forest_makes_every_arm_wait_for_it(tmp_path: Path) -> None:
    assert with_target(tmp_path, "    # forest: {", "    forest: {").healer["warm_up_s"] == 170


def test_its_gate_ships_shut(plan: Plan) -> None:
    """The detector sends one anomaly where the gate wants three: only a level that says so lets the healer act."""
    windows = {name: level.settings.get("sustained_windows") for name, level in plan.models.items()}
    assert windows == {"off": None, "shipped": None, "open-gate": "1", "fast": "1"}


def test_off_is_off_whatever_the_installation(block: KubernetesBlock) -> None:
    changes = block.changes({"healer": "off"})
    assert {change.deployment for change in changes} == DETECTORS
    assert {change.replicas for change in changes} == {0}


def test_only_the_exact_text_1_is_on(block: KubernetesBlock) -> None:
    for value, text in (("on", "1"), ("off", "0")):
        envs = [change.env for change in block.changes({"ground_truth": value, "forest": value})]
        assert {tuple(env.values()) for env in envs} == {(text,)}


def test_a_policy_is_put_over_the_one_in_the_image(plan: Plan, block: KubernetesBlock) -> None:
    (change,) = block.changes(plan.policies["restart"].settings)
    text = shipped("matrix", "policies", "smartops-restart.policy").read_text(encoding="utf-8")
    assert change.deployment == "smartops-policy-engine"
    assert change.files == {"/app/apps/policy_engine/policies/default.policy": text}


def test_its_policies_have_no_comments() -> None:
    """Its DSL knows none: its policy engine answers 500 to every signal, and the arm never acts."""
    files = sorted(shipped("matrix", "policies").glob("smartops-*.policy"))
    assert files
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line.lstrip().startswith("#")] == []


def test_everything_with_a_memory_is_restarted(block: KubernetesBlock) -> None:
    assert set(block.reset.restart) == set(block.controllers())
    assert block.reset.remove == {
        "smartops-erp-simulator": ("smartops.io/remediation-level", "smartops.io/baseline-replicas")
    }
