"""Shipped files are found from a checkout and from a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from smartops_chaos.resources import shipped

ROOT = Path(__file__).parents[1]
SHIPPED = (
    ("experiments", "lab", "cpu-stress.yaml"),
    ("experiments", "exec", "cpu-stress.yaml"),
    ("inside", "marked.sh"),
    ("matrix", "quick.yaml"),
    ("matrix", "policies", "default.policy"),
    ("healers", "lab.yaml"),
    ("report", "templates"),
)


def test_a_checkout_has_them() -> None:
    for parts in SHIPPED:
        assert shipped(*parts).exists()


def test_a_wheel_has_them_and_plans_with_them(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    wheel = next(tmp_path.glob("*.whl"))
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        "from smartops_chaos import resources, api\n"
        f"assert str(resources.__file__).startswith({str(site)!r}), resources.__file__\n"
        f"for parts in {SHIPPED!r}: print(resources.shipped(*parts))\n"
        "print(len(api.plan(resources.shipped('matrix', 'quick.yaml')).trials))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "21"
    assert all(line.startswith(str(site)) for line in lines[:-1])
