"""The scripts of platform/: their text by shellcheck, and what they say of wrong usage before they touch anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
        (("promote", "dev", "stage", "--", "--at", "2026-11-30"), "judged by what is now"),
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


BY_DIGEST = f'erp: {{image: {{repository: registry/repository/erp, digest: "sha256:{"a" * 64}"}}}}\n'


@pytest.mark.parametrize(
    "more",
    [
        "",
        "orchestrator: {image: {repository: r/orchestrator, tag: latest}}\n",
        f"orchestrator:\n  image:\n    repository: r/orchestrator\n    digest: sha256:{'b' * 64}\n",
        f"orchestrator: {{image: {{digest: 'sha256:{'b' * 64}', repository: r/orchestrator}}}}\n",
    ],
)
def test_an_image_that_verify_cannot_read_does_not_pass_unseen(tmp_path: Path, more: str) -> None:
    (tmp_path / "images.yaml").write_text(BY_DIGEST + more)
    done = run("verify", str(tmp_path / "images.yaml"))
    assert done.returncode == 2
    assert ("names 2 images, and only 1" if more else "by whom should they be signed?") in done.stderr


def test_without_helm_it_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "basename", "cat", "sed"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [PLATFORM / "deploy", "dev"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 4
    assert "./platform/tools helm" in done.stderr


@pytest.mark.parametrize(
    ("told", "to"),
    [
        ([("superseded", "Install"), ("deployed", "Upgrade")], "1"),
        ([("deployed", "Install")], ""),
        ([("superseded", ""), ("failed", ""), ("superseded", ""), ("deployed", "")], "3"),
        # What a put-back has brought back is what runs, so to go back is to go before it.
        ([("superseded", ""), ("superseded", ""), ("failed", ""), ("deployed", "Rollback to 2")], "1"),
        # Not to the one that was just left.
        ([("superseded", ""), ("superseded", ""), ("superseded", ""), ("deployed", "Rollback to 2")], "1"),
        ([("superseded", ""), ("superseded", ""), ("deployed", "Rollback to 1")], ""),
        ([("superseded", ""), ("superseded", ""), ("superseded", "Rollback to 2"), ("deployed", "Rollback to 3")], "1"),
        ([("superseded", ""), ("superseded", "Rollback to 1"), ("deployed", "Upgrade")], "2"),
    ],
)
def test_back_is_what_was_there_before_what_runs_now(told: list[tuple[str, str]], to: str) -> None:
    history = [{"revision": n, "status": state, "description": said} for n, (state, said) in enumerate(told, 1)]
    done = subprocess.run(
        [sys.executable, PLATFORM / "before.py"], input=json.dumps(history), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == to


def _images_of(given: Any, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PLATFORM / "images_of.py", *words]
    return subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)


def test_what_runs_beside_what_the_release_names_is_told_init_containers_too(tmp_path: Path) -> None:
    image = {"repository": "r/erp", "digest": f"sha256:{'a' * 64}"}
    off = {one: {"enabled": False} for one in ("orchestrator", "policy-engine", "monitor", "agents")}
    found = _images_of({"commit": "c0ffee", "erp-simulator": {"image": image}, "helmTest": {"image": image}, **off})
    assert json.loads(found.stdout)["commit"] == "c0ffee"
    (tmp_path / "images").write_text(found.stdout)
    known, other = f"r/erp@sha256:{'a' * 64}", f"r/erp@sha256:{'b' * 64}"
    for containers, more, code in (([known], [], 0), ([known, other], [], 1), ([known], [other], 1)):
        spec = {"containers": [{"image": one} for one in containers], "initContainers": [{"image": i} for i in more]}
        pods = {"items": [{"metadata": {"name": "erp-1"}, "spec": spec}]}
        assert _images_of(pods, "--running", tmp_path / "images").returncode == code


@pytest.mark.parametrize(
    "words", [("deploy", "dev"), ("promote", "dev", "stage"), ("rollback", "dev"), ("drill", "dev")]
)
def test_a_cluster_that_does_not_answer_is_not_one_that_has_nothing(words: tuple[str, ...]) -> None:
    """Else a deploy would install a telemetry over the one that is there, of another kind."""
    tool("helm")
    done = run(*words)
    assert done.returncode == 1
    assert "cannot be asked for: Error: Kubernetes cluster unreachable" in done.stderr
    assert "telemetry yet" not in done.stderr


@pytest.mark.parametrize("environment", ["stage", "prod"])
def test_stage_and_prod_take_digests_only(environment: str) -> None:
    """Refused before the cluster is asked anything: there is none."""
    tool("helm")
    done = run("deploy", environment)
    assert done.returncode == 2
    assert f"{environment} takes digests only" in done.stderr
    assert "smartops-erp-simulator:cloud-latest" in done.stderr


def test_what_cannot_be_rendered_has_not_shown_its_digests() -> None:
    tool("helm")
    done = run("deploy", "stage", "--", "--set", "erp-simulator.replicas=many")
    assert done.returncode == 1
    assert "values don't meet the specifications" in done.stderr
    assert "cannot be asked" not in done.stderr  # nothing was tried
