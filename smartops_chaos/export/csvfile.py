"""A table for programs: each row is a dictionary, so a column's name and what fills it stand in one line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import TextIO


class CsvFile:
    """Written row by row. The columns are those of the first row, unless they are given."""

    def __init__(self, file: TextIO, columns: Iterable[str] = ()) -> None:
        self._file = file
        self._columns = list(columns)
        self._writer: csv.DictWriter[str] | None = None

    def add(self, row: Mapping[str, object]) -> None:
        """What the row does not have stays empty."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, self._columns or list(row), lineterminator="\n")
            self._writer.writeheader()
        self._writer.writerow(row)
