"""`attach`: a healer file to begin with, from what a namespace does when one pod is deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli.options import duration_s
from smartops_chaos.errors import FileProblems, UsageError


def attach(
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Where the healer and its service are.")],
    service: Annotated[str, typer.Option(metavar="NAME", help="The Deployment under attack.")] = "",
    context: Annotated[str, typer.Option(metavar="NAME", help="Of the kubeconfig.")] = "",
    out: Annotated[Path, typer.Option(help="The healer file to write.")] = Path("healer.yaml"),
    quiet: Annotated[str, typer.Option(metavar="TIME", help="How long to look before the fault.")] = "20s",
    watch: Annotated[str, typer.Option(metavar="TIME", help="How long to look after it.")] = "60s",
    yes: Annotated[bool, typer.Option("--yes", help="Delete the pod without asking.")] = False,
) -> None:
    """Look at a healer that is there: delete one pod after asking, and write down what told of it."""
    from smartops_chaos.kubernetes import attach as attaching
    from smartops_chaos.kubernetes import draft
    from smartops_chaos.schema import healerfile, yamlfile

    if out.exists():
        raise UsageError(f"{out} already exists", "name another file: --out FILE")
    quiet_s, watch_s = duration_s("--quiet", quiet), duration_s("--watch", watch)
    if quiet_s < 1 or watch_s < 1:
        raise UsageError("--quiet and --watch are at least 1s")

    def may_kill(question: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise UsageError(f"nobody can be asked: {question}", "say --yes, or run it in a terminal")
        return typer.confirm(question, err=True)

    seen = attaching.look(
        namespace,
        context,
        service,
        quiet_s=quiet_s,
        watch_s=watch_s,
        may_kill=may_kill,
        say=lambda text: print(text, file=sys.stderr),
    )
    text = draft.healer_file(seen)
    _, problems = yamlfile.parse(text, str(out)).check(healerfile.HealerFile)
    if problems:
        raise FileProblems(problems)
    out.write_text(text, encoding="utf-8")
    for one in seen.moved:
        print(f"{one.first_s:6.1f} s  {one.component}: {one.example[:160]}", file=sys.stderr)
    for name in seen.metrics:
        print(f"          rose: {name}", file=sys.stderr)
    print(out)
    print(f"next: read {out}, then name it in a matrix's `target.healer`; docs/healers.md has one", file=sys.stderr)
