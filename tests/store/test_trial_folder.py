"""What is stored of a trial: small, whole, and nothing but data."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos import api
from smartops_chaos.clock import Clock
from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.model import ClockOffset, Evidence, LogLine, Request, Series, Slo, Trial
from smartops_chaos.run import status
from smartops_chaos.run.start import open_store
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder
from smartops_chaos.store.trial_folder import TrialFolder
from smartops_chaos.timeline.interval import stepped

BEGIN_NS = 1_795_000_000_123_456_789


def long_trial(dice: random.Random) -> Evidence:
    """10 minutes: 40 requests/s, 60 series each second, 5,000 log lines, as noisy as real ones."""
    requests = [
        Request(
            BEGIN_NS + n * 25_000_000,
            20_000 + int(dice.expovariate(1 / 80_000)),
            int(dice.lognormvariate(17.4, 0.3)),
            200 if dice.random() > 0.03 else 503,
        )
        for n in range(24_000)
    ]
    series = []
    for number in range(60):
        offset_ns = BEGIN_NS // 10**6 * 10**6 + dice.randrange(1000) * 10**6
        value, values = 0.0, []
        for _ in range(600):
            value += (dice.random() < 0.2, dice.random() / 20, dice.random())[number % 3]
            values.append(round(value, 6))
        stamps = tuple(offset_ns + n * 10**9 + dice.choice((0, 0, 0, 10**6)) for n in range(600))
        series.append(Series(f"metric_{number}_total", {"pod": f"erp-{number % 3}"}, stamps, tuple(values)))
    lines = [
        LogLine(
            BEGIN_NS + n * 120_000_000 + dice.randrange(10**8),
            "smartops-orchestrator",
            f"INFO CLOSED_LOOP_SUMMARY | id={dice.randrange(16**12):012x} took={dice.random():.4f} result=SUCCESS",
        )
        for n in range(5_000)
    ]
    trial = Trial("cpu.steady.off.default.1", "measure", "cpu", "steady", "off", "default", 1, 1, 1)
    return Evidence(
        trial,
        1,
        "lane-1",
        "2026-11-24T12:00:00Z",
        Slo(0.25, 0.95, 2),
        600,
        10,
        requests=tuple(requests),
        series=tuple(series),
        logs=tuple(lines),
    )


def test_ten_minutes_of_evidence_take_less_than_a_megabyte_and_read_back(tmp_path: Path) -> None:
    evidence = long_trial(random.Random(1))
    trial = TrialFolder(tmp_path / "t")
    trial.begin({}, ())
    trial.write_evidence(evidence)
    assert sum(file.stat().st_size for file in trial.path.rglob("*") if file.is_file()) < 1_000_000
    assert trial.read_evidence() == evidence


def test_a_name_cannot_lead_out_of_the_campaign(matrix: Path, tmp_path: Path) -> None:
    text = matrix.read_text(encoding="utf-8")
    for hostile in ("../../out", "/etc/out", "..", "a/b", "a~1", "a..b", ".a", "a\\nb"):
        matrix.write_text(text.replace("    cpu: {", f'    "{hostile}": {{'), encoding="utf-8")
        with pytest.raises(FileProblems, match="is not a name"):
            api.plan(matrix)
        matrix.write_text(text.replace("name: small", f'name: "{hostile}"'), encoding="utf-8")
        with pytest.raises(FileProblems, match="is not a name"):
            api.plan(matrix)
    matrix.write_text(text, encoding="utf-8")
    for hostile in ("../out", "/tmp/out", "..", "a/b"):
        with pytest.raises(UsageError, match="is not a name"):
            open_store(tmp_path / "results", api.plan(matrix), hostile)


@pytest.mark.parametrize("hostile", ["../../../out", "..", ".", "/tmp/out", ""])
def test_a_trial_id_in_a_stored_file_cannot_lead_out_of_the_campaign(
    matrix: Path, tmp_path: Path, hostile: str
) -> None:
    plan = api.plan(matrix)
    store = CampaignFolder(tmp_path / "results" / "small-1")
    trials = (replace(plan.trials[0], id=hostile), *plan.trials[1:])
    store.create(CampaignFile("small.yaml", "", replace(plan, trials=trials), {}))
    before = sorted(tmp_path.rglob("*"))
    for look in (status.derive_all, lambda store: status.explain(store, hostile)):
        with pytest.raises(UsageError, match="is no name of a trial"):
            look(store)
    assert "is no name of a trial" in status.state(store)["problems"][0]
    assert sorted(tmp_path.rglob("*")) == before


def test_evidence_of_another_shape_is_refused_and_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    trial = TrialFolder(tmp_path / "t")
    trial.begin({}, ())
    (trial.path / "samples").mkdir()
    for content in (pickle.dumps(Trap()), json.dumps({"trial": "!!python/object/apply:os.system"}).encode()):
        (trial.path / "samples" / "evidence.json.gz").write_bytes(gzip.compress(content))
        with pytest.raises(UsageError, match="cannot be read"):
            trial.read_evidence()
    assert not (tmp_path / "sprung").exists()


def test_a_step_of_the_wall_clock_moves_no_moment_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ns = time.time_ns
    clock = Clock.anchored()
    before_ns = clock.now_ns()
    monkeypatch.setattr(time, "time_ns", lambda: wall_ns() - 3600 * 10**9)
    assert 0 <= clock.now_ns() - before_ns < 60 * 10**9
    low, high = clock.wall_bounds_ns()
    assert low <= high < -3599 * 10**9
    assert stepped([ClockOffset("wall", "start", 0, 0), ClockOffset("wall", "end", low, high)]) == ("wall",)
