from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from smartops_chaos.model import MOMENTS, Arm, Request
from smartops_chaos.report.figures.trial_picture import Picture, draw_trial, scale
from smartops_chaos.report.style import arm_styles

ARM = Arm("off", "default")
STYLES = arm_styles([ARM], ARM)
REQUESTS = [Request(i * 100_000_000, 0, 20_000_000 if i % 5 else -1, 200 if i % 5 else 0) for i in range(100)]
PICTURE = Picture("title", "healed", ARM, {}, None, 12.0, 0.25, 1_000_000_000, REQUESTS)


def labels(svg: str) -> list[float]:
    """Where the upright names of moments stand, in points from the left."""
    found = []
    for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        turned = re.fullmatch(r"translate\(([\d.]+) [\d.]+\) rotate\(-90\)", text.get("transform", ""))
        if turned and text.text in MOMENTS:
            found.append(float(turned.group(1)))
    return sorted(found)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(-1, 8.9), min_size=len(MOMENTS), max_size=len(MOMENTS)))
def test_labels_of_moments_never_overlap(times):
    moments = {name: (at, at) for name, at in zip(MOMENTS, times, strict=True)}
    picture = replace(PICTURE, moments=moments)
    places = labels(draw_trial("fig-x", picture, STYLES, scale([picture])))
    assert len(places) == len(MOMENTS)
    assert all(b - a > 6 for a, b in pairwise(places))


def test_all_pictures_share_one_scale():
    late = replace(PICTURE, requests=[Request(30_000_000_000, 0, 9_000_000_000, 200)])
    both = scale([PICTURE, late])
    assert both.start_s == -1.0
    assert both.end_s == 29.0
    assert both.highest_ms > 9000
    assert both.lowest_ms < 20
    assert both.unanswered_ms > both.highest_ms


def test_a_trial_in_which_nothing_was_answered_has_a_picture():
    dead = replace(PICTURE, requests=[Request(0, 0, -1, 0)])
    assert "healed" in draw_trial("fig-x", dead, STYLES, scale([dead]))
