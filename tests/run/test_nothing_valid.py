"""A campaign whose first trials are all invalid stops, says why and begins again: on stand-in lanes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

INJECT = """\
from pathlib import Path

def inject(needs):
    if not Path(needs).exists():
        raise RuntimeError("there is nothing to inject")
"""


@pytest.fixture
def broken(standins: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A matrix of 20 trials whose fault can be injected only while a file is there, and that file."""
    matrix = standins(repeats=5, lanes=1)
    needs, fault = matrix.with_name("needs"), matrix.with_name("nothing.yaml")
    matrix.with_name("broken_fault.py").write_text(INJECT, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}{os.pathsep}{matrix.parent}")
    text = fault.read_text(encoding="utf-8")
    inject = "name: inject, provider: {type: python, module: benchmarks.standin, func: nothing}"
    assert inject in text
    ours = f"{{type: python, module: broken_fault, func: inject, arguments: {{needs: {needs}}}}}"
    fault.write_text(text.replace(inject, f"name: inject, provider: {ours}"), encoding="utf-8")
    return matrix, needs


def test_a_first_block_that_is_all_invalid_stops_and_the_same_command_begins_again(
    cli: Any, broken: tuple[Path, Path], rows: Any, tmp_path: Path
) -> None:
    matrix, needs = broken
    command = ("run", matrix, "--only", "chaos=nothing", "--report", "--json")
    done = cli(*command)
    assert done.returncode == 6
    assert "stopped: all 2 trials are invalid, so the rest would be too" in done.stderr
    assert "2 not-injected, such as " in done.stderr
    assert "give the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists(), "there is nothing to report"
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["stopped_by"], last["done"], last["trials"]) == ("CampaignFinished", "invalid", 2, 10)
    campaign = tmp_path / "results" / "standin-1"
    assert len(rows(campaign)) == 2
    status = cli("status").stdout
    assert "is invalid, not-injected" in status

    needs.touch()
    again = cli(*command)
    assert again.returncode == 0, again.stderr
    warned = [json.loads(line).get("text", "") for line in again.stdout.splitlines()]
    assert "none of the 2 trials recorded so far is valid: they run again" in warned
    found = rows(campaign)
    assert len(found) == 10
    assert {row["outcome"] for row in found.values()} == {"platform", "unrecovered"}
    assert sorted(row["attempt"] for row in found.values()) == [1] * 8 + [2] * 2


def test_one_invalid_trial_alone_may_be_chance_and_two_are_not(
    cli: Any, broken: tuple[Path, Path], rows: Any, tmp_path: Path
) -> None:
    matrix, _ = broken
    done = cli("run", matrix, "--only", "chaos=nothing", "--only", "model=on")
    assert "all 2 trials are invalid" in done.stderr
    assert len(rows(tmp_path / "results" / "standin-1")) == 2
