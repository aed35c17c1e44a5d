"""Campaigns that are struck while they run; `benchmarks/survival.py` does the same at random, as often as one likes."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import survival

# What each exits with the first time. Each strikes 3 seconds into the trials; none of them cares what the target is.
# -2: the second Ctrl-C finds nothing of ours any more, only a Python that ends.
BLOWS = {"runner INT INT": {130, -2}, "runner HUP": {130}, "fork-server KILL": {0, 6}, "full-disk": {6}}
SEED = 1


def test_a_struck_campaign_is_whole_after_the_same_command_again(standins: Any, tmp_path: Path) -> None:
    blows = [blow for blow in BLOWS if blow in survival.blows()]
    folders = [tmp_path / str(number) for number in range(len(blows))]
    matrix = standins(repeats=1, lanes=2, least_s=4, most_s=4)
    for folder in folders:
        folder.mkdir()
        for file in ("healer.yaml", "nothing.yaml"):
            shutil.copy(matrix.with_name(file), folder)
        shutil.copy(matrix, folder / "struck.yaml")
    with ThreadPoolExecutor(len(blows)) as pool:
        rounds = list(pool.map(survival.survive, [SEED] * len(blows), folders, blows, [True] * len(blows)))
    assert {this.blow: this.problems for this in rounds} == {blow: [] for blow in blows}
    assert [(this.blow, this.codes[0]) for this in rounds if this.codes[0] not in BLOWS[this.blow]] == []
    assert all(this.hit for this in rounds)


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(cli: Any, matrix: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (["run", matrix], ["doctor", matrix]):
        done = cli(*command, "--results", tmp_path / "file" / "results")
        assert done.returncode == 4, done.stderr
        assert "cannot be written" in done.stdout + done.stderr
        assert "another folder with --results" in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {matrix.name, "file"}
