"""A cluster in the matrix: which namespaces may be touched, and what the healer file says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartops_chaos.errors import FileProblems
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.planning.forecast import forecast
from smartops_chaos.schema.clustertarget import says_production
from smartops_chaos.schema.healer_kubernetes import KubernetesBlock

_TARGET = "{kind: kubernetes, healer: lab-kubernetes, lanes: [{namespace: dev}], allow: [dev]}"
_MATRIX = """\
version: 1
name: m
target: TARGET
factors: {chaos: {none: {}}, model: {off: {healer: off}, zscore: {detector: zscore}}}
repeats: 1
baseline: {model: off}
slo: {latency: 250ms, objective: 95%, hold: 2s}
horizon: {after: 12s}
"""


def _write(folder: Path, target: str) -> Path:
    file = folder / "m.yaml"
    file.write_text(_MATRIX.replace("TARGET", target), encoding="utf-8")
    return file


_MISTAKES = {
    _TARGET.replace(
        "lanes: [{namespace: dev}], ", ""
    ): "`lanes` is missing: write `lanes: [{namespace: smartops-dev}]`",
    _TARGET.replace("allow: [dev]", "allow: [test]"): (
        "`dev` is not in `allow`: add it there, if trials may break things in it"
    ),
    _TARGET.replace(
        "dev", "shop-prod"
    ): "the name of `shop-prod` says production: if you mean it: `production: [shop-prod]`",
    _TARGET.replace("dev", "../kube-system"): (
        "`../kube-system` is no name of a namespace: use small letters, digits and -"
    ),
    _TARGET.replace("allow", "workload: {service: erp, namespace: live}, allow"): (
        "`live` is not in `allow`, and requests are sent to it: add it there, if trials may break things in it"
    ),
    _TARGET.replace("allow: [dev", "workload: {service: erp, namespace: live}, allow: [dev, live"): (
        "the name of `live` says production, and requests are sent to it: if you mean it: `production: [live]`"
    ),
    _TARGET.replace("[{namespace: dev}]", "[{namespace: dev}, {namespace: dev}]"): (
        "`dev` stands here twice: a lane needs a namespace of its own"
    ),
    _TARGET.replace("lab-kubernetes", "lab"): (
        "the healer file of `lab` has no `kubernetes` block: add one: it says where the system's parts are"
    ),
    _TARGET.replace("lab-kubernetes", "mine.yaml"): "no such file",
    _TARGET.replace("allow", "replicas: {smartops-erp: 3}, allow"): (
        "no Deployment `smartops-erp`: did you mean `smartops-erp-simulator`?"
    ),
    _TARGET.replace("allow", "workload: {service: a, url: http://b}, allow"): (
        "workload: either `url` or `service`: write for example {service: prometheus, port: 9090}"
    ),
    _TARGET.replace(
        "allow", "between: {spacing: 10}, allow"
    ): "spacing: 10 has no unit: write 10s, 10ms, 10m, 10h or 10d",
}


@pytest.mark.parametrize("target", _MISTAKES)
def test_a_mistake_in_the_target_is_told_at_its_place(target: str, tmp_path: Path) -> None:
    with pytest.raises(FileProblems) as caught:
        load_plan(_write(tmp_path, target))
    said = [problem for problem in caught.value.problems if _MISTAKES[target] in str(problem)]
    assert said, str(caught.value)
    assert said[0].line == 3


def test_the_matrix_goes_before_the_healer_file(tmp_path: Path) -> None:
    more = "prometheus: {url: https://prometheus.example.com}, replicas: {smartops-erp-simulator: 1}, allow"
    system = load_plan(_write(tmp_path, _TARGET.replace("allow", more))).target["system"]
    assert system["prometheus"]["url"] == "https://prometheus.example.com"
    assert system["workload"]["service"] == "smartops-erp-simulator"
    assert system["reset"]["replicas"] == {"smartops-erp-simulator": 1, "smartops-orchestrator": 1}


def test_a_production_namespace_is_allowed_by_a_second_key(tmp_path: Path) -> None:
    target = _TARGET.replace("dev", "shop-prod").replace("allow", "production: [shop-prod], allow")
    assert load_plan(_write(tmp_path, target)).target["lanes"] == [{"namespace": "shop-prod"}]


@pytest.mark.parametrize("name", ["prod", "smartops-prod", "prod-eu", "shop.production", "live", "eu-prd-1"])
def test_names_that_say_production(name: str) -> None:
    assert says_production(name)


@pytest.mark.parametrize("name", ["product-catalog", "dev", "delivery", "reproduction", "livestock", "stage"])
def test_names_that_do_not(name: str) -> None:
    assert not says_production(name)


def test_spacing_counts_in_the_estimate(tmp_path: Path) -> None:
    quick = forecast(load_plan(_write(tmp_path, _TARGET)), "m.yaml")
    spaced = forecast(load_plan(_write(tmp_path, _TARGET.replace("allow", "between: {spacing: 10m}, allow"))), "m.yaml")
    assert spaced.likely_s - quick.likely_s == pytest.approx(2 * (600 - 15))


def test_a_fault_that_the_harness_cannot_end_there_is_no_calibration(tmp_path: Path) -> None:
    file = _write(tmp_path, _TARGET)
    chaos = "chaos: {kill: {fault: pod-kill}, cpu: {fault: cpu-stress}}"
    file.write_text(file.read_text(encoding="utf-8").replace("chaos: {none: {}}", chaos), encoding="utf-8")
    assert [one.chaos for one in load_plan(file).trials if one.phase == "calibrate"] == ["cpu"]


def test_a_plan_that_was_stored_with_a_key_of_an_earlier_version_can_still_be_read() -> None:
    given = {"service": "erp", "workload": {"url": "http://erp"}, "components": ["erp"], "limit_s": 60.0}
    assert KubernetesBlock.from_plan({"system": {**given, "alertmanager": None}}).limit_s == 60.0
    with pytest.raises(ValueError, match="alertmanager"):
        KubernetesBlock.model_validate({**given, "limit_s": "60s", "alertmanager": None})
