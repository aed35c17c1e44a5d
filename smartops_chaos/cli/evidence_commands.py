"""`verify` and `attest`: whether a campaign is what its run has left, and what it has shown, signed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli import completion
from smartops_chaos.cli.options import RESULTS, CampaignArgument, JsonOption, ResultsOption, chosen
from smartops_chaos.errors import MISSED, PreflightFailed, UsageError


def verify(
    campaign: CampaignArgument = None,
    results: ResultsOption = RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Check that nothing of a campaign is missing, changed or added, that its plan came first, and its records.

    Exit code 0 verified, 1 broken, 4 what there is is as it was left, but trials are left to run, or an earlier version
    wrote no hash lists.
    """
    from dataclasses import asdict

    from smartops_chaos.run import verification

    found = verification.verify(chosen(campaign, results))
    if as_json:
        print(json.dumps({"state": found.state, **asdict(found)}))
    else:
        registered = f"registered at {found.registered}" if found.registered else "not registered"
        registered += f"; shard {found.shard} of its campaign" if found.shard else ""
        told = f"{found.derived} of {found.trials} records follow from their evidence; {registered}"
        print("\n".join([f"{found.campaign}: {found.state}. {told}", *(f"  {one}" for one in found.problems)]))
        if found.left:
            print(f"  {found.left}")
        if found.state == verification.UNLISTED:
            print("  an earlier version made it, or it is simulated: nobody can say more", file=sys.stderr)
    raise typer.Exit({verification.VERIFIED: 0, verification.BROKEN: MISSED}.get(found.state, 4))


def attest(
    campaign: Annotated[
        Path,
        typer.Argument(metavar="CAMPAIGN", autocompletion=completion.campaigns, help="Its name, or its folder."),
    ],
    image: Annotated[list[str], typer.Option(metavar="NAME@sha256:...", help="That was tested; for each of them.")],
    key: Annotated[Path | None, typer.Option(help="To sign with: a PEM file, or cosign's own.")] = None,
    keyless: Annotated[bool, typer.Option("--keyless", help="Sign by cosign as the CI job that this is.")] = False,
    results: ResultsOption = RESULTS,
) -> None:
    """Write an in-toto statement of a campaign's verdicts about image digests; exit code 1 if it does not verify."""
    from smartops_chaos.analysis import load
    from smartops_chaos.run import verification
    from smartops_chaos.statements import envelope, statement
    from smartops_chaos.store import hash_list
    from smartops_chaos.store.jsonfiles import write_atomically

    store = chosen(campaign, results)
    file = store.read()
    subject = statement.images(image, file)
    checked = verification.verify(store)
    if checked.problems or checked.left:
        why = [*checked.problems, checked.left] if checked.left else checked.problems
        print("\n".join([f"{store.name} does not verify, so nothing is said of it:", *why]))
        raise typer.Exit(MISSED)
    if checked.shard:
        raise UsageError(f"{store.name} is shard {checked.shard} of a campaign", "of a part alone nothing follows")
    if not checked.listed:
        raise PreflightFailed(f"{store.path} has no hash list", "run it with this version: an older one wrote none")
    summary = load.campaign([store]).summary
    found = statement.of_campaign(summary, file, subject, hash_list.sha256(store.path / hash_list.HASHES))
    payload = json.dumps(found, indent=1).encode() + b"\n"
    bare, signed = (store.path / name for name in hash_list.STATEMENTS)
    if key is not None or keyless:
        own = key is not None and not envelope.is_cosigns(key)
        write_atomically(signed, envelope.sign(payload, key) if key and own else envelope.sign_by_cosign(payload, key))
    write_atomically(bare, payload)
    print(signed if key is not None or keyless else bare)
