"""docs/watchdog.md as a reader follows it: its blocks are the files, and the campaign tells the healer from none."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, utils

GUIDE = Path(__file__).parents[2] / "docs" / "watchdog.md"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """Name -> text of every block that begins with its name."""
    text = GUIDE.read_text(encoding="utf-8")
    return {match[1]: match[2] for match in re.finditer(r"```yaml\n# (\S+)\n(.*?)```", text, re.DOTALL)}


def test_the_healer_file_is_as_short_as_promised(files: dict[str, str]) -> None:
    assert len(files["healer.yaml"].splitlines()) <= 30


def test_the_watchdog_is_benchmarked(
    api: client.ApiClient, lab: str, files: dict[str, str], cli: Any, tmp_path: Path, until: Callable[..., Any]
) -> None:
    apps = client.AppsV1Api(api)
    apps.delete_namespaced_deployment("smartops-orchestrator", lab)
    for document in yaml.safe_load_all(files["watchdog.yaml"]):
        utils.create_from_dict(api, document, namespace=lab)
    until(lambda: apps.read_namespaced_deployment("watchdog", lab).status.ready_replicas)
    for name in ("healer.yaml", "matrix.yaml"):
        (tmp_path / name).write_text(files[name].replace("NAMESPACE", lab), encoding="utf-8")
    done = cli("run", "matrix.yaml", "--report")
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "reports" / "watchdog-1" / "trials.csv").open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert (rows["off"]["outcome"], rows["off"]["reason"]) == ("unrecovered", "undetected")
    assert rows["watchdog"]["outcome"] == "healed"
    assert rows["watchdog"]["detected_lo_s"]
    assert rows["watchdog"]["acted_lo_s"]
    assert apps.read_namespaced_deployment("watchdog", lab).spec.replicas == 1
