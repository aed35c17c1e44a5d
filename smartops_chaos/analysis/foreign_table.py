"""A trials table that went through a spreadsheet or another tool: its habits are taken away, each with a note.

Rows of delimiters alone, a line `sep=;`, semicolons and tabs, blanks around names, and a decimal comma where it cannot
be anything else. What could mean two things (1,200) is left as it is and refused by whoever checks the numbers.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_DELIMITERS = (",", ";", "\t", "|")
_SAYS_DELIMITER = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_BLANKS = "\u00a0\u2007\u202f\u200b\ufeff \t\r\n"  # what str.strip leaves of them too
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[ '.,\u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?")


@dataclass(frozen=True)
class Cleaned:
    """All fields as text, the line of each row, and what was done to them."""

    table: pd.DataFrame
    lines: list[int]
    notes: tuple[str, ...]


@dataclass
class _Notes:
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, count: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + count

    def told(self) -> tuple[str, ...]:
        return tuple(f"the table was cleaned: {what} ({count})" for what, count in self.counts.items() if count)


def is_plain(content: bytes) -> bool:
    """Whether a table can be read as it stands: commas, and nothing that only a spreadsheet leaves between the rows.

    Quick also for a million rows, and on the safe side: only a no may be wrong.
    """
    first = content[: content.find(b"\n") + 1].decode("utf-8-sig", errors="replace").rstrip("\r\n")
    if _SAYS_DELIMITER.fullmatch(first) or not first.strip(",") or "," not in first:
        return False
    if any(name != name.strip(_BLANKS) for name in first.split(",")):
        return False
    octets = _octets(content)
    return not _any_is(octets[np.flatnonzero(octets == ord("\n")) + 1], b", \t\r\n")


def may_have_blanks(content: bytes) -> bool:
    """Whether a value of this plain table may begin or end with a blank; quick, and only a yes may be wrong."""
    if not content.isascii():
        return True
    if b" " not in content and b"\t" not in content:
        return False
    octets, edges = _octets(content), b',"\r\n'
    blanks = np.flatnonzero((octets == ord(" ")) | (octets == ord("\t")))
    return content.endswith((b" ", b"\t")) or _any_is(octets[blanks - 1], edges) or _any_is(octets[blanks + 1], edges)


def _octets(content: bytes) -> NDArray[np.uint8]:
    """Without the ends of lines at its end."""
    octets = np.frombuffer(content, dtype=np.uint8)
    return octets[: len(content) - sum(1 for _ in takewhile(b"\r\n".__contains__, reversed(content)))]


def _any_is(octets: NDArray[np.uint8], wanted: bytes) -> bool:
    table = np.zeros(256, dtype=bool)
    table[list(wanted)] = True
    return bool(table[octets].any())


def clean(text: str, texts: Collection[str], numbers: Collection[str]) -> Cleaned:
    """The table in `text`. `texts` and `numbers` are the columns whose meaning is known.

    Raises ValueError for a row that has more fields than there are columns, and csv.Error for what is no CSV.
    """
    notes = _Notes()
    said = _SAYS_DELIMITER.fullmatch(text.partition("\n")[0].rstrip("\r"))
    if said:
        text = text.partition("\n")[2]
        notes.add(f"a first line that names the delimiter `{said[1]}`")
    delimiter = said[1] if said else _delimiter(text.partition("\n")[0], {*texts, *numbers})
    if delimiter != "," and not said:
        notes.add(f"columns separated by {'tabs' if delimiter == chr(9) else f'`{delimiter}`'}")
    header, rows, lines = _rows(text, delimiter, 1 if said else 0, notes)
    for number, name in enumerate(header):
        if name != name.strip(_BLANKS):
            header[number] = name.strip(_BLANKS)
            notes.add("blanks around names of columns")
    while header and not header[-1] and all(len(row) < len(header) or not row[len(header) - 1] for row in rows):
        header.pop()  # a column of a spreadsheet that nobody has filled in
    for row, line in zip(rows, lines, strict=True):
        if len(row) > len(header):
            if any(one.strip(_BLANKS) for one in row[len(header) :]):
                raise ValueError(f"line {line} has {len(row)} fields, and there are {len(header)} columns")
            del row[len(header) :]
        row += [""] * (len(header) - len(row))
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ValueError(f"column names appear twice: {', '.join(repeated)}")
    columns = {name: [row[number] for row in rows] for number, name in enumerate(header)}
    for name in columns:
        if name in texts or name in numbers:
            stripped = [value.strip(_BLANKS) for value in columns[name]]
            notes.add(f"blanks around values of `{name}`", sum(map(str.__ne__, stripped, columns[name])))
            columns[name] = stripped
    _decimal_commas([columns[name] for name in columns if name in numbers], delimiter, notes)
    return Cleaned(pd.DataFrame(columns, dtype=object), lines, notes.told())


def why_not_a_number(value: str) -> str:
    """The habit that makes a text no number for us, with its mend; empty if none is known."""
    if _GROUPED.fullmatch(value):
        return f"{value} has a comma or a mark between thousands: write 1200 or 1.2"
    if _DECIMAL_COMMA.fullmatch(value):
        return f"{value} has a decimal comma: write a point, as in {value.replace(',', '.')}"
    return ""


def _delimiter(header: str, known: Collection[str]) -> str:
    """The one at which the header falls into most known names; the comma where none does."""

    def names(delimiter: str) -> int:
        return sum(name.strip(_BLANKS + '"') in known for name in header.split(delimiter))

    return max(_DELIMITERS, key=names)


def _rows(text: str, delimiter: str, skipped: int, notes: _Notes) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    header = next(reader, [])
    rows, lines = [], []
    before = reader.line_num
    for row in reader:
        if any(one.strip(_BLANKS) for one in row):
            rows.append(row)
            lines.append(before + 1 + skipped)
        elif row:
            notes.add("rows of delimiters alone")
        before = reader.line_num
    return header, rows, lines


def _decimal_commas(columns: Sequence[list[str]], delimiter: str, notes: _Notes) -> None:
    """Points for the commas of a table in which no number has a point, and which a comma does not separate."""
    values = [value for column in columns for value in column]
    if delimiter == "," or any("." in value for value in values):
        return
    for column in columns:
        for row, value in enumerate(column):
            if _DECIMAL_COMMA.fullmatch(value):
                column[row] = value.replace(",", ".")
                notes.add("decimal commas")
