from __future__ import annotations

from dataclasses import replace

from smartops_chaos.analysis.words import seconds
from smartops_chaos.report import repair
from smartops_chaos.report.document import Figure, Paragraph, Table


def blocks(campaign, arms=None) -> dict[str, object]:
    summary = campaign.summary()
    page = campaign.page(summary if arms is None else replace(summary, arms=tuple(arms)))
    found = [*(b for s in repair.sections(page) for b in s.blocks), *repair.more(page)]
    return {getattr(b, "id", getattr(b, "text", "")): b for b in found}


def test_phases_carry_their_measuring_error_and_n(small):
    table = blocks(small)["tab-phases"]
    assert isinstance(table, Table)
    arm = next(a for a in small.summary().arms if not a.baseline)
    (row,) = [row for row in table.rows if row[0] == "zscore"]
    assert row[1] == str(arm.phases[-1].n)
    assert all("(" in cell for cell in row[2:7])
    assert row[7] == seconds(sum(p.mean_s or 0.0 for p in arm.phases))
    assert "detect to detected" in dict(table.keys)["Steps"]


def test_losses_are_shown_with_their_reasons(small):
    table = blocks(small)["tab-losses"]
    assert isinstance(table, Table)
    lost = sum(sum(step.lost.values()) for a in small.summary().arms for step in a.funnel)
    assert sum(int(row[3]) for row in table.rows) == lost


def test_what_was_not_measured_is_a_sentence(small, nothing):
    found = blocks(small, nothing.arms)
    assert all(isinstance(b, Paragraph) for b in found.values())
    assert len(found) == 3


def test_a_silent_arm_is_named_and_has_no_matrix(small):
    arms = small.summary().arms
    silent = tuple(replace(a, rca=replace(a.rca, answers=0)) for a in arms)
    found = blocks(small, silent)
    assert "Never answered: off, zscore." in found
    assert "fig-confusion" not in found
    assert isinstance(blocks(small, arms)["fig-confusion"], Figure)
