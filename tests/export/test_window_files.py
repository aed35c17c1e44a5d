from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from smartops_chaos import api
from smartops_chaos.errors import NothingSelected, UsageError
from smartops_chaos.export import window_files
from smartops_chaos.model import Series
from smartops_chaos.store.campaign_folder import CampaignFile, CampaignFolder
from smartops_chaos.timeline.interval import offset_of

SAMPLE = CampaignFolder(Path(__file__).parents[2] / "results" / "sample")
HEALED = "cpu-90.steady.zscore.default.1"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    window_files.write([SAMPLE], folder)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(text.decode())))


def campaign(folder: Path, count: int, change=lambda evidence: evidence) -> CampaignFolder:
    """A campaign of so many copies of one trial."""
    file, store = SAMPLE.read(), CampaignFolder(folder)
    chosen = next(trial for trial in file.plan.trials if trial.id == HEALED)
    copies = tuple(replace(chosen, id=f"trial-{n}", block=n + 1) for n in range(count))
    store.create(CampaignFile(file.matrix_file, "", replace(file.plan, trials=copies), {}))
    evidence, record = SAMPLE.trial(HEALED).read_evidence(), SAMPLE.trial(HEALED).read_record()
    for trial in copies:
        (store.trial(trial.id).path / "samples").mkdir(parents=True)
        store.trial(trial.id).write_evidence(change(replace(evidence, trial=trial)))
        store.trial(trial.id).write_record(record)
    return store


def test_no_trial_and_no_block_is_in_two_splits(written):
    found = rows(written / "windows.csv")
    assert {row["trial"] for row in found} == {trial.id for trial in SAMPLE.read().plan.trials}
    for column in ("trial", "block"):
        pairs = {(row[column], row["split"]) for row in found}
        assert len(pairs) == len({row[column] for row in found})
    assert {row["split"] for row in found if row["chaos"] == "cpu-90"} == {"train", "validation", "test"}


def test_the_rows_are_the_samples_of_the_evidence(written):
    listed = {row["window"]: row for row in rows(written / "windows.csv")}
    told: dict[str, Counter[tuple[str, ...]]] = {}
    for row in rows(written / "samples.csv.gz"):
        window = listed[row["window"]]
        assert float(window["start_s"]) <= float(row["at_s"]) <= float(window["end_s"])
        at_ms = (int(window["zero_ns"]) / 1e9 + float(row["at_s"])) * 1e3
        assert json.loads(row["labels"])["job"] == row["job"]
        told.setdefault(window["trial"], Counter())[row["metric"], row["labels"], row["value"], f"{at_ms:.0f}"] += 1
    for trial in SAMPLE.read().plan.trials:
        evidence = SAMPLE.trial(trial.id).read_evidence()
        offset_ns = offset_of(evidence.clocks, "prometheus").mid_ns
        begin_ns = next(call.at.lo_ns for call in evidence.calls if call.what == "gate")
        end_ns = int(float(max((r for r in listed.values() if r["trial"] == trial.id),
                               key=lambda r: float(r["end_s"]))["end_s"]) * 1e9)  # fmt: skip
        zero_ns = next(int(row["zero_ns"]) for row in listed.values() if row["trial"] == trial.id)
        wanted = Counter(
            (
                s.name,
                json.dumps(s.labels, sort_keys=True, separators=(",", ":")),
                repr(v),
                f"{(at - offset_ns) / 1e6:.0f}",
            )
            for s in evidence.series
            for at, v in zip(s.at_ns, s.values, strict=True)
            if begin_ns <= at - offset_ns < zero_ns + end_ns
        )
        assert told[trial.id] == wanted


def test_the_counts_of_the_card_are_those_of_the_files(written):
    card = (written / "README.md").read_text(encoding="utf-8")
    found = rows(written / "windows.csv")
    sampled = rows(written / "samples.csv.gz")
    assert Counter(row["window"] for row in sampled) == {
        row["window"]: int(row["samples"]) for row in found if row["samples"] != "0"
    }
    for label in {row["label"] for row in found}:
        ns = [sum(int(r["samples"]) for r in found if (r["label"], r["split"]) == (label, split))
              for split in ("train", "validation", "test")]  # fmt: skip
        assert f"| {label} | {' | '.join(map(str, ns))} |\n" in card
    assert "Trials left out: none" in card
    assert "$" not in card


def test_the_lines_of_the_card_load_the_files(written, monkeypatch):
    monkeypatch.chdir(written)
    code = (written / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    space: dict[str, pd.DataFrame] = {}
    exec(code, space)
    assert len(space["rows"]) == len(space["samples"]) == sum(space["windows"]["samples"])
    assert set(space["train"]["split"]) == {"train"}
    assert not space["train"]["metric"].str.contains("orchestrator").any()
    assert len(space["train"]) > 100


def test_metrics_that_give_the_answer_away_are_marked(tmp_path):
    labels = {"job": "erp", "instance": "a:1"}

    def change(evidence):
        stamps = tuple(call.at.lo_ns + 10**9 for call in evidence.calls if call.what == "gate")
        mine = (Series("switch_on", labels, stamps, (1.0,)), Series("latency_seconds", labels, stamps, (float("nan"),)))
        return replace(evidence, series=evidence.series + mine)

    store = campaign(tmp_path / "c", 1, change)
    file = store.read()
    level = file.plan.chaos["cpu-90"]
    part = replace(level.parts[0], definition={"extensions": [{"name": "smartops-chaos", "leaks": ["switch_on"]}]})
    plan = replace(file.plan, chaos={**file.plan.chaos, "cpu-90": replace(level, parts=(part,))})
    store.create(replace(file, plan=plan))
    window_files.write([store], tmp_path / "w")
    marked = {row["metric"]: row["gives_away"] for row in rows(tmp_path / "w" / "metrics.csv")}
    assert marked["switch_on"] == "fault: its own switch"
    assert marked["latency_seconds"] == ""
    assert marked["container_cpu_usage_seconds_total"] == ""
    assert marked["orchestrator_closed_loop_signals_total"] == "healer: read by its rules"
    assert marked["smartops_detector_armed"] == "healer: from its process"
    assert "nan" in {row["value"] for row in rows(tmp_path / "w" / "samples.csv.gz")}


def test_the_same_campaign_gives_the_same_bytes(written, tmp_path):
    files = window_files.write([SAMPLE], tmp_path)
    assert [file.name for file in files] == ["README.md", "windows.csv", "samples.csv.gz", "metrics.csv"]
    assert all(file.read_bytes() == (written / file.name).read_bytes() for file in files)
    assert (written / "samples.csv.gz").read_bytes()[3:8] == bytes(5)  # no name and no time in it


def test_a_larger_campaign_takes_no_more_memory(tmp_path):
    def peak(count: int) -> int:
        store = campaign(tmp_path / f"c{count}", count)
        tracemalloc.start()
        window_files.write([store], tmp_path / f"w{count}")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is built once
    assert peak(40) < 1.5 * peak(4)


def test_what_has_no_windows_is_told_with_its_reason(tmp_path):
    store = campaign(tmp_path / "c", 2, lambda evidence: replace(evidence, series=(), missing=("metrics: refused",)))
    with pytest.raises(NothingSelected, match="2 no metrics: metrics: refused") as error:
        window_files.write([store], tmp_path / "w")
    assert "healer file" in error.value.hint
    assert list((tmp_path / "w").iterdir()) == []
    with pytest.raises(UsageError, match="is no campaign"):
        api.windows(tmp_path / "nowhere", out=tmp_path / "w")
    with pytest.raises(UsageError, match="and in"):
        window_files.write([SAMPLE, SAMPLE], tmp_path / "w")
