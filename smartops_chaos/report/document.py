"""The Report: sections of blocks, plain data. It says what is shown, the two templates say how.

Every text in it is plain text: the renderers never read it as markup, so a level may have any name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "weak", "bad", "none"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str
    style: Literal["body", "lead", "note"] = "body"


@dataclass(frozen=True, slots=True)
class Box:
    """Lines set apart from the text, such as warnings."""

    title: str
    lines: tuple[str, ...]
    tone: Tone = "none"


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and what they stand for, in two columns. No caption, no number."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class CardLine:
    label: str
    value: str
    verdict: str  # in words; the tone is never the only cue
    tone: Tone
    why: str


@dataclass(frozen=True, slots=True)
class Card:
    """One target and how each arm stands to it."""

    title: str
    wanted: str
    lines: tuple[CardLine, ...]


@dataclass(frozen=True, slots=True)
class Cards:
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    align: Literal["left", "right"] = "left"
    grow: int = 0  # share of the free width; 0: as wide as its content


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    small: bool = False  # long lists: smaller letters, sortable and searchable on a screen


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with a caption. `svg` has ids that are unique in the whole report."""

    id: str
    title: str
    caption: str
    alt: str  # what a reader who cannot see it needs to know
    svg: str


def grouped(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Rows without the first cell where it repeats the one above."""
    heads = [row[0] for row in rows]
    return tuple(row if i == 0 or heads[i - 1] != row[0] else ("", *row[1:]) for i, row in enumerate(rows))


Block = Paragraph | Box | Facts | Code | Cards | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...]
    new_page: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def figures(self) -> Iterator[Figure]:
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Figure):
                    yield block

    def numbers(self) -> dict[str, str]:
        """Caption labels by id: "Figure 1", "Table 1" and so on, in reading order."""
        labels: dict[str, str] = {}
        counts = {"Figure": 0, "Table": 0}
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Figure | Table):
                    kind = type(block).__name__
                    counts[kind] += 1
                    labels[block.id] = f"{kind} {counts[kind]}"
        return labels
