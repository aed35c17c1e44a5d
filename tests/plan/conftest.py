"""A matrix that is in order, and changes of it that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MATRIX = """\
version: 1
name: trial
target: {kind: lab, lanes: 2}
factors:
  chaos:
    pod-kill: {fault: pod-kill}
    cpu-90: {fault: cpu-stress, load: 90%}
    none: {}
  model:
    off: {healer: off}
    zscore: {detector: zscore}
  policy:
    default: {file: default.policy}
  workload:
    steady: {rate: 40/s}
repeats: 3
baseline: {model: off}
slo: {latency: 250ms, objective: 95%, hold: 2s}
horizon: {after: 12s, because: "demonstration"}
seed: 7
"""


@pytest.fixture
def matrix(tmp_path: Path) -> Callable[..., Path]:
    """Writes a matrix that is in order but for the (old, new) pairs given, with its policy file; returns its path."""

    def write(*changes: tuple[str, str], text: str = MATRIX) -> Path:
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is not there once"
            text = text.replace(old, new)
        (tmp_path / "default.policy").write_text("# a policy\n", encoding="utf-8")
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
