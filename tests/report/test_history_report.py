"""Campaigns on disk -> their history: page, CSV, JSON, and which campaigns are nights of one."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartops_chaos.analysis.load_history import campaigns
from smartops_chaos.report import history_report, render
from smartops_chaos.store.campaign_folder import CampaignFolder

SAMPLE = Path(__file__).parents[2] / "results" / "sample"
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A copy of the sample as a campaign; `change` edits its campaign.json."""

    def copy(name: str, day: int, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
        folder = Path(shutil.copytree(SAMPLE, tmp_path / "results" / name))
        file = json.loads((folder / "campaign.json").read_text(encoding="utf-8"))
        file["provenance"]["started"] = f"2026-11-{day:02d}T02:00:00Z"
        change(file)
        (folder / "campaign.json").write_text(json.dumps(file), encoding="utf-8")
        return folder

    return copy


def test_several_campaigns_are_a_history_and_a_broken_night_is_shown(cli: Any, make: Make, tmp_path: Path) -> None:
    make("quick-2", 2, lambda file: file["provenance"].update({"git commit": "new"}))
    make("quick-10", 10)
    make("quick-1", 1)
    broken, cut, empty = (make(f"quick-{n}", n) for n in (3, 4, 5))
    (broken / "campaign.json").write_text("{", encoding="utf-8")
    for folder in sorted((cut / "trials").iterdir())[60:]:
        shutil.rmtree(folder)
    shutil.rmtree(empty / "trials")
    names = [f"quick-{n}" for n in (1, 10, 2, 3, 4, 5)]  # as a shell sorts them
    done = cli("report", *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"reports/quick-history/report.{kind}" for kind in ("pdf", "html")]
    assert "zscore in quick-10: no difference shown to quick-2 (0\u00a0%)." in done.stderr
    out = tmp_path / "reports" / "quick-history"
    assert {path.name for path in out.iterdir()} == {
        "report.pdf", "report.html", "figures", "history.csv", "history.json",
    }  # fmt: skip
    told = json.loads((out / "history.json").read_text(encoding="utf-8"))
    states = [(night["night"], night["state"]) for night in told["nights"]]
    assert states == [
        ("quick-1", "complete"), ("quick-2", "complete"), ("quick-3", "failed"), ("quick-4", "incomplete"),
        ("quick-5", "failed"), ("quick-10", "complete"),
    ]  # fmt: skip
    assert told["nights"][1]["changes"][0]["kind"] == "git"
    lines = list(csv.DictReader((out / "history.csv").open(encoding="utf-8")))
    assert {(line["night"], line["model"]) for line in lines} >= {("quick-1", "off"), ("quick-3", ""), ("quick-5", "")}
    assert float(lines[0]["mttr_s"]) == pytest.approx(told["nights"][0]["arms"][0]["mttr_s"])
    assert "campaign.json cannot be read" in lines[4]["why"]
    assert json.loads(cli("report", *names, "--json").stdout) == told


def lose(campaign: Path, keep: int = 0) -> None:
    """Trials become invalid, all but the first of them."""
    for file in sorted(campaign.glob("trials/*/record.json"))[keep:]:
        record = json.loads(file.read_text(encoding="utf-8"))
        record["row"].update(outcome="invalid", reason="gate", time_s=None)
        file.write_text(json.dumps(record), encoding="utf-8")


def test_a_night_that_lost_its_trials_is_not_complete(make: Make) -> None:
    folders = [make(f"quick-{n}", n) for n in (1, 2, 3)]
    lose(folders[1])
    lose(folders[2], keep=80)
    found = campaigns([CampaignFolder(folder) for folder in folders])
    assert [(night.state, night.recorded) for night in found.campaigns] == [
        ("complete", 123), ("failed", 123), ("incomplete", 123),
    ]  # fmt: skip
    assert found.campaigns[1].why == "no trial has a result (off: 60 invalid: gate; zscore: 60 invalid: gate)"
    assert found.newest.why == "43 invalid of 123 trials"
    assert {row.night for row in found.against} == {"quick-1"}


def test_a_check_is_about_the_newest_night(cli: Any, make: Make, tmp_path: Path) -> None:
    make("quick-1", 1)
    newest = make("quick-2", 2)
    checked = cli("report", "quick-1", "quick-2", "--json", "--check", "--require", "observed")
    assert checked.returncode == 0, checked.stderr
    shutil.rmtree(newest / "trials")
    asked = ["--json", "--check", "--require", "observed", "--junit", "x.xml", "--prometheus", "x.prom"]
    checked = cli("report", "quick-1", "quick-2", *asked)
    assert checked.returncode == 1
    assert "Nothing was judged" in checked.stderr
    assert 'failures="1"' in (tmp_path / "x.xml").read_text(encoding="utf-8")
    assert (tmp_path / "x.prom").read_text(encoding="utf-8") == ""


def test_what_is_no_history_is_refused(cli: Any, make: Make) -> None:
    make("quick-1", 1)
    make("other-1", 2, lambda file: file["plan"].update(name="other"))
    for names, code, said in (
        (("quick-1", "other-1"), 2, "quick-1 is of the matrix quick, other-1 of other"),
        (("quick-1", "quick-1"), 2, "named twice"),
        (("quick-1", "nowhere"), 2, "results/nowhere is no campaign"),
    ):
        done = cli("report", *names)
        assert done.returncode == code
        assert said in done.stderr
    for name in ("quick-1", "other-1"):
        shutil.rmtree(make(f"{name}0", 3) / "trials")
    nothing = cli("report", "quick-10", "other-10")
    assert nothing.returncode == 3
    assert "no night has a result" in nothing.stderr


def test_nights_of_one_name_in_several_folders_are_told_apart(make: Make) -> None:
    stores = [CampaignFolder(make(f"{day}/quick-1", n)) for n, day in enumerate(("tue", "mon"), 1)]
    found = campaigns(stores)
    assert [night.name for night in found.campaigns] == ["tue/quick-1", "mon/quick-1"]


def test_both_renderers_carry_every_section_and_hostile_names_are_text(make: Make) -> None:
    hostile = '<b>#panic()</b> $x$ & "q"'

    def rename(file: dict[str, Any]) -> None:
        file["provenance"].update({"git commit": hostile, "Images": hostile})

    found = campaigns([CampaignFolder(make("quick-1", 1)), CampaignFolder(make("quick-2", 2, rename))])
    report = history_report.build(found)
    page = render.html(report)
    assert "<b>#panic" not in page
    assert "&lt;b&gt;#panic()" in page
    assert all(f'id="{section.id}"' in page for section in report.sections)
    assert len({figure.id for figure in report.figures()}) == 4
    assert render.pdf(report) == render.pdf(report)
