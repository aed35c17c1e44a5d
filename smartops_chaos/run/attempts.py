"""One attempt at a trial, on a lane of this machine: from its intent on disk to its record, whatever its child does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from statistics import mean

from smartops_chaos.errors import ChaosError
from smartops_chaos.model import REFERENCE_HEALERS, Evidence, Plan, Record, Trial
from smartops_chaos.run import events
from smartops_chaos.schema import healerfile
from smartops_chaos.store import hash_list, registration
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets.base import LaneAddress, LaneLost, Target
from smartops_chaos.timeline.derive import derive
from smartops_chaos.trial import experiment
from smartops_chaos.trial.process import in_child, send_signal, undo

Say = Callable[[events.Event], None]


class Attempts:
    """The trials of one plan on the lanes of one target. Several threads may call it, each with a lane of its own."""

    def __init__(self, plan: Plan, store: CampaignFolder, target: Target, say: Say, where: str = "") -> None:
        """`where` goes before a lane's name in records: lanes of several machines have the same names."""
        self._plan, self._store, self._target, self._say, self._where = plan, store, target, say, where
        self._calibrations = [trial for trial in plan.trials if trial.phase == "calibrate"]
        self._registration = registration.digest(store)
        self._children: dict[str, int] = {}
        self._signal = 0

    def stop(self, number: int) -> None:
        """Send a signal to every child, and to each that still starts."""
        self._signal = number
        for pid in list(self._children.values()):
            send_signal(pid, number)

    def run(self, lane: LaneAddress, trial: Trial) -> tuple[Record, bool]:
        """The trial's record, and whether nothing of it is in force any more.

        Raises OSError if the campaign's folder cannot be written, LaneLost and ChaosError if the lane cannot go on.
        """
        lane = self._target.revive(lane)
        attempt = self._store.set_aside(trial.id)
        folder = self._store.trial(trial.id)
        job = self._job(lane, trial, attempt)
        folder.begin(experiment.build(job, self._plan.chaos[trial.chaos].parts), job.fault_ids)
        self._say(events.TrialStarted(lane.name, trial.id, attempt))
        code = self._child(lane, trial, folder)
        clean = True
        if folder.is_open():  # the child died, hung, or could not finish its own revert
            with suppress(ChaosError, LaneLost):  # should it not come up again, its next trial says so
                self._target.revive(lane)
            clean = undo(folder)
        record = folder.read_record() or self._record(folder, job, code)
        hash_list.seal_trial(folder.path, self._registration)
        return record, clean

    def _record(self, folder: TrialFolder, job: experiment.Job, code: int) -> Record:
        """The record of a trial whose process has died: by its evidence if that was complete, else of an error."""
        folder.tidy()
        try:
            evidence = folder.read_evidence()
        except (ChaosError, ValueError):
            why = f"the trial's process ended with code {code} before its record; see log.txt"
            evidence = _no_evidence(job, why, self._signal != 0)
            evidence = replace(evidence, requests=folder.requests())
            folder.write_evidence(evidence)
        record = derive(evidence, healerfile.restore(job.healer), job.campaign, job.chaos)
        folder.write_record(record)
        return record

    def _job(self, lane: LaneAddress, trial: Trial, attempt: int) -> experiment.Job:
        plan, chaos = self._plan, self._plan.chaos[trial.chaos]
        bare = replace(chaos, parts=tuple(replace(part, definition={}) for part in chaos.parts))
        model = plan.models[trial.model]
        healer = model.over(plan.policies[trial.policy]).get("healer")
        role = healer if healer in REFERENCE_HEALERS and trial.phase == "measure" else None
        if trial.phase == "calibrate" or role:  # nobody but the harness may end the fault
            model = replace(model, settings={**model.settings, "healer": "off"})
        prefix = f"{self._store.name}.{trial.id}.{attempt}"
        return experiment.Job(
            campaign=self._store.name,
            trial=trial,
            attempt=attempt,
            target=plan.target,
            lane=self._where + lane.name,
            environment=lane.environment,
            model=model,
            policy=plan.policies[trial.policy],
            chaos=bare,
            rate_per_s=plan.workloads[trial.workload].rate_per_s,
            slo=plan.analysis.slo,
            stop_after_good_s=plan.analysis.stop_after_good_s,
            reference=role,
            drain_s=self._drain_s(trial),
            healer=plan.healer,
            fault_ids=tuple(f"{prefix}.{part}" for part in range(len(chaos.parts))),
            digest=plan.digest,
        )

    def _drain_s(self, trial: Trial) -> float:
        """Mean drain of the scenario's calibration trials that are recorded by now; they come first."""
        scenario = trial.chaos, trial.workload
        ours = [one.id for one in self._calibrations if (one.chaos, one.workload) == scenario]
        rows = [row for name in ours if (row := self._store.row(name)) is not None]
        drains = [float(drain) for row in rows if isinstance(drain := row.get("drain_s"), int | float)]
        return mean(drains) if drains else 0.0

    def _child(self, lane: LaneAddress, trial: Trial, folder: TrialFolder) -> int:
        def phase(text: str) -> None:
            self._say(events.PhaseReached(lane.name, trial.id, text))

        def started(pid: int) -> None:
            self._children[lane.name] = pid
            if self._signal:
                send_signal(pid, self._signal)

        try:
            return in_child(folder, phase=phase, started=started)
        finally:
            self._children.pop(lane.name, None)


def _no_evidence(job: experiment.Job, why: str, aborted: bool) -> Evidence:
    return Evidence(
        trial=job.trial,
        attempt=job.attempt,
        lane=job.lane,
        started_at="",
        slo=job.slo,
        horizon_s=job.chaos.horizon_s,
        stop_after_good_s=job.stop_after_good_s,
        error=why,
        aborted=aborted,
    )
