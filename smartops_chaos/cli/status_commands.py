"""`status`, `derive` and `revert`: a campaign looked at, computed again and undone, from its folder alone."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import RESULTS, CampaignArgument, JsonOption, ResultsOption, chosen
from smartops_chaos.cli.terminal import command
from smartops_chaos.errors import ChaosError, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from smartops_chaos.cli.terminal import Terminal
    from smartops_chaos.store.campaign_folder import CampaignFolder

_INVALID_SHOWN = 3  # trials of a campaign, each with its reason
_NEWEST = 10  # campaigns whose verdicts are told: each reads all its records


def derive(
    campaign: CampaignArgument = None,
    explain: Annotated[
        str,
        typer.Option(
            metavar="TRIAL", autocompletion=completion.trials, help="Show for one trial what each rule matched."
        ),
    ] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Compute the records again from the stored evidence."""
    from smartops_chaos.run import status

    store = chosen(campaign, results)
    if explain:
        print(status.explain(store, explain))
        return
    same, changed, failed = status.derive_all(store)
    print(f"{same} records unchanged, {len(changed)} changed" + "".join(f"\n  {name}" for name in changed))
    if failed:
        raise UsageError("\n".join(failed))


def status(
    campaign: Annotated[
        Path | None,
        typer.Argument(metavar="CAMPAIGN", autocompletion=completion.campaigns, help="All of them, unless said."),
    ] = None,
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """What ran, what is left, what may still be in force."""
    from smartops_chaos.cli.terminal import Terminal
    from smartops_chaos.run import status
    from smartops_chaos.store.campaign_folder import campaigns

    stores = campaigns(results, headless=True) if campaign is None else [_there(chosen(campaign, results))]
    found = [status.state(store) for store in stores]
    if as_json:
        print(json.dumps(found))
        return
    terminal = Terminal()
    width = max((len(one["campaign"]) for one in found), default=0)
    for at, (store, one) in enumerate(zip(stores, found, strict=True), 1):
        with_verdicts = one["done"] > 0 and not one["problems"] and at > len(found) - _NEWEST
        _tell(terminal, store, one, width, with_verdicts=with_verdicts)
    if not found:
        print(f"no campaign in {results}", file=sys.stderr)


def _there(store: CampaignFolder) -> CampaignFolder:
    """The same. Raises UsageError, which says what it is, if it is no campaign; one without its file may be undone."""
    if not store.has_trials():
        store.read()
    return store


def _tell(terminal: Terminal, store: CampaignFolder, one: dict[str, Any], width: int, *, with_verdicts: bool) -> None:
    from rich.text import Text

    from smartops_chaos.cli.terminal import ASIDE, BAD, WEAK
    from smartops_chaos.model import Arm
    from smartops_chaos.run.display import tally

    wanted, runner = one["trials"] - one["spared"], one["runner"]
    when = f"running now (process {runner})" if runner else _age(one["last"])
    unfinished, begun = one["done"] < wanted and not runner, store.has_begun()
    left, go_on = "", False
    if unfinished and one["chosen"]:
        left = f"all of the {one['chosen']} that the last run chose"
    elif unfinished and begun:
        left, go_on = "unfinished", bool(one["command"])
    told = "  " + ", ".join(filter(None, (when, left)))
    head = Text.assemble((f"{one['campaign']:{width}}", "bold"), f"  {one['done']}/{wanted}", (told.rstrip(), ASIDE))
    terminal.console.print(head, soft_wrap=not terminal.console.is_terminal)
    if go_on:
        terminal.command("  go on:", one["command"])
    if unfinished and not begun:
        terminal.say("  no trial has begun: the run was refused, or stopped before its first one")
    else:
        terminal.say(f"  {tally(one['outcomes']) or 'nothing recorded'}")
    if with_verdicts:
        for line in _verdicts(store):
            terminal.line(line, indent=2)
    for stop in one["stopped"]:
        terminal.say(f"  {Arm(**stop['arm'])} was decided at look {stop['look']}, after {stop['repeat']} repeats")
    if one["spared"]:
        terminal.say(f"  {one['spared']} trials of {one['trials']} are spared")
    for trial, why in list(one["invalid"].items())[:_INVALID_SHOWN]:
        terminal.say(f"  {trial} is invalid, {why}", WEAK)
    if len(one["invalid"]) > _INVALID_SHOWN:
        terminal.say(f"  and {len(one['invalid']) - _INVALID_SHOWN} more; `--json` lists them all", WEAK)
    if one["open"] and runner:
        terminal.say(f"  under way: {', '.join(one['open'])}")
    elif one["open"]:
        terminal.say(f"  MAY BE IN FORCE: {', '.join(one['open'])}", BAD)
        terminal.command("  undo it:", command("revert", store.path))
    for problem in one["problems"]:
        print(f"  {problem}", file=sys.stderr)


def _verdicts(store: CampaignFolder) -> list[Text]:
    """A line for each judged arm; none where the libraries of the report are not there, or nothing can be said."""
    from smartops_chaos import api
    from smartops_chaos.cli.result_table import verdicts_in_a_line

    try:
        return list(verdicts_in_a_line(api.glance(store.path)))
    except (ChaosError, ModuleNotFoundError):
        return []


def _age(last: str) -> str:
    """ "" if the campaign never said anything."""
    from smartops_chaos.schema.units import spoken_duration

    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(last)).total_seconds()
    except ValueError:
        return ""
    return f"{spoken_duration(seconds)} ago"


def revert(
    campaign: CampaignArgument = None,
    cluster: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="By the cluster's labels alone, when the directory is lost.")
    ] = "",
    context: Annotated[str, typer.Option(help="With --cluster: of the kubeconfig, if not its current one.")] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Undo all of a campaign that is still in force, with nothing but its directory."""
    if cluster:
        from smartops_chaos.schema.names import is_label
        from smartops_chaos.targets import kinds

        if not is_label(cluster):
            hint = "give one that `kubectl get namespaces` lists"
            raise UsageError(f"--cluster {cluster[:70]!r} is no name of a namespace", hint)
        for line in kinds.revert_namespace(context, cluster):
            print(line)
        print(f"nothing of any campaign is in force in {cluster}")
        return
    from smartops_chaos.run import campaign as runner
    from smartops_chaos.schema.units import count
    from smartops_chaos.store import hash_list, registration

    store = _there(chosen(campaign, results))
    store = replace(store, path=store.path.resolve())
    with store.locked():
        reverted = runner.revert(store)
        if reverted:
            print(f"{count(reverted, 'trial')} reverted")
        for line in runner.restore(store):
            print(line)
        if reverted and hash_list.read_list(store.path) is not None:
            hash_list.seal_campaign(store, registration.digest(store))
        print(f"nothing of {store.name} is in force")
