"""Resources of Chaos Mesh made from fault files, the traps in them, and what its records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from smartops_chaos.kubernetes import driver_chaos_mesh
from smartops_chaos.kubernetes.chaos_mesh_effect import Expected, bytes_of, seconds_of
from smartops_chaos.kubernetes.chaos_mesh_spec import KINDS, resource, traps
from smartops_chaos.kubernetes.driver_chaos_mesh import is_injected, rights
from smartops_chaos.model import FaultPart
from smartops_chaos.resources import shipped
from smartops_chaos.schema import faultfile

FILES = sorted(shipped("experiments", "chaos_mesh").glob("*.yaml"))
DEFINITIONS = Path(__file__).parents[1] / "cluster" / "chaos_mesh"


def part(file: Path, **params: Any) -> FaultPart:
    return faultfile.load(file).part(file.stem, params)


def made(chaos: dict[str, Any]) -> dict[str, Any]:
    return resource("sc-1", "n", ["erp-1"], ["erp"], 60.0, chaos)


def violations(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """As much of a schema as these definitions use, strictly: an unknown field is a mistake."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if not isinstance(value, kinds[schema["type"]]) or (schema["type"] == "integer" and isinstance(value, bool)):
        return [f"{where}: {value!r} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is none of {schema['enum']}"]
    found = []
    if isinstance(value, list):
        found += [told for one in value for told in violations(one, schema["items"], f"{where}[]")]
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{where}: no {name}" for name in schema.get("required", ()) if name not in value]
        for name, inside in value.items():
            known = schema["properties"].get(name)
            found += violations(inside, known, f"{where}.{name}") if known else [f"{where}: unknown {name}"]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_fault_has_no_trap_and_fits_the_real_definitions(file: Path) -> None:
    for chaos in driver_chaos_mesh._chaos(part(file)):
        assert list(traps(chaos)) == []
        one = made(chaos)
        definition = DEFINITIONS / f"chaos-mesh.org_{KINDS[one['kind']]}.yaml"
        if definition.exists():
            found = yaml.safe_load(definition.read_text(encoding="utf-8"))
            schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            assert violations(one["spec"], schema) == []


def test_the_strict_check_finds_mistakes() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert violations({"b": 1}, schema) == [": no a", ": unknown b"]
    assert violations({"a": "1"}, schema) == [".a: '1' is no integer"]


def test_a_matrix_writes_si_units_and_chaos_mesh_gets_its_own() -> None:
    file = next(file for file in FILES if file.stem == "mesh-network-delay-loss")
    (chaos,) = driver_chaos_mesh._chaos(part(file, delay=0.25, jitter=0.05, loss=0.125))
    spec = made(chaos)["spec"]
    assert spec["delay"] == {"latency": "250ms", "jitter": "50ms", "correlation": "0"}
    assert spec["loss"] == {"loss": "12.5", "correlation": "0"}
    assert (spec["mode"], spec["selector"], spec["duration"]) == ("all", {"pods": {"n": ["erp-1"]}}, "60s")
    stress = made({"kind": "StressChaos", "spec": {"stressors": {"cpu": {"workers": 2.0, "load": 0.9}}}})["spec"]
    assert stress["stressors"]["cpu"] == {"workers": 2, "load": 90}
    assert stress["containerNames"] == ["erp"]
    memory = made({"kind": "StressChaos", "spec": {"stressors": {"memory": {"workers": 1, "size": 200 << 20}}}})["spec"]
    assert memory["stressors"]["memory"]["size"] == "200MiB"


def test_a_fault_file_cannot_hit_more_than_the_chosen_pods() -> None:
    wide = {"kind": "PodChaos", "spec": {"action": "pod-failure", "mode": "all", "selector": {}, "duration": "99h"}}
    spec = made(wide)["spec"]
    assert (spec["selector"], spec["duration"]) == ({"pods": {"n": ["erp-1"]}}, "60s")
    assert "duration" not in made({"kind": "PodChaos", "spec": {"action": "pod-kill"}})["spec"]


@pytest.mark.parametrize(
    ("chaos", "why"),
    [
        ({"kind": "KernelChaos"}, "is no kind"),
        ({"kind": "StressChaos", "spec": {}}, "without stressors"),
        ({"kind": "StressChaos", "spec": {"stressors": {"cpu": {"load": 90}}}}, "no workers"),
        ({"kind": "StressChaos", "spec": {"stressngStressors": "--cpu 1", "stressors": {}}}, "starts no process"),
        ({"kind": "NetworkChaos", "spec": {"target": {"mode": "all"}}}, "every pod of the namespace"),
        ({"kind": "NetworkChaos", "spec": {"direction": "both"}}, "needs a target"),
    ],
)
def test_what_is_accepted_and_does_nothing_is_told_before(chaos: dict[str, Any], why: str) -> None:
    assert any(why in what for what, _ in traps(chaos))


@pytest.mark.parametrize(
    ("record", "so"),
    [
        ({"phase": "Injected", "injectedCount": 1, "recoveredCount": 0}, True),
        ({"phase": "Injected", "injectedCount": 1, "recoveredCount": 1}, False),
        ({"phase": "Not Injected/Wait", "injectedCount": 0}, False),
        ({"phase": "Not Injected", "injectedCount": 1, "recoveredCount": 1}, False),
    ],
)
def test_in_force_is_what_a_record_says(record: dict[str, Any], so: bool) -> None:
    assert is_injected(record) is so


def test_what_should_be_felt() -> None:
    def of(kind: str, spec: dict[str, Any]) -> Expected:
        return Expected.of(kind, spec)

    assert of("StressChaos", {"stressors": {"cpu": {"workers": 4, "load": 50}}}) == Expected("cpu", 2.0)
    assert of("StressChaos", {"stressors": {"memory": {"workers": 1, "size": "2MiB"}}}) == Expected("memory", 2 << 20)
    assert of("NetworkChaos", {"action": "netem", "delay": {"latency": "250ms"}, "loss": {}}) == Expected("delay", 0.25)
    assert of("NetworkChaos", {"action": "loss", "loss": {"loss": "30"}}) == Expected("loss", 0.3)
    assert of("NetworkChaos", {"action": "loss", "loss": {"loss": "30"}, "target": {}}).what == "other"
    assert of("PodChaos", {"action": "pod-kill"}).what == "kill"
    assert of("TimeChaos", {"timeOffset": "10m"}).what == "other"
    assert (seconds_of("1.5s"), seconds_of("200us"), seconds_of("x")) == (1.5, pytest.approx(2e-4), 0.0)
    assert (bytes_of("200MB"), bytes_of("50%")) == (2e8, 0)


def test_a_fault_asks_for_its_own_kinds_alone() -> None:
    def asked(name: str) -> set[str]:
        file = next(file for file in FILES if file.stem == name)
        return {one.resource for one in rights("inject", "n", "erp", "why", part(file))}

    assert asked("mesh-pod-kill") == {"podchaos"}
    assert {"networkchaos", "stresschaos", "pods/exec"} <= asked("mesh-storm")
    assert "stresschaos" not in asked("mesh-network-delay")
