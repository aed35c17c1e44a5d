from __future__ import annotations

import ctypes
import html.parser
import math
import re

import pypdfium2
import pytest

from smartops_chaos.analysis.words import clip
from smartops_chaos.report import render
from smartops_chaos.report.build import build
from smartops_chaos.report.document import (
    Box,
    Card,
    CardLine,
    Cards,
    Code,
    Column,
    Facet,
    Facts,
    Figure,
    Gallery,
    Link,
    Paragraph,
    Report,
    Section,
    Table,
    TrialCard,
)
from smartops_chaos.report.style import draw

HOSTILE = '#panic("x") *b* $a_b$ <script>alert(1)</script> @ref \\ [x] & "q" {{ 7*7 }} {% x %}'
LONG = "a_level_" + "x" * 120


def every_kind(text: str) -> Report:
    svg = draw("fig-a", 1.0, lambda drawing: drawing.text(0.01, 0.5, clip(text, 90)))
    keys = ((text, text),)
    blocks = (
        Paragraph(text),
        Paragraph(text, "lead"),
        Paragraph(text, "note"),
        Box(text, (text,), "weak"),
        Box(text, (text, text), "bad"),
        Facts(((text, text),)),
        Code(text),
        Cards((Card(text, text, (CardLine(text, "12 %", "proven", "good", keys),)),) * 3),
        Table(
            "tab-a",
            text,
            (Column(text, grow=1), Column("b", "right")),
            ((text, text),) * 2,
            text,
            ((text, text),),
            small=True,
        ),
        Figure("fig-a", text, text, text, svg, (), keys),
    )
    return Report(text, text, (Section("s1", text, blocks), Section("s2", "Second", ())))


def pdf_text(content: bytes) -> str:
    with pypdfium2.PdfDocument(content) as document:
        return "\n".join(page.get_textpage().get_text_range() for page in document)


class Page(html.parser.HTMLParser):
    """Tags, ids and text of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_data(self, data):
        self.text += data


def squeezed(text: str) -> str:
    return re.sub(r"[\s\u200b\ufffe\u00ad]+", "", text)


def test_no_text_is_read_as_markup_in_html():
    page = Page(render.html(every_kind(HOSTILE)))
    assert page.tags.count("script") == 1
    assert page.text.count(HOSTILE) >= 15


def test_no_text_is_read_as_markup_in_pdf():
    text = squeezed(pdf_text(render.pdf(every_kind(HOSTILE))))
    assert text.count(squeezed(HOSTILE)) >= 10
    assert "49" not in text.replace(squeezed(HOSTILE), "")


def test_backticks_are_code_in_both():
    report = Report("r", "", (Section("s", "S", (Box("b", ("run `smartops-chaos <x>` now",)),)),))
    assert "run <code>smartops-chaos &lt;x&gt;</code> now" in render.html(report)
    assert "run smartops-chaos <x> now" in pdf_text(render.pdf(report))


def test_nothing_in_the_pdf_runs_over_the_margin():
    with pypdfium2.PdfDocument(render.pdf(every_kind(LONG))) as document:
        for page in document:
            text = page.get_textpage()
            boxes = [text.get_charbox(i) for i in range(text.count_chars())]
            assert boxes
            assert min(box[0] for box in boxes) >= 50
            assert max(box[2] for box in boxes) <= page.get_width() - 50


def test_the_pdf_has_bookmarks_a_title_and_page_numbers():
    with pypdfium2.PdfDocument(render.pdf(every_kind("A title"))) as document:
        assert [mark.get_title() for mark in document.get_toc()] == ["A title", "Second"]
        assert document.get_metadata_value("Title") == "A title"
        assert document.get_metadata_value("CreationDate") == ""
        last = document[len(document) - 1].get_textpage().get_text_range()
        assert f"Page {len(document)} of {len(document)}" in last


def test_the_same_report_gives_the_same_bytes():
    assert render.pdf(every_kind("a")) == render.pdf(every_kind("a"))
    assert render.html(every_kind("a")) == render.html(every_kind("a"))
    assert render.pngs(every_kind("a")) == render.pngs(every_kind("a"))


def test_the_page_is_self_contained():
    page = Page(render.html(every_kind("a")))
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert len(page.ids) == len(set(page.ids))


def test_one_png_a_figure():
    report = every_kind("a")
    (figure,) = report.figures()
    other = Figure("fig-b", "t", "c", "a", draw("fig-b", 1.0, lambda drawing: drawing.text(0, 0, "b")))
    assert render.pngs(Report("r", "", ())) == []
    assert len(render.pngs(Report("r", "", (Section("s", "S", (figure,)),)))) == 1
    pngs = render.pngs(Report("r", "", (Section("s", "S", (figure, other)),)))
    assert [png[:4] for png in pngs] == [b"\x89PNG"] * 2


def test_a_figure_taller_than_a_page_is_made_smaller():
    svg = draw("fig-a", 25.0, lambda drawing: drawing.text(0.5, 0.001, "lowest"))
    report = Report("r", "", (Section("s", "S", (Figure("fig-a", "t", "c", "a", svg),)),))
    assert "lowest" in pdf_text(render.pdf(report))


@pytest.mark.parametrize("rows", [0, 200])
def test_a_long_table_repeats_its_head(rows):
    table = Table("tab-a", "Long", (Column("Headword"),), tuple((f"row {i}",) for i in range(rows)))
    content = render.pdf(Report("r", "", (Section("s", "S", (table,)),)))
    with pypdfium2.PdfDocument(content) as document:
        pages = [page.get_textpage().get_text_range() for page in document]
    assert len(pages) == (1 if rows == 0 else max(len(pages), 3))
    assert all("Headword" in page for page in pages)


def linked() -> Report:
    """A number that leads to rows, a trial that leads to its card, and a link that leads nowhere."""
    svg = draw("e1", 1.0, lambda drawing: drawing.text(0.01, 0.5, "drawn"))
    numbers = Table("tab-n", "Numbers", (Column("n"),), (((Link("7", "tab-t", (("arm", ("a", "b'<")),)),),),))
    trials = Table(
        "tab-t",
        "Trials",
        (Column("trial"),),
        (((Link("t1", "e1"),),), ("t2",), ((Link("t3", "e3"),),)),
        small=True,
        facets=(
            Facet(
                "arm",
                (("a",), ("b'<",), ("c", '"d')),
            ),
        ),
        ids=("r1", "r2", "r3"),
        on_paper=(0, 2),
    )
    shown = Gallery("gallery", "In full", "Why these.", (TrialCard("e1", "t1", "healed", "alt", svg, "raw <line>"),))
    return Report("r", "", (Section("s", "S", (numbers, trials, shown)),))


def test_a_number_leads_to_its_rows_and_a_trial_to_its_exhibit():
    page = render.html(linked())
    assert """<a href="#tab-t" data-show='{&#34;arm&#34;: [&#34;a&#34;, &#34;b&#39;&lt;&#34;]}'>7</a>""" in page
    assert '<a href="#e1">t1</a>' in page
    assert '<details class="trial" id="e1" open>' in page
    assert "raw &lt;line&gt;</pre>" in page
    assert '<td class="left">t3</td>' in page  # its card is not there
    assert '<tr id="r3" data-values="[[&#34;c&#34;,&#34;\\&#34;d&#34;]]">' in page
    assert Page(page).text.count("raw <line>") == 1


def test_on_paper_long_tables_are_cut_and_links_lead_to_pictures():
    content = render.pdf(linked())
    text = pdf_text(content)
    assert "t1" in text
    assert "t3" in text
    assert "t2" not in text
    assert "drawn" in text
    assert "<line>" not in text
    assert content.count(b"/Subtype /Link") + content.count(b"/Subtype/Link") == 3  # and the contents' line


def letter_sizes(pdf: bytes) -> dict[float, str]:
    """Sizes in points -> a text that has it, of every letter in a PDF, the figures' too."""
    found: dict[float, str] = {}
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            words = page.get_textpage()
            for one in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_TEXT], max_depth=9):
                size = ctypes.c_float()
                pypdfium2.raw.FPDFTextObj_GetFontSize(one.raw, size)
                matrix = one.get_matrix()
                length = pypdfium2.raw.FPDFTextObj_GetText(one.raw, words.raw, None, 0)
                text = (ctypes.c_ushort * (length // 2 + 1))()
                pypdfium2.raw.FPDFTextObj_GetText(one.raw, words.raw, text, length)
                found[size.value * math.hypot(matrix.b, matrix.d)] = bytes(text).decode("utf-16-le").strip("\0")
    return found


def test_no_letter_on_paper_is_smaller_than_8_points(simulate):
    campaign = simulate(models=("off", "a", "b", "c"), policies=("p", "q"), repeats=2, rate=5.0)
    sizes = letter_sizes(render.pdf(build(campaign.data())))
    small = {round(size, 2): text for size, text in sizes.items() if size < 7.95}
    assert not small
    assert len(sizes) > 5
