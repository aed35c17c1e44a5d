from __future__ import annotations

import re
import struct

import pytest

from smartops_chaos.report import figure_files
from smartops_chaos.report.document import Column, Figure, Report, Section, Table
from smartops_chaos.report.style import PER_INCH, draw


def alone(figure: Figure, *tables: Table) -> Report:
    return Report("A report", "12 trials  ·  2 arms", (Section("s", "S", (figure, *tables)),))


def drawn(height_in: float = 2.0, **other) -> Figure:
    svg = draw("fig-a", height_in, lambda drawing: drawing.text(0.1, 0.5, "x"))
    return Figure("fig-a", "A title", "How to read it.", "off: 3 of 6.", svg, **other)


def test_every_figure_has_three_files_and_names_tables_that_are_there(report, tmp_path):
    files = figure_files.write(report, tmp_path)
    figures = list(report.figures())
    assert {f.name for f in files} == {f"{f.id}.{kind}" for f in figures for kind in ("svg", "png", "md")}
    tables = report.tables()
    for figure in figures:
        assert set(figure.tables) <= set(tables)
        assert figure.tables
        text = (tmp_path / f"{figure.id}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {figure.title}\n")
        assert all(f"## {tables[name].title}\n" in text for name in figure.tables)
        assert "\u00a0" not in text
    again = {f: f.read_bytes() for f in files}
    assert figure_files.write(report, tmp_path) == files
    assert {f: f.read_bytes() for f in files} == again


def test_a_bitmap_has_300_dots_an_inch_and_says_so(tmp_path):
    figure = drawn()
    figure_files.write(alone(figure), tmp_path)
    png = (tmp_path / "fig-a.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    margin = 2 * 4 / 72 * PER_INCH
    points = re.findall(r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"', figure.svg)[0]
    assert (width, height) == pytest.approx([float(p) / 72 * PER_INCH + margin for p in points], abs=2)
    at = png.index(b"pHYs")
    assert struct.unpack(">IIB", png[at + 4 : at + 13]) == (11811, 11811, 1)


def test_a_caption_has_the_words_and_the_numbers():
    table = Table(
        "tab-a",
        "Numbers",
        (Column("Arm"), Column("Scenario"), Column("Time\n[s]", "right")),
        (("off", "a|b", "1\u00a0s"), ("", "c", "2\u00a0s")),
        "A note.",
    )
    text = figure_files.caption(alone(drawn(tables=("tab-a", "tab-gone")), table), drawn(tables=("tab-a", "tab-gone")))
    assert text.split("\n\n") == [
        "# A title",
        "How to read it.",
        "off: 3 of 6.",
        "## Numbers",
        "| Arm | Scenario | Time [s] |\n| --- | --- | ---: |\n| off | a\\|b | 1 s |\n| off | c | 2 s |",
        "A note.",
        "A report. 12 trials · 2 arms\n",
    ]


@pytest.mark.parametrize(("height_in", "told"), [(3.7, False), (9.0, True)])
def test_a_figure_that_is_too_tall_for_a_slide_says_so(height_in, told):
    figure = drawn(height_in)
    assert ("on a slide" in figure_files.caption(alone(figure), figure)) == told
