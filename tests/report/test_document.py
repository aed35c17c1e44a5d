from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.report.document import Column, Figure, Report, Section, Table, grouped


def figure(name: str) -> Figure:
    return Figure(name, "t", "c", "a", "<svg/>")


def table(name: str) -> Table:
    return Table(name, "t", (Column("c"),), ())


def test_figures_and_tables_are_numbered_apart_in_reading_order():
    report = Report(
        "r", "", (Section("a", "A", (table("x"), figure("y"))), Section("b", "B", (figure("z"), table("w"))))
    )
    assert report.numbers() == {"x": "Table 1", "y": "Figure 1", "z": "Figure 2", "w": "Table 2"}
    assert [f.id for f in report.figures()] == ["y", "z"]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text())))
def test_grouped_rows_can_be_filled_in_again(rows):
    filled, last = [], ""
    for head, rest in grouped(rows):
        last = head or last
        filled.append((last, rest))
    assert filled == rows
