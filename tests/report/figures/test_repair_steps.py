from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from smartops_chaos.analysis.summary import AsideMoment
from smartops_chaos.report.figures import repair_steps
from smartops_chaos.report.style import arm_styles


def styles(campaign):
    return arm_styles([a.arm for a in campaign.summary().arms], campaign.plan.analysis.baseline)


def texts(svg: str) -> list[str]:
    return [t.strip().replace("\u00a0", " ") for t in ET.fromstring(svg).itertext() if t.strip()]


def test_phase_bars_print_how_many_healed_trials_they_stand_for(small):
    arms = [a for a in small.summary().arms if any(p.mean_s is not None for p in a.phases)]
    found = texts(repair_steps.phases(arms, styles(small)))
    for arm in arms:
        assert any(text.endswith(f" s, n = {arm.phases[-1].n}") for text in found)
    legend = " ".join(found)
    assert all(step in legend for step in ("detect", "diagnose", "decide", "act", "recover"))


def test_what_the_repair_did_not_wait_for_is_a_tick_below_the_bar(small):
    (arm,) = [a for a in small.summary().arms if not a.baseline]
    late = replace(arm, aside=(AsideMoment("diagnosed", 2.5, 3),))
    assert sum("diagnosed" in text for text in texts(repair_steps.phases([late], styles(small)))) == 1
    without = texts(repair_steps.phases([replace(arm, aside=())], styles(small)))
    assert not any("diagnosed" in text for text in without)


def test_the_funnel_prints_every_count(small):
    arms = small.summary().arms
    found = texts(repair_steps.funnel(arms, styles(small)))
    for arm in arms:
        for step in arm.funnel:
            assert str(step.reached) in found
            assert step.moment in found
    off = replace(arms[0], outcomes={"platform": 77, "unrecovered": 1})
    shown = texts(repair_steps.funnel([off], styles(small)))
    assert {"by itself", "77"} <= set(shown)


def test_the_confusion_matrix_holds_every_asked_trial(small):
    arm = next(a for a in small.summary().arms if not a.baseline)
    found = texts(repair_steps.confusions([arm], styles(small))[0])
    assert sum(int(t) for t in found if t.isdigit()) == arm.rca.n
    assert "no answer" in found


def test_each_cause_of_a_combination_is_a_right_answer(small):
    arm = next(a for a in small.summary().arms if not a.baseline)
    both = {"cpu|network": {"cpu": 3, "": 1}, "pod": {"pod": 2}}
    svg = repair_steps.confusions([replace(arm, rca=replace(arm.rca, confusion=both))], styles(small))[0]
    assert {"cpu", "network", "pod", "3", "1", "2"} <= set(texts(svg))
    assert svg.count("fig-confusion-patch_") == 2 + 2 + 3  # backgrounds, spines, frames
