"""`healer`: a healer file tried on log lines before anything is run with it, the shipped ones, and the schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import RESULTS, ResultsOption, chosen
from smartops_chaos.cli.terminal import BAD, Terminal
from smartops_chaos.errors import MISSED, UsageError
from smartops_chaos.model import LogLine

_BIGGEST = 200_000_000  # bytes of a log


def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A healer file, or the name of a shipped one.")],
    logs: Annotated[
        list[str] | None,
        typer.Option("--logs", metavar="[COMPONENT=]FILE", help="Lines of `kubectl logs`; - is stdin; repeatable."),
    ] = None,
    trial: Annotated[str, typer.Option("--trial", metavar="ID", help="The lines of a stored trial.")] = "",
    campaign: Annotated[Path | None, typer.Option("--campaign", help="The trial's; the newest unless said.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if a rule of lines matches nothing or reads something wrong.")
    ] = False,
    results: ResultsOption = RESULTS,
) -> None:
    """Show what each rule of a healer file matches, line by line."""
    from smartops_chaos.schema import healerfile, yamlfile
    from smartops_chaos.schema.yamlfile import did_you_mean
    from smartops_chaos.timeline import rulecheck

    healer = healerfile.load(file)
    if bool(logs) == bool(trial):
        raise UsageError("nothing to try the rules on", "say either --logs FILE or --trial ID")
    lines = [*_stored(trial, campaign, results)] if trial else []
    known = healer.components
    for one in logs or ():
        component, _, name = one.rpartition("=") if not Path(one).exists() else ("", "", one)
        text = sys.stdin.read() if name == "-" else yamlfile.read_text(Path(name), biggest=_BIGGEST, lenient=True)
        if component and known and component not in known and not component.startswith(healerfile.OF_KUBERNETES):
            raise UsageError(f"no rule reads lines of `{component}`", did_you_mean(component, known))
        lines += rulecheck.lines_of(text, component)
    tried = rulecheck.check(healer, lines)
    terminal = Terminal()
    for sentence in tried.sentences():
        terminal.say(sentence, BAD if sentence.startswith("WRONG") else "")
    if strict and (tried.doubts or tried.silent):
        raise typer.Exit(MISSED)


def _stored(trial: str, campaign: Path | None, results: Path) -> tuple[LogLine, ...]:
    from smartops_chaos.run import status

    return status.log_lines(chosen(campaign, results), trial)


def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=completion.healers, help="Without it: their names.")
    ] = "",
) -> None:
    """Print a shipped healer file, to copy and change.

    smartops-chaos healer show smartops > healer.yaml
    """
    from smartops_chaos.schema import healerfile

    if name:
        print(healerfile.shipped_file(name).read_text(encoding="utf-8"), end="")
    else:
        print("\n".join(healerfile.shipped_names()))


def schema() -> None:
    """Print the JSON Schema of a healer file, for editors."""
    from smartops_chaos.schema import starter

    print(starter.healer_schema_text(), end="")
