"""Which rights a plan needs: no more than what its own arms, faults and sources use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.kubernetes.driver_base import Right
from smartops_chaos.kubernetes.rbac import needed, roles, unknown
from smartops_chaos.model import Plan
from smartops_chaos.plan.expand import load_plan

MATRIX = """\
version: 1
name: r
target: {kind: kubernetes, healer: lab-kubernetes, lanes: [{namespace: a}, {namespace: b}], allow: [a, b]}
factors:
  chaos: {one: CHAOS}
  model: {off: {healer: off}}
repeats: 1
calibrate: 0
baseline: {model: off}
slo: {latency: 250ms, objective: 95%, hold: 2s}
horizon: {after: 12s}
"""
OWN = """\
title: own
method:
  - {type: action, name: inject, provider: {type: python, module: chaosk8s.node.actions, func: cordon_node}}
  - {type: probe, name: confirm, tolerance: true, provider: {type: python, module: json, func: dumps}}
rollbacks: [{type: action, name: revert, provider: {type: python, module: json, func: dumps}}]
extensions: [{name: smartops-chaos, family: node, lasting: true}]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def make(chaos: str, *changes: tuple[str, str]) -> Plan:
        text = MATRIX.replace("CHAOS", chaos)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
        (tmp_path / "matrix.yaml").write_text(text, encoding="utf-8")
        return load_plan(tmp_path / "matrix.yaml")

    return make


def verbs(rights: list[Right], resource: str, namespace: str = "a") -> set[str]:
    found = [right for right in rights if (right.resource, right.namespace) == (resource, namespace)]
    return {verb for right in found for verb in right.verbs}


def names(rights: list[Right], resource: str, verb: str) -> set[str]:
    return {name for right in rights if right.resource == resource and verb in right.verbs for name in right.names}


def test_every_lane_gets_a_role_of_its_own(plan: Callable[..., Plan]) -> None:
    first, second = roles(plan("{fault: pod-kill}"))
    assert "namespace: a}" in first
    assert second == first.replace("namespace: a}", "namespace: b}").replace('["a"]', '["b"]')


def test_a_fault_brings_its_rights_and_no_other(plan: Callable[..., Plan]) -> None:
    kill = needed(plan("{fault: pod-kill}"))
    assert verbs(kill, "pods") == {"get", "list", "watch", "delete"}
    assert "delete" not in verbs(needed(plan("{fault: scale-to-zero}")), "pods")
    assert not verbs(kill, "pods/exec")
    stress = needed(plan("{fault: cpu-stress}"))
    assert verbs(stress, "pods/exec") == {"get", "create"}
    assert "patch" in verbs(stress, "pods")
    assert not verbs(stress, "pods/proxy")
    assert verbs(needed(plan("{fault: error-burst}")), "pods/proxy") == {"get", "create"}
    zero = needed(plan("{fault: scale-to-zero, deployment: other}"))
    assert "other" in names(zero, "deployments", "patch")
    assert not verbs(zero, "pods/exec")


def test_only_what_the_arms_set_may_be_patched(plan: Callable[..., Plan]) -> None:
    off = needed(plan("{fault: pod-kill}"))
    assert names(off, "deployments", "patch") == {"smartops-erp-simulator", "smartops-orchestrator"}
    assert "patch" not in verbs(off, "configmaps")


def test_an_arm_of_reference_needs_the_healer_off_and_nothing_else(plan: Callable[..., Plan]) -> None:
    oracle = ("off: {healer: off}}", "off: {healer: off}, oracle: {healer: oracle}, random: {healer: random}}")
    assert needed(plan("{}", oracle)) == needed(plan("{}"))


def test_spacing_instead_of_a_reset_needs_less(plan: Callable[..., Plan]) -> None:
    rights = needed(plan("{fault: scale-to-zero}", ("allow: [a, b]}", "allow: [a, b], between: {spacing: 1m}}")))
    assert names(rights, "deployments", "patch") == {"smartops-erp-simulator", "smartops-orchestrator"}


def test_addresses_by_url_need_no_right_on_the_cluster(plan: Callable[..., Plan]) -> None:
    there = needed(plan("{fault: pod-kill}"))
    assert names(there, "services/proxy", "create") == {"smartops-erp-simulator:8000"}
    assert names(there, "services/proxy", "get") == {"prometheus:9090"}
    urls = "workload: {url: http://w}, prometheus: {url: http://p}"
    elsewhere = needed(plan("{fault: pod-kill}", ("allow: [a, b]}", f"allow: [a, b], {urls}}}")))
    assert not verbs(elsewhere, "services/proxy")
    own = "prometheus: {service: p, namespace: monitoring, port: web}"
    other = needed(plan("{fault: pod-kill}", ("allow: [a, b]}", f"allow: [a, b], {own}}}")))
    assert verbs(other, "services/proxy", "monitoring") == {"get"}
    assert len(roles(plan("{fault: pod-kill}", ("allow: [a, b]}", f"allow: [a, b], {own}}}")))) == 3


def test_actions_of_other_extensions_are_said_to_be_unknown(plan: Callable[..., Plan]) -> None:
    assert unknown(plan("{fault: own.yaml}")) == ["chaosk8s.node.actions", "json"]
    assert unknown(plan("{fault: cpu-stress}")) == []


def test_roles_are_for_a_cluster(cli: Any, matrix: Path) -> None:
    done = cli("doctor", "--rbac", matrix)
    assert done.returncode == 2
    assert "--rbac is for a matrix on a cluster" in done.stderr
    assert cli("doctor", "--rbac").returncode == 2


def test_roles_are_printed_without_a_cluster(plan: Callable[..., Plan], cli: Any, tmp_path: Path) -> None:
    made = plan("{fault: pod-kill}")
    done = cli("doctor", "--rbac", tmp_path / "matrix.yaml")
    assert done.returncode == 0
    assert done.stdout == "---\n".join(roles(made))
