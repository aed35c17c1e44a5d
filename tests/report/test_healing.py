from __future__ import annotations

from dataclasses import replace

from smartops_chaos.analysis.summary import SlaNumbers
from smartops_chaos.report import healing
from smartops_chaos.report.document import Paragraph, Table


def section(campaign, summary=None):
    return healing.section(campaign.page(summary))


def tables(section) -> dict[str, Table]:
    return {b.id: b for b in section.blocks if isinstance(b, Table)}


def test_without_the_key_the_report_says_which_line_to_add(small):
    summary = small.summary()
    arms = tuple(replace(a, sla=SlaNumbers(None, None, None, 0.9)) for a in summary.arms)
    verdicts = tuple(replace(v, why="add `sla:`") if v.target == "sla" else v for v in summary.verdicts)
    blocks = section(small, replace(summary, arms=arms, verdicts=verdicts)).blocks
    assert "Availability over a service window is not given: add `sla:`." in [
        b.text for b in blocks if isinstance(b, Paragraph)
    ]


def test_nothing_known_gives_no_column(small, nothing):
    found = tables(section(small, nothing))
    assert set(found) == {"tab-healing"}
    assert {row[1:] for row in found["tab-healing"].rows} == {()}


def test_what_a_table_does_not_tell_is_no_zero(small, nothing):
    row = tables(section(small, nothing))["tab-healing"].rows[1]
    assert "0" not in row
    row = tables(section(small))["tab-healing"].rows[1]
    assert row[-2] == "0"
