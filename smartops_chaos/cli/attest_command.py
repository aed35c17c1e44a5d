"""`attest DIR`: what a campaign has shown of images, as a statement that is signed over all of its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from smartops_chaos.cli.options import RESULTS, ResultsOption, campaign_path
from smartops_chaos.errors import MISSED, PreflightFailed


def attest(
    campaign: Annotated[Path, typer.Argument(metavar="CAMPAIGN")],
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
    from smartops_chaos.store.campaign_folder import CampaignFolder
    from smartops_chaos.store.jsonfiles import write_atomically

    store = CampaignFolder(campaign_path(campaign, results))
    file = store.read()
    subject = statement.images(image, file)
    checked = verification.verify(store)
    if checked.problems:
        print("\n".join([f"{store.name} does not verify, so nothing is said of it:", *checked.problems]))
        raise typer.Exit(MISSED)
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
