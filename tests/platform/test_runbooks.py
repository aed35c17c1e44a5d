"""Each alert has its page, each page its parts, and every command and query on it is one that there is."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
import yaml
from typer.core import TyperGroup

from smartops_chaos.cli.commands import app
from tests.platform.conftest import CHART, ROOT
from tests.platform.promql import exported, promtool, recorded, rules, series_names

_PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
_PARTS = ["Meaning", "Impact", "Diagnosis", "What the healer does by itself, and when to stop it"]
_KUBECTL = {"get", "describe", "logs", "scale", "rollout", "delete", "port-forward", "top"}
_BESIDE_THE_CHART = {"smartops-chaos-monitor"}


class Command(NamedTuple):
    page: str
    words: list[str]


def _blocks(text: str, language: str) -> list[str]:
    """The lines of all blocks in a language, `` for none."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [line for said, block in blocks if said == language for line in block.splitlines()]


def _commands() -> Iterator[Command]:
    """Of blocks without a language, and of what stands in the text between backquotes and begins like a command."""
    for page in _PAGES:
        text = page.read_text(encoding="utf-8")
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        inline = re.findall(r"`((?:kubectl|smartops-chaos|curl|amtool) [^`]*)`", prose)
        for line in [*_blocks(text, ""), *inline]:
            yield Command(page.stem, shlex.split(line))


def _queries() -> Iterator[tuple[str, str]]:
    for page in _PAGES:
        for line in _blocks(page.read_text(encoding="utf-8"), "promql"):
            yield page.stem, line


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert {page.stem for page in _PAGES} == {rule["alert"] for rule in rules() if "alert" in rule}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n")
    parts = re.split(r"^## (.*)\n", text, flags=re.M)
    assert parts[1::2] == _PARTS
    assert all(len(part.strip()) > 30 for part in parts[2::2])


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_a_page_is_for_any_environment(page: Path) -> None:
    """At night nobody shall stop the wrong healer: the namespace is the alert's, said before the first command."""
    head, _, rest = page.read_text(encoding="utf-8").partition("## Meaning")
    assert not re.search(r"(-n |--cluster |namespace=\")smartops-", rest)
    assert "$NS" not in rest or "export NS=" in head


def test_the_list_of_pages_has_each_alert_with_how_bad_it_is() -> None:
    told = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", told, re.M))
    assert rows == {rule["alert"]: rule["labels"]["severity"] for rule in rules() if "alert" in rule}


def test_alerts_that_a_page_names_are_there() -> None:
    there = {page.stem for page in _PAGES}
    for page in _PAGES:
        named = set(re.findall(r"\bSmartOps[A-Z]\w+", page.read_text(encoding="utf-8")))
        assert named <= there, page.stem


@pytest.mark.parametrize("command", list(_commands()), ids=lambda c: f"{c.page}: {' '.join(c.words)[:60]}")
def test_a_command_is_one_that_there_is(command: Command) -> None:
    match command.words:
        case ["smartops-chaos", *words]:
            _ours(words)
        case ["kubectl", "-n", namespace, verb, *words]:
            assert namespace in {"$NS", "telemetry"}
            assert verb in _KUBECTL
            for word in words:
                kind, _, name = word.partition("/")
                assert kind != "deployment" or not name or name in _deployments(), word
        case ["curl" | "amtool", *_]:
            pass
        case _:
            pytest.fail(f"unknown: {command.words}")


def _ours(words: list[str]) -> None:
    """The command and its options as typer knows them; files on the way have to be there."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    found = group.commands[words[0]]
    options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    for word in words[1:]:
        if word.startswith("--"):
            assert word in options, word
        elif "/" in word:
            assert (ROOT / word).is_file(), word


def _deployments() -> set[str]:
    """What the chart makes: services of its parts, and the small telemetry."""
    templates = [path.read_text(encoding="utf-8") for path in (CHART / "charts").glob("*/templates/*.yaml")]
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    made = {name for text in templates for name in re.findall(r'"name" "([a-z-]+)"', text)}
    return made | set(values["telemetry"]["small"]) | _BESIDE_THE_CHART


@pytest.mark.parametrize(("page", "query"), list(_queries()))
def test_a_query_reads_what_is_real(page: str, query: str) -> None:
    unknown = series_names(query) - exported() - recorded() - {"ALERTS", "up"}
    assert not unknown, page


def test_prometheus_understands_the_queries(tmp_path: Path) -> None:
    rules_of_them = [{"record": f"asked:{i}:once", "expr": query} for i, (_, query) in enumerate(_queries())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules_of_them}]}), encoding="utf-8")
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
