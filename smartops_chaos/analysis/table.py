"""The trials table as a tidy, validated DataFrame: from records, or from a file that any tool may have written.

Text columns hold str ("" = not given), number columns float64 (NaN = not seen). Level names are taken as written:
`NA`, `None` and `null` are names. Only `REQUIRED` must be there; unknown columns are kept as they are.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from smartops_chaos.analysis import foreign_table
from smartops_chaos.errors import FileProblems, Problem, UsageError
from smartops_chaos.model import COLUMNS, FALSE_ALARMS, MOMENTS, Outcome, Record

REQUIRED = ("chaos", "workload", "model", "policy", "outcome", "time_s", "horizon_s")
LEVELS = ("chaos", "workload", "model", "policy")
INTEGERS = (
    *("repeat", "block", "attempt", "relapses", "late_relapses", "actions", "actions_failed", "needless_actions"),
    *("guardrail_blocks", "cooldown_skips", "rca_rank", "requests", "good_requests"),
)
SOURCE, SIMULATED = "source", "simulated"  # a column, and its value in what was drawn and not measured
_UNITLESS = ("bad_seconds", "unknown_seconds", "service_ms", "work_ms", "utilisation")
NUMBERS = tuple(c for c in COLUMNS if c.endswith("_s") or c in (*INTEGERS, *_UNITLESS))

_SECONDS = ("bad_seconds", "unknown_seconds", "ttr_impact_s", "observed_s")  # that are a length, and no moment
_SHOWN = 20  # problems of one kind that are listed row by row
_LONGEST_S = 86400.0  # no matrix has a longer horizon
_ROUNDING_S = 1e-6  # the table's times are written with six decimals


def from_rows(rows: Iterable[Mapping[str, object]], name: str = "records") -> pd.DataFrame:
    """Rows of records (keys = model.COLUMNS, None = not seen) as a table.

    Raises FileProblems with every problem; its line is the row's number, counted from 1, its column the field's.
    """
    return _validated(pd.DataFrame(list(rows), dtype=object), name)


def from_records(records: Mapping[str, Record]) -> pd.DataFrame:
    """The rows of records by their files. Raises FileProblems that name the files."""
    try:
        return from_rows(record.row for record in records.values())
    except FileProblems as error:
        files, hint = list(records), "`smartops-chaos derive` computes it again from the evidence"
        raise FileProblems(
            [Problem(files[p.line - 1], 0, 0, p.what, p.hint or hint) if p.line else p for p in error.problems]
        ) from None


def read(path: Path) -> pd.DataFrame:
    """A trials table from `.csv` (UTF-8) or `.parquet`: see `read_with_notes`."""
    return read_with_notes(path)[0]


def read_with_notes(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The same with what was cleaned of it, in words.

    Raises FileProblems (line = line of the file for plain CSV, row for Parquet; column = number of the field), or
    UsageError if the file cannot be opened.
    """
    name = str(path)
    try:
        if path.suffix.lower() == ".parquet":
            return _validated(_read_parquet(path), name), ()
        raw, lines, notes = _read_csv(path)
        return _validated(raw, name, lines), notes
    except UnicodeDecodeError as error:
        raise FileProblems([Problem(name, 0, 0, "is not UTF-8 text", "save it as CSV in UTF-8")]) from error
    except pd.errors.EmptyDataError as error:
        raise FileProblems([Problem(name, 0, 0, "is empty", "a first line with column names is needed")]) from error
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        raise FileProblems([Problem(name, 0, 0, f"is not a table: {error}")]) from error
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror or error}") from error


def write(table: pd.DataFrame, path: Path) -> None:
    """Write `.csv` or `.parquet`; counts without a decimal point, empty = not seen. The same table, the same bytes."""
    plain = table.astype({c: "Int64" for c in INTEGERS if c in table})
    if path.suffix.lower() == ".parquet":
        import fastparquet

        fastparquet.write(str(path), plain, write_index=False)
    else:
        plain.to_csv(path, index=False, lineterminator="\n")


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    """The column as float64; all NaN if the table lacks it."""
    return table[column].to_numpy(float) if column in table else np.full(len(table), np.nan)


def texts(table: pd.DataFrame, column: str, default: str = "") -> np.ndarray:
    """The column as an array of str; all `default` if the table lacks it."""
    return table[column].to_numpy(object) if column in table else np.full(len(table), default, dtype=object)


def is_simulated(table: pd.DataFrame) -> bool:
    """Whether any of its trials was drawn by `plan --simulate` and not measured."""
    return bool((texts(table, SOURCE) == SIMULATED).any())


def outcome_is(outcomes: np.ndarray, group: Callable[[Outcome], bool]) -> np.ndarray:
    """Which of the outcomes belong to a group, such as `lambda o: o.counted`; a boolean array of the same length."""
    wanted = {str(o) for o in Outcome if group(o)}
    return where(outcomes, wanted.__contains__)


def where(values: np.ndarray, is_so: Callable[[str], bool]) -> np.ndarray:
    """Of which of the texts it is so: each that differs is looked at once, since a million have few."""
    place, names = pd.factorize(values)
    return np.array([is_so(str(name)) for name in names], dtype=bool)[place]


def rows_of(table: pd.DataFrame, wanted: np.ndarray) -> pd.DataFrame:
    """The rows that are wanted; the table itself if all are, since a copy of a large one takes long."""
    return table if wanted.all() else table[wanted]


def _read_csv(path: Path) -> tuple[pd.DataFrame, Sequence[int], tuple[str, ...]]:
    """The raw table, the line of each row, and what was cleaned of it."""
    content = path.read_bytes()
    if foreign_table.is_plain(content):
        with suppress(ValueError):  # some field is no number, or a row is too long: read as text to say which
            raw = _parsed(content)
            known = [column for column in raw if column in COLUMNS and column not in NUMBERS]
            if not foreign_table.may_have_blanks(content) or not any(_has_blanks(raw[column]) for column in known):
                return raw, range(2, len(raw) + 2), ()
    text = content.decode("utf-8-sig")
    if not text.strip():
        raise pd.errors.EmptyDataError
    texts = [column for column in COLUMNS if column not in NUMBERS]
    cleaned = foreign_table.clean(text, texts, NUMBERS)
    return cleaned.table, cleaned.lines, cleaned.notes


def _has_blanks(column: pd.Series) -> bool:
    return any(value != value.strip() for value in column.unique() if isinstance(value, str))


def _read_parquet(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    if not (content.startswith(b"PAR1") and content.endswith(b"PAR1")):
        raise FileProblems([Problem(str(path), 0, 0, "is not a Parquet file")])
    from fastparquet import ParquetFile  # directly: pandas 4 drops this engine, and its other one is ten times as large

    try:
        read: pd.DataFrame = ParquetFile(io.BytesIO(content)).to_pandas()
    except Exception as error:  # a damaged file makes the reader fail in any way
        raise FileProblems([Problem(str(path), 0, 0, f"is a damaged Parquet file: {error}")]) from error
    return read


def _parsed(content: bytes) -> pd.DataFrame:
    """Numbers parsed while reading: several times faster than from texts."""
    header = next(csv.reader([content[: content.find(b"\n")].decode("utf-8-sig")]), [])
    if len(set(header)) < len(header):
        raise ValueError("column names appear twice")
    counted = [c for c in header if c in NUMBERS]
    return pd.read_csv(
        io.BytesIO(content),
        dtype=dict.fromkeys(header, object) | dict.fromkeys(counted, "float64"),
        keep_default_na=False,
        na_values={c: [""] for c in counted},
        index_col=False,
    )


def _validated(raw: pd.DataFrame, name: str, lines: Sequence[int] | None = None) -> pd.DataFrame:
    """`lines` are those of the rows; counted from 1 unless given."""
    absent = [c for c in REQUIRED if c not in raw]
    if absent and (len(raw) or len(raw.columns)):
        raise FileProblems([Problem(name, 1, 0, f"column `{c}` is missing", _near(c, raw.columns)) for c in absent])
    if not len(raw):
        raise FileProblems([Problem(name, 0, 0, "has no trials", "bring at least one row")])
    problems: list[Problem] = []
    table = raw.reset_index(drop=True)
    lines = lines if lines is not None else range(1, len(table) + 1)
    unread: dict[str, np.ndarray] = {}  # of a column, the rows whose fields are no numbers: told once

    def report(bad: np.ndarray, column: str, what: str, hint: str = "") -> None:
        rows = np.flatnonzero(bad & ~unread[column] if column in unread else bad)
        field = list(table.columns).index(column) + 1 if column in table else 0
        for row in rows[:_SHOWN]:
            problems.append(Problem(name, int(lines[row]), field, f"{column}: {what}", hint))
        if len(rows) > _SHOWN:
            problems.append(Problem(name, 0, 0, f"{column}: {what}: {len(rows) - _SHOWN} more rows like this"))

    typed = {}
    for column in table.columns:
        if column in NUMBERS:
            parsed, bad = _numbers(table[column])
            habits = [foreign_table.why_not_a_number(str(value)) for value in table[column][bad]]
            hint = next((habit for habit in habits if habit), "seconds or counts; empty = not seen")
            report(bad, column, "not a finite number", hint)
            unread[column] = bad
            typed[column] = pd.Series(parsed)
        elif column in COLUMNS:
            typed[column] = _texts(table[column])
        else:
            typed[column] = table[column]
    clean = _own_faults(pd.DataFrame(typed, copy=False))  # a copy of a large table takes long, and nobody else has it
    for column, bad, what, hint in _checks(clean):
        report(bad, column, what, hint)
    if problems:
        raise FileProblems(problems)
    clean["time_s"] = np.minimum(numbers(clean, "time_s"), numbers(clean, "horizon_s"))
    return clean


def _own_faults(table: pd.DataFrame) -> pd.DataFrame:
    """Trials that earlier versions left out as invalid, though the healer's own false alarms had spoiled them."""
    spoiled = (texts(table, "outcome") == Outcome.INVALID) & (texts(table, "reason") == FALSE_ALARMS)
    spoiled &= texts(table, "phase") != "calibrate"
    if not spoiled.any():
        return table
    table = table.copy()
    control = spoiled & (texts(table, "family") == "none")
    table.loc[control, "outcome"] = str(Outcome.FALSE_ALARM)
    table.loc[spoiled & ~control, "outcome"] = str(Outcome.UNRECOVERED)
    for column in {"time_s", "ttr_impact_s"} & set(table.columns):
        table.loc[spoiled & ~control, column] = table["horizon_s"]
    return table


def _numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The column as float64, and which fields are neither empty nor a finite number."""
    if column.dtype == np.float64:
        return column.to_numpy(), np.isinf(column.to_numpy())
    parsed = pd.to_numeric(column, errors="coerce").to_numpy(float)
    empty = (column.isna() | (column == "")).to_numpy(bool)
    return parsed, ~empty & ~np.isfinite(parsed)


def _texts(column: pd.Series) -> pd.Series:
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column
    return column.where(column.notna(), "").astype(str).astype(object)


def _checks(table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, str, str]]:
    """(column, rows that break the rule, what is wrong, how to mend it)."""
    outcome = table["outcome"].to_numpy(object)
    time, horizon = numbers(table, "time_s"), numbers(table, "horizon_s")
    counted = outcome_is(outcome, lambda o: o.counted)
    for level in LEVELS:
        yield level, table[level].to_numpy(object) == "", "is empty", "name the level, such as `default`"
    unknown = ~outcome_is(outcome, lambda _: True)
    yield "outcome", unknown, "unknown outcome", f"use one of {', '.join(Outcome)}"
    phase = texts(table, "phase", "measure")
    yield "phase", ~where(phase, ("measure", "calibrate", "").__contains__), "unknown phase", "use measure or calibrate"
    yield "horizon_s", counted & ~(horizon > 0), "must be above 0", "the time at which a person would step in"
    yield "horizon_s", horizon > _LONGEST_S, "is more than a day", "seconds, not milliseconds"
    yield "time_s", counted & np.isnan(time), "is empty, but the trial counts", "0 = never bad, horizon_s = unrecovered"
    yield "time_s", counted & (time < 0), "is negative", "seconds since injection"
    yield (
        "time_s",
        counted & (time > horizon + _ROUNDING_S),
        "is above horizon_s",
        "unrecovered = horizon_s, and both are in seconds",
    )
    cut = (outcome == Outcome.UNRECOVERED) & (np.abs(time - horizon) > _ROUNDING_S) & ~np.isnan(time)
    yield "time_s", cut, "must be horizon_s in an unrecovered trial", "it is scored, not left out"
    never_bad = outcome_is(outcome, lambda o: o in (Outcome.PREVENTED, Outcome.NO_EFFECT)) & (time > 0)
    yield "time_s", never_bad, "must be 0 in a trial that was never bad", "or is the outcome another one?"
    for column in table.columns.intersection([*_SECONDS, *INTEGERS]):
        yield column, numbers(table, column) < 0, "is negative", "seconds and counts start at 0"
    for column in table.columns.intersection([*INTEGERS]):
        yield column, numbers(table, column) > np.floor(numbers(table, column)), "is not a whole number", "a count"
    good = numbers(table, "good_requests") > numbers(table, "requests")
    yield "good_requests", good, "are more than `requests`", "good ones of all requests"
    for moment in MOMENTS[1:]:
        lo, hi = numbers(table, f"{moment}_lo_s"), numbers(table, f"{moment}_hi_s")
        yield f"{moment}_lo_s", lo > hi + _ROUNDING_S, f"is after {moment}_hi_s", "the moment lies between them"
    measured = counted & (phase != "calibrate") & (horizon > 0)
    mixed = np.zeros(len(table), dtype=bool)
    if measured.any() and np.ptp(horizon[measured]) > _ROUNDING_S:
        first = pd.Series(horizon).where(measured).groupby([table["chaos"], table["workload"]]).transform("first")
        mixed = measured & (np.abs(horizon - first.to_numpy(float)) > _ROUNDING_S)
    yield "horizon_s", mixed, "differs within the scenario", "one horizon for all trials of one chaos and workload"
    if "trial" in table:
        keys = [c for c in ("campaign", "trial") if c in table]
        again = table.duplicated(keys).to_numpy(bool) & (table["trial"].to_numpy(object) != "")
        yield "trial", again, "appears a second time", "one row a trial"


def _near(column: str, columns: Iterable[object]) -> str:
    close = difflib.get_close_matches(column, [str(c) for c in columns], n=1)
    return f"did you mean `{close[0]}`" if close else f"needed are {', '.join(REQUIRED)}"
