"""Campaigns with a known truth: what is drawn is what was asked for, and the analysis finds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from smartops_chaos import api
from smartops_chaos.analysis import load_history, question, table
from smartops_chaos.analysis.summarise import summarise, to_json
from smartops_chaos.cli import compare_command
from smartops_chaos.cli.commands import app
from smartops_chaos.cli.terminal import Terminal
from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.export import ci, metrics_file
from smartops_chaos.model import Arm
from smartops_chaos.plan.durations import makespan_s
from smartops_chaos.plan.expand import load_plan
from smartops_chaos.planning.simulate import MOST_TRIALS, Simulated, Truth, simulate
from smartops_chaos.report import build
from smartops_chaos.report.document import Paragraph
from smartops_chaos.run.start import open_store
from smartops_chaos.schema import yamlfile
from smartops_chaos.store.campaign_folder import CampaignFolder

Write = Callable[..., Path]
TRUTH = """
version: 1
seed: 5
trials:
  - {model: off, chaos: pod-kill, recovers: 8s, spread: 0.3, unhurt: 10%, by: platform}
  - {model: off, recovers: 6s, never: 70%, by: platform}
  - {recovers: 2s, spread: 0.5, never: 5%}
"""


def made(path: Path, truth: str = TRUTH, repeats: int = 1000, lanes: int = 2) -> Simulated:
    return simulate(load_plan(path, repeats=repeats), truth_of(path, truth), lanes=lanes)


def truth_of(path: Path, text: str = TRUTH) -> Truth:
    file = path.with_name("t.yaml")
    file.write_text(text, encoding="utf-8")
    return yamlfile.load(file, Truth)


def test_the_analysis_finds_the_truth(matrix: Write) -> None:
    path = matrix()
    found = made(path)
    summary = summarise(
        table.from_rows(pd.DataFrame(found.columns).to_dict("records")),
        question.of_plan(load_plan(path, repeats=1000)),
        campaign="simulated",
    )
    for arm, truth in zip(summary.arms, found.truth, strict=True):
        assert arm.arm == truth.arm
        assert arm.mttr.lo is not None
        assert arm.mttr.hi is not None
        assert arm.mttr.lo <= truth.rmst_s <= arm.mttr.hi
        assert arm.mttr.rmst_s == pytest.approx(truth.rmst_s, rel=0.03)
        assert arm.auto_heal.no_human == pytest.approx(truth.no_human, abs=0.03)
    reduction = summary.comparisons[0].mttr_reduction
    assert reduction.estimate == pytest.approx(found.truth[1].reduction, abs=0.02)
    assert summary.arms[1].controls == 1000


def test_the_same_seed_gives_the_same_table(matrix: Write) -> None:
    path = matrix()
    first, again = (pd.DataFrame(made(path, repeats=5).columns) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    other = pd.DataFrame(made(path, TRUTH.replace("seed: 5", "seed: 6"), repeats=5).columns)
    assert not other["time_s"].equals(first["time_s"])


def test_losses_at_random_and_of_the_bad_ones(matrix: Write) -> None:
    truth = "version: 1\ntrials: [{recovers: 2s, spread: 0, never: 50%, lost: 10%, lost_if_unrecovered: 50%}]"
    rows = pd.DataFrame(made(matrix(), truth).columns)
    rows = rows[rows["chaos"] != "none"]
    shares = rows["outcome"].value_counts(normalize=True)
    assert shares["error"] == pytest.approx(0.5 * 0.1 + 0.5 * (1 - 0.9 * 0.5), abs=0.02)
    assert rows["time_s"][rows["outcome"] == "error"].isna().all()
    assert set(rows["time_s"].dropna()) == {2.0, 12.0}


def test_how_long_it_takes(matrix: Write) -> None:
    # around 3 s, warm-up 4 s, half a poll 0.25 s, gate 2 s; no recovery: horizon and hold, 14 s
    truth = "version: 1\ntrials: [{recovers: 2s, never: 100%}]"
    one, two = (made(matrix(), truth, repeats=4, lanes=n).duration_s for n in (1, 2))
    trials = 4 * 6
    assert one == pytest.approx(trials * (9.25 + 14))
    assert two == pytest.approx(one / 2)
    assert makespan_s([3, 1, 1, 1], 2) == 3
    assert makespan_s([1, 1, 3], 2) == 4
    assert makespan_s([], 2) == 0


def test_what_is_wrong_in_a_truth_is_said_with_its_place(matrix: Write) -> None:
    with pytest.raises(FileProblems) as caught:
        made(matrix(), "version: 1\ntrials: [{recovers: 2s, never: 80%, unhurt: 30%}, {recover: 3}]")
    told = str(caught.value)
    assert "never and unhurt are more than all trials together" in told
    assert "recovers" in told
    misspelt = "version: 1\ntrials: [{model: of, recovers: 9s}, {recovers: 2s}]"
    with pytest.raises(UsageError, match="entry 1 of the truth: no model level is named `of`") as wrong:
        made(matrix(), misspelt)
    assert wrong.value.hint == "did you mean `off`?"
    with pytest.raises(UsageError, match="no entry of the truth fits") as missing:
        made(matrix(), "version: 1\ntrials: [{model: off, recovers: 2s}]")
    assert "zscore" in str(missing.value)


def test_too_many_trials_are_refused_before_they_are_drawn(matrix: Write) -> None:
    path = matrix()
    plan = load_plan(path, repeats=1)
    measured = tuple(t for t in plan.trials if t.phase == "measure")
    many = replace(plan, trials=measured * (MOST_TRIALS // len(measured) + 1))
    with pytest.raises(UsageError, match="too many to simulate"):
        simulate(many, truth_of(path), lanes=1)


def test_the_looks_of_a_plan_are_rehearsed(matrix: Write, tmp_path: Path) -> None:
    truth = "version: 1\ntrials: [{model: off, recovers: 9s, never: 70%, by: platform}, {recovers: 20s, spread: 0}]"
    (tmp_path / "truth.yaml").write_text(truth, encoding="utf-8")
    path = matrix(("repeats: 3", "repeats: 20"), ("seed: 7", "looks: 2"))
    arguments = ["plan", str(path), "--simulate", str(tmp_path / "truth.yaml"), "--out", str(tmp_path / "t.csv")]
    told = json.loads(CliRunner().invoke(app, [*arguments, "--lanes", "3", "--json"]).stdout)
    looks = told["looks"]
    assert looks["stopped"] == [{"arm": {"model": "zscore", "policy": "default"}, "look": 1, "repeat": 10}]
    assert looks["trials"] == 10 * 6, "with the only arm that is compared the baseline ends"
    assert looks["duration_s"] == pytest.approx(told["duration_s"] / 2, rel=0.05)
    assert len(table.read(tmp_path / "t.csv")) == 20 * 6
    text = CliRunner().invoke(app, arguments).stdout
    assert "looks would stop zscore after 10 repeats: 60 trials" in text
    CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "made-1")])
    decided = api.load(tmp_path / "made-1")
    assert ([stop.repeat for stop in decided.stops], len(decided.records)) == ([10], 60)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_command_writes_a_table_that_report_reads(name: str, matrix: Write, tmp_path: Path) -> None:
    (tmp_path / "truth.yaml").write_text(TRUTH, encoding="utf-8")
    out = tmp_path / name
    arguments = ["plan", str(matrix()), "--repeats", "5", "--simulate", str(tmp_path / "truth.yaml")]
    done = CliRunner().invoke(app, [*arguments, "--out", str(out), "--json"])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert [arm["reduction"] is None for arm in document["truth"]] == [True, False]
    rows = table.read(out)
    assert len(rows) == 5 * 6
    assert np.isfinite(rows["time_s"][rows["chaos"] != "none"]).all()
    assert CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "t.txt")]).exception is not None


@pytest.fixture(name="folder")
def simulated_folder(matrix: Write, tmp_path: Path) -> Path:
    """A campaign of 20 repeats, of a healer that is much better than the baseline."""
    truth = "version: 1\ntrials: [{model: off, recovers: 9s, never: 70%, by: platform}, {recovers: 1s}]"
    (tmp_path / "truth.yaml").write_text(truth, encoding="utf-8")
    path = matrix(("repeats: 3", "repeats: 20"))
    out = tmp_path / "results" / "made-1"
    arguments = ["plan", str(path), "--simulate", str(tmp_path / "truth.yaml"), "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert isinstance(CliRunner().invoke(app, arguments).exception, UsageError), "it is there already"
    return out


def test_a_simulated_campaign_is_decided_by_its_plan(folder: Path) -> None:
    data = api.load(folder)
    assert data.plan is not None
    assert {v.target: v.verdict for v in data.summary.verdicts}["mttr_reduction"] == "proven"
    assert len(data.records) == 20 * 6
    assert set(data.table["campaign"]) == {"made-1"}
    assert to_json(data.summary)["simulated"] is True


def test_nothing_that_is_made_of_it_passes_for_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = api.load(folder)
    report = build.build(data)
    assert report.title.startswith("SIMULATED: ")
    figures = list(report.figures())
    assert figures
    assert all(">SIMULATED</text>" in figure.svg and figure.caption.startswith("SIMULATED. ") for figure in figures)
    assert all(
        ">SIMULATED</text>" in svg.read_text() for svg in api.figures(data, tmp_path / "f") if svg.suffix == ".svg"
    )
    first = next(block for block in report.sections[0].blocks if isinstance(block, Paragraph))
    assert str(first.text).startswith("SIMULATED: nothing was measured")
    passed, lines = ci.check(data.summary)
    assert not passed
    assert all("SIMULATED" in line or line.startswith("simulated") for line in lines)
    assert any("proven" in line for line in lines), "what the verdict would be is told"
    assert 'type="simulated"' in ci.junit(data.summary)
    assert ci.job_summary(data.summary).startswith("## SIMULATED: ")
    with pytest.raises(UsageError, match="is simulated"):
        metrics_file.text(data.summary)
    with pytest.raises(UsageError, match="a history is of measured nights"):
        load_history.campaigns([CampaignFolder(folder)])
    compared = api.compare(data, data)
    assert compared.simulated == ("made-1", "made-1")
    compare_command.tell(Terminal(), compared)
    assert capsys.readouterr().out.startswith("SIMULATED")
    assert compare_command.verdict(compared, non_inferior=False)[0] is False


def test_its_report_is_written_and_only_who_asks_for_metrics_is_refused(folder: Path, tmp_path: Path) -> None:
    written = CliRunner().invoke(app, ["report", str(folder), "--reports", str(tmp_path / "reports")])
    assert (written.exception, written.exit_code) == (None, 0)
    asked = CliRunner().invoke(app, ["report", str(folder), "--json", "--prometheus", str(tmp_path / "made.prom")])
    assert isinstance(asked.exception, UsageError)


def test_nothing_is_run_in_a_simulated_folder(folder: Path) -> None:
    plan = CampaignFolder(folder).read().plan
    taken = folder.rename(folder.parent / f"{plan.name}-1")
    assert open_store(folder.parent, plan).name == f"{plan.name}-2", (
        "its calibration is not there, and it is not resumed"
    )
    with pytest.raises(UsageError, match="nothing is run in it"):
        open_store(folder.parent, plan, taken.name)


def test_a_bare_table_says_it_in_each_row(matrix: Write, tmp_path: Path) -> None:
    (tmp_path / "truth.yaml").write_text(TRUTH, encoding="utf-8")
    out = tmp_path / "t.csv"
    CliRunner().invoke(app, ["plan", str(matrix()), "--simulate", str(tmp_path / "truth.yaml"), "--out", str(out)])
    assert set(table.read(out)["source"]) == {"simulated"}
    assert api.load(out, baseline=Arm("off", "default")).summary.simulated
