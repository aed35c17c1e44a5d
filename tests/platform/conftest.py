"""The chart, rendered by helm as each environment has it. Programs are those that platform/tools builds."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "platform" / "helm" / "smartops"
TOOLS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "smartops-chaos-tools"
ENVIRONMENTS = ("dev", "stage", "prod", "testbed", "telemetry")
KINDS = ("small", "upstream")
Object = dict[str, Any]


def tool(name: str) -> str:
    """Skips the test where the program was not built: that takes minutes, so no test does it."""
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not there: ./platform/tools {name} builds it")
    return str(TOOLS / name)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with empty charts in the places of the upstream ones."""
    folder = tmp_path_factory.mktemp("chart") / "smartops"
    subprocess.run([ROOT / "platform" / "helm" / "prepare", folder], check=True)
    return folder


Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def helm() -> Helm:
    program = tool("helm")
    return lambda *arguments: run(program, *arguments)


def values(environment: str, kind: str) -> list[str]:
    """The arguments for helm. A release that installs the telemetry takes the upstream charts by a file of values."""
    chosen = ["--values", str(CHART / f"values-{environment}.yaml")]
    if kind == "upstream" and environment in ("testbed", "telemetry"):
        return [*chosen, "--values", str(CHART / "values-upstream.yaml")]
    return [*chosen, "--set", f"telemetry.kind={kind}"]


Render = Callable[..., list[Object]]


@pytest.fixture(scope="session")
def render(helm: Helm, chart: Path) -> Render:
    """render(environment, kind, *arguments for helm): the objects. The same is rendered once."""
    done: dict[tuple[str, ...], list[Object]] = {}

    def objects(environment: str, kind: str = "small", *more: str) -> list[Object]:
        key = (environment, kind, *more)
        if key not in done:
            name = f"smartops-{environment}"
            made = helm("template", name, chart, "--namespace", name, *values(environment, kind), *more)
            assert made.returncode == 0, made.stderr
            done[key] = [one for one in yaml.safe_load_all(made.stdout) if one]
        return done[key]

    return objects
