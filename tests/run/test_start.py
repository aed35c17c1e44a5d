"""Which campaign a run goes on with."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartops_chaos import api
from smartops_chaos.errors import UsageError
from smartops_chaos.model import COLUMNS, Plan, Record
from smartops_chaos.plan.expand import as_before
from smartops_chaos.run.run_options import RunOptions
from smartops_chaos.run.start import open_store, prepare
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder


@pytest.fixture
def plan(matrix: Path) -> Plan:
    return api.plan(matrix)


def make(results: Path, name: str, plan: Plan, *, finished: bool) -> CampaignFolder:
    store = CampaignFolder(results / name)
    store.create(CampaignFile("small.yaml", "", plan, {}))
    for trial in plan.trials if finished else ():
        store.trial(trial.id).begin({}, ())
        store.trial(trial.id).write_record(Record({**dict.fromkeys(COLUMNS), "outcome": "clean"}, None))
    return store


def test_the_last_unfinished_campaign_of_the_name_goes_on(tmp_path: Path, plan: Plan) -> None:
    assert open_store(tmp_path, plan) == CampaignFolder(tmp_path / "small-1")
    make(tmp_path, "small-9", plan, finished=True)
    make(tmp_path, "small-10", plan, finished=False)
    make(tmp_path, "zeta", plan, finished=True)
    assert open_store(tmp_path, plan) == CampaignFolder(tmp_path / "small-10")


def test_after_a_finished_one_a_new_one_begins(tmp_path: Path, plan: Plan) -> None:
    make(tmp_path, "small-10", plan, finished=True)
    assert open_store(tmp_path, plan) == CampaignFolder(tmp_path / "small-11")


def test_a_campaign_planned_before_blocks_were_watched_goes_on_as_it_was(tmp_path: Path, matrix: Path) -> None:
    text = matrix.read_text(encoding="utf-8")
    matrix.write_text(text if "stop_after_good" in text else text + "stop_after_good: 4s\n", encoding="utf-8")
    options = RunOptions(repeats=5)
    plan = prepare(matrix, tmp_path, options).full
    assert any(trial.to_horizon for trial in plan.trials)
    store = make(tmp_path, f"{plan.name}-1", as_before(plan), finished=False)
    again = prepare(matrix, tmp_path, options)
    assert (again.store, again.full) == (store, store.read().plan)
    assert not any(trial.to_horizon for trial in again.selected.trials)


def test_a_changed_matrix_is_refused_and_names_stay_in_the_folder(tmp_path: Path, plan: Plan, matrix: Path) -> None:
    make(tmp_path, "small-1", plan, finished=False)
    matrix.write_text(matrix.read_text(encoding="utf-8").replace("250ms", "300ms"), encoding="utf-8")
    with pytest.raises(UsageError, match="changed since") as refused:
        open_store(tmp_path, api.plan(matrix))
    assert "--campaign small-2" in refused.value.hint
    for name in ("../x", "a/b", ".hidden"):
        with pytest.raises(UsageError, match="is not a name"):
            open_store(tmp_path, plan, name)
