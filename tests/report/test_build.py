from __future__ import annotations

import html
import re
from dataclasses import replace

import pypdfium2
import pytest

from smartops_chaos.analysis.load import CampaignData
from smartops_chaos.analysis.question import Question
from smartops_chaos.analysis.summarise import summarise
from smartops_chaos.analysis.table import REQUIRED, from_rows
from smartops_chaos.report import render
from smartops_chaos.report.build import build, write
from smartops_chaos.report.document import Figure, Report, Table
from smartops_chaos.report.page import page

OPENING = ["The answer", "How to read this report"]


def squeezed(text: str) -> str:
    return re.sub(r"[\s\u200b\ufffe\u00ad]+", "", text)


def texts(report: Report) -> str:
    """The report in HTML, without pictures inside pictures."""
    return re.sub(r"base64,[^\"]*", "", render.html(report))


def test_both_renderings_carry_every_section_figure_and_table(report):
    with pypdfium2.PdfDocument(render.pdf(report)) as document:
        pdf = squeezed("".join(page.get_textpage().get_text_range() for page in document))
        titles = [mark.get_title() for mark in document.get_toc()]
    text = squeezed(html.unescape(re.sub(r"<[^>]+>", "", render.html(report))))
    assert titles == [section.title for section in report.sections]
    labels = report.numbers()
    blocks = [b for s in report.sections for b in s.blocks if isinstance(b, Figure | Table)]
    assert len(blocks) > 15
    for wanted in [*titles, *(f"{labels[b.id]}. {b.title}." for b in blocks)]:
        assert squeezed(wanted) in pdf
        assert squeezed(wanted) in text


def test_the_same_campaign_gives_the_same_report(small, report):
    assert build(small.data()) == report


def test_ids_are_unique(report):
    ids = re.findall(r"<[^>]*\bid=\"([^\"]+)\"", render.html(report))
    assert len(ids) == len(set(ids))


def test_without_appendix_no_single_trial_is_shown(small, report):
    short = build(small.data(), appendix=False)
    assert [s.id for s in report.sections if s.id != "trials"] == [s.id for s in short.sections]
    assert 'href="#tab-trials"' not in render.html(short)


def test_files(report, tmp_path):
    files = write(report, tmp_path / "out")
    names = [f.relative_to(tmp_path / "out").as_posix() for f in files]
    assert names[:2] == ["report.pdf", "report.html"]
    assert {f"figures/{f.id}.{kind}" for f in report.figures() for kind in ("svg", "png", "md")} == set(names[2:])
    assert all(f.stat().st_size > 200 for f in files)


@pytest.mark.parametrize(
    "shape",
    [
        {"heal": 0.0},
        {"heal": 1.0, "repeats": 1},
        {"models": ("off",), "control": False},
        {"models": ("off",), "chaos": ("pod-kill",), "repeats": 1, "control": False, "calibrate": False},
        {"models": ("off", "a", "b", "c"), "repeats": 2, "rate": 5.0},
        {"models": ("off", "x" * 70, "детектор"), "policies": ("default", "p $q$ <b> `c`"), "repeats": 2, "rate": 5.0},
    ],
    ids=["none-healed", "one-repeat", "one-arm", "one-trial", "four-arms", "names"],
)
@pytest.mark.filterwarnings("error::UserWarning")
def test_any_campaign_gives_a_report_that_never_says_nan(simulate, shape):
    report = build(simulate(**shape).data())
    assert not re.search(r">[^<]*\b(nan|NaN|inf)\b", texts(report))
    assert render.pdf(report).startswith(b"%PDF")
    assert [s.title for s in report.sections[:2]] == OPENING


@pytest.mark.parametrize("with_plan", [True, False])
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_summary_in_which_nothing_is_known(small, nothing, with_plan):
    data = small.data(nothing)
    if not with_plan:
        data = replace(data, plan=None, table=data.table.iloc[:0], provenance={})
    report = build(data)
    assert "cannot be said: no trial counts." in texts(report)
    assert not re.search(r">[^<]*\bNone\b(?!:|\.)", texts(report))
    assert render.pdf(report).startswith(b"%PDF")


def test_a_bare_table_of_required_columns(small):
    rows = small.table[small.table["phase"] == "measure"]
    table = from_rows(rows[list(REQUIRED)].to_dict("records"))
    summary = summarise(table, Question(baseline=small.plan.analysis.baseline), campaign="bare")
    data = CampaignData("bare", None, {}, summary, table)
    report = build(data)
    assert "without a stated reason" in texts(report)
    assert render.pdf(report).startswith(b"%PDF")
    assert page(data).targets.mttr_reduction == 0.40


def test_only_confirmed_faults_outside_calibration_are_scored(small):
    rows = small.page().counted
    assert set(rows["phase"]) == {"measure"}
    assert "none" not in set(rows["chaos"])
    assert len(rows) == sum(arm.counted for arm in small.summary().arms)
