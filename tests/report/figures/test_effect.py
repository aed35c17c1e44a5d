from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from smartops_chaos.analysis.summary import Reduction
from smartops_chaos.report.figures import effect
from smartops_chaos.report.style import TALLEST_IN, arm_styles


def styles(campaign):
    return arm_styles([a.arm for a in campaign.summary().arms], campaign.plan.analysis.baseline)


def texts(svg: str) -> list[str]:
    return [t.replace("\u00a0", " ") for t in ET.fromstring(svg).itertext() if t.strip()]


def test_the_forest_prints_estimates_and_what_cannot_be_given(small):
    comparison = next(c for c in small.summary().comparisons if c.decides)
    wide, unknown = Reduction(0.5, -4.0, 0.9, None, None), Reduction(None, None, None, None, None)
    comparison = replace(
        comparison,
        mttr_reduction=Reduction(0.58, 0.44, 0.69, None, None),
        by_scenario={"a / w": wide, "b / w": unknown},
    )
    svg = effect.forest("fig-f", [comparison], styles(small), 0.4)
    found = texts(svg)
    assert {"58 %  (44 % to 69 %)", "50 %  (−400 % to 90 %)", "cannot be given", "target 40 %", "a / w"} <= set(found)
    assert effect.forest_rows([comparison]) == 3


def test_every_trial_that_recovered_is_one_mark_and_the_others_are_counted(small):
    rows = small.page().counted
    of_one = rows[rows["chaos"] == "pod-kill"]
    cells = [(arm, cell) for arm in small.summary().arms for cell in arm.cells if cell.chaos == "pod-kill"]
    strip = effect.strips("fig-one", rows, cells, styles(small))
    never = of_one["time_s"] >= of_one["horizon_s"]
    marks = {
        group: strip.svg.partition(f'<g id="{group}">')[2].partition("</g>\n   </g>")[0] for group, _ in strip.points
    }
    shown = [row for _, places in strip.points for row in places]
    assert set(of_one.index[~never]) <= set(shown) <= set(of_one.index)
    for group, places in strip.points:
        assert marks[group].count("<use") == len(places)
    told = [text for text in texts(strip.svg) if text.endswith(" never")]
    assert sum(int(text.split()[0]) for text in told) == never.sum()


def test_rates_show_n_and_leave_out_an_axis_that_nobody_asked_for(small):
    summary = small.summary()
    found = texts(effect.rates(summary.arms, styles(small), 0.9, 0.99))
    assert {f"n = {a.auto_heal.n}" for a in summary.arms} <= set(found)
    assert "Availability in one window" in found
    arms = [replace(a, sla=replace(a.sla, availability=None)) for a in summary.arms]
    assert "Availability in one window" not in texts(effect.rates(arms, styles(small), 0.9, 0.99))


def test_each_workload_has_a_panel_and_a_fault_fits_on_a_page(simulate):
    campaign = simulate(models=("off", *"abcdefghi"), chaos=("c",), workloads=("light", "busy"), repeats=1, rate=1.0)
    cells = [(arm, cell) for arm in campaign.summary().arms for cell in arm.cells]
    svg = effect.strips("fig-one", campaign.page().counted, cells, styles(campaign)).svg
    assert float(re.findall(r'<svg [^>]*\bheight="([\d.]+)pt"', svg)[0]) <= TALLEST_IN * 72
    assert {"light", "busy", "off", "i"} <= set(texts(svg))


def test_availability_never_has_room_above_all(small):
    only = small.summary().arms[:1]
    alone = [replace(a, sla=replace(a.sla, availability=0.9999, lo=None, hi=None)) for a in only]
    svg = effect.rates(alone, styles(small), 0.9, 0.99)
    assert not [t for t in texts(svg) if re.fullmatch(r"10[1-9](\.\d+)? %", t)]
