"""Rights granted against rights used: a Role and an audit log, read by platform/rights.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.platform.conftest import ROOT

ROLE = {
    "kind": "Role",
    "metadata": {"name": "healer", "namespace": "shop"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {
            "apiGroups": ["apps"],
            "resources": ["deployments/scale"],
            "resourceNames": ["erp", "crm"],
            "verbs": ["patch"],
        },
    ],
}
BINDING = {
    "kind": "RoleBinding",
    "metadata": {"name": "healer", "namespace": "shop"},
    "roleRef": {"kind": "Role", "name": "healer"},
    "subjects": [{"kind": "ServiceAccount", "name": "healer", "namespace": "tools"}],
}


def event(verb: str, resource: str, namespace: str = "shop", decision: str = "allow", **more: Any) -> dict[str, Any]:
    event.count = getattr(event, "count", 0) + 1  # type: ignore[attr-defined]
    return {
        "auditID": more.pop("audit", f"{event.count}"),  # type: ignore[attr-defined]
        "user": {"username": more.pop("user", "system:serviceaccount:tools:healer")},
        "verb": verb,
        "objectRef": {"resource": resource, "namespace": namespace, **more},
        "annotations": {"authorization.k8s.io/decision": decision},
    }


def told(tmp_path: Path, *events: dict[str, Any], more: str = "") -> tuple[int, list[str]]:
    log = tmp_path / "audit.log"
    log.write_text("".join(f"{json.dumps(one)}\n" for one in events) + more, encoding="utf-8")
    command = [sys.executable, ROOT / "platform" / "rights.py", log]
    objects = json.dumps({"items": [ROLE, BINDING]})
    done = subprocess.run(command, input=objects, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()[2:]


def test_each_right_is_counted_by_its_name_and_subresource(tmp_path: Path) -> None:
    code, lines = told(
        tmp_path,
        event("get", "pods", name="erp-1"),
        event("list", "pods"),
        event("list", "pods"),
        event("get", "pods", subresource="log", name="erp-1"),
        event("patch", "deployments", apiGroup="apps", subresource="scale", name="erp"),
    )
    assert code == 0
    assert lines == [
        "| tools/healer | get pods | 1 |",
        "| tools/healer | list pods | 2 |",
        "| tools/healer | get pods/log | 1 |",
        "| tools/healer | list pods/log | 0 |",
        "| tools/healer | patch deployments.apps/scale erp | 1 |",
        "| tools/healer | patch deployments.apps/scale crm | 0 |",
    ]


def test_what_was_refused_is_told_and_no_use(tmp_path: Path) -> None:
    code, lines = told(tmp_path, event("get", "secrets", decision="forbid"), event("get", "pods", "bank", "forbid"))
    assert code == 1
    assert lines[-2:] == [
        "refused 1 times: tools/healer: get secrets in shop",
        "refused 1 times: tools/healer: get pods in bank",
    ]
    assert all(line.endswith(" 0 |") for line in lines[:-2])


def test_a_watch_is_one_request_though_it_is_logged_twice_and_others_are_nobody(tmp_path: Path) -> None:
    _, lines = told(
        tmp_path,
        event("list", "pods", audit="x"),
        event("list", "pods", audit="x"),
        event("list", "pods", user="system:serviceaccount:shop:healer"),
        event("list", "pods", user="admin"),
        event("list", "pods", "bank"),
        more='{"half',
    )
    assert lines[1] == "| tools/healer | list pods | 1 |"
