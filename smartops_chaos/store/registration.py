"""What a campaign sets out to show, written down before its first trial (`run --register`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from smartops_chaos import __version__
from smartops_chaos.model import SCHEMA_VERSION, Arm, Goal, Plan
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.store.hash_list import sha256
from smartops_chaos.store.jsonfiles import OTHER_VERSION, adapter, read, write_atomically

_FILE = "register.json"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One target of one arm: that it is met is to be proven, at `alpha`, one-sided, corrected for all arms."""

    arm: Arm
    target: Goal
    at_least: float
    place: int  # in the sequence of targets: tested if those before it are proven


@dataclass(frozen=True, slots=True)
class Registration:
    registered: str  # UTC, ISO 8601
    plan_digest: str  # of all that changes what trials do or what is concluded from them
    matrix_sha256: str
    trials: int
    baseline: Arm
    alpha: float
    looks: int
    exclusions: str
    hypotheses: tuple[Hypothesis, ...]
    made_by: str = f"smartops-chaos {__version__}"
    schema_version: int = SCHEMA_VERSION


def of_plan(plan: Plan, matrix_text: str, at: str) -> Registration:
    """Pure."""
    rules = plan.analysis
    arms = sorted({trial.arm for trial in plan.measured} - {rules.baseline} - set(plan.references), key=str)
    wanted = {goal: float(getattr(rules.targets, goal)) for goal in rules.order if goal != "sla" or rules.sla}
    return Registration(
        registered=at,
        plan_digest=plan.digest,
        matrix_sha256=hashlib.sha256(matrix_text.encode()).hexdigest(),
        trials=len(plan.trials),
        baseline=rules.baseline,
        alpha=rules.alpha,
        looks=rules.looks,
        exclusions=rules.exclusions,
        hypotheses=tuple(
            Hypothesis(arm, goal, least, place) for arm in arms for place, (goal, least) in enumerate(wanted.items(), 1)
        ),
    )


def write(store: CampaignFolder, registration: Registration) -> None:
    write_atomically(store.path / _FILE, adapter(Registration).dump_json(registration, indent=1) + b"\n")


def read_registration(store: CampaignFolder) -> Registration | None:
    """None without one. Raises UsageError for one that cannot be read."""
    try:
        found: Registration = read(store.path / _FILE, Registration, OTHER_VERSION)
    except FileNotFoundError:
        return None
    return found


def digest(store: CampaignFolder) -> str:
    """SHA-256 of the file, in hex; empty without one."""
    file = store.path / _FILE
    return sha256(file) if file.exists() else ""
