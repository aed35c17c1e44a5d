"""Marks a report of a simulated campaign so that nobody takes a page, a figure or a file of it for a measured one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from smartops_chaos.report.document import Block, Figure, Gallery, Report

if TYPE_CHECKING:
    from smartops_chaos.report.slides import Slide

_MARK = (
    '<text x="50%" y="50%" text-anchor="middle" dominant-baseline="middle" font-family="DejaVu Sans" font-size="34" '
    'font-weight="bold" fill="#a33a00" fill-opacity="0.16">SIMULATED</text>'
)


def marked(report: Report) -> Report:
    """The same with SIMULATED in its title (which each page repeats), its subtitle, every figure and its caption."""
    return replace(
        report,
        title=f"SIMULATED: {report.title}",
        subtitle=f"Nothing was measured: the times are drawn from a truth file  ·  {report.subtitle}",
        sections=tuple(
            replace(section, blocks=tuple(_marked(block) for block in section.blocks)) for section in report.sections
        ),
    )


def marked_slide(slide: Slide) -> Slide:
    return replace(slide, svg=_drawn_over(slide.svg), title=f"SIMULATED: {slide.title}")


def _marked(block: Block) -> Block:
    if isinstance(block, Figure):
        caption, alt = f"SIMULATED. {block.caption}", f"Simulated, not measured. {block.alt}"
        narrow = block.narrow
        phone = (lambda: _drawn_over(narrow())) if narrow else None
        return replace(block, caption=caption, alt=alt, svg=_drawn_over(block.svg), narrow=phone)
    if isinstance(block, Gallery):
        return replace(block, cards=tuple(replace(card, svg=_drawn_over(card.svg)) for card in block.cards))
    return block


def _drawn_over(svg: str) -> str:
    head, end, tail = svg.rpartition("</svg>")
    return f"{head}{_MARK}{end}{tail}" if end else svg
