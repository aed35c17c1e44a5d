"""The scripts of platform/: their text by shellcheck, and what they say of wrong usage before they touch anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.platform.conftest import ROOT, tool

PLATFORM = ROOT / "platform"


def scripts() -> list[Path]:
    """Every file of platform/ and .ci/ that bash runs."""
    found = [p for folder in ("platform", ".ci") for p in (ROOT / folder).rglob("*") if p.is_file()]
    return sorted(p for p in found if p.suffix in ("", ".sh") and p.read_bytes()[:64].split(b"\n")[0].endswith(b"bash"))


@pytest.mark.parametrize("script", scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    command = ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", "--severity=warning", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": "/nonexistent"}
    return subprocess.run(
        [PLATFORM / name, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy",), "which environment?"),
        (("deploy", "production"), "which environment?"),
        (("deploy", "dev", "--imagse", "x"), "unknown argument '--imagse'"),
        (("deploy", "dev", "--images", "not-there.yaml"), "there is no file not-there.yaml"),
        (("rollback",), "which environment?"),
        (("rollback", "dev", "--to"), "unknown argument '--to'"),
        (("promote", "dev"), "from where, to where?"),
        (("promote", "dev", "prod"), "prod takes what ran in stage"),
        (("verify",), "which images?"),
        (("build",), "which registry?"),
        (("tools", "hlem"), "unknown program 'hlem'"),
    ],
)
def test_wrong_usage_is_told_with_the_right_one(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    "arguments", [("build", "-h"), ("rollback", "--help"), ("promote", "dev", "--help"), ("verify", "-h")]
)
def test_help_is_told_and_nothing_is_touched(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert f"platform/{arguments[0]} " in done.stdout
    assert not done.stderr


def test_without_helm_it_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "basename", "cat", "sed"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [PLATFORM / "deploy", "dev"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 4
    assert "./platform/tools helm" in done.stderr


@pytest.mark.parametrize("environment", ["stage", "prod"])
def test_stage_and_prod_take_digests_only(environment: str) -> None:
    """Refused before the cluster is asked anything: there is none."""
    tool("helm")
    done = run("deploy", environment)
    assert done.returncode == 2
    assert f"{environment} takes digests only" in done.stderr
    assert "smartops-erp-simulator:cloud-latest" in done.stderr
