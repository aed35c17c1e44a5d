"""Report -> PDF (typst), HTML (jinja2) and figure files. The same report gives the same bytes on every machine.

Texts reach typst as data (JSON) and jinja2 through autoescape, so no text of a user is ever read as markup.
Only the fonts that come with typst and matplotlib are used: none need to be on the machine. They cover Latin, Greek
and Cyrillic; in the PDF other scripts appear as boxes, in the HTML the browser finds its own fonts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import typst
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from smartops_chaos.report.document import Block, Chip, Figure, Film, Gallery, Link, Report, Section, Table, Text
from smartops_chaos.report.style import IN_THE_DARK, PER_INCH

if TYPE_CHECKING:
    from smartops_chaos.report.slides import Deck

_FOUND = {colour: i for i, colour in enumerate(IN_THE_DARK)}
_COLOUR = re.compile(r": (#[0-9a-f]{6})\b")
_TEMPLATES = files("smartops_chaos.report") / "templates"
_FIGURE_PAGES = """
#set page(width: auto, height: auto, margin: 4pt)
#json(bytes(sys.inputs.data)).map(svg => image(bytes(svg), format: "svg")).join(pagebreak())
"""


def html(report: Report) -> str:
    """One self-contained page. It reads the same without JavaScript, which sorts, searches and narrows down the long
    table, and folds up the single trials."""
    environment = _environment(report.anchors())
    environment.filters["coloured"] = _coloured
    environment.filters["film"] = _film
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        numbers=report.numbers(),
        facets=lambda table, row: [facet.values[row] for facet in table.facets],
        style=_colours() + _template("report.css"),
        script=_template("report.js"),
    )


def _environment(anchors: Set[str]) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked"] = lambda text: _marked(text, anchors)
    return environment


Paper = Literal["a4", "letter"]


def pdf(report: Report, paper: Paper = "a4") -> bytes:
    """A tagged PDF (PDF/UA-1) with bookmarks. The text is as wide on either paper, and so are the figures."""
    printed = replace(report, sections=tuple(_printed(section) for section in report.sections))
    document = {
        "title": report.title,
        "subtitle": report.subtitle,
        "paper": {"a4": "a4", "letter": "us-letter"}[paper],
        "sections": [_section(section) for section in printed.sections],
        "numbers": report.numbers(),
        "anchors": dict.fromkeys(sorted(printed.anchors()), True),
    }
    pages = _typst(_template("report.typ"), document, format="pdf", pdf_standards="ua-1")
    if not isinstance(pages, bytes):
        raise TypeError("typst answered with pages instead of one document")
    return pages


def deck(made: Deck, kind: Literal["pdf", "svg", "png"]) -> list[bytes]:
    """Slides as one PDF, or as a page each: SVG, or PNG of 1920 by 1080 pixels."""
    options = {"pdf_standards": "ua-1"} if kind == "pdf" else {"ppi": 144.0} if kind == "png" else {}
    pages = _typst(_template("slides.typ"), asdict(made), format=kind, **options)
    return [pages] if isinstance(pages, bytes) else list(pages)


def deck_html(made: Deck) -> str:
    """The same in one page for a browser, which the arrow keys turn."""
    environment = _environment(frozenset())
    return environment.get_template("slides.html.j2").render(deck=made)


def pngs(report: Report) -> list[bytes]:
    """The figures as bitmaps, in reading order; made from the same SVG that the report holds."""
    svgs = [figure.svg for figure in report.figures()]
    if not svgs:
        return []
    pages = _typst(_FIGURE_PAGES, svgs, format="png", ppi=float(PER_INCH))
    return [pages] if isinstance(pages, bytes) else list(pages)


def _marked(text: Text, anchors: Set[str]) -> Markup:
    """`commands` in backticks -> code; links whose target the report has -> links."""
    if isinstance(text, str):
        return _code(text)
    return Markup("").join(
        _code(part)
        if isinstance(part, str)
        else Markup('<span class="chip {}">{}</span>').format(part.tone, part.text)
        if isinstance(part, Chip)
        else _link(part)
        if part.to in anchors
        else _code(part.text)
        for part in text
    )


def _link(link: Link) -> Markup:
    show = json.dumps(dict(link.show), ensure_ascii=False) if link.show else None
    return Markup('<a href="#{}"{}>{}</a>').format(
        link.to, Markup(" data-show='{}'").format(show) if show else "", _code(link.text)
    )


def _coloured(svg: str) -> Markup:
    """A drawing whose colours are variables of the page, so that they suit a dark one."""
    return Markup(_COLOUR.sub(lambda found: f": var(--f{_FOUND[found[1]]})" if found[1] in _FOUND else found[0], svg))


def _colours() -> str:
    light, dark = ("".join(f"--f{i}:{c};" for i, c in enumerate(some)) for some in (IN_THE_DARK, IN_THE_DARK.values()))
    return f":root{{{light}}}@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"


def _film(film: Film) -> str:
    """What the script of the page plays, short: rows of seconds, milliseconds and whether it was good."""
    sides = [[[at, ms, int(good)] for at, ms, good in side.requests] for side in film.sides]
    moments = [[one.at_s for one in side.moments] for side in film.sides]
    told = {"start": film.start_s, "end": film.end_s, "limit": film.limit_ms, "sides": sides, "moments": moments}
    return json.dumps(told, separators=(",", ":"))


def _code(text: str) -> Markup:
    if "`" not in text:
        return escape(text)
    parts = [f"<code>{escape(part)}</code>" if i % 2 else escape(part) for i, part in enumerate(text.split("`"))]
    return Markup("").join(Markup(part) for part in parts)


def _printed(section: Section) -> Section:
    """Without what only a screen shows."""
    blocks: list[Block] = []
    for block in section.blocks:
        if isinstance(block, Table):
            rows = block.rows if block.on_paper is None else tuple(block.rows[i] for i in block.on_paper)
            blocks.append(replace(block, rows=rows, facets=(), ids=()))
        elif isinstance(block, Film):
            continue
        elif isinstance(block, Figure):
            blocks.append(replace(block, narrow=None))
        elif isinstance(block, Gallery):
            cards = tuple(replace(e, evidence="") for e in block.cards if e.svg and e.on_paper)
            blocks += [replace(block, cards=cards)] if cards else []
        else:
            blocks.append(block)
    return replace(section, blocks=tuple(blocks))


def _typst(source: str, data: Any, **options: Any) -> bytes | list[bytes]:
    result: bytes | list[bytes] = typst.compile(
        source.encode(),
        font_paths=[Path(matplotlib.get_data_path()) / "fonts" / "ttf"],
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(data)},
        **options,
    )
    return result


def _section(section: Section) -> dict[str, Any]:
    blocks = [{"kind": type(block).__name__, **asdict(block)} for block in section.blocks]
    return {"id": section.id, "title": section.title, "blocks": blocks}


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
