"""The command line: every command by its name, and errors as exit codes.

A command parses its options, calls `api` or a room below it, and prints. It imports what it needs when it is called, so
that `--help` is there at once.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos import __version__
from smartops_chaos.cli import (
    attach_command,
    compare_command,
    evidence_commands,
    gate_command,
    healer_command,
    lab_commands,
    monitor_command,
    plan_command,
    report_command,
    run_command,
    status_commands,
)
from smartops_chaos.cli.completion import matrix_in
from smartops_chaos.cli.help import FIRST, GroupedCommands, examples
from smartops_chaos.cli.options import RESULTS, JsonOption, ResultsOption
from smartops_chaos.cli.terminal import BAD, WEAK, Terminal, missing_library
from smartops_chaos.errors import ChaosError, Interrupted, PreflightFailed, UsageError
from smartops_chaos.loopback import never_proxied

_EPILOG = (
    "Exit codes: 0 done; 1 a target missed or undecidable under --check; 2 usage or a bad file; 3 nothing selected; "
    "4 a preflight check failed; 5 something could not be reverted; 6 trials in error or too many invalid; "
    "130 interrupted."
)
app = typer.Typer(
    name="smartops-chaos",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
    rich_markup_mode=None,
    cls=GroupedCommands,
    help=FIRST,
)
lab_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="One lane of the embedded lab, to play with.")
app.add_typer(lab_app, name="lab")
healer_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A healer file, before it is run with.")
app.add_typer(healer_app, name="healer")


def main() -> None:
    """Console entry: the only place that turns an error into an exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    never_proxied(os.environ)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a full disk can still be told in words
    except ChaosError as error:
        told = Terminal(as_json=True)
        told.say(str(error), BAD)
        for line in error.hint.splitlines():
            told.say(f"  {line}", whole="smartops-chaos " in line or "pip install" in line)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if not (left_out := missing_library(error)):
            raise
        print(left_out, file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        name = error.filename or "a file or the output"
        print(f"{name}: {error.strerror}\n  make space or the folder writable", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more, writing the rest
        sys.exit(PreflightFailed.exit_code)


def _interrupt(*_: object) -> None:
    raise Interrupted("interrupted")


def _version(value: bool) -> None:
    if value:
        print(f"smartops-chaos {__version__}, Python {sys.version.split()[0]}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


app.command()(run_command.demo)


@app.command(epilog=examples("init"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.")] = Path(),
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a matrix.")] = False,
    from_cluster: Annotated[
        str, typer.Option("--from-cluster", metavar="NAMESPACE", help="For what is there on the cluster of KUBECONFIG.")
    ] = "",
    context: Annotated[str, typer.Option("--context", help="Of the kubeconfig, with --from-cluster.")] = "",
) -> None:
    """Write a commented starter matrix that runs as it stands."""
    from smartops_chaos.schema import starter

    if schema:
        print(starter.schema_text(), end="")
        return
    if from_cluster:
        from smartops_chaos.kubernetes import discover

        texts = discover.look(from_cluster, context).files()
    else:
        texts = starter.files()
    files = {folder / name: text for name, text in texts.items()}
    if there := [str(path) for path in files if path.exists()]:
        verb = "exists" if len(there) == 1 else "exist"
        raise UsageError(f"{', '.join(there)} already {verb}", "give another folder: smartops-chaos init DIR")
    if folder.resolve() in (Path("/"), Path.home()):
        raise UsageError(f"{folder.resolve()} is no folder for a matrix", "give another one: smartops-chaos init DIR")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)
    print(f"next: smartops-chaos plan {folder / 'matrix.yaml'}", file=sys.stderr)


def _matrix_in(path: Path | None) -> Path | None:
    return None if path is None else matrix_in(path)


@app.command(epilog=examples("doctor"))
def doctor(
    matrix: Annotated[
        Path | None, typer.Argument(metavar="MATRIX", callback=_matrix_in, help="The lab with one lane, unless said.")
    ] = None,
    results: ResultsOption = RESULTS,
    rbac: Annotated[bool, typer.Option("--rbac", help="Print the least roles that MATRIX needs on a cluster.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check what a run needs, each failure with its fix."""
    from smartops_chaos.run import doctor as checks

    if rbac:
        print("---\n".join(checks.roles(matrix)), end="")
        return
    found = checks.checks(matrix, results)
    if as_json:
        print(json.dumps([check.as_dict() for check in found]))
    else:
        terminal = Terminal()
        for check in found:
            terminal.say(f"{check.told:4} {check.what}", {"FAIL": BAD, "warn": WEAK}.get(check.told, ""))
            for line in check.hint.splitlines() if check.told in ("FAIL", "warn") else ():
                terminal.say(f"     {line}", whole="smartops-chaos " in line or "sudo " in line)
    if not all(check.ok for check in found):
        raise typer.Exit(4)


app.command()(attach_command.attach)
app.command(epilog=examples("plan"))(plan_command.plan)
app.command(epilog=examples("run"))(run_command.run)
app.command(epilog=examples("report"))(report_command.report)
app.command(epilog=examples("compare"))(compare_command.compare)
app.command(epilog=examples("verify"))(evidence_commands.verify)
app.command(epilog=examples("attest"))(evidence_commands.attest)
app.command(epilog=examples("gate"))(gate_command.gate)
app.command(epilog=examples("monitor"))(monitor_command.monitor)
app.command(epilog=examples("derive"))(status_commands.derive)
app.command(epilog=examples("status"))(status_commands.status)
app.command(epilog=examples("revert"))(status_commands.revert)
lab_app.command()(lab_commands.up)
lab_app.command()(lab_commands.down)
healer_app.command()(healer_command.check)
healer_app.command()(healer_command.show)
healer_app.command()(healer_command.schema)
