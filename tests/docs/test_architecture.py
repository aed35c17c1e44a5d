"""ARCHITECTURE.md names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "smartops_chaos"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_every_file_that_is_named_is_there() -> None:
    """With its folders, or by its name alone where a sentence has told the folder before."""
    bare = {path.name for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts}
    missing = []
    for name in re.findall(r"`([\w/.-]+\.(?:py|yaml|typ|css|toml))`", TEXT):
        known = any((folder / name).exists() for folder in (ROOT, PACKAGE))
        if not known and ("/" in name or name not in bare) and name not in MADE_BY_RUNS:
            missing.append(name)
    assert missing == []


MADE_BY_RUNS = {"healer.yaml", "matrix.yaml"}


def test_every_room_has_its_line() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}`" not in TEXT} == set()
