"""The MTTR rule: from the newest campaign of the digests that run, else from the monitor's gauge. Judged purely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from smartops_chaos.errors import ChaosError
from smartops_chaos.gate.asking import Asked
from smartops_chaos.gate.questions import CAMPAIGN
from smartops_chaos.gate.ruling import Refused, RuleResult, Unanswered
from smartops_chaos.gate.workloads import seconds
from smartops_chaos.model import Arm
from smartops_chaos.run import verification
from smartops_chaos.schema.gatefile import MttrRule
from smartops_chaos.schema.units import format_duration
from smartops_chaos.statements import envelope, statement
from smartops_chaos.statements.envelope import BadSignature
from smartops_chaos.store import hash_list
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder, campaigns

_NOTED = len("sha256:") + statement.NOTED  # characters of a digest in a campaign's provenance


class ArmMttr(TypedDict):
    arm: str
    estimate_s: float | None
    upper_s: float | None


class CampaignFact(TypedDict):
    """What the gate takes of a campaign."""

    name: str
    started: str
    images: str
    arms: list[ArmMttr]  # every competitor
    refused: str  # why its numbers do not count; empty if they do
    signed_for: list[str]  # digests that its signed statement is about; empty where no signature is asked for


_FACTS = TypeAdapter(list[CampaignFact])


def ask_campaigns(rule: MttrRule, given: Path | None, running: Mapping[str, frozenset[str]]) -> dict[str, Asked]:
    """What the folders hold: the given campaign, or all that are there, the newest first.

    Only the newest of the digests that run is looked into, since only it counts.
    """
    what = str(given or rule.campaigns)
    stores = [CampaignFolder(given)] if given else campaigns(Path(rule.campaigns))
    found: list[CampaignFact] = []
    try:
        files = sorted(((one.read(), one) for one in stores), key=lambda one: _started(one[0]), reverse=True)
        for file, store in files:
            fact = _bare(store, file)
            looked = any(is_of(one["images"], running) for one in found)
            found.append(_looked_into(rule, store, fact) if is_of(fact["images"], running) and not looked else fact)
    except ChaosError as error:
        return {CAMPAIGN: Asked("campaigns", what, error=str(error))}
    return {CAMPAIGN: Asked("campaigns", what, found)}


def _started(file: CampaignFile) -> str:
    return file.provenance.get("started", "")


def _bare(store: CampaignFolder, file: CampaignFile) -> CampaignFact:
    images = file.provenance.get(statement.IMAGES, "")
    return CampaignFact(name=store.name, started=_started(file), images=images, arms=[], refused="", signed_for=[])


def _looked_into(rule: MttrRule, store: CampaignFolder, fact: CampaignFact) -> CampaignFact:
    from smartops_chaos.analysis import load

    try:
        checked = verification.verify(store)
        if checked.state != verification.VERIFIED:
            told = "; ".join(checked.problems[:3]) or checked.left or "an earlier version made it, or it is simulated"
            return {**fact, "refused": f"{checked.state}: {told}"}
        if checked.shard:
            return {**fact, "refused": f"it is a part of a campaign, shard {checked.shard}"}
        if rule.registered and not checked.registered:
            return {**fact, "refused": "its plan was not registered before the first trial: `run --register`"}
        if rule.public_key:
            fact["signed_for"] = sorted(_signed_for(store, Path(rule.public_key)))
        summary = load.campaign([store]).summary
    except (ChaosError, BadSignature) as error:
        return {**fact, "refused": str(error)}
    fact["arms"] = [
        ArmMttr(arm=str(one.arm), estimate_s=one.mttr.rmst_s, upper_s=one.mttr.hi)
        for one in summary.arms
        if not one.baseline and one.reference is None
    ]
    return fact


def _signed_for(store: CampaignFolder, public_key: Path) -> frozenset[str]:
    """The digests that the campaign's signed statement is about. Raises BadSignature, UsageError."""
    file = store.path / hash_list.STATEMENTS[1]
    try:
        found = statement.parse(envelope.verified(envelope.read(file), public_key))
    except FileNotFoundError:
        raise BadSignature(f"{file.name} is missing: `smartops-chaos attest` writes it") from None
    except ValueError as error:
        raise BadSignature(f"{file.name}: {error}") from None
    if statement.hash_list_of(found) != hash_list.sha256(store.path / hash_list.HASHES):
        raise BadSignature(f"{file.name} is about another state of the campaign")
    return statement.digests_of(found)


def judge_campaign(rule: MttrRule, answer: Any, running: Mapping[str, frozenset[str]], at_s: float) -> RuleResult:
    """`running`: the digests by container. Raises Unanswered if there is no campaign of them, Refused if it is bad."""
    try:
        facts = _FACTS.validate_python(answer)
    except ValidationError:
        raise Unanswered("what the campaigns' folder holds cannot be read") from None
    if not facts:
        raise Unanswered("there is no campaign: run one on this environment")
    if not running:
        raise Unanswered("which digests run is not known: add `golden.versions` with the image IDs")
    same = [one for one in facts if is_of(one["images"], running)]
    if not same:
        raise Unanswered(f"no campaign of the digests that run: {facts[0]['name']} had {facts[0]['images'] or 'none'}")
    newest = same[0]
    where = f"{newest['name']} ({newest['started']})"
    if newest["refused"]:
        raise Refused(f"{where} does not count: {newest['refused']}")
    unsigned = {one for digests in running.values() for one in digests} - set(newest["signed_for"])
    if rule.public_key and unsigned:
        raise Refused(f"{where}: its statement is not about {', '.join(sorted(unsigned))[:100]}")
    if (age_s := at_s - seconds(newest["started"])) > rule.max_age:
        raise Unanswered(f"{where} is older than {format_duration(rule.max_age)}: run a new one")
    if age_s < 0:
        raise Unanswered(f"{where} was begun after the moment that is judged")
    wanted = str(Arm(rule.arm.model, rule.arm.policy)) if rule.arm else ""
    arms = [one for one in newest["arms"] if not wanted or one["arm"] == wanted]
    if not arms:
        raise Unanswered(f"{where} has no arm {wanted or 'beside the baseline'}")
    told, closed = [], False
    for one in arms:
        value = one["upper_s"] if rule.require == "upper bound" else one["estimate_s"]
        if value is None:
            raise Unanswered(f"{where}: the MTTR of {one['arm']} has no {rule.require}")
        told.append(f"{one['arm']} {value:.1f} s")
        closed = closed or value >= rule.at_most
    why = f"{rule.require} of the MTTR by {where}: {', '.join(told)}; less than {format_duration(rule.at_most)} wanted"
    return RuleResult("mttr", "closed" if closed else "open", why)


def judge_gauge(rule: MttrRule, value_s: float, why_not: str, query: str) -> RuleResult:
    """`why_not`: why no campaign tells."""
    why = f"the monitor's MTTR is {value_s:.1f} s, less than {format_duration(rule.at_most)} wanted ({why_not})"
    return RuleResult("mttr", "open" if value_s < rule.at_most else "closed", why, None, query)


def is_of(images: str, running: Mapping[str, frozenset[str]]) -> bool:
    """Whether a campaign ran on the digests that run now: on those of every container that runs.

    A campaign notes the first twelve digits of a digest, in brackets; what stands before is the runtime's name for it,
    of an image that was pulled by digest an ID of its own.
    """
    known: dict[str, set[str]] = {}
    for one in images.split("; "):
        name, _, rest = one.partition(" ")
        known.setdefault(name, set()).update(word.strip("()") for word in rest.split() if word.startswith("(sha256:"))
    return all({digest[:_NOTED] for digest in digests} == known.get(name) for name, digests in running.items())
