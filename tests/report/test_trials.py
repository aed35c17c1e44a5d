from __future__ import annotations

from dataclasses import replace

from smartops_chaos.report import trials
from smartops_chaos.report.document import Figure, Table
from smartops_chaos.report.style import arm_styles


def section(campaign, table=None, records=None):
    table = campaign.table if table is None else table
    arms = [a.arm for a in campaign.summary().arms]
    styles = arm_styles(arms, campaign.plan.analysis.baseline)
    records = campaign.records if records is None else records
    return trials.section(campaign.plan, table, records, lambda trial: campaign.requests[trial], styles)


def test_every_trial_is_a_row_and_a_picture(small):
    blocks = section(small).blocks
    table = blocks[0]
    assert isinstance(table, Table)
    assert [row[1] for row in table.rows] == list(small.table["trial"])
    alts = [b.alt for b in blocks if isinstance(b, Figure)]
    assert sum(alt.count(" · ") for alt in alts) == 2 * len(small.table)
    assert [b.caption != "" for b in blocks if isinstance(b, Figure)] == [True] + [False] * (len(alts) - 1)


def test_arms_stand_side_by_side_and_calibration_last(small):
    alts = " ".join(b.alt for b in section(small).blocks if isinstance(b, Figure))
    assert alts.index("cpu-90 / steady · off · 1:") < alts.index("cpu-90 / steady · zscore · 1:")
    assert alts.index("cpu-90 / steady · zscore · 1:") < alts.index("cpu-90 / steady · off · 2:")
    assert alts.index("calibration: ") > alts.index("pod-kill / steady · zscore · 3:")


def test_without_records_there_are_only_rows(small):
    blocks = section(small, records={}).blocks
    assert [type(b) for b in blocks] == [Table]


def test_of_too_many_trials_the_first_repeats_and_the_flagged_have_pictures(small, monkeypatch):
    monkeypatch.setattr(trials, "_MOST_PICTURES", 6)
    table = small.table.assign(flags=["relapsed" if repeat == 3 else "" for repeat in small.table["repeat"]])
    blocks = section(small, table).blocks
    assert len(blocks[0].rows) == len(table)
    figures = [b for b in blocks if isinstance(b, Figure)]
    alts = " ".join(b.alt for b in figures)
    assert alts.count(" · ") == 2 * 6
    assert sum(f"{repeat}:" in alts for repeat in (1, 3)) == 2
    assert f"6 of {len(table)} trials are shown" in figures[0].caption


def test_values_that_were_not_seen_are_dashes(small):
    table = small.table[["chaos", "workload", "model", "policy", "outcome", "time_s"]]
    rows = section(small, table, {}).blocks[0].rows
    assert rows[0][1] == "pod-kill · steady · off · default"
    assert set(rows[0][4:]) == {"–"}


def test_a_control_trial_has_no_shade(small):
    names = [n for n, r in small.records.items() if r.row["chaos"] == "none"]
    record = next(r for r in small.records.values() if r.timeline)
    shown = {name: replace(small.records[name], timeline=record.timeline) for name in names}
    table = small.table[small.table["chaos"] == "none"]
    (figure,) = [b for b in section(small, table, shown).blocks if isinstance(b, Figure)]
    assert "#f0e442" not in figure.svg.lower()
    (figure, *_) = [b for b in section(small).blocks if isinstance(b, Figure)]
    assert "#f0e442" in figure.svg.lower()
