"""`status`, `derive`, `verify` and `revert`: a campaign looked at, checked and undone, from its folder alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli.options import RESULTS, JsonOption, ResultsOption, campaign_path
from smartops_chaos.errors import MISSED, UsageError

_INVALID_SHOWN = 3  # trials of a campaign, each with its reason


def derive(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
    explain: Annotated[str, typer.Option(help="Show for one trial what each rule matched.")] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Compute the records again from the stored evidence."""
    from smartops_chaos.run import status
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    store = CampaignFolder(campaign_path(campaign, results) if campaign else newest(results))
    if explain:
        print(status.explain(store, explain))
        return
    same, changed, failed = status.derive_all(store)
    print(f"{same} records unchanged, {len(changed)} changed" + "".join(f"\n  {name}" for name in changed))
    if failed:
        raise UsageError("\n".join(failed))


def status(results: ResultsOption = RESULTS, as_json: JsonOption = False) -> None:
    """What ran, what is left, what may still be in force."""
    from smartops_chaos.model import Arm
    from smartops_chaos.run import status
    from smartops_chaos.store.campaign_folder import campaigns

    found = [status.state(store) for store in campaigns(results, headless=True)]
    if as_json:
        print(json.dumps(found))
        return
    for one in found:
        outcomes = ", ".join(f"{n} {name}" for name, n in one["outcomes"].items()) or "nothing recorded"
        dirty = f"; MAY BE IN FORCE: {', '.join(one['open'])}" if one["open"] else ""
        print(f"{one['campaign']:24} {one['done']}/{one['trials'] - one['spared']}  {outcomes}{dirty}")
        for stop in one["stopped"]:
            print(f"  {Arm(**stop['arm'])} was decided at look {stop['look']}, after {stop['repeat']} repeats")
        if one["spared"]:
            print(f"  {one['spared']} trials of {one['trials']} are spared")
        for trial, why in list(one["invalid"].items())[:_INVALID_SHOWN]:
            print(f"  {trial} is invalid, {why}")
        if len(one["invalid"]) > _INVALID_SHOWN:
            print(f"  and {len(one['invalid']) - _INVALID_SHOWN} more; `--json` lists them all")
        for problem in one["problems"]:
            print(f"  {problem}", file=sys.stderr)
    if not found:
        print(f"no campaign in {results}", file=sys.stderr)


def verify(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing of a campaign is missing, changed or added, that its plan came first, and its records.

    Exit code 0 verified, 1 broken, 4 a campaign without hash lists whose records follow from its evidence.
    """
    from dataclasses import asdict

    from smartops_chaos.run import verification
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    found = verification.verify(CampaignFolder(campaign_path(campaign, results) if campaign else newest(results)))
    if as_json:
        print(json.dumps({"state": found.state, **asdict(found)}))
    else:
        registered = f"registered at {found.registered}" if found.registered else "not registered"
        told = f"{found.derived} of {found.trials} records follow from their evidence; {registered}"
        print("\n".join([f"{found.campaign}: {found.state}. {told}", *(f"  {one}" for one in found.problems)]))
        if found.state == verification.UNLISTED:
            print("  an earlier version made it, or it is simulated: nobody can say more", file=sys.stderr)
    raise typer.Exit({verification.VERIFIED: 0, verification.BROKEN: MISSED, verification.UNLISTED: 4}[found.state])


def revert(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN]")] = None,
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
    from smartops_chaos.store import hash_list, registration
    from smartops_chaos.store.campaign_folder import CampaignFolder, newest

    store = CampaignFolder((campaign_path(campaign, results) if campaign else newest(results)).resolve())
    if not store.has_trials():
        store.read()  # a word about what it is, before a lock makes a folder of it
    with store.locked():
        count = runner.revert(store)
        print(f"{count} trial(s) reverted")
        for line in runner.restore(store):
            print(line)
        if count and hash_list.read_list(store.path) is not None:
            hash_list.seal_campaign(store, registration.digest(store))
        print(f"nothing of {store.name} is in force")
