from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from smartops_chaos.export import metrics_file
from smartops_chaos.model import Arm

HOSTILE = 'a"} 1\n# TYPE x counter\n\\'


def samples(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def test_promtool_finds_nothing_to_say_whatever_the_names(small):
    promtool = shutil.which("promtool", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if promtool is None:
        pytest.fail("promtool is missing: ./script/setup dev installs it with prometheus")
    summary = small.summary()
    summary = replace(summary, verdicts=tuple(replace(v, arm=Arm(HOSTILE, "default")) for v in summary.verdicts))
    text = metrics_file.text(replace(summary, campaign=HOSTILE))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_numbers_are_those_of_the_summary(small):
    summary = small.summary()
    found = samples(metrics_file.text(summary))
    arm = summary.arms[1]
    labels = f'campaign="synthetic-1",model="{arm.model}",policy="default"'
    assert found[f"smartops_chaos_mttr_seconds{{{labels}}}"] == arm.mttr.rmst_s
    assert found[f"smartops_chaos_mttr_lower_seconds{{{labels}}}"] == arm.mttr.lo
    assert found[f"smartops_chaos_auto_heal_upper_ratio{{{labels}}}"] == arm.auto_heal.hi
    assert found[f"smartops_chaos_trials_counted{{{labels}}}"] == arm.counted
    (reduction,) = [c.mttr_reduction for c in summary.comparisons if c.decides]
    assert found[f"smartops_chaos_mttr_reduction_lower_ratio{{{labels}}}"] == reduction.lo
    for verdict in summary.verdicts:
        name = f'smartops_chaos_verdict{{{labels},target="{verdict.target}",verdict='
        assert [key for key in found if key.startswith(name) and found[key]] == [f'{name}"{verdict.verdict}"}}']
        assert sum(key.startswith(name) for key in found) == 6


def test_what_cannot_be_given_has_no_sample(nothing):
    text = metrics_file.text(nothing)
    assert "nan" not in text.lower()
    assert "mttr" not in re.sub(r'target="[^"]*"', "", text)
    assert sum(value for name, value in samples(text).items() if 'verdict="undecidable"' in name) == 3
