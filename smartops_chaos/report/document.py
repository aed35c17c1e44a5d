"""The Report: sections of blocks, plain data. It says what is shown, the two templates say how.

Every text in it is plain text: the renderers never read it as markup, so a level may have any name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from smartops_chaos.analysis.words import NONE

Tone = Literal["good", "weak", "bad", "none"]


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead to the block, row or trial card with the id `to`; plain words where the report has none.

    `show` narrows a long table down on a screen: facet -> the values of which a row must have one.
    """

    text: str
    to: str
    show: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Chip:
    """A word on a coloured ground, such as a verdict; the word says it all, the colour helps the eye."""

    text: str
    tone: Tone


Text = str | tuple[str | Link | Chip, ...]
Keys = tuple[tuple[str, str], ...]  # below a table or drawing: a word or sign in it, and what that means
Subject = TypeVar("Subject")  # what the rows of a table are about: an arm, a verdict, a trial


def plain_text(text: Text) -> str:
    """A text without its links."""
    return text if isinstance(text, str) else "".join(p if isinstance(p, str) else p.text for p in text)


def joined(*texts: Text) -> Text:
    """One text of several; plain if none of them has a link or a chip."""
    parts = tuple(part for text in texts for part in ((text,) if isinstance(text, str) else text))
    return parts if any(not isinstance(part, str) for part in parts) else plain_text(parts)


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: Text
    style: Literal["body", "lead", "note"] = "body"


@dataclass(frozen=True, slots=True)
class Box:
    """Lines set apart from the text, such as warnings."""

    title: str
    lines: tuple[Text, ...]
    tone: Tone = "none"


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and what they stand for, in two columns; a new line in it is one. No caption, no number."""

    pairs: tuple[tuple[str, Text], ...]


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class CardLine:
    label: str
    value: str
    verdict: str  # in words; the tone is never the only cue
    tone: Tone
    why: Keys  # a word on each line, and the line


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
class Facet:
    """By what a long table can be narrowed down: for each row the values that it has."""

    name: str
    values: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    note: str = ""  # what it shows, in a sentence
    keys: Keys = ()
    small: bool = False  # long lists: smaller letters, sortable and searchable on a screen
    facets: tuple[Facet, ...] = ()
    ids: tuple[str, ...] = ()  # of the rows, where something leads to one
    on_paper: tuple[int, ...] | None = None  # the rows that are printed; None: all


@dataclass(frozen=True, slots=True)
class Filling(Generic[Subject]):
    """A column of a table with what fills it: its cell in the row of each subject."""

    column: Column
    cell: Callable[[Subject], Text]


def col(
    title: str,
    cell: Callable[[Subject], Text],
    *,
    grow: int = 0,
    align: Literal["left", "right", ""] = "",
) -> Filling[Subject]:
    """A column of `table`. Columns that grow hold texts and start left; the others hold numbers and end right."""
    return Filling(Column(title, align or ("left" if grow else "right"), grow), cell)


def table(
    table_id: str,
    title: str,
    subjects: Iterable[Subject],
    columns: Sequence[Filling[Subject]],
    note: str = "",
    keys: Keys = (),
    *,
    group: bool = False,
    small: bool = False,
) -> Table:
    """A row for each subject. `group`: a first cell that repeats the one above is left out; so is a column without a
    single value.

    table("tab-mttr", "Time to recover", summary.arms, [col("MTTR", lambda arm: seconds(arm.mttr.rmst_s))])
    """
    whole = [tuple(filling.cell(subject) for filling in columns) for subject in subjects]
    said = [i for i in range(len(columns)) if i == 0 or not whole or any(plain_text(row[i]) != NONE for row in whole)]
    rows = tuple(tuple(row[i] for i in said) for row in whole)
    heads = tuple(columns[i].column for i in said)
    return Table(table_id, title, heads, grouped(rows) if group else rows, note, keys, small=small)


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with a caption: what it shows, in a sentence. `svg` has ids that are unique in the whole report.

    As a file it stands alone, with the tables named in `tables` beside it, which have the numbers that it shows.
    `points` makes marks answer to the mouse: a group's id, and the row of each of its marks in the list of trials.
    """

    id: str
    title: str
    caption: str
    alt: str  # what a reader who cannot see it needs to know
    svg: str
    tables: tuple[str, ...] = ()
    keys: Keys = ()
    points: tuple[tuple[str, tuple[int, ...]], ...] = ()  # groups of marks in the drawing, and the trial of each mark
    narrow: Callable[[], str] | None = field(default=None, compare=False)  # draws the same for a phone


@dataclass(frozen=True, slots=True)
class TrialCard:
    """One trial shown in full."""

    id: str
    title: str
    outcome: str
    alt: str
    svg: str  # "" if nothing is at hand to draw
    evidence: str  # what each rule matched, on a screen only; "" if nothing is at hand
    on_paper: bool = True


@dataclass(frozen=True, slots=True)
class Gallery:
    """Trials shown in full under one caption, side by side on paper."""

    id: str
    title: str
    caption: str
    cards: tuple[TrialCard, ...]
    keys: Keys = ()


@dataclass(frozen=True, slots=True)
class FilmMoment:
    name: str
    at_s: float  # since the injection
    raw: str  # the line or sample that tells of it


@dataclass(frozen=True, slots=True)
class FilmSide:
    """One of two trials that run side by side."""

    title: str
    outcome: str
    requests: tuple[tuple[float, float, bool], ...]  # seconds since injection, milliseconds (-1: no good answer), good
    moments: tuple[FilmMoment, ...]
    card: str  # id of the trial's card; "" where the report has none


@dataclass(frozen=True, slots=True)
class Film:
    """Two trials that play on one time axis; on a screen only."""

    id: str
    title: str
    caption: str
    sides: tuple[FilmSide, ...]
    start_s: float
    end_s: float
    limit_ms: float  # what the SLO allows


def grouped(rows: Sequence[tuple[Text, ...]]) -> tuple[tuple[Text, ...], ...]:
    """Rows without the first cell where it repeats the one above."""
    heads = [row[0] for row in rows]
    return tuple(row if i == 0 or heads[i - 1] != row[0] else ("", *row[1:]) for i, row in enumerate(rows))


Block = Paragraph | Box | Facts | Code | Cards | Table | Figure | Gallery | Film


@dataclass(frozen=True, slots=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Report:
    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def blocks(self) -> Iterator[Block]:
        """Everything, in reading order."""
        for section in self.sections:
            yield from section.blocks

    def figures(self) -> list[Figure]:
        return [block for block in self.blocks() if isinstance(block, Figure)]

    def tables(self) -> dict[str, Table]:
        """Every table by its id."""
        return {block.id: block for block in self.blocks() if isinstance(block, Table)}

    def numbers(self) -> dict[str, str]:
        """Caption labels by id: "Figure 1", "Table 1" and so on, in reading order."""
        labels: dict[str, str] = {}
        counts = {"Figure": 0, "Table": 0}
        for block in self.blocks():
            if isinstance(block, Figure | Table | Gallery):
                kind = "Table" if isinstance(block, Table) else "Figure"
                counts[kind] += 1
                labels[block.id] = f"{kind} {counts[kind]}"
        return labels

    def anchors(self) -> set[str]:
        """The ids that something can lead to."""
        found = {section.id for section in self.sections}
        for block in self.blocks():
            if isinstance(block, Figure | Table | Gallery):
                found.add(block.id)
            if isinstance(block, Table):
                found.update(block.ids)
            if isinstance(block, Gallery):
                found.update(card.id for card in block.cards)
        return found
