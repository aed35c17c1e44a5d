"""The help: every command under a heading, every example one that the program takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

from typer.main import get_command

from smartops_chaos.cli.commands import app
from smartops_chaos.cli.help import GROUPS
from tests.conftest import command

ROOT: Any = get_command(app)


def test_every_command_stands_under_a_heading(cli: Any) -> None:
    told = cli("--help").stdout
    assert {name for names in GROUPS.values() for name in names} <= set(ROOT.commands)
    for name in ROOT.commands:
        assert f"\n  {name} " in told
    assert "..." not in told.replace("[ARGS]...", "")


def test_every_example_is_taken_as_it_stands(cli: Any, parses: Any) -> None:
    seen = 0
    for name in ("", *ROOT.commands):
        told = cli(*filter(None, [name]), "--help").stdout
        for line in told.splitlines():
            if "  smartops-chaos " in line and "Usage" not in line:
                parses(re.split(r"  | > ", line[line.index("smartops-chaos ") :])[0])
                seen += 1
    assert seen > 15


def test_help_needs_none_of_the_large_libraries() -> None:
    program = (
        "import sys; from smartops_chaos.cli import commands; "
        "large = ('pandas', 'numpy', 'scipy', 'matplotlib', 'rich', 'pydantic', 'kubernetes'); "
        "print([name for name in large if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def complete(*words: str) -> set[str]:
    """As a shell asks: the last word is the one that is being typed."""
    asked = {"_SMARTOPS_CHAOS_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words))}
    asked["COMP_WORDS"] = " ".join(["smartops-chaos", *words])
    done = subprocess.run(command(), env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_tab_offers_levels_of_the_matrix_that_is_named(cli: Any) -> None:
    cli("init", "my")
    matrix = "my/matrix.yaml"
    assert complete("run", matrix, "--only", "ch") == {"chaos=pod-kill", "chaos=cpu-90", "chaos=slow"}
    assert complete("run", "my", "--only", "chaos=p") == {"chaos=pod-kill"}
    assert complete("plan", matrix, "--repeats", "3", "--only", "chaos=pod-kill,s") == {"chaos=pod-kill,slow"}
    assert complete("run", "nowhere.yaml", "--only", "chaos=") == set()


def test_tab_offers_campaigns_and_their_trials(standins: Any, cli: Any) -> None:
    assert cli("run", standins(repeats=1, lanes=2)).returncode == 0
    assert complete("report", "st") == {"standin-1"}
    assert complete("derive", "standin-1", "--explain", "nothing.steady.on") == {"nothing.steady.on.default.1"}
    assert len(complete("derive", "--explain", "n")) == 4
    assert complete("derive", "nowhere", "--explain", "n") == set()
