"""One trial, in a process of its own: `python -m smartops_chaos.trial.child DIR`.

Chaos Toolkit keeps state in its module and takes over signals, so a process runs one experiment and no second.
A preloaded fork server makes that cheap; by hand the same module runs on the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import logging
import multiprocessing
import os
import platform
import select
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chaoslib.experiment import ensure_experiment_is_valid, run_experiment
from chaoslib.log import configure_logger
from chaoslib.types import Strategy
from pydantic import TypeAdapter

from smartops_chaos.clock import Clock, utc_now
from smartops_chaos.errors import UNWRITTEN, ChaosError, RevertFailed
from smartops_chaos.loopback import never_proxied
from smartops_chaos.model import MOST_FALSE_ALARMS, ClockOffset, Evidence
from smartops_chaos.schema import healerfile
from smartops_chaos.store import trial_folder
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import Lane, LaneAddress, LaneLost
from smartops_chaos.timeline.derive import derive
from smartops_chaos.trial import evidence, experiment, protocol, rollbacks, workload
from smartops_chaos.trial.activities import calls, reasons

_PATIENCE_S = 30.0  # for another process in the same folder
_JOB: TypeAdapter[experiment.Job] = TypeAdapter(experiment.Job)

logger = logging.getLogger("smartops_chaos")

# chaosprometheus imports a module that only Chaos Toolkit's logger set-up plants. Both are imported here, not where
# they are used, so that the fork server has them before the first trial.
configure_logger()
for _name in ("chaosprometheus.probes", "aiohttp"):
    importlib.import_module(_name)
trial_folder.warm()
platform.platform()  # the journal names it; the first call asks another program


def child(directory: str, said: Connection, undo: bool) -> None:
    """Entry of the forked process. Phases go to the parent through `said`; the result is on disk."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    trial = TrialFolder(Path(directory))
    # A Ctrl-C in a terminal goes to every process of the foreground group. This one leaves the group, so that the
    # runner alone gets it and decides who is stopped.
    os.setpgid(0, 0)
    try:
        with trial.held(_patience_s(trial) if undo else _PATIENCE_S):
            sys.exit(run(trial, _Forward(said), undo=undo, parent=parent.sentinel))
    except KeyboardInterrupt:  # before anything was begun
        sys.exit(1)
    except ChaosError as error:
        with contextlib.suppress(OSError), trial.log.open("a", encoding="utf-8") as out:
            out.write(f"{utc_now()} ERROR smartops_chaos: {error}: {error.hint}\n")
        sys.exit(RevertFailed.exit_code if undo else 1)


def _patience_s(trial: TrialFolder) -> float:
    """How long another process is waited for that may be at the same rollbacks."""
    try:
        return experiment.limits(trial.read_experiment()).undo_s
    except (ChaosError, KeyError, TypeError, ValueError):
        return _PATIENCE_S


def run(trial: TrialFolder, *handlers: logging.Handler, undo: bool = False, parent: int | None = None) -> int:
    """Run or undo the trial in `trial`: an exit code.

    0: done; 5: something may still be in force; 6: undone, but the ledger could not be written; 1: it came to nothing.
    `parent` is a pipe that the runner holds: once it is gone, the trial reverts and ends without a record, as nobody
    waits for one.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not fill the terminal
    logs = [logging.getLogger(name) for name in ("chaostoolkit", "smartops_chaos")]
    for log in logs:
        log.handlers, log.propagate = list(handlers), False
        log.setLevel(logging.INFO)
    try:
        with contextlib.suppress(OSError):  # no log is no reason to leave a fault in force
            file = logging.FileHandler(trial.log, encoding="utf-8")
            file.setFormatter(_utc())
            for log in logs:
                log.addHandler(file)
        content = trial.read_experiment()
        job = _JOB.validate_python(content["extensions"][0]["job"])
        os.environ.update(job.environment)
        never_proxied(os.environ)
        os.environ["SMARTOPS_TRIAL_DIR"] = str(trial.path)
        if undo:
            return 0 if rollbacks.play(trial, content, job) else UNWRITTEN
        _Child(trial, content, job, parent).run()
    except RevertFailed as error:
        logger.error("%s", error)
        return error.exit_code
    except (OSError, KeyboardInterrupt) as error:
        logger.error("phase stopped: %s", error or "interrupted")
        return 1
    except Exception as error:  # the boundary: a damaged file, whose kinds nobody can list
        hint = f": {error.hint}" if isinstance(error, ChaosError) else ""
        logger.error("what is in force is not known: %s: %s%s", type(error).__name__, error, hint)
        return RevertFailed.exit_code if undo else 1
    return 0


class _Child:
    """A trial from its experiment to its record. Raises RevertFailed, after the record is written."""

    def __init__(self, trial: TrialFolder, content: dict[str, Any], job: experiment.Job, parent: int | None) -> None:
        self._trial, self._content, self._job, self._parent = trial, content, job, parent
        self._healer = healerfile.restore(job.healer)
        self._interrupted = False
        self._alarms = 0
        self._unreverted = "no rollback was played"
        self._started_at = utc_now()

    def run(self) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        self._watch_parent()
        error, dirty, evidence, lane = "", "", None, None
        clock = self._trial.start_clock()  # what an earlier attempt has noted is gone with it
        try:
            environment = {**self._job.environment, "SMARTOPS_TRIAL_DIR": str(self._trial.path)}
            address = LaneAddress(self._job.target["kind"], self._job.lane, environment)
            lane = kinds.connect(self._job.target, address)
            ensure_experiment_is_valid(self._content)
            clock, clocks = self._until_quiet(lane)
            evidence = self._collect(lane, clock, clocks)
            dirty = ", ".join(lane.leaks())
        except LaneLost as lost:
            error = f"the lane was lost: {lost}"
            logger.error("%s", error)
        except KeyboardInterrupt:
            pass  # `_interrupted` says it, and the record says aborted
        except Exception as failure:  # the boundary: whatever it was, the trial needs an honest record
            logger.exception("the trial failed")
            error = f"{type(failure).__name__}: {failure}"
        finally:
            workload.stop()
            if lane is not None:
                lane.unwatch()
        _ignore_stop_signals()
        if self._orphaned():
            return  # the ledger stays open: the next start plays the rollbacks again and repeats the trial
        if evidence is None:
            known: dict[str, Any] = {
                "requests": self._trial.requests(),
                "calls": calls(self._trial),
                "error": error,
            }
            evidence = Evidence(**self._known(), **known)
        self._trial.write_evidence(evidence)
        record = derive(self._trial.read_evidence(), self._healer, self._job.campaign, self._job.chaos)
        if not (error or dirty or self._unreverted):
            self._trial.close()
        self._trial.write_record(record)
        if dirty or (self._unreverted and not error):
            raise RevertFailed(f"still in force after its rollbacks: {dirty or self._unreverted}")

    def _until_quiet(self, lane: Lane) -> tuple[Clock, tuple[ClockOffset, ...]]:
        """Arm, reset and run; again from the reset after a false alarm, so that nothing of it carries over."""
        logger.info("phase reset")
        lane.apply(self._job.model, self._job.policy)
        while True:
            clock = self._trial.start_clock()
            lane.reset()
            clocks = lane.clocks("start", clock)
            self._unreverted = "the experiment was cut off"
            journal = run_experiment(
                self._content, settings=experiment.SETTINGS, strategy=Strategy.from_string(experiment.STRATEGY)
            )
            self._unreverted = rollbacks.unreverted(journal, self._content, reasons(self._trial))
            workload.stop()
            self._trial.write_journal(journal)
            gate = [call for call in calls(self._trial) if call.what == "gate"]
            missed = bool(gate) and gate[-1].output is False
            if not missed or self._interrupted or not self._false_alarm(lane):
                return clock, clocks
            self._alarms += 1
            if self._alarms >= MOST_FALSE_ALARMS:
                return clock, clocks
            logger.info("phase reset again after a false alarm")

    def _false_alarm(self, lane: Lane) -> bool:
        _, since_ns = self._trial.clock()
        alarms = self._content["steady-state-hypothesis"]["probes"][0]["provider"]["arguments"]["alarms"]
        return bool(protocol.alarm(lane, since_ns, alarms))

    def _collect(self, lane: Lane, clock: Clock, start: tuple[ClockOffset, ...]) -> Evidence:
        """Everything a record is derived from, asked of the lane and read from the trial's folder."""
        noted = calls(self._trial)
        _, since_ns = self._trial.clock()
        observed = [call for call in noted if call.what == "observe" and call.ok]
        output: dict[str, Any] = observed[-1].output if observed else {"until_ns": 0, "early": False}
        now = clock if observed and not self._interrupted else None
        # The last H of the observation only shows that health has lasted, or that it is not back by the horizon.
        needed_ns = output["until_ns"] - round(self._job.slo.hold_s * 1e9)
        sources = evidence.collect(lane, self._healer, start, since_ns, needed_ns, now)
        ours = ("gate", "observe")
        failed = [call for call in noted if call.what in ours and not call.ok and not self._interrupted]
        load = self._trial.lane_load()
        told = Evidence(
            **self._known(),
            requests=self._trial.requests(),
            observed_until_ns=output["until_ns"],
            stopped_early=output["early"],
            gate_passed=any(call.what == "gate" and call.output is True for call in noted),
            calls=noted,
            faults=evidence.fault_facts(lane, self._job.fault_ids, self._content["extensions"][0]["hits"], noted),
            platform=lane.platform(since_ns),
            clocks=(*start, *lane.clocks("end", clock), *_wall(clock)),
            **sources,
            service_ms=load.get("service_ms"),
            work_ms=load.get("work_ms"),
            utilisation=load.get("utilisation"),
            error=failed[0].error if failed else "",
        )
        return evidence.with_spans(lane, told, self._healer, self._job.chaos)

    def _known(self) -> dict[str, Any]:
        job = self._job
        return {
            "trial": job.trial,
            "attempt": job.attempt,
            "lane": job.lane,
            "started_at": self._started_at,
            "slo": job.slo,
            "horizon_s": job.chaos.horizon_s,
            "stop_after_good_s": job.stop_after_good_s,
            "drain_s": job.drain_s,
            "gate_false_alarms": self._alarms,
            "aborted": self._interrupted,
            "traced": not job.slo.query,
        }

    def _watch_parent(self) -> None:
        """Have the kernel send SIGIO when the runner is gone, however it ended: then its end of this pipe closes.

        No thread waits on the pipe instead, because the workload is a fork of this process, and a fork beside a running
        thread may inherit a lock that nobody ever releases. SIGIO is handled like a Ctrl-C: the rollbacks follow.
        """
        if self._parent is None:
            return
        signal.signal(signal.SIGIO, self._interrupt)
        fcntl.fcntl(self._parent, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._parent, fcntl.F_SETFL, fcntl.fcntl(self._parent, fcntl.F_GETFL) | os.O_ASYNC)
        if self._orphaned():
            raise KeyboardInterrupt

    def _orphaned(self) -> bool:
        return self._parent is not None and bool(select.select([self._parent], [], [], 0)[0])

    def _interrupt(self, *_: object) -> None:
        """The first signal ends the experiment: KeyboardInterrupt is what makes Chaos Toolkit play its rollbacks.

        Nothing may interrupt those, so further signals are ignored.
        """
        _ignore_stop_signals()
        self._interrupted = True
        raise KeyboardInterrupt


def _ignore_stop_signals() -> None:
    """From here on the trial ends by itself: neither Ctrl-C nor the runner's end may cut off an undo or a record."""
    for number in (signal.SIGINT, signal.SIGIO):
        signal.signal(number, signal.SIG_IGN)


def _wall(clock: Clock) -> tuple[ClockOffset, ...]:
    """The wall clock against ours, which was anchored to it: a step shows as an offset."""
    low, high = clock.wall_bounds_ns()
    return (ClockOffset("wall", "start", 0, 0), ClockOffset("wall", "end", low, high))


class _Forward(logging.Handler):
    """Phases to the parent, who shows them."""

    def __init__(self, said: Connection) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("phase "):
            with contextlib.suppress(OSError):  # nobody listens any more; the log has it
                self._said.send(message.removeprefix("phase "))


def _utc() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


if __name__ == "__main__":
    sys.exit(run(TrialFolder(Path(sys.argv[1]).resolve()), logging.StreamHandler()))
