from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from smartops_chaos.analysis.words import percent, seconds
from smartops_chaos.report import recovery
from smartops_chaos.report.document import Figure, Paragraph, Section, Table


def section(campaign, summary=None):
    page = campaign.page(summary)
    return Section("all", "All", (*recovery.section(page).blocks, *recovery.more(page)))


def table(section, name) -> Table:
    (found,) = [b for b in section.blocks if isinstance(b, Table) and b.id == name]
    return found


def test_each_arm_has_its_numbers_and_the_baseline_no_reduction(small):
    summary = small.summary()
    rows = table(section(small), "tab-mttr").rows
    assert [row[0] for row in rows] == ["off (baseline)", "zscore"]
    for row, arm in zip(rows, summary.arms, strict=True):
        assert row[1] == str(arm.counted)
        assert row[2] == seconds(arm.mttr.rmst_s)
    assert rows[0][6] == "–"
    decides = next(c for c in summary.comparisons if c.decides)
    assert rows[1][6] == percent(decides.mttr_reduction.estimate)


def test_a_median_beyond_the_horizon_is_not_a_dash(small):
    arms = [replace(a, mttr=replace(a.mttr, median_s=None, rmst_s=12.0, horizon_s=12.0)) for a in small.summary().arms]
    rows = table(section(small, replace(small.summary(), arms=tuple(arms))), "tab-mttr").rows
    assert {row[4] for row in rows} == {"> 12\u00a0s"}


def test_sensitivity_to_the_horizon_is_shown(small):
    heads = [c.title for c in table(section(small), "tab-horizons").columns]
    assert heads[:6] == ["Arm", "Scope", "At τ/4", "At τ/2", "At τ", "From impact,\nat τ"]
    assert not heads[6:]  # nothing is proven, and one trial a cell has no blocks to correlate


def test_a_forest_of_many_arms_leaves_scenarios_to_the_appendix(simulate):
    few = simulate(models=("off", "a", "b"), chaos=tuple(f"c{i}-x" for i in range(24)), repeats=1, rate=1.0)
    parts = [b for b in section(few).blocks if isinstance(b, Figure) and b.id.startswith("fig-reduction")]
    assert [p.title for p in parts] == ["Reduction of MTTR, part 1 of 2", "Reduction of MTTR, part 2 of 2"]
    assert [("a: " in p.alt, "b: " in p.alt) for p in parts] == [(True, False), (False, True)]
    many = simulate(models=("off", *"abc"), chaos=("c1-x", "c2-x"), repeats=1, rate=1.0)
    (forest,) = [b for b in section(many).blocks if isinstance(b, Figure) and b.id.startswith("fig-reduction")]
    assert "c: " in forest.alt
    assert "c1-x" not in forest.alt


def test_shorter_horizons_are_told_in_a_sentence(small):
    text = " ".join(b.text for b in section(small).blocks if isinstance(b, Paragraph)).replace("\u00a0", " ")
    assert re.search(
        r"That of zscore is .+ % at a quarter of the horizon, .+ % at half of it and .+ % at all of it", text
    )


def test_no_forest_of_nothing(nothing, small):
    ids = [b.id for b in section(small, nothing).blocks if isinstance(b, Figure)]
    assert ids == []


def test_reasons_have_a_table_when_the_cards_have_no_room(simulate):
    campaign = simulate(models=("off", "a", "b", "c"), repeats=1, rate=1.0)
    rows = table(section(campaign), "tab-verdicts").rows
    assert len(rows) == 9
    assert [row[0] for row in rows] == ["a", "", "", "b", "", "", "c", "", ""]
    assert all(row[5] for row in rows)


def test_arms_stand_between_the_floor_and_the_chance_level(small):
    summary = small.summary()
    off, zscore = summary.arms
    made = [
        replace(zscore, model=role, reference=role, mttr=replace(zscore.mttr, rmst_s=rmst))
        for role, rmst in (("oracle", 1.0), ("random", 9.0))
    ]
    arm = replace(zscore, mttr=replace(zscore.mttr, rmst_s=3.0))
    found = section(small, replace(summary, arms=(off, arm, *made)))
    text = " ".join(b.text for b in found.blocks if isinstance(b, Paragraph)).replace("\u00a0", " ")
    assert "oracle 1.00 s (the floor" in text
    assert "random 9.00 s (the chance level" in text
    assert "zscore is at 3.00 s, 75 % of the way from the chance level to the floor." in text
    (forest,) = [b for b in found.blocks if isinstance(b, Figure) and b.id == "fig-reduction"]
    assert {"oracle", "random"} <= set(ET.fromstring(forest.svg).itertext())
    assert "oracle (reference)" in [row[0] for row in table(found, "tab-mttr").rows]
    assert not any("of reference" in b.text for b in section(small).blocks if isinstance(b, Paragraph))
