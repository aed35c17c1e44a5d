from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from smartops_chaos.report.figures import survival_curves
from smartops_chaos.report.style import arm_styles


def styles(campaign):
    return arm_styles([a.arm for a in campaign.summary().arms], campaign.plan.analysis.baseline)


def texts(svg: str) -> list[str]:
    return [t.strip() for t in ET.fromstring(svg).itertext() if t.strip()]


def test_numbers_at_risk_stand_below_the_curves(small):
    arms = small.summary().arms
    found = texts(survival_curves.kaplan_meier(arms, styles(small)))
    for arm in arms:
        (pooled,) = [c for c in arm.curves if not c.scenario]
        assert {str(n) for n in pooled.at_risk} <= set(found)
    assert "Trials at risk" in found


def test_a_curve_goes_on_to_the_end_of_observation(small):
    arm = next(a for a in small.summary().arms if not a.baseline)
    (pooled,) = [c for c in arm.curves if not c.scenario]
    early = replace(pooled, time_s=(0.0, 3.0), survival=(1.0, 0.5), lo=(1.0, 0.2), hi=(1.0, 0.8))
    svg = survival_curves.kaplan_meier([replace(arm, curves=(early,))], styles(small))
    lines = re.findall(r'<path d="([^"]+)"[^>]*stroke: #0072b2; stroke-width: 1.4', svg)
    across = max(([float(x) for x in re.findall(r"[ML] ([\d.]+)", line)] for line in lines), key=len)
    assert across[-1] - across[0] > 3 * (across[1] - across[0])
