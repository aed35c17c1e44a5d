"""What is printed for people: wrapped in a terminal, whole lines in a pipe, commands always whole."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from smartops_chaos.analysis.summary import Decision
from smartops_chaos.cli.terminal import COLOURS
from smartops_chaos.report.page import TONES

PROGRAM = """
from pathlib import Path
from rich.text import Text
from smartops_chaos.cli.terminal import Terminal, command
t = Terminal()
t.say("word " * 30, "bold red")
t.command("next:", command("run", "a folder/m.yaml", "--repeats", 20, "--results", "a" * 60))
t.file("report:", Path("/tmp/report.html"))
t.line(Text.assemble(("verdict " * 9, "green")), indent=2)
"""
COMMAND = f"smartops-chaos run 'a folder/m.yaml' --repeats 20 --results {'a' * 60}"


def in_terminal(**environment: str) -> str:
    """What the program prints into a terminal of 40 columns."""
    parent, child = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}
    settings |= {"TERM": "xterm-256color", "COLUMNS": "40", **environment}
    done = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=child, env=settings)
    os.close(child)
    told = b""
    try:
        while block := os.read(parent, 65536):
            told += block
    except OSError:  # the other end is closed
        pass
    assert done.wait() == 0
    os.close(parent)
    return told.decode().replace("\r\n", "\n")


def test_in_a_pipe_lines_are_whole_and_plain() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [("word " * 30), f"next: {COMMAND}", "report: /tmp/report.html", "  " + "verdict " * 9]


def test_a_line_of_several_colours_stays_set_in_where_it_wraps() -> None:
    told = re.sub(r"\x1b(\[[0-9;]*m|\]8;[^\x1b]*\x1b\\)", "", in_terminal())
    lines = [line for line in told.split("\n") if "verdict" in line]
    assert len(lines) > 1
    assert all(line.startswith("  verdict") for line in lines)


def test_in_a_terminal_prose_wraps_between_words_and_commands_stay_whole() -> None:
    told = re.sub(r"\x1b(\[[0-9;]*m|\]8;[^\x1b]*\x1b\\)", "", in_terminal())
    prose, _, rest = told.partition("next:")
    lines = [line for line in prose.split("\n") if line.strip()]
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40
    assert {word for line in lines for word in line.split()} == {"word"}
    assert COMMAND in rest


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_no_colour_where_nobody_wants_one(environment: dict[str, str], coloured: bool) -> None:
    assert ("31m" in in_terminal(**environment)) is coloured


def test_a_file_is_a_link_that_a_click_opens() -> None:
    address = re.escape(Path("/tmp/report.html").as_uri())
    assert re.search(rf"\x1b\]8;[^;]*;{address}\x1b\\(\x1b\[[0-9;]*m)*/tmp/report\.html", in_terminal())


def test_every_verdict_has_a_colour_on_the_terminal_and_on_the_page() -> None:
    assert set(COLOURS) == set(TONES) == set(get_args(Decision))
