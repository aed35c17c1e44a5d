"""Lanes on the workers of a real Dask cluster on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.store.campaign_folder import CampaignFolder

pytest.importorskip("distributed", reason="the extra `dask` is not installed")


class Cluster:
    """A scheduler and its workers; all of them end with the test."""

    def __init__(self, folder: Path, stack: ExitStack, until: Any) -> None:
        self._folder, self._stack = folder, stack
        file = folder / "scheduler.json"
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
        until(lambda: file.exists() and file.stat().st_size)
        self.address = json.loads(file.read_text(encoding="utf-8"))["address"]

    def worker(self, name: str, lanes: int) -> subprocess.Popen[bytes]:
        threads = ("--nthreads", lanes, "--resources", f"lane={lanes}", "--local-directory", self._folder / "scratch")
        return self._start(name, "worker", self.address, "--name", name, "--no-nanny", *threads)

    def lanes(self) -> int:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return int(sum(worker["resources"].get("lane", 0) for worker in workers))

    def _start(self, name: str, *arguments: object) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).with_name("dask")
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        command = [str(program), *map(str, arguments), "--no-dashboard"]
        process = self._stack.enter_context(
            subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, env={**os.environ})
        )
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def cluster(tmp_path: Path, standins: Any, until: Any) -> Iterator[Cluster]:
    del standins  # sets what the workers need to find the stand-in
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack, until)


def test_a_killed_workers_trials_run_again_elsewhere_and_all_are_recorded_once(
    cli: Any, start: Any, standins: Any, cluster: Cluster, until: Any, rows: Any, tmp_path: Path
) -> None:
    workers = {name: cluster.worker(name, 2) for name in ("a", "b")}
    until(lambda: cluster.lanes() == 4)
    matrix = standins(repeats=2, lanes=4, least_s=1, most_s=2)
    runner = start("run", matrix, "--scheduler", cluster.address)
    campaign = tmp_path / "results" / "standin-1"

    def observed_by(name: str) -> list[Path]:
        """Trials that this worker is in the middle of."""
        found = []
        for log in campaign.glob("trials/*/log.txt"):
            job = json.loads(log.with_name("experiment.json").read_text(encoding="utf-8"))["extensions"][0]["job"]
            under_way = "phase observe" in log.read_text(encoding="utf-8") and not CampaignFolder(campaign).outcome(
                log.parent.name
            )
            if under_way and job["lane"].startswith(f"{name}/"):
                found.append(log.parent)
        return found

    until(lambda: observed_by("a"))
    workers["a"].kill()
    said, _ = runner.communicate(timeout=90)
    assert runner.returncode == 0, said
    found = rows(campaign)
    assert set(found) == {trial.id for trial in api.plan(matrix).trials}
    assert not CampaignFolder(campaign).open_ledgers()
    aside = {folder.name.partition("~")[0] for folder in campaign.glob("trials/*~1")}
    assert aside
    assert all(found[name]["attempt"] == 2 and found[name]["lane"].startswith("b/") for name in aside)
    assert not list(campaign.glob("trials/*~*/record.json"))
    assert "8 records unchanged, 0 changed" in cli("derive", campaign).stdout

    here = cli("run", matrix, "--campaign", "here")
    assert here.returncode == 0, here.stderr
    ours = rows(campaign.with_name("here"))
    assert {name: row["outcome"] for name, row in found.items()} == {name: row["outcome"] for name, row in ours.items()}
    assert found.keys() == ours.keys()


def test_an_arm_that_a_look_has_stopped_is_given_to_no_worker(
    cli: Any, looking: Any, cluster: Cluster, until: Any, rows: Any, tmp_path: Path
) -> None:
    cluster.worker("a", 2)
    until(lambda: cluster.lanes() == 2)
    done = cli("run", looking(), "--scheduler", cluster.address)
    assert done.returncode == 0, done.stderr
    assert "look 1, after 5 repeats: off decided, 10 trials are spared" in done.stderr
    found = rows(tmp_path / "results" / "standin-1").values()
    assert Counter(row["model"] for row in found) == {"on": 20, "other": 20, "off": 10}


def test_what_a_worker_lacks_is_told_before_anything_runs(
    cli: Any, standins: Any, cluster: Cluster, until: Any, tmp_path: Path
) -> None:
    matrix = standins(repeats=1, lanes=1)
    none = cli("run", matrix, "--scheduler", cluster.address)
    assert none.returncode == 4
    assert "no worker offers a lane" in none.stderr
    program = Path(sys.executable).with_name("dask")
    arguments = ("worker", cluster.address, "--nthreads", "1", "--resources", "lane=2", "--no-dashboard")
    with subprocess.Popen(
        [program, *arguments], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as nanny:
        until(lambda: cluster.lanes() == 2)
        refused = cli("run", matrix, "--scheduler", cluster.address)
        nanny.terminate()
    assert refused.returncode == 4
    assert "start it with `dask worker --no-nanny`" in refused.stderr
    assert "add `--nthreads 2`" in refused.stderr
    assert not list(tmp_path.glob("results/*/trials/*"))
