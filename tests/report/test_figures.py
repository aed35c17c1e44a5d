from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from smartops_chaos.analysis.summary import Reduction
from smartops_chaos.report import figures
from smartops_chaos.report.build import counted
from smartops_chaos.report.style import arm_styles


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
    svg = figures.forest("fig-f", [comparison], styles(small), 0.4)
    found = texts(svg)
    assert {"58 %  (44 % to 69 %)", "50 %  (−400 % to 90 %)", "cannot be given", "target 40 %", "a / w"} <= set(found)
    assert figures.forest_rows([comparison]) == 3


def test_every_counted_trial_is_one_mark(small):
    summary, rows = small.summary(), counted(small.table)
    svg = figures.strip(rows, summary.arms, styles(small))
    clouds = re.findall(r'<g id="fig-trials-PathCollection_\d+">(.*?)</g>\s*</g>', svg, re.DOTALL)
    assert sum(cloud.count("<use") for cloud in clouds) == len(rows)


def test_rates_show_n_and_leave_out_an_axis_that_nobody_asked_for(small):
    summary = small.summary()
    found = texts(figures.rates(summary.arms, styles(small), 0.9, 0.99))
    assert {f"n = {a.auto_heal.n}" for a in summary.arms} <= set(found)
    assert "Availability in one window" in found
    arms = [replace(a, sla=replace(a.sla, availability=None)) for a in summary.arms]
    assert "Availability in one window" not in texts(figures.rates(arms, styles(small), 0.9, 0.99))
