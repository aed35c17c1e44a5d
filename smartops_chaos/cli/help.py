"""What `--help` says beyond a command's options: commands by what one does with them, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

FIRST = """Measure how fast and how often a self-healing system repairs injected faults.

\b
First:   smartops-chaos demo                         a first result, in minutes
Then:    smartops-chaos init my                      a matrix of your own
         smartops-chaos plan my/matrix.yaml          the time, and what it proves
         smartops-chaos run my/matrix.yaml --report  the answer, and a PDF"""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("demo", "init", "attach", "healer", "doctor"),
    "Measure": ("plan", "run", "status", "revert", "lab"),
    "Look": ("report", "compare", "derive"),
    "Show to others": ("verify", "attest"),
    "Day by day": ("monitor", "gate"),
}

_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "init": ("smartops-chaos init my", "smartops-chaos init my --from-cluster smartops-dev"),
    "doctor": ("smartops-chaos doctor my/matrix.yaml", "smartops-chaos doctor my/matrix.yaml --rbac > roles.yaml"),
    "plan": (
        "smartops-chaos plan my/matrix.yaml --repeats 20",
        "smartops-chaos plan my/matrix.yaml --only chaos=pod-kill --trials",
    ),
    "run": (
        "smartops-chaos run my/matrix.yaml --report",
        "smartops-chaos run my/matrix.yaml --only chaos=pod-kill,slow",
    ),
    "report": ("smartops-chaos report quick-1", "smartops-chaos report quick-1 --check --junit verdicts.xml"),
    "compare": (
        "smartops-chaos compare nightly-7 nightly-8",
        "smartops-chaos compare nightly-7 nightly-8 --check --max-slowdown 15%",
    ),
    "monitor": ("smartops-chaos monitor monitor.yaml",),
    "gate": ("smartops-chaos gate stage", "smartops-chaos gate prod --gates platform/gates.yaml --junit gate.xml"),
    "derive": (
        "smartops-chaos derive quick-1",
        "smartops-chaos derive quick-1 --explain pod-kill.steady.zscore.default.1",
    ),
    "verify": ("smartops-chaos verify quick-1", "smartops-chaos verify quick-1 --json"),
    "attest": ("smartops-chaos attest smartops-1 --image registry.example.com/erp@sha256:... --key key.pem",),
    "status": ("smartops-chaos status", "smartops-chaos status quick-1 --json"),
    "revert": ("smartops-chaos revert quick-1", "smartops-chaos revert --cluster smartops-dev"),
}


def examples(name: str) -> str:
    """The end of a command's help; `\\b` keeps the lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in _EXAMPLES[name])


class GroupedCommands(TyperGroup):
    """Commands under headings, each with its whole first sentence; one that no heading names stands under "More"."""

    def invoke(self, ctx: Any) -> Any:
        """Of an unknown option only those are offered that are nearly so named: `--out` is not nearly `--junit`."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if offered := getattr(error, "possibilities", None):
                asked = str(getattr(error, "option_name", "")).lstrip("-")
                bare = {name.lstrip("-"): name for name in offered}
                error.possibilities = [bare[name] for name in get_close_matches(asked, bare)]  # type: ignore[attr-defined]
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # typer's own types are private
        named = {name for names in GROUPS.values() for name in names}
        commands = {name: command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))}
        more = tuple(name for name in commands if name not in named)
        for title, names in {**GROUPS, "More": more}.items():
            rows = [(name, _sentence(commands[name].help or "")) for name in names if name in commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())
