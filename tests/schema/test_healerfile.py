from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.resources import shipped
from smartops_chaos.schema import healerfile, yamlfile
from smartops_chaos.schema.healerfile import HealerFile, load, restore

SHORT = """\
version: 1
name: ours
poll: 500ms
warm_up: 4s
workload: {path: /, timeout: 2s}
settings: {healer: [on, off], file: text}
steady: up
metrics: [signals_total]
"""


def write(folder: Path, text: str) -> str:
    file = folder / "healer.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(FileProblems) as caught:
        load(write(folder, text))
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_the_shipped_healer_of_the_lab() -> None:
    lab = load("lab")
    assert (lab.poll_s, lab.warm_up_s, lab.workload.timeout_s) == (0.5, 4.0, 2.0)
    assert lab.workload.body == {"duration_seconds": 0, "target": "cpu"}
    assert lab.settings["healer"] == ["on", "off"]
    assert set(lab.causes) == {"cpu", "memory", "network", "pod"}


def test_a_file_needs_no_rules(tmp_path: Path) -> None:
    healer = load(write(tmp_path, SHORT))
    assert healer.moments.detected == ()
    assert healer.actions.start == ()
    assert healer.diagnosis is None


def test_the_dump_is_json_and_can_be_restored() -> None:
    lab = load("lab")
    assert restore(json.loads(json.dumps(lab.model_dump()))) == lab
    assert isinstance(lab.model_dump()["poll_s"], float)


def test_a_healer_that_is_not_shipped() -> None:
    with pytest.raises(FileProblems, match="no healer named labs is shipped: did you mean `lab`"):
        load("labs")
    with pytest.raises(FileProblems, match="no such file"):
        load("./lab")


def test_numbers_are_values_of_a_setting_too(tmp_path: Path) -> None:
    healer = load(write(tmp_path, SHORT.replace("[on, off]", "[0.6, 2, on]")))
    assert healer.settings["healer"] == ["0.6", "2", "on"]


def test_what_is_neither_of_two_kinds_is_told_in_one_line(tmp_path: Path) -> None:
    found = problems(tmp_path, SHORT + "kubernetes: {service: x, settings: {healer: text}, workload: {port: 1}}\n")
    (of_healer,) = [problem for problem in found if "`healer`" in problem]
    assert of_healer.endswith("`healer` is the text text, not a list or a mapping")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("poll: 500ms", "poll: 0.5", "healer.yaml:3:7: poll: 0.5 has no unit: write 0.5s, 0.5ms, 0.5m, 0.5h or 0.5d"),
        ("poll:", "pol:", "healer.yaml:3:1: unknown key `pol`: did you mean `poll`?"),
        ("version: 1", "version: 2", "healer.yaml:1:10: `version` is the number 2: it must be 1"),
        (
            "metrics: [signals_total]",
            "metrics: []\nmoments:\n  detected:\n    - {increase: signals_total}",
            "healer.yaml:10:3: moments: `detected` uses signals_total, which is not stored: add it to `metrics`",
        ),
        (
            "[on, off]",
            "[]",
            "healer.yaml:6:20: healer: neither a list of the values allowed, such as [on, off] or [0.6, 0.9], "
            "nor `text` for any value",
        ),
        (
            "metrics: [signals_total]",
            "metrics: []\nmoments:\n  detected:\n    - {log: 'a(b'}",
            "healer.yaml:11:13: log: not a regular expression (missing ), unterminated subpattern at position 1): "
            "mend it or escape the special character",
        ),
        (
            "metrics: [signals_total]",
            "metrics: []\nmoments:\n  decided:\n    - {component: x}",
            "a rule has one of `log`, `increase` and `alert`: write one of them",
        ),
        (
            "metrics: [signals_total]",
            "metrics: [a]\nmoments:\n  decided:\n    - {increase: a, component: x}",
            "`component` belongs to `log`: use `labels` with `increase` and `alert`",
        ),
        (
            "metrics: [signals_total]",
            "metrics: [a]\nmoments:\n  decided:\n    - {log: a, labels: {x: y}}",
            "`labels` belongs to `increase` and `alert`: use `component` with `log`",
        ),
        (
            "metrics: [signals_total]",
            "metrics: []\nactions:\n  start:\n    - {log: 'executing (?P<kind>.+)'}",
            "start: the pattern has no group target: put (?P<target>...) around that part, or say it: "
            "means: {target: ...}",
        ),
        (
            "metrics: [signals_total]",
            "metrics: []\ndiagnosis: {log: rca, causes: 'cause: (.+)'}",
            "`causes` has no group cause: put (?P<cause>...) around the name of the cause",
        ),
    ],
)
def test_problems_are_told_with_their_place_and_hint(tmp_path: Path, old: str, new: str, expected: str) -> None:
    found = problems(tmp_path, SHORT.replace(old, new))
    assert any(problem.endswith(expected) for problem in found), found
    assert all(problem.startswith("healer.yaml:") for problem in found)


def test_all_problems_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, SHORT.replace("4s", "soon").replace("name:", "nam:").replace("[on, off]", "[[]]"))
    assert len(found) == 4


def test_a_restored_dump_is_checked_too() -> None:
    with pytest.raises(UsageError, match="version"):
        restore({**load("lab").model_dump(), "version": 2})
    assert isinstance(restore(load("lab").model_dump()), HealerFile)


def test_the_lab_is_read_alike_on_a_cluster() -> None:
    here, there = load("lab"), load("lab-kubernetes")
    for part in ("workload", "moments", "actions", "diagnosis", "blocks", "causes"):
        assert getattr(here, part) == getattr(there, part), part
    assert set(here.metrics) - set(there.metrics) == {"gateway_requests_total"}


@pytest.mark.parametrize("name", sorted(path.stem for path in shipped("healers").glob("*.yaml")))
def test_every_shipped_file_loads_and_comes_back_from_a_plan(name: str) -> None:
    healer = healerfile.load(name)
    assert healerfile.restore(healer.model_dump(mode="json")) == healer


@pytest.mark.parametrize("name", healerfile.shipped_names())
def test_what_a_shipped_file_asks_of_a_cluster_s_prometheus_is_about_one_namespace(name: str) -> None:
    """Two releases beside each other share one: the armed detector of the other is not ours."""
    block = load(name).kubernetes
    if block is not None:
        asked = (load(name).steady, block.armed.query if block.armed else "")
        assert [query for query in asked if query and 'namespace="${namespace}"' not in query] == []


@pytest.mark.parametrize("name", healerfile.shipped_names())
def test_each_setting_of_a_shipped_file_says_what_it_does(name: str) -> None:
    """docs/reference.md has them: for a matrix this is the list of what can be compared."""
    told, settings = healerfile.shipped_settings(name)
    assert told.endswith(".")
    assert [one.name for one in settings] == list(healerfile.load(name).settings)
    assert all(one.means for one in settings)


def test_the_recipes_of_the_guide_are_healer_files() -> None:
    """docs/healers.md: each recipe with what every file has."""
    text = (Path(__file__).parents[2] / "docs" / "healers.md").read_text(encoding="utf-8")
    recipes = re.findall(r"```yaml\n((?:moments|actions|kubernetes):.*?)```", text, re.DOTALL)
    assert len(recipes) == 5
    for recipe in recipes:
        given = yamlfile.parse(recipe, "healers.md").data
        whole: dict[str, Any] = {
            "version": 1,
            "name": "recipe",
            "poll": "1s",
            "warm_up": "1s",
            "workload": {"path": "/", "timeout": "1s"},
            "settings": {"healer": ["on", "off"], "playbooks": "text"},
        }
        block = {"service": "shop", "workload": {"service": "shop"}, "components": []}
        healerfile.HealerFile.model_validate(whole | given | {"kubernetes": block | given["kubernetes"]})
