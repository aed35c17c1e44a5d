"""The experiment of a trial: valid for Chaos Toolkit, complete, and safe to combine."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.log import configure_logger

from smartops_chaos import api
from smartops_chaos.model import Plan
from smartops_chaos.trial import experiment

STORM = """\
    cpu: {fault: cpu-stress, load: 80%}
    storm: {faults: [{fault: cpu-stress, load: 100%}, {fault: network-delay, delay: 300ms}]}
"""


@pytest.fixture
def plan(matrix: Path) -> Plan:
    text = matrix.read_text(encoding="utf-8").replace("    cpu: {fault: cpu-stress}\n", STORM)
    matrix.write_text(text.replace("calibrate: 0", "calibrate: 1"), encoding="utf-8")
    return api.plan(matrix)


def job(plan: Plan, trial_id: str) -> experiment.Job:
    trial = next(trial for trial in plan.trials if trial.id == trial_id)
    chaos = plan.chaos[trial.chaos]
    return experiment.Job(
        campaign="c",
        trial=trial,
        attempt=1,
        target=plan.target,
        lane="lane-1",
        environment={},
        model=plan.models[trial.model],
        policy=plan.policies[trial.policy],
        chaos=replace(chaos, parts=tuple(replace(part, definition={}) for part in chaos.parts)),
        rate_per_s=40.0,
        slo=plan.analysis.slo,
        stop_after_good_s=1.0,
        healer=plan.healer,
        fault_ids=tuple(f"c.{trial.id}.1.{n}" for n in range(len(chaos.parts))),
    )


def build(plan: Plan, trial_id: str) -> dict[str, Any]:
    made = job(plan, trial_id)
    built = experiment.build(made, plan.chaos[made.trial.chaos].parts)
    return dict(json.loads(json.dumps(built)))


def test_every_trial_is_a_valid_experiment(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logger()
    for name in ("SMARTOPS_LANE", "SMARTOPS_WORKLOAD_URL"):
        monkeypatch.setenv(name, "x")
    for trial in plan.trials:
        ensure_experiment_is_valid(build(plan, trial.id))


def test_the_values_of_the_matrix_reach_the_fault(plan: Plan) -> None:
    built = build(plan, "cpu.steady.off.default.1")
    assert built["configuration"]["load"] == 0.8
    assert built["configuration"]["workers"] == 6
    assert built["configuration"]["fault_id"] == "c.cpu.steady.off.default.1.1.0"
    assert [activity["name"] for activity in built["method"]] == ["inject", "confirm", "observe"]
    assert built["runtime"]["rollbacks"]["strategy"] == "always"


def test_a_fault_outlives_the_observation(plan: Plan) -> None:
    configuration = build(plan, "cpu.steady.off.default.1")["configuration"]
    assert configuration["expires_s"] >= 4 + 1 + 10


def test_combined_faults_keep_their_own_values_and_are_reverted_in_reverse_order(plan: Plan) -> None:
    built = build(plan, "storm.steady.off.default.1")
    assert built["configuration"]["load"] == 1.0
    assert built["configuration"]["delay"] == 0.3
    assert built["configuration"]["expires_s"] >= 15
    assert [activity["name"] for activity in built["method"]] == [
        "inject-0",
        "inject-1",
        "confirm-0",
        "confirm-1",
        "observe",
    ]
    assert [activity["name"] for activity in built["rollbacks"]] == ["revert-1", "revert-0"]
    assert built["rollbacks"][0]["provider"]["arguments"]["fault_id"] == "${f1_fault_id}"


def test_in_an_arm_of_reference_the_trial_itself_repairs_once_the_fault_is_confirmed(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logger()
    for name in ("SMARTOPS_LANE", "SMARTOPS_WORKLOAD_URL"):
        monkeypatch.setenv(name, "x")
    trial = next(t for t in plan.trials if t.phase == "measure" and plan.chaos[t.chaos].parts)
    made = replace(job(plan, trial.id), reference="oracle")
    built = experiment.build(made, plan.chaos[trial.chaos].parts)
    ensure_experiment_is_valid(built)
    names = [activity["name"] for activity in built["method"]]
    assert names[-2:] == ["repair", "observe"]
    assert names[-3].startswith("confirm")
    arguments = built["method"][-2]["provider"]["arguments"]
    assert (arguments["role"], arguments["seed"]) == ("oracle", trial.seed)
    control = experiment.build(made, ())  # without a fault there is nothing to repair
    assert [activity["name"] for activity in control["method"]] == ["observe"]


def test_a_calibration_ends_its_fault_before_it_observes(plan: Plan) -> None:
    names = [activity["name"] for activity in build(plan, "calibration.cpu.steady.1")["method"]]
    assert names == ["inject", "confirm", "wait", "end", "observe"]


def test_undo_keeps_what_a_revert_needs_and_nothing_that_injects(plan: Plan) -> None:
    built = build(plan, "storm.steady.off.default.1")
    undo = experiment.undo(built)
    assert undo["rollbacks"] == built["rollbacks"]
    assert undo["configuration"] == built["configuration"]
    assert undo["method"] == []
    assert "steady-state-hypothesis" not in undo
    assert "load" not in undo["controls"][0]["provider"]["arguments"]


def test_secrets_and_what_else_a_fault_file_says_is_carried_over(plan: Plan) -> None:
    """Two faults that name one secret alike and mean two clusters: each acts with its own."""
    made = job(plan, "storm.steady.off.default.1")
    parts = plan.chaos[made.trial.chaos].parts
    changed = []
    for part, context in zip(parts, ("west", "east"), strict=True):
        definition = copy.deepcopy(part.definition)
        definition |= {"secrets": {"k8s": {"KUBERNETES_CONTEXT": context}}, "tags": ["theirs"]}
        definition["contributions"] = {"reliability": "high"}
        definition["configuration"]["namespace"] = "shop"
        definition["extensions"].append({"name": "other-tool", "key": 1})
        for activity in (*definition["method"], *definition["rollbacks"]):
            activity["provider"]["secrets"] = ["k8s"]
        changed.append(replace(part, definition=definition))
    built = experiment.build(made, tuple(changed))
    for activity in (*built["method"][:-1], *built["rollbacks"]):
        part = int(activity["name"][-1])
        (name,) = activity["provider"]["secrets"]
        assert built["secrets"][name] == {"KUBERNETES_CONTEXT": ("west", "east")[part]}
    assert experiment.undo(built)["secrets"] == built["secrets"]
    assert "theirs" in built["tags"]
    assert built["contributions"] == {"reliability": "high"}
    assert [one["name"] for one in built["extensions"]] == ["smartops-chaos", "other-tool", "other-tool"]
    assert built["configuration"]["namespace"] == "shop"  # the same for both: a function may read it by its name
    assert all(one["configuration"]["lane_file"]["type"] == "env" for one in (built, experiment.undo(built)))


def test_a_fault_files_own_value_does_not_replace_one_of_the_trial(plan: Plan) -> None:
    made = job(plan, "cpu.steady.off.default.1")
    (part,) = plan.chaos["cpu"].parts
    definition = copy.deepcopy(part.definition)
    definition["configuration"]["trial_dir"] = "/elsewhere"
    definition["method"][0]["provider"]["arguments"]["lane"] = "${trial_dir}"
    built = experiment.build(made, (replace(part, definition=definition),))
    assert built["configuration"]["trial_dir"]["key"] == "SMARTOPS_TRIAL_DIR"
    argument = built["method"][0]["provider"]["arguments"]["lane"]
    assert built["configuration"][argument.strip("${}")] == "/elsewhere"
