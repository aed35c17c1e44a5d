"""Play the stored rollbacks of a trial again, from any process, and judge whether anything is left in force."""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from typing import Any

from chaoslib.experiment import run_experiment
from chaoslib.types import Strategy

from smartops_chaos.errors import RevertFailed
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress, LaneEnded, LaneLost
from smartops_chaos.trial import experiment
from smartops_chaos.trial.activities import failure, reasons, undone, what_and_part

_OURS = "smartops_chaos.faults."

logger = logging.getLogger("smartops_chaos")


def play(trial: TrialFolder, content: dict[str, Any], job: experiment.Job) -> bool:
    """Returns when nothing is in force: whether the ledger could be made to say so. Raises RevertFailed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    left = experiment.undo(content, undone(trial))
    journal = run_experiment(left, settings=experiment.SETTINGS, strategy=Strategy.SKIP)
    why = unreverted(journal, left, reasons(trial))
    if why and _over_with_its_lane(journal, left, job):
        logger.warning("%s; but the lane has ended, and with it all that the fault hits", why)
    elif why:
        raise RevertFailed(f"{trial.path.name}: {why}")
    try:
        trial.close()
    except OSError as error:
        logger.error("phase reverted, but that could not be written down: %s", error)
        return False
    return True


def unreverted(journal: dict[str, Any], content: dict[str, Any], noted: Mapping[str, str]) -> str:
    """Why a fault may be in force by what became of the rollbacks; empty if each of them succeeded.

    `noted` is what the control has noted of each, by its own tolerance; without that the journal tells.
    """
    played = journal.get("rollbacks", [])
    reverts = [(run, noted.get(run["activity"]["name"])) for run in played]
    failed = [why for run, told in reverts if (why := failure(run) if told is None else told)]
    if not failed and len(played) == len(content.get("rollbacks", ())):
        return ""
    return "; ".join(failed) or "not all rollbacks were played"


def _over_with_its_lane(journal: dict[str, Any], content: dict[str, Any], job: experiment.Job) -> bool:
    """Whether the lane is gone for good and each fault that could not be undone was in it: one of ours, which touch
    nothing else, or one whose file says so by its `hits`."""
    try:
        kinds.connect(job.target, LaneAddress(job.target["kind"], job.lane, job.environment)).leaks()
        return False
    except LaneEnded:
        pass
    except LaneLost:
        return False
    hits = content["extensions"][0].get("hits", [])
    played = journal.get("rollbacks", [])
    failed = [run["activity"] for run in played if failure(run)]

    def was_in_it(activity: dict[str, Any]) -> bool:
        part = what_and_part(activity["name"])[1]
        ours = str(activity["provider"].get("module", "")).startswith(_OURS)
        return ours or (0 <= part < len(hits) and bool(hits[part]))

    return len(played) == len(content["rollbacks"]) and all(map(was_in_it, failed))
