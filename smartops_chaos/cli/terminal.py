"""What a person reads in a terminal: prose that wraps at its width, colours where there are some, links, commands.

Prose is wrapped in a terminal only; in a pipe or a file each sentence stays a line, for `grep`. A command is never
wrapped, so that it can be copied and run as it stands.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from smartops_chaos.analysis.summary import Decision

COLOURS: dict[Decision, str] = {
    "proven": "bold green",
    "observed above": "yellow",
    "observed below": "yellow",
    "missed": "bold red",
    "trivial": "dim",
    "undecidable": "dim",
}
# What an installation that only runs campaigns leaves out, such as the image of deploy/Dockerfile's stage `run`.
ONLY_REPORTS = ("numpy", "pandas", "fastparquet", "matplotlib", "jinja2", "typst")
_WIDEST = 1000  # columns of a table in a pipe; of them only those are written that hold something
BAD, WEAK, ASIDE = "bold red", "yellow", "dim"


class Terminal:
    """Standard output or, where that is for programs, standard error."""

    def __init__(self, *, as_json: bool = False) -> None:
        from rich.console import Console

        self.console: Console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False, emoji=False)

    def say(self, text: str = "", style: str = "", *, whole: bool = False) -> None:
        """`whole`: not wrapped in a terminal either, since somebody may want to copy it."""
        from rich.padding import Padding
        from rich.text import Text

        if whole or not self.console.is_terminal:
            self.console.print(Text(text, style), soft_wrap=True)
            return
        for line in text.split("\n"):  # what is set in stays set in where it wraps
            bare = line.lstrip(" ")
            self.console.print(Padding(Text(bare, style), (0, 0, 0, len(line) - len(bare)), expand=False))

    def line(self, text: Text, indent: int) -> None:
        """A line of several colours; where it wraps it stays set in."""
        from rich.padding import Padding
        from rich.text import Text

        if self.console.is_terminal:
            self.console.print(Padding(text, (0, 0, 0, indent), expand=False))
        else:
            self.console.print(Text(" " * indent) + text, soft_wrap=True)

    def table(self, table: Table) -> None:
        """In a pipe as wide as it is."""
        if self.console.is_terminal:
            self.console.print(table)
            return
        self.console.width = max(self.console.width, _WIDEST)
        with self.console.capture() as captured:
            self.console.print(table)
        for line in captured.get().splitlines():
            self.console.print(line.rstrip(), markup=False, soft_wrap=True)

    def command(self, label: str, text: str) -> None:
        from rich.text import Text

        self.console.print(Text.assemble((f"{label} ", ASIDE), (text, "bold")), soft_wrap=True)

    def file(self, label: str, path: Path) -> None:
        """A path, which terminals that know links (OSC 8) open by a click."""
        from rich.text import Text

        link = f"bold link {path.resolve().as_uri()}" if self.console.is_terminal else "bold"
        self.console.print(Text.assemble((f"{label} ", ASIDE), (str(path), link)), soft_wrap=True)


def missing_library(error: ModuleNotFoundError) -> str:
    """What to say and do if it is one that plans and reports need; "" for any other."""
    name = (error.name or "").partition(".")[0]
    if name not in ONLY_REPORTS:
        return ""
    get = f"python -m pip install {' '.join(ONLY_REPORTS)}"
    return f"{name} is not installed here: this installation runs campaigns, but does not plan or report\n  {get}"


def command(*words: object) -> str:
    """A command of this program as a shell takes it."""
    return shlex.join(["smartops-chaos", *map(str, words)])
