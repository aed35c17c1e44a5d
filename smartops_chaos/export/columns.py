"""Tables for programs: each column is its name and what fills it, in one line of a dictionary."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from typing import Generic, TextIO, TypeVar

Subject = TypeVar("Subject")  # what a row is about
Columns = Mapping[str, Callable[[Subject], object]]  # in the order of the file


class CsvTable(Generic[Subject]):
    """A CSV file with a header, written row by row."""

    def __init__(self, file: TextIO, columns: Columns[Subject]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._columns = columns
        self._writer.writerow(columns)

    def add(self, subject: Subject) -> None:
        self._writer.writerow([fill(subject) for fill in self._columns.values()])


def filled(columns: Columns[Subject], subject: Subject) -> dict[str, object]:
    """A row as name -> value, for JSON."""
    return {name: fill(subject) for name, fill in columns.items()}
