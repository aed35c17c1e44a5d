"""What is taken as a trials table, and what is said about one that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastparquet
import numpy as np
import pandas as pd
import pytest

from smartops_chaos.analysis import table
from smartops_chaos.errors import FileProblems, UsageError
from smartops_chaos.model import COLUMNS

HEADER = "chaos,workload,model,policy,outcome,time_s,horizon_s"
GOOD = "kill,steady,off,default,platform,3.5,12"


def file(folder: Path, *lines: str) -> Path:
    path = folder / "trials.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def problems(path: Path) -> list[tuple[int, int, str]]:
    with pytest.raises(FileProblems) as caught:
        table.read(path)
    return [(p.line, p.column, p.what) for p in caught.value.problems]


def test_only_the_required_columns_are_needed(tmp_path: Path) -> None:
    found = table.read(file(tmp_path, HEADER, GOOD))
    assert found.to_dict("records") == [
        dict(zip(HEADER.split(","), ["kill", "steady", "off", "default", "platform", 3.5, 12.0], strict=True))
    ]


@pytest.mark.parametrize("name", ["NA", "None", "null", "nan", "NaN", "off", "1", "1.0", "true"])
def test_level_names_are_taken_as_written(tmp_path: Path, name: str) -> None:
    found = table.read(file(tmp_path, HEADER, f"{name},steady,{name},default,platform,3.5,12"))
    assert (found["chaos"][0], found["model"][0]) == (name, name)


@pytest.mark.parametrize(
    ("line", "column", "what"),
    [
        ("kill,steady,off,default,platform,-1,12", 6, "time_s: is negative"),
        ("kill,steady,off,default,platform,12.1,12", 6, "time_s: is above horizon_s"),
        ("kill,steady,off,default,platform,,12", 6, "time_s: is empty, but the trial counts"),
        ("kill,steady,off,default,platform,nan,12", 6, "time_s: not a finite number"),
        ("kill,steady,off,default,platform,inf,12", 6, "time_s: not a finite number"),
        ("kill,steady,off,default,platform,3 s,12", 6, "time_s: not a finite number"),
        ("kill,steady,off,default,unrecovered,3,12", 6, "time_s: must be horizon_s in an unrecovered trial"),
        ("kill,steady,off,default,prevented,3,12", 6, "time_s: must be 0 in a trial that was never bad"),
        ("kill,steady,off,default,repaired,3,12", 5, "outcome: unknown outcome"),
        ("kill,steady,off,default,platform,0,0", 7, "horizon_s: must be above 0"),
        ("kill,steady,off,default,platform,3,", 7, "horizon_s: must be above 0"),
        ("kill,steady,off,default,platform,3,13", 7, "horizon_s: differs within the scenario"),
        ("kill,steady,,default,platform,3,12", 3, "model: is empty"),
        ("cpu,steady,off,default,platform,3500,120000", 7, "horizon_s: is more than a day"),
    ],
)
def test_a_bad_field_is_named_by_line_and_field(tmp_path: Path, line: str, column: int, what: str) -> None:
    assert (3, column, what) in problems(file(tmp_path, HEADER, GOOD, line))


@pytest.mark.parametrize(
    ("columns", "values", "what"),
    [
        ("requests,good_requests", "10,11", "good_requests: are more than `requests`"),
        ("actions", "1.5", "actions: is not a whole number"),
        ("relapses", "-1", "relapses: is negative"),
        ("detected_lo_s,detected_hi_s", "3,2", "detected_lo_s: is after detected_hi_s"),
        ("bad_seconds", "-0.1", "bad_seconds: is negative"),
        ("rca_rank", "inf", "rca_rank: not a finite number"),
    ],
)
def test_optional_columns_are_checked_too(tmp_path: Path, columns: str, values: str, what: str) -> None:
    assert what in [found for _, _, found in problems(file(tmp_path, f"{HEADER},{columns}", f"{GOOD},{values}"))]


def test_parquet_says_the_same_as_csv(tmp_path: Path, trials: Callable[..., list[dict[str, Any]]]) -> None:
    made = table.from_rows(trials("NA", [0, 1.123456, 100.0], chaos="None", repeat=2, flags=""))
    table.write(made, tmp_path / "t.parquet")
    table.write(made, tmp_path / "t.csv")
    assert table.read(tmp_path / "t.parquet").to_dict("records") == table.read(tmp_path / "t.csv").to_dict("records")


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        ({"time_s": [1.0, -2.0]}, (2, 6), "time_s: is negative"),
        ({"time_s": [1.0, float("nan")]}, (2, 6), "time_s: is empty, but the trial counts"),
        ({"time_s": ["1 s", "2"]}, (1, 6), "time_s: not a finite number"),
        ({"model": ["off", None]}, (2, 3), "model: is empty"),
        ({"horizon_s": [12, 13]}, (2, 7), "horizon_s: differs within the scenario"),
    ],
)
def test_a_bad_parquet_field_is_named_by_row_and_field(
    tmp_path: Path, change: dict[str, Any], where: tuple[int, int], what: str
) -> None:
    rows = pd.DataFrame(dict(zip(HEADER.split(","), zip(*[GOOD.split(",")] * 2, strict=True), strict=True)))
    rows = rows.astype({"time_s": float, "horizon_s": float}).assign(**change)
    fastparquet.write(str(tmp_path / "t.parquet"), rows, write_index=False)
    assert (*where, what) in problems(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"chaos,model\n", b"PAR1 and then nonsense PAR1"])
def test_what_is_not_parquet_is_said_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(content)
    assert "Parquet file" in problems(tmp_path / "t.parquet")[0][2]


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER, "kill,steady,off,default,healt,3,12", "kill,,off,default,healed,-3,12")
    assert [(line, column) for line, column, _ in problems(path)] == [(2, 5), (3, 2), (3, 6)]


def test_many_problems_of_one_kind_are_counted(tmp_path: Path) -> None:
    found = problems(file(tmp_path, HEADER, *["kill,steady,off,default,platform,-1,12"] * 50))
    assert len(found) == 21
    assert found[0] == (0, 0, "time_s: is negative: 30 more rows like this")


def test_left_out_trials_need_no_time(tmp_path: Path) -> None:
    found = table.read(file(tmp_path, HEADER, GOOD, "kill,steady,off,default,invalid,,"))
    assert np.isnan(found["time_s"][1])


def test_missing_columns_are_named_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(FileProblems) as caught:
        table.read(file(tmp_path, HEADER.replace("time_s,", "times_s,"), GOOD))
    assert [(p.what, p.hint) for p in caught.value.problems] == [
        ("column `time_s` is missing", "did you mean `times_s`")
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (HEADER.encode() + b"\n", "has no trials"),
        (f"{HEADER}\n{GOOD}\n{GOOD},1,2,3\n".encode(), "is not a table: line 3 has 10 fields, and there are 7 columns"),
        (b"\xff\xfe\x00\x01", "is not UTF-8 text"),
        (f"{HEADER},chaos\n{GOOD},x\n".encode(), "is not a table: column names appear twice: chaos"),
        (f'{HEADER}\n"kill\n'.encode(), "is not a table"),
        (f"{HEADER}\n{GOOD}\n{GOOD},1,2,3\n".encode(), "is not a table"),
    ],
)
def test_what_is_not_a_table_is_said_in_words(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "trials.csv"
    path.write_bytes(content)
    assert problems(path)[0][2].startswith(what)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        table.read(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        table.read(tmp_path)


def test_byte_order_mark_and_short_lines(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text(f"\ufeff{HEADER},flags\n{GOOD}\n", encoding="utf-8")
    assert table.read(path)["flags"][0] == ""


def test_a_trial_counts_once(tmp_path: Path) -> None:
    path = file(tmp_path, f"trial,{HEADER}", f"a,{GOOD}", f"b,{GOOD}", f"a,{GOOD}")
    assert problems(path) == [(4, 1, "trial: appears a second time")]


def test_no_rows() -> None:
    with pytest.raises(FileProblems, match="has no trials"):
        table.from_rows([])


def test_records_go_to_a_file_and_back(tmp_path: Path, trials: Callable[..., list[dict[str, Any]]]) -> None:
    full = dict.fromkeys(COLUMNS)
    rows = [full | r | {"repeat": 1, "trial": f"t{n}"} for n, r in enumerate(trials("off", [0, 1.123456, 100.0]))]
    rows.append(full | rows[0] | {"outcome": "error", "time_s": None, "repeat": None, "trial": "t9"})
    made = table.from_rows(rows)
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    table.write(made, first)
    table.write(table.read(first), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text().splitlines()[0] == ",".join(COLUMNS)
    line = dict(zip(COLUMNS, first.read_text().splitlines()[2].split(","), strict=True))
    assert (line["repeat"], line["time_s"], line["detected_lo_s"], line["reason"]) == ("1", "1.123456", "", "")
    np.testing.assert_array_equal(table.read(first)["time_s"], made["time_s"])


def test_records_with_problems_name_row_and_column(trials: Callable[..., list[dict[str, Any]]]) -> None:
    rows = trials("off", [1, 2])
    rows[1]["model"] = None
    with pytest.raises(FileProblems) as caught:
        table.from_rows(rows)
    assert [str(p) for p in caught.value.problems] == [
        "records:2:3: model: is empty: name the level, such as `default`"
    ]


PLAIN = table.from_rows([dict(zip(HEADER.split(","), GOOD.split(","), strict=True))])
SPREADSHEETS = {
    f"{HEADER}\n{GOOD}\n,,,,,,\n,,,,,,\n": "rows of delimiters alone (2)",
    f"sep=,\n{HEADER}\n{GOOD}\n": "a first line that names the delimiter `,` (1)",
    f"sep=;\r\n{HEADER.replace(',', ';')}\r\n{GOOD.replace(',', ';')}\r\n": "that names the delimiter `;` (1)",
    f"{HEADER.replace(',', ';')}\n{GOOD.replace(',', ';').replace('.', ',')}\n": "decimal commas (1)",
    f"{HEADER.replace(',', chr(9))}\n{GOOD.replace(',', chr(9))}\n": "columns separated by tabs (1)",
    f"{HEADER.replace(',', ' , ')}\n{GOOD}\n": "blanks around names of columns (7)",
    f"{HEADER}\n{GOOD.replace('off', 'off' + chr(160))}\n": "blanks around values of `model` (1)",
    f"{HEADER},,\n{GOOD},,\n": "",
    f"\ufeff{HEADER}\n\n{GOOD}\n": "",
}


@pytest.mark.parametrize("text", SPREADSHEETS)
def test_what_a_spreadsheet_leaves_is_cleaned_with_a_note(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trials.csv"
    path.write_bytes(text.encode())
    found, notes = table.read_with_notes(path)
    pd.testing.assert_frame_equal(found, PLAIN)
    assert SPREADSHEETS[text] in "; ".join(notes)
    assert bool(notes) == bool(SPREADSHEETS[text])


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ('"3,5"', "3,5 has a decimal comma: write a point, as in 3.5"),
        ('"1,200"', "1,200 has a comma or a mark between thousands: write 1200 or 1.2"),
        ("1 200", "1 200 has a comma or a mark between thousands: write 1200 or 1.2"),
        ("soon", "seconds or counts; empty = not seen"),
    ],
)
def test_a_number_with_a_habit_is_told_once_in_words(tmp_path: Path, field: str, hint: str) -> None:
    path = file(tmp_path, HEADER, ",,,,,,", GOOD.replace("3.5", field))
    with pytest.raises(FileProblems) as caught:
        table.read(path)
    (told,) = caught.value.problems
    assert (told.line, told.column, told.what, told.hint) == (3, 6, "time_s: not a finite number", hint)
