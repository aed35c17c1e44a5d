"""The workflows, the action and GitHub's files: linters, and rules of ours that no linter has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartops_chaos import __version__
from tests.platform.conftest import ROOT, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
ACTION = ROOT / "action.yml"
STEP = {  # of .ci/on-cluster -> the workflow that asks for it
    "deploy-dev": "deploy-dev",
    "promote-stage": "promote-stage",
    "gate-stage": "promote-prod",
    "promote-prod": "promote-prod",
    "rollback": "rollback",
    "drill": "drill",
}


def _read(file: Path) -> dict[str, Any]:
    found = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in found.items()}


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ["PATH"]])
    return subprocess.run(
        list(map(str, words)), cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PATH": path}, timeout=120
    )


def _steps(file: Path) -> Iterator[dict[str, Any]]:
    found = _read(file)
    for job in found.get("jobs", {"": found.get("runs")}).values():
        yield from job.get("steps", [])


def test_actionlint_finds_nothing() -> None:
    done = _run(tool("actionlint"), *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing() -> None:
    done = _run("zizmor", "--offline", "--quiet", "--config", ".github/zizmor.yml", ".github", "action.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-actions", [ACTION]),
        ("dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_githubs_files_are_as_their_schemas_say(schema: str, files: list[Path]) -> None:
    done = _run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_hash_with_the_version_beside_it(file: Path) -> None:
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    others = [one for one in used if not one.startswith("./")]
    assert all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+( .*)?", one) for one in others), others
    assert all((ROOT / one).is_file() for one in used if one.startswith("./"))


def test_one_action_has_one_hash() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in WORKFLOWS)
    pins: dict[str, set[str]] = {}
    for repository, pin in re.findall(r"uses: ([\w-]+/[\w-]+)(?:/[\w/]+)?@(\w{40} # v[\d.]+)", text):
        pins.setdefault(repository, set()).add(pin)
    assert pins
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_every_run_is_a_script_that_is_there(file: Path) -> None:
    """So that what a workflow does can be run and tested without GitHub; and no expression gets into a shell."""
    for step in _steps(file):
        if "run" in step:
            script = step["run"].replace('"$GITHUB_ACTION_PATH/', "./").replace('"', "").split()[0]
            assert script.startswith("./"), step["run"]
            assert os.access(ROOT / script, os.X_OK), script
            assert "${{" not in step["run"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_rights_are_given_job_by_job(file: Path) -> None:
    found = _read(file)
    assert found["permissions"] == {}
    for name, job in found["jobs"].items():
        assert "permissions" in job, name
        writes = {right for right, value in job["permissions"].items() if value == "write"}
        allowed = {
            "deploy-dev": {"packages", "id-token"},
            "release": {"contents", "pull-requests", "id-token", "pages", "actions"},
        }
        assert writes <= allowed.get(file.stem, set())


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_an_environment_is_changed_by_one_run_at_a_time_which_nobody_kills(file: Path) -> None:
    found = _read(file)
    if "workflow_call" in found["on"]:
        return
    assert "concurrency" in found
    if file.stem in STEP.values():
        # A promotion holds its group while it waits for people; a rollback must not wait for them.
        wanted = "rollback-" if file.stem == "rollback" else "deploy-"
        assert found["concurrency"]["group"].startswith(wanted)
        assert found["concurrency"]["cancel-in-progress"] is False


def test_every_step_of_the_platform_has_its_workflow() -> None:
    script = (ROOT / ".ci" / "on-cluster").read_text(encoding="utf-8")
    assert set(re.findall(r"^  ([a-z]+(?:-[a-z]+)?)\)", script, re.MULTILINE)) == set(STEP)
    for step, name in STEP.items():
        jobs = _read(ROOT / ".github" / "workflows" / f"{name}.yaml")["jobs"].values()
        assert step in {job.get("with", {}).get("step") for job in jobs}


def test_a_release_starts_its_way_to_stage_by_itself() -> None:
    """A tag that GitHub's own token has made starts no workflow but one that is dispatched."""
    release = _read(ROOT / ".github" / "workflows" / "release.yaml")["jobs"]
    assert release["stage"]["steps"][-1]["run"] == "./.ci/start promote-stage.yaml"
    assert "workflow_dispatch" in _read(ROOT / ".github" / "workflows" / "promote-stage.yaml")["on"]


def test_production_is_reached_only_behind_its_gate_and_its_environment() -> None:
    jobs = _read(ROOT / ".github" / "workflows" / "promote-prod.yaml")["jobs"]
    assert jobs["promote"]["needs"] == "gate"
    assert (jobs["gate"]["with"]["step"], jobs["promote"]["with"]["environment"]) == ("gate-stage", "prod")
    reached = [
        name
        for name in set(STEP.values())
        for job in _read(ROOT / ".github" / "workflows" / f"{name}.yaml")["jobs"].values()
        if job.get("with", {}).get("environment") == "prod"
    ]
    assert reached == ["promote-prod"]


def test_an_unknown_step_and_a_revision_that_is_none_are_refused(tmp_path: Path) -> None:
    for environment in ({"STEP": "deploy-prod"}, {"STEP": "rollback", "ENVIRONMENT": "dev", "REVISION": "1; true"}):
        copy = _alone(tmp_path / environment["STEP"], ".ci/on-cluster", ".ci/login")
        done = subprocess.run(
            [copy / ".ci" / "on-cluster"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("meanwhile", [False, True])
def test_production_is_put_back_unless_somebody_has_done_so_meanwhile(tmp_path: Path, meanwhile: bool) -> None:
    """The gate of prod is closed after a promotion; the revision is told by a stand-in for helm."""
    copy = _alone(tmp_path, ".ci/on-cluster", ".ci/login")
    _program(copy / "platform" / "promote", "echo 7 >revision")
    _program(copy / "platform" / "rollback", 'echo "$@" >put-back')
    _program(copy / ".venv" / "bin" / "smartops-chaos", "echo 8 >revision; exit 1" if meanwhile else "exit 1")
    _program(copy / ".venv" / "bin" / "helm", 'echo "{\\"revision\\": $(cat revision)}"')
    known = {**os.environ, "STEP": "promote-prod", "SETTLE": "0", "COMMIT": "2222"}
    done = subprocess.run([copy / ".ci" / "on-cluster"], env=known, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert (copy / "put-back").exists() is not meanwhile


def test_production_gets_a_release_and_nothing_else(tmp_path: Path) -> None:
    copy = _alone(tmp_path, ".ci/on-cluster", ".ci/login")
    _program(copy / "platform" / "promote", "touch promoted")
    known = {**os.environ, "STEP": "promote-prod", "COMMIT": ""}  # of a branch
    done = subprocess.run([copy / ".ci" / "on-cluster"], env=known, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "start it on the tag of a release" in done.stderr
    assert not (copy / "promoted").exists()


def test_a_release_is_promoted_once_its_build_runs_in_dev(tmp_path: Path) -> None:
    copy = _alone(tmp_path, ".ci/on-cluster", ".ci/login")
    _program(copy / ".venv" / "bin" / "sleep", "echo 2222 >runs")  # a deployment comes while it waits
    _program(copy / ".venv" / "bin" / "helm", 'echo "{\\"commit\\": \\"$(cat runs)\\"}"')
    _program(copy / "platform" / "promote", 'echo "$(cat runs): $*" >promoted')
    (copy / "runs").write_text("1111")
    known = {**os.environ, "STEP": "promote-stage", "COMMIT": "2222"}
    done = subprocess.run([copy / ".ci" / "on-cluster"], env=known, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (copy / "promoted").read_text().startswith("2222: dev stage --commit 2222 -- ")


def _program(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


def test_the_action_runs_verifies_and_judges(standins: Callable[..., Path], tmp_path: Path) -> None:
    """On the stand-in, whose every target is missed: the exit code is that of the check, and the outputs say where."""
    copy = _alone(tmp_path / "copy", ".ci/action")
    given = {"MATRIX": str(standins(repeats=1, lanes=2)), "CAMPAIGN": "mine", "GITHUB_OUTPUT": str(tmp_path / "told")}
    done = subprocess.run(
        [copy / ".ci" / "action"],
        cwd=tmp_path,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 1, done.stderr
    assert "mine: verified. 4 of 4 records follow from their evidence; registered at" in done.stdout
    assert (tmp_path / "told").read_text() == "campaign=results/mine\nreport=reports/mine\n"
    assert (tmp_path / "reports" / "mine" / "junit.xml").exists()


def _alone(folder: Path, *scripts: str) -> Path:
    """Scripts beside a `setup` that finds everything set up."""
    for name in scripts:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
        (folder / name).chmod(0o755)
    (folder / "script").mkdir()
    (folder / "script" / "setup").write_text("#!/bin/sh\n")
    (folder / "script" / "setup").chmod(0o755)
    return folder


def test_the_table_of_images_has_every_image_by_its_digest() -> None:
    text = (
        f'erp-simulator: {{image: {{repository: ghcr.io/x/erp, digest: "sha256:{"a" * 64}"}}}}\n'
        f'agents:\n  detect: {{image: {{repository: ghcr.io/x/detect, digest: "sha256:{"b" * 64}"}}}}\n'
    )
    words = [sys.executable, ROOT / ".ci" / "image_table.py"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    assert f"| erp-simulator | ghcr.io/x/erp | `sha256:{'a' * 64}` |" in done.stdout
    assert f"| detect | ghcr.io/x/detect | `sha256:{'b' * 64}` |" in done.stdout
    assert subprocess.run(words, input="", capture_output=True, text=True, timeout=60).returncode == 1


def test_versions_agree_and_release_please_knows_where_they_stand() -> None:
    config = json.loads((ROOT / "release-please-config.json").read_text())
    known = json.loads((ROOT / ".release-please-manifest.json").read_text())
    assert set(config["packages"]) == set(known)
    chart = yaml.safe_load((ROOT / "platform/helm/smartops/Chart.yaml").read_text())
    assert (known["."], known["platform/helm/smartops"]) == (__version__, chart["version"])
    assert chart["appVersion"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    for extra in config["packages"]["."]["extra-files"]:
        text = (ROOT / extra["path"]).read_text()
        assert "x-release-please-version" in text or extra["type"] == "yaml", extra
