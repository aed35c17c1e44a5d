from __future__ import annotations

from dataclasses import replace

import pytest

from smartops_chaos.report import faults
from smartops_chaos.report.document import Paragraph, Table, plain_text


def tables(campaign, summary=None) -> list[Table]:
    return [b for b in faults.section(campaign.page(summary)).blocks if isinstance(b, Table)]


def test_every_trial_stands_in_the_table_of_its_fault(small):
    found = tables(small)
    assert [t.title for t in found] == ["cpu-90 / steady", "pod-kill / steady"]
    total = 0
    for table in found:
        heads = [c.title for c in table.columns]
        first, last = heads.index("Counted") + 1, heads.index("MTTR")
        total += sum(int(plain_text(cell)) for row in table.rows for cell in row[first:last] if cell != "·")
    assert total == ((small.table["phase"] == "measure") & (small.table["chaos"] != "none")).sum()


def test_each_fault_says_what_it_is_and_its_share_of_the_baselines_time(small):
    comparison = next(c for c in small.summary().comparisons if c.decides)
    assert sum(comparison.shares.values()) == pytest.approx(1)
    for table in tables(small):
        assert "Set: load 0.9." in table.note
        assert "of the baseline's time" in table.note
        assert table.note.startswith("Horizon 12")


def test_a_fault_that_rarely_hurts_says_so(small):
    summary = small.summary()
    arms = tuple(replace(a, cells=(replace(a.cells[0], rarely_hurts=True), *a.cells[1:])) for a in summary.arms)
    notes = [t.note for t in tables(small, replace(summary, arms=arms))]
    assert ["fewer than half" in note for note in notes] == [True, False]


def test_without_a_fault_that_counts_there_is_a_sentence(small, nothing):
    assert [type(b) for b in faults.section(small.page(nothing)).blocks] == [Paragraph]
