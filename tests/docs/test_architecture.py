"""ARCHITECTURE.md names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "smartops_chaos"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_is_there() -> None:
    """With its folders, or by its name alone where a sentence has told the folder before."""
    folders = [PACKAGE, ROOT / "platform", ROOT / "experiments"]
    there = [f"/{path.relative_to(ROOT)}" for folder in folders for path in folder.rglob("*.*")]
    there += [f"/{path.name}" for path in ROOT.iterdir()]
    named = re.findall(r"`([\w/.-]+\.(?:py|yaml|typ|css|toml))`", TEXT)
    known = {name for name in named if (ROOT / name).exists() or any(path.endswith(f"/{name}") for path in there)}
    assert [name for name in named if name not in known | {"matrix.yaml"}] == []


def test_every_room_has_its_line() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}`" not in TEXT} == set()
