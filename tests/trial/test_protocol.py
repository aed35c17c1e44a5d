"""What the control makes of an activity's answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import InterruptExecution

from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.trial import protocol

ANSWER = {"status": 200, "body": '{"on": true, "load": 0.9, "nodes": [1, 2]}'}

WITHIN: list[tuple[Any, Any]] = [
    (200, ANSWER),
    ([200, 204], ANSWER),
    ("${word}", "yes"),
    ({"type": "regex", "pattern": "lo.d", "target": "body"}, ANSWER),
    ({"type": "range", "range": [0.5, 1]}, 0.9),
    ({"type": "jsonpath", "path": "$.on", "expect": [True], "target": "body"}, ANSWER),
    ({"type": "jsonpath", "path": "$.nodes[*]", "count": 2, "target": "body"}, ANSWER),
    (
        {"type": "probe", "name": "n", "provider": {"type": "python", "module": "judge_of_answers", "func": "long"}},
        "abc",
    ),
]
OUTSIDE: list[tuple[Any, Any, str]] = [
    (204, ANSWER, "is not within the tolerance 204"),
    ({"type": "regex", "pattern": "x"}, {"no": "text"}, "TypeError"),  # cannot be compared: told, not swallowed
    ({"type": "jsonpath", "path": "$.off", "target": "body"}, ANSWER, "is not within the tolerance"),
    ({"type": "range", "range": [0, 1]}, None, "TypeError"),
]


def ended(tmp_path: Path, name: str, tolerance: Any, output: Any) -> tuple[TrialFolder, dict[str, Any]]:
    trial = TrialFolder(tmp_path)
    trial.start_clock()
    context = {"name": name, "tolerance": tolerance}
    protocol.before_activity_control(context, {"trial_dir": str(tmp_path)}, limit_s=5)
    return trial, {
        "context": context,
        "state": {"status": "succeeded", "output": output},
        "configuration": {"trial_dir": str(tmp_path), "word": "yes"},
        "secrets": {},
    }


@pytest.mark.parametrize(("tolerance", "output"), WITHIN, ids=str)
def test_every_kind_of_tolerance_is_obeyed(
    tmp_path: Path, tolerance: Any, output: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judge_of_answers.py").write_text("def long(value): return len(value) > 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    trial, given = ended(tmp_path, "confirm", tolerance, output)
    protocol.after_activity_control(**given)
    assert trial.notes()[-1]["ok"]


@pytest.mark.parametrize(("tolerance", "output", "why"), OUTSIDE, ids=str)
@pytest.mark.parametrize("name", ["inject", "confirm"])
def test_what_is_outside_or_cannot_be_compared_ends_the_trial_with_its_reason(
    tmp_path: Path, name: str, tolerance: Any, output: Any, why: str
) -> None:
    trial, given = ended(tmp_path, name, tolerance, output)
    with pytest.raises(InterruptExecution):
        protocol.after_activity_control(**given)
    assert why in trial.notes()[-1]["error"]
