"""What the exit code of a run says of the instrument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.errors import HarnessFailed
from smartops_chaos.model import Record
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.resources import shipped
from smartops_chaos.run.campaign import raise_for
from smartops_chaos.run.lanes import Result
from smartops_chaos.store.campaign_folder import CampaignFolder


@pytest.mark.parametrize(
    ("calibrated", "told"),
    [
        ({"outcome": "platform", "time_s": 4.1, "dating_error_s": 0.1}, ""),
        ({"outcome": "platform", "time_s": 7.0, "dating_error_s": 3.0}, "is off by +3.0 s"),
        ({"outcome": "unrecovered", "time_s": 12.0}, "did not recover by the horizon"),
    ],
)
def test_a_run_whose_instrument_is_off_or_whose_lane_does_not_recover_ends_with_6(
    calibrated: dict[str, Any], told: str, tmp_path: Path
) -> None:
    plan, store = load_plan(shipped("matrix", "quick.yaml")), CampaignFolder(tmp_path)
    for trial in plan.trials:
        ours = {"outcome": "healed", "time_s": 1.0} if trial.phase == "measure" else calibrated
        row = {"chaos": trial.chaos, "workload": trial.workload, "reason": "", "fault_end_s": 4.0, **ours}
        folder = store.trial(trial.id)
        folder.path.mkdir(parents=True)
        folder.write_record(Record(row | {"fault_end_by": "harness", "phase": trial.phase}, None))
    result = Result({}, "", (), ())
    if not told:
        raise_for(result, store, plan)
        return
    with pytest.raises(HarnessFailed, match="no verdict is given: the calibration of ") as failed:
        raise_for(result, store, plan)
    assert told in str(failed.value)
    assert failed.value.exit_code == 6
