"""Lanes on other machines: `run --scheduler ADDRESS`, with the workers of a Dask cluster.

    dask scheduler --host 10.0.0.1
    dask worker tcp://10.0.0.1:8786 --no-nanny --nthreads 2 --resources "lane=2"     # on each machine

The runner is the same, but each of its threads hands its trial to the scheduler instead of a child. The scheduler gives
it to a worker with a free lane, and to another one when that worker dies. See `dask.worker` for what happens there.
"""

from __future__ import annotations

import re
import threading
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Client

from smartops_chaos import __version__
from smartops_chaos.dask import worker as far_side
from smartops_chaos.dask.worker import RESOURCE
from smartops_chaos.errors import HarnessFailed, PreflightFailed, UsageError
from smartops_chaos.model import Plan, Record, Trial
from smartops_chaos.run import events
from smartops_chaos.run.attempts import Say
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.targets.base import LaneAddress, Target, Tell, silent
from smartops_chaos.trial.process import ensure_undone

_CONNECT_S = 10.0
_LOOK_S = 5.0  # how often a trial that nobody has finished asks whether there are workers left


class Workers(Target):
    """The workers that offer lanes. Raises UsageError, PreflightFailed when there is no scheduler."""

    def __init__(self, address: str, plan: Plan, store: CampaignFolder, most: int | None) -> None:
        self._plan, self._path, self._most = plan, str(store.path.resolve()), most
        self.address = address
        if not re.fullmatch(r"((tcp|tls)://)?[^/\s]+:\d+", address):
            raise UsageError(
                f"--scheduler {address} is no address", "write it as `dask scheduler` prints it: tcp://HOST:PORT"
            )
        if plan.target["kind"] == "kubernetes":
            what = "the lanes of a cluster are its namespaces, which one runner reaches all"
            raise PreflightFailed(what, "leave out --scheduler, and name them in `target.lanes`")
        try:
            self.client: Any = Client(  # type: ignore[no-untyped-call]
                address, timeout=_CONNECT_S, set_as_default=False, name="smartops-chaos"
            )
        except (OSError, ValueError) as error:
            hint = "start one with `dask scheduler`; it prints its address"
            raise PreflightFailed(f"no Dask scheduler answers at {address}: {error}", hint) from None

    def lanes(self) -> dict[str, int]:
        """Workers that offer lanes, and how many. Raises OSError when the scheduler is gone."""
        found = self.client.scheduler_info(n_workers=-1)
        if "workers" not in found:
            raise ConnectionError("it is gone")
        offers = {address: int(worker["resources"].get(RESOURCE, 0)) for address, worker in found["workers"].items()}
        return {address: lanes for address, lanes in offers.items() if lanes}

    def check(self) -> list[tuple[str, str]]:
        workers = list(self.lanes())
        if not workers:
            return [("no worker offers a lane", 'dask worker ADDRESS --no-nanny --nthreads 2 --resources "lane=2"')]
        told = self.client.run(
            far_side.check, self._path, self._plan.digest, __version__, workers=workers, on_error="return"
        )
        found = []
        for address, problems in told.items():
            if isinstance(problems, BaseException):
                problems = [(repr(problems), "install the same smartops-chaos on every worker")]
            found += [(f"worker {address}: {what}", hint) for what, hint in problems]
        return found

    def clear(self, directory: Path) -> None:
        """Lanes of a runner that was killed may still be at work."""
        del directory
        self._end()

    def open(self, directory: Path, say: Tell = silent) -> Sequence[LaneAddress]:
        """One thread of the runner for each lane; which of them a trial gets is the scheduler's to say."""
        del directory, say
        lanes = sum(self.lanes().values())
        return [LaneAddress("dask", f"lane-{number + 1}", {}) for number in range(min(lanes, self._most or lanes))]

    def revive(self, lane: LaneAddress) -> LaneAddress:
        return lane

    def close(self) -> None:
        """A worker without a scheduler ends by itself, and its lanes with it."""
        with suppress(OSError, TimeoutError):
            self._end()
        self.client.close()

    def restore(self, directory: Path) -> list[str]:
        del directory
        return []

    def attempts(self, say: Say) -> RemoteAttempts:
        return RemoteAttempts(self, self._path, say)

    def _end(self) -> None:
        """Close the lanes of this campaign. Raises RevertFailed."""
        self.client.run(far_side.end, self._path, workers=list(self.lanes()))


class RemoteAttempts:
    """What `run.attempts.Attempts` does here, done on the workers."""

    def __init__(self, workers: Workers, path: str, say: Say) -> None:
        self._workers, self._path, self._say = workers, path, say
        self._store = CampaignFolder(Path(path))
        self._lanes: dict[str, str] = {}  # trial -> lane of the runner, in whose name events are shown
        self._stopped = False
        self._alone = False
        workers.client.subscribe_topic(far_side.topic(self._path), self._heard)

    def stop(self, number: int) -> None:
        """Called by a signal handler, which must not wait for the network."""
        self._stopped = True
        arguments = (far_side.stop, self._path, number)
        threading.Thread(target=self._workers.client.run, args=arguments, daemon=True).start()

    def run(self, lane: LaneAddress, trial: Trial) -> tuple[Record, bool]:
        """Raises HarnessFailed when no worker can carry out the trial, RevertFailed, and what the worker raised."""
        if self._store.trial(trial.id).row() is not None:
            self._store.set_aside(trial.id)  # to be run again: for a worker a record means that the trial is done
        self._lanes[trial.id] = lane.name
        done = threading.Event()
        future = self._workers.client.submit(
            far_side.run, self._path, trial.id, resources={RESOURCE: 1}, pure=False, key=f"{trial.id}-{id(done)}"
        )
        future.add_done_callback(lambda _: done.set())
        try:
            while not done.wait(_LOOK_S):
                self._look(future)
            found: tuple[Record, bool] = future.result()
            return found
        except (Exception, CancelledError) as error:
            ensure_undone(self._store.trial(trial.id))  # whoever had the trial is gone or could not go on
            if future.status == "error":
                raise
            why = f"the Dask scheduler at {self._workers.address} is lost: {getattr(error, 'reason', error)}"
            raise HarnessFailed("stopped while no worker was there" if self._stopped else why) from error

    def _look(self, future: Any) -> None:
        """Without workers the scheduler waits for new ones; a person may not want to."""
        alone = not self._workers.lanes()
        if alone and self._stopped:
            future.cancel()  # which ends the wait
            return
        if alone and not self._alone:
            self._say(events.Warned("no worker offers a lane any more: waiting for one"))
        self._alone = alone

    def _heard(self, event: tuple[float, tuple[str, dict[str, Any]]]) -> None:
        kind, told = event[1]
        lane = self._lanes.get(told["trial"], told["lane"])
        self._say(getattr(events, kind)(**{**told, "lane": lane}))
