from __future__ import annotations

from dataclasses import replace

from smartops_chaos.report import trials
from smartops_chaos.report.document import Gallery, Table, plain_text
from smartops_chaos.report.index import index


def section(campaign, table=None, records=None, explain=lambda _: ""):
    table = campaign.table if table is None else table
    records = campaign.records if records is None else records
    data = replace(campaign.data(), table=table, records=records, explain=explain)
    return trials.section(campaign.page(table=table, index=index(table, campaign.plan.analysis.baseline)), data)


def blocks(section, kind):
    return [block for block in section.blocks if isinstance(block, kind)]


def names(table):
    return [plain_text(row[1]) for row in table.rows]


def test_every_trial_is_a_row_that_leads_to_its_picture(small):
    (table,), (gallery,) = (blocks(section(small), kind) for kind in (Table, Gallery))
    assert names(table) == list(small.table["trial"])
    assert {row[1][0].to: row[1][0].text for row in table.rows} == {e.id: e.title for e in gallery.cards}
    assert all("<svg" in card.svg for card in gallery.cards)


def test_arms_stand_side_by_side_and_calibration_last(small):
    (gallery,) = blocks(section(small), Gallery)
    order = [card.title for card in gallery.cards]
    assert order[:3] == ["cpu-90_steady_off_default_1", "cpu-90_steady_zscore_default_1", "cpu-90_steady_off_default_2"]
    assert [title.startswith("calibrate") for title in order[-3:]] == [False, True, True]


def test_without_records_there_are_only_rows_that_lead_nowhere(small):
    shown = section(small, records={})
    assert [type(b) for b in shown.blocks] == [Table]
    assert all(isinstance(row[1], str) for row in shown.blocks[0].rows)


def test_a_trial_with_evidence_but_no_request_is_shown_as_well(small):
    (gallery,) = blocks(section(small, records={}, explain=lambda trial: f"{trial}: no request"), Gallery)
    assert {e.evidence for e in gallery.cards} == {f"{trial}: no request" for trial in small.table["trial"]}
    assert {e.svg for e in gallery.cards} == {""}


def test_evidence_is_bounded(small):
    (gallery,) = blocks(section(small, explain=lambda _: "\n".join(["x" * 100_000] * 1000)), Gallery)
    (evidence, *_) = (e.evidence for e in gallery.cards)
    assert len(evidence) < 100_000
    assert evidence.endswith("and 880 more lines")


def test_of_many_trials_some_are_shown_and_the_text_says_which(simulate):
    many = simulate(repeats=20, rate=2.0)
    (gallery,), (table,) = (blocks(section(many), kind) for kind in (Gallery, Table))
    assert len(gallery.cards) == 48
    assert len(table.rows) == len(many.table) > 48
    assert gallery.caption.startswith(f"48 of {len(many.table)}\u00a0trials")
    assert table.on_paper is None


def test_of_very_many_trials_only_those_in_full_are_printed(simulate):
    many = simulate(repeats=60, rate=1.0)
    (gallery,), (table,) = (blocks(section(many), kind) for kind in (Gallery, Table))
    assert {names(table)[i] for i in table.on_paper} == {e.title for e in gallery.cards}
    assert "On paper only 48: " in table.note


def test_values_that_were_not_seen_have_no_column(small):
    table = small.table[["chaos", "workload", "model", "policy", "outcome", "time_s"]]
    rows = section(small, table, {}).blocks[0].rows
    assert rows[0][1] == "pod-kill · steady · off · default"
    assert not rows[0][4:]


def test_a_control_trial_has_no_shade(small):
    controls = [n for n, r in small.records.items() if r.row["chaos"] == "none"]
    record = next(r for r in small.records.values() if r.timeline)
    shown = {name: replace(small.records[name], timeline=record.timeline) for name in controls}
    table = small.table[small.table["chaos"] == "none"]
    (gallery,) = blocks(section(small, table, shown), Gallery)
    assert not any("#f0e442" in card.svg.lower() for card in gallery.cards)
    (gallery,) = blocks(section(small), Gallery)
    assert "#f0e442" in gallery.cards[0].svg.lower()


def test_a_calibration_trial_is_told_as_what_it_is(report):
    (table,) = [b for s in report.sections for b in s.blocks if isinstance(b, Table) and b.id == "tab-trials"]
    told = {plain_text(row[1]): row[2] for row in table.rows}
    assert {told[name] for name in told if name.startswith("calibrate")} == {"ended by the harness"}
    assert "ended by the harness" not in {told[name] for name in told if not name.startswith("calibrate")}
