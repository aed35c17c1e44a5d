"""Several faults at once, from the matrix through the experiment to the lane and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.store.campaign_folder import Store
from smartops_chaos.trial import experiment

pytestmark = pytest.mark.lab

STORM = """\
    storm:
      faults:
        - {fault: cpu-stress, load: 80%}
        - {fault: network-loss, loss: 30%}
        - {fault: memory-leak, size: 800MB, ramp: 1s}
"""


def test_three_faults_are_in_force_together_and_reverted_in_reverse_order(
    cli: Any, matrix: Path, tmp_path: Path
) -> None:
    text = matrix.read_text(encoding="utf-8").replace("    cpu: {fault: cpu-stress}\n", STORM)
    matrix.write_text(text.replace("after: 4s", "after: 2s"), encoding="utf-8")
    done = cli("run", matrix, "--only", "model=off")
    assert done.returncode == 0, done.stderr
    store = Store(tmp_path / "results" / "small-1")
    assert not store.open_ledgers()
    trial = store.trial("storm.steady.off.default.1")
    evidence = trial.read_evidence()
    calls = [(call.what, call.part) for call in evidence.calls if call.ok]
    parts = [call for call in calls if call[0] in ("inject", "confirm", "revert")]
    assert parts == [
        *(("inject", part) for part in range(3)),
        *(("confirm", part) for part in range(3)),
        *(("revert", part) for part in (2, 1, 0)),
    ]
    observed = next(call.at for call in evidence.calls if call.what == "observe")
    facts = {fact.part: fact for fact in evidence.faults}
    assert [facts[part].confirmed for part in range(3)] == [True] * 3
    # CPU stress is in its container; the leak is in another replica's, or took that container down.
    assert [facts[part].ended_by for part in (1, 2)] == ["harness"] * 2
    ended = {part: fact.ended.lo_ns for part, fact in facts.items() if fact.ended and fact.ended_by == "harness"}
    assert sorted(ended, key=lambda part: ended[part]) == sorted(ended, reverse=True)
    assert min(ended.values()) > observed.hi_ns
    assert len({name for fact in evidence.faults for name in fact.objects}) == 2
    configuration = json.loads((trial.path / "experiment.json").read_text(encoding="utf-8"))["configuration"]
    assert {configuration[f"f{part}_expires_s"] for part in range(3)} == {experiment.expires_s(2.0, 1.0)}
    row = json.loads((trial.path / "record.json").read_text(encoding="utf-8"))["row"]
    assert (row["family"], row["outcome"]) == ("cpu+memory+network", "unrecovered")
