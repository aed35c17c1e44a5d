"""What tests of rules and dashboards share: their files, and which series a query reads."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.platform.conftest import CHART

PAGES = Path(__file__).parent / "pages"
RUNBOOKS = "https://github.com/SmartopsAi/smartops-chaos/blob/main/docs/runbooks"

_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_LABELS = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])")
_WORDS = {
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "inf",
    "nan",
}


def series_names(query: str) -> set[str]:
    """The names of the series that a query reads: no function, label, operator or text."""
    plain = _LABELS.sub(" ", _TEXT.sub("''", query))
    return {name for name in _NAME.findall(plain) if name.lower() not in _WORDS}


def rule_files() -> list[Path]:
    return sorted((CHART / "rules").glob("*.yaml"))


def groups() -> list[dict[str, Any]]:
    return [group for file in rule_files() for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def exported() -> set[str]:
    """The names of the samples on the pages."""
    lines = [line for page in PAGES.glob("*.txt") for line in page.read_text(encoding="utf-8").splitlines()]
    return {match[0] for line in lines if (match := re.match(r"[a-zA-Z_:][\w:]*", line))}


def scraped(namespace: str) -> Iterator[tuple[str, str, float]]:
    """Name, labels and value of each sample on the pages, with the namespace that a scrape adds."""
    here = f'namespace="{namespace}"'
    for page in sorted(PAGES.glob("*.txt")):
        for line in page.read_text(encoding="utf-8").splitlines():
            if match := re.fullmatch(r"([\w:]+)(?:\{(.*)\})? (\S+)", line):
                name, labels, value = match.groups()
                if 'namespace="' not in (labels or ""):
                    labels = f"{labels},{here}" if labels else here
                yield name, labels, float(value)


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def promtool() -> str:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    found = shutil.which("promtool", path=path)
    if found is None:
        pytest.fail("promtool is missing: ./script/setup dev installs it with prometheus")
    return found


def sources(expr: str) -> set[str]:
    """The exported series on which an expression rests, through those that are recorded."""
    of = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    found: set[str] = set()
    for name in series_names(expr):
        found |= sources(of[name]) if name in of else {name}
    return found
