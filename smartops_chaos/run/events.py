"""What a running campaign says. The runner emits these and never prints; displays and events.ndjson consume them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from smartops_chaos.model import Outcome

CALIBRATION = "calibration"  # beside the outcomes in a count


def counted_as(outcome: str, phase: str) -> str:
    """The outcome; of a calibration trial that counts `calibration`, since the harness itself ended its fault."""
    return CALIBRATION if phase == "calibrate" and not Outcome(outcome).left_out else outcome


@dataclass(frozen=True, slots=True)
class CampaignStarted:
    campaign: str
    directory: str
    trials: int
    done: int
    lanes: tuple[str, ...]
    likely_s: float


@dataclass(frozen=True, slots=True)
class Preparing:
    """What the target does before the first trial can begin."""

    text: str


@dataclass(frozen=True, slots=True)
class TrialStarted:
    lane: str
    trial: str
    attempt: int


@dataclass(frozen=True, slots=True)
class PhaseReached:
    lane: str
    trial: str
    phase: str


@dataclass(frozen=True, slots=True)
class TrialFinished:
    lane: str
    trial: str
    outcome: str
    reason: str
    time_s: float | None
    took_s: float
    done: int
    trials: int
    detail: str = ""  # the reason in a sentence, where the trial does not count
    phase: str = "measure"


@dataclass(frozen=True, slots=True)
class LookTaken:
    look: int
    repeat: int  # after which it was
    stopped: tuple[str, ...]  # arms of which everything is decided
    spared: int  # trials that are not run for that
    trials: int  # of the campaign without those


@dataclass(frozen=True, slots=True)
class Warned:
    text: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Good to know, and nothing to mend."""

    text: str


@dataclass(frozen=True, slots=True)
class LaneBlocked:
    lane: str
    why: str


@dataclass(frozen=True, slots=True)
class CampaignFinished:
    campaign: str
    done: int
    trials: int
    outcomes: dict[str, int] = field(default_factory=dict)  # of this start, by `counted_as`
    stopped_by: str = ""  # "", "interrupted", "max-time", "unwritable", "invalid"


Event = (
    Preparing
    | CampaignStarted
    | TrialStarted
    | PhaseReached
    | TrialFinished
    | LookTaken
    | Warned
    | Noted
    | LaneBlocked
    | CampaignFinished
)


def as_dict(event: Event) -> dict[str, Any]:
    """One line of NDJSON: {"schema_version", "event", "at", ...}."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
    return {"schema_version": 1, "event": type(event).__name__, "at": at, **asdict(event)}
