"""The looks of a running campaign: when one is due, that it is taken once, and which trials it spares.

An interim look is due before the first trial beyond it, so lanes wait for each other there: a few seconds of the
campaign, and no trial that the decision has made superfluous. How it decides is statistics
(`analysis.interim`), which a runner does not load.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from pydantic import TypeAdapter

from smartops_chaos.errors import HarnessFailed
from smartops_chaos.model import Plan, Stop, Trial
from smartops_chaos.plan.look_schedule import before_end, spared
from smartops_chaos.run.events import LookTaken
from smartops_chaos.store.campaign_folder import CampaignFolder

_DECIDE = "smartops_chaos.analysis.interim"  # run as a program
Decide = Callable[[CampaignFolder, int], tuple[Stop, ...]]  # the look's number, from 1 -> the arms that it stops


def decide(store: CampaignFolder, look: int, *, again: bool = False) -> tuple[Stop, ...]:
    """The arms that a look stops, by the records on disk. Raises HarnessFailed.

    In a process of its own, which ends with it: a runner has no room for pandas, and Ctrl-C does not reach it.
    `again`: of one that was taken, whatever was found since to be wrong with the instrument.
    """
    command = [sys.executable, "-P", "-m", _DECIDE, str(store.path), str(look), *(["again"] if again else [])]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    if done.returncode:
        why = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise HarnessFailed(f"look {look} could not be taken: {why}", "mend the cause; the same command resumes")
    stops: tuple[Stop, ...] = TypeAdapter(tuple[Stop, ...]).validate_json(done.stdout)
    return stops


class InterimLooks:
    """The looks of one campaign. Not safe for threads: whoever calls it holds the lock of the lanes."""

    def __init__(self, plan: Plan, store: CampaignFolder, decide: Decide) -> None:
        """Raises UsageError if what was decided earlier cannot be read."""
        self._plan, self._store, self._decide = plan, store, decide
        self._ends = before_end(plan)
        self._taken = len(store.looks())
        self.spared = spared(plan, store.stops())

    @property
    def trials(self) -> int:
        """How many trials the campaign has without those that are spared."""
        return len(self._plan.trials) - len(self.spared)

    def due(self, trial: Trial) -> bool:
        """Whether a look comes before this trial; one of calibration has repeats of its own."""
        return trial.phase == "measure" and self._taken < len(self._ends) and trial.repeat > self._ends[self._taken]

    def take(self) -> LookTaken | None:
        """Decide, and write it down before anything follows from it. None: a trial has no result yet.

        Raises ChaosError if it cannot be decided, OSError if it cannot be written.
        """
        number, end = self._taken + 1, self._ends[self._taken]
        needed = [t for t in self._plan.measured if t.repeat <= end and t.id not in self.spared]
        if any(self._store.outcome(trial.id) is None for trial in needed):
            return None
        stops = self._decide(self._store, number)
        self._store.write_look(number, stops)
        self._taken = number
        before, self.spared = self.spared, spared(self._plan, self._store.stops())
        arms = tuple(str(stop.arm) for stop in stops)
        return LookTaken(number, end, arms, len(self.spared) - len(before), self.trials)
