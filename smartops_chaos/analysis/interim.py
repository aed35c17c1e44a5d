"""An interim look at a campaign that goes on: which arms have nothing left to decide.

At complete repeats, declared in the matrix, by e values (plan.look_schedule). An arm is decided when each of its
targets is proven or missed, or comes after a missed one, since then it can no more be proven. What was decided then is
decided: the final analysis judges the arm by the trials of that look, and so does every later one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from smartops_chaos.analysis.question import Question, of_plan
from smartops_chaos.analysis.summarise import competitors, measured_trials, others
from smartops_chaos.analysis.summary import Verdict
from smartops_chaos.analysis.table import from_records, numbers
from smartops_chaos.analysis.verdicts import ArmTests, conclude
from smartops_chaos.model import Plan, Stop
from smartops_chaos.plan.look_schedule import before_end
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.timeline.before import disturbed
from smartops_chaos.timeline.calibration import calibrations


@dataclass(frozen=True, slots=True)
class InterimLook:
    """What one look says of the arms that still ran."""

    stop: tuple[Stop, ...]
    verdicts: tuple[Verdict, ...]


def interim_look(table: pd.DataFrame, question: Question, number: int, repeat: int) -> InterimLook:
    """What the interim look `number` (from 1) decides, by the trials up to `repeat`, all of which are recorded.

    `question.stopped` names the arms of earlier looks. The last look stops nothing: it is the end. Raises UsageError
    like `summarise` if the baseline has no trial.
    """
    question, measured = measured_trials(table, question)
    measured = measured[numbers(measured, "repeat") <= repeat]
    tests, _, verdicts = conclude(measured, question, competitors(others(measured, question), question))
    running = [t for t in tests if t.arm not in question.stopped]
    stop = [t.arm for t in running if number < question.looks and _has_nothing_left(t, verdicts)]
    return InterimLook(
        stop=tuple(Stop(arm, number, repeat) for arm in stop),
        verdicts=tuple(v for v in verdicts if v.arm in {t.arm for t in running}),
    )


def _has_nothing_left(t: ArmTests, verdicts: Sequence[Verdict]) -> bool:
    found = {v.target: v.verdict for v in verdicts if v.arm == t.arm}
    for test in t.targets:
        if test.in_sequence and found[test.target] == "missed":
            return True
        if test.in_sequence and found[test.target] != "proven":
            return False
    return any(test.in_sequence for test in t.targets)


def rehearse(table: pd.DataFrame, question: Question, ends: Sequence[int]) -> Question:
    """The question with all that the looks after those repeats stop, by the table of a whole campaign."""
    for number, end in enumerate(ends, 1):
        found = {stop.arm: stop for stop in interim_look(table, question, number, end).stop}
        question = replace(question, stopped={**question.stopped, **found})
    return question


def take(store: CampaignFolder, number: int) -> tuple[Stop, ...]:
    """The arms that a look before the end stops, by the records of a campaign's directory; it writes nothing."""
    if _instrument_is_off(store, store.read().plan):
        return ()  # no verdict will be given, so nothing is decided
    return decided(store, number)


def decided(store: CampaignFolder, number: int) -> tuple[Stop, ...]:
    """What the trials up to a look say, now or whenever it was taken; it writes nothing."""
    plan = store.read().plan
    end = before_end(plan)[number - 1]
    ids = [trial.id for trial in plan.measured if trial.repeat <= end]
    found = {str(store.trial(name).record): record for name in ids if (record := store.record(name)) is not None}
    earlier = tuple(stop for look in store.looks()[: number - 1] for stop in look)
    return interim_look(from_records(found), of_plan(plan, earlier), number, end).stop


def _instrument_is_off(store: CampaignFolder, plan: Plan) -> bool:
    rows = [row for t in plan.trials if t.phase == "calibrate" and (row := store.row(t.id)) is not None]
    return bool(disturbed(store.disturbances())) or any(one.off for one in calibrations(rows))


if __name__ == "__main__":  # the process that is started for a look, or to see whether one was right: run.interim_looks
    look = decided if sys.argv[3:] == ["again"] else take
    print(json.dumps([asdict(stop) for stop in look(CampaignFolder(Path(sys.argv[1])), int(sys.argv[2]))]))
