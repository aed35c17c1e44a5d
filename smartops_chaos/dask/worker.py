"""What a Dask worker does for a campaign: it opens as many lanes as it offers, and runs each trial in a child process.

A worker has one pool of lanes for each campaign. The runner ends it; without a runner it ends itself, and a worker that
dies takes its lanes with it. The campaign's directory is shared by all machines, the lanes' own files are local.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from distributed import Worker, get_worker

from smartops_chaos import __version__
from smartops_chaos.errors import PreflightFailed
from smartops_chaos.model import Record
from smartops_chaos.run import events
from smartops_chaos.run.attempts import Attempts
from smartops_chaos.store.campaign_folder import CampaignFolder
from smartops_chaos.targets import kinds
from smartops_chaos.targets.base import LaneAddress
from smartops_chaos.trial.process import ensure_undone

RESOURCE = "lane"
_IDLE_S = 60.0  # lanes that no trial has wanted for so long belong to a runner that is gone
_END_S = 120.0  # for the rollbacks of the trials under way

# A task is only a function call to Dask: what lives from one task to the next has nowhere else to be. Tasks run in the
# worker's threads, and a pool's timer in another, so whoever looks at the pools holds the lock.
_pools: dict[str, _Pool] = {}
_lock = threading.Lock()


def topic(path: str) -> str:
    """Under which the scheduler passes on what the workers say of a campaign."""
    return f"smartops-chaos {path}"


async def check(path: str, digest: str, version: str, dask_worker: Worker) -> list[tuple[str, str]]:
    """Preflight of this worker: (what is wrong, how to mend it)."""
    found = []
    if version != __version__:
        found.append((f"it has smartops-chaos {__version__}, the runner {version}", "install the same version"))
    if multiprocessing.current_process().daemon:
        found.append(("its process may not have children", "start it with `dask worker --no-nanny`"))
    if dask_worker.state.nthreads < _offered(dask_worker):
        found.append(("it offers more lanes than it has threads", f"add `--nthreads {_offered(dask_worker)}`"))
    share = "let all machines have the results folder at the same path"
    try:
        plan = CampaignFolder(Path(path)).read().plan
    except Exception as error:  # whatever it is, this worker does not see what the runner sees
        return [*found, (f"it does not see the campaign: {error}", share)]
    if plan.digest != digest:
        found.append((f"it sees another campaign at {path}", share))
    return found + await asyncio.to_thread(kinds.check, plan, kinds.target(plan.target, _offered(dask_worker)))


def run(path: str, trial_id: str) -> tuple[Record, bool]:
    """A task: one trial on a free lane of this worker, as `Attempts.run`; one that is recorded is not run again."""
    with _pool(path) as pool:
        folder = pool.store.trial(trial_id)
        ensure_undone(folder)  # of a worker that died
        if record := folder.read_record():
            return record, True
        return pool.run(trial_id)


async def stop(path: str, number: int) -> None:
    """Send a signal to every child of the campaign on this worker, also to those whose lanes are just being opened."""

    def told() -> None:
        with _lock:
            if pool := _pools.get(path):
                pool.attempts.stop(number)

    await asyncio.to_thread(told)


async def end(path: str) -> None:
    """Close the campaign's lanes on this worker; trials under way revert first. Raises RevertFailed."""
    await asyncio.to_thread(_end, path)


class _Pool:
    """The lanes of one campaign on this worker. Raises PreflightFailed if they cannot be opened."""

    def __init__(self, path: str, worker: Worker) -> None:
        self.store = CampaignFolder(Path(path))
        self.tasks = 0
        self.idle = threading.Timer(_IDLE_S, _end, (path,))
        plan = self.store.read().plan
        self._trials = {trial.id: trial for trial in plan.trials}
        self._worker, self._lanes = worker, _offered(worker)
        self._target = kinds.target(plan.target, self._lanes)
        if problems := kinds.check(plan, self._target):
            raise PreflightFailed("; ".join(f"{what}: {hint}" for what, hint in problems))

        def say(event: events.Event) -> None:
            worker.log_event(topic(path), [type(event).__name__, asdict(event)])

        where = f"{str(worker.name).rpartition('/')[2]}/"
        self.attempts = Attempts(plan, self.store, self._target, say, where)
        # Dask clears away what a worker that died has left there.
        self._folder = Path(tempfile.mkdtemp(prefix="lanes-", dir=worker.local_directory))
        self._free: queue.SimpleQueue[LaneAddress] = queue.SimpleQueue()
        try:
            for lane in self._target.open(
                self._folder / "lanes", lambda text: say(events.Preparing(f"{where} {text}"))
            ):
                self._free.put(lane)
        except BaseException:
            self.close()
            raise

    def run(self, trial_id: str) -> tuple[Record, bool]:
        """A lane that fails, or that has something in force, gets no other trial."""
        lane, usable = self._free.get(), False
        try:
            record, usable = self.attempts.run(lane, self._trials[trial_id])
            return record, usable
        finally:
            if usable:
                self._free.put(lane)
            else:
                self._lanes -= 1
                self._worker.loop.add_callback(self._worker.set_resources, **{RESOURCE: self._lanes})

    def close(self) -> None:
        self._target.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _pool(path: str) -> Iterator[_Pool]:
    with _lock:
        if path not in _pools:
            _pools[path] = _Pool(path, get_worker())
        pool = _pools[path]
        pool.tasks += 1
        pool.idle.cancel()
    try:
        yield pool
    finally:
        with _lock:
            pool.tasks -= 1
            if not pool.tasks:
                pool.idle = threading.Timer(_IDLE_S, _end, (path,))
                pool.idle.daemon = True
                pool.idle.start()


def _end(path: str) -> None:
    with _lock:
        pool = _pools.pop(path, None)
    if pool is None:
        return
    pool.idle.cancel()
    pool.attempts.stop(signal.SIGINT)
    deadline = time.monotonic() + _END_S
    while pool.tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    pool.close()


def _offered(worker: Worker) -> int:
    return int(worker.state.total_resources.get(RESOURCE, 0))
