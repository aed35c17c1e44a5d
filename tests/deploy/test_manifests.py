"""The manifests of deploy/ and the image's lists: what they promise of rights, restarts and packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JOBS = ("job", "cronjob", "shards", "report")


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def job(name: str) -> dict[str, Any]:
    spec = manifest(name)["spec"]
    found: dict[str, Any] = spec["jobTemplate"]["spec"] if name == "cronjob" else spec
    return found


@pytest.mark.parametrize("name", JOBS)
def test_a_pod_may_write_nothing_but_its_results(name: str) -> None:
    pod = job(name)["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    inside = container["securityContext"]
    assert (inside["readOnlyRootFilesystem"], inside["allowPrivilegeEscalation"]) == (True, False)
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"results", "tmp"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", ["job", "cronjob", "shards"])
def test_an_eviction_is_no_failure_and_an_exit_code_is_final(name: str) -> None:
    policy = job(name)["podFailurePolicy"]["rules"]
    assert policy[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert policy[1]["onExitCodes"]["values"] == [1, 2, 3, 4, 5, 6]
    assert job(name)["template"]["spec"]["restartPolicy"] == "Never"  # a policy for failures wants that


def test_the_account_is_bound_to_the_printed_role_alone() -> None:
    binding, account = manifest("binding"), manifest("account")["metadata"]["name"]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "smartops-chaos"}
    assert [subject["name"] for subject in binding["subjects"]] == [account]
    assert {job(name)["template"]["spec"].get("serviceAccountName") for name in JOBS} == {account, None}
    assert job("report")["template"]["spec"]["automountServiceAccountToken"] is False


def test_both_stages_together_have_every_dependency_once() -> None:
    def listed(stage: str) -> list[str]:
        command = [sys.executable, "deploy/requirements.py", stage]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split()

    run, report = listed("run"), listed("report")
    declared = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.M | re.S)
    assert declared is not None
    assert sorted(run + report) == sorted(re.findall(r'"([^"]+)"', declared[1]))
    assert not [one for one in run if one.startswith(("numpy", "pandas", "matplotlib"))]


def test_the_command_line_runs_without_what_only_reports_need(tmp_path: Path) -> None:
    blocked = "numpy scipy pandas fastparquet matplotlib jinja2 typst"
    program = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked.split()!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocked())
from smartops_chaos.cli.commands import main
sys.argv = ["smartops-chaos", "doctor", "--rbac", {str(ROOT / "matrix" / "smartops.yaml")!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kind: Role" in done.stdout
