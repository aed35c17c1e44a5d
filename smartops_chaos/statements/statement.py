"""A campaign's verdicts as an in-toto statement about the images that were tested.

Statement v1 with the predicate test-result v0.1 (https://in-toto.io/attestation/test-result/v0.1): PASSED if every
target is proven, WARNED if the estimates meet those that are not, else FAILED. Its configuration names the matrix and
the campaign's hash list by SHA-256, so a signature over it covers every file of the campaign.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from smartops_chaos.analysis.summary import Summary
from smartops_chaos.errors import UsageError
from smartops_chaos.store.campaign_folder import CampaignFile

HASH_LIST = "hashes.json"
_IMAGE = re.compile(r"(?P<name>[^@\s]+)@sha256:(?P<digest>[0-9a-f]{64})")
NOTED = 12  # digits of a digest that a campaign notes
IMAGES = "Images"  # in a campaign's provenance: `name image (sha256:...); ...`


class Described(TypedDict):
    name: str
    digest: dict[str, str]


class ResultPredicate(TypedDict):
    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: list[Described]
    passedTests: list[str]
    warnedTests: list[str]
    failedTests: list[str]


class Statement(TypedDict):
    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: list[Described]
    predicateType: Literal["https://in-toto.io/attestation/test-result/v0.1"]
    predicate: ResultPredicate


_STATEMENT = TypeAdapter(Statement)


def images(given: Sequence[str], file: CampaignFile) -> list[Described]:
    """The subjects of `NAME@sha256:...`. Raises UsageError for what is no digest, or none that the campaign ran."""
    noted = file.provenance.get(IMAGES, "")
    found = []
    for one in given:
        match = _IMAGE.fullmatch(one)
        if match is None:
            raise UsageError(
                f"--image {one[:100]} has no digest", "write NAME@sha256: and 64 digits; a tag may be moved"
            )
        if f"sha256:{match['digest'][:NOTED]}" not in noted:
            hint = f"it noted: {noted or 'no image, since its target is no cluster'}"
            raise UsageError(f"the campaign did not run {one}", hint)
        found.append(Described(name=match["name"], digest={"sha256": match["digest"]}))
    if not found:
        raise UsageError("no image is named", "--image NAME@sha256:..., for each that was tested")
    return found


def of_campaign(summary: Summary, file: CampaignFile, subject: list[Described], hash_list_sha256: str) -> Statement:
    """Pure."""
    told = {True: list[str](), False: list[str]()}
    warned = []
    for verdict in summary.verdicts:
        name = f"{verdict.arm}: {verdict.target} at least {verdict.wanted:g}"
        if verdict.verdict == "observed above":
            warned.append(name)
        else:
            told[verdict.verdict == "proven"].append(name)
    bad = bool(told[False]) or not summary.verdicts or summary.simulated
    matrix = hashlib.sha256(file.matrix_text.encode()).hexdigest()
    return Statement(
        _type="https://in-toto.io/Statement/v1",
        subject=subject,
        predicateType="https://in-toto.io/attestation/test-result/v0.1",
        predicate=ResultPredicate(
            result="FAILED" if bad else "WARNED" if warned else "PASSED",
            configuration=[
                Described(name=file.matrix_file, digest={"sha256": matrix}),
                Described(name=f"{summary.campaign}/{HASH_LIST}", digest={"sha256": hash_list_sha256}),
            ],
            passedTests=told[True],
            warnedTests=warned,
            failedTests=told[False],
        ),
    )


def parse(text: bytes) -> Statement:
    """Raises ValueError for what is no such statement."""
    try:
        return _STATEMENT.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"it is no in-toto statement of a test result: {error.errors()[0]['msg']}") from None


def hash_list_of(statement: Statement) -> str:
    """SHA-256 of the hash list of the campaign that it is about; empty without one."""
    about = (one for one in statement["predicate"]["configuration"] if one["name"].endswith(f"/{HASH_LIST}"))
    return next((one["digest"].get("sha256", "") for one in about), "")


def digests_of(statement: Statement) -> frozenset[str]:
    """Of its subjects, as `sha256:...`."""
    return frozenset(f"sha256:{one['digest'].get('sha256', '')}" for one in statement["subject"])
