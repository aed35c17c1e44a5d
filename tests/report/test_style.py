from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from smartops_chaos.model import Arm
from smartops_chaos.report.style import NARROW_IN, WIDTH_IN, arm_styles, both, draw, even_slices, is_narrow, two_lines

ARMS = [Arm(name, "default") for name in ("a", "off", "b", "c", "d", "e", "f")]


def test_each_of_seven_arms_has_its_own_colour_and_its_own_second_cue():
    styles = arm_styles(ARMS, ARMS[1])
    assert len({s.colour for s in styles.values()}) == len(ARMS)
    assert len({s.marker for s in styles.values()}) == len(ARMS)
    assert len({s.line for s in styles.values()}) == len(ARMS)


def test_more_models_than_colours_differ_by_mark_and_line():
    arms = [*ARMS, Arm("g", "default"), Arm("h", "default")]
    styles = arm_styles(arms, ARMS[1])
    assert len({(s.colour, s.marker, s.line) for s in styles.values()}) == len(arms)


def test_colours_tell_models_and_marks_policies():
    arms = [Arm(model, policy) for model in ("off", "a", "b") for policy in ("p", "q", "r")]
    styles = arm_styles(arms, arms[0])
    assert len({styles[arm].colour for arm in arms if arm.model == "a"}) == 1
    assert len({styles[Arm(model, "p")].colour for model in ("off", "a", "b")}) == 3
    assert {styles[Arm(model, "q")].marker for model in ("a", "b", "off")} == {styles[Arm("a", "q")].marker}
    assert len({(s.colour, s.marker) for s in styles.values()}) == len(arms)


def paint(drawing):
    axes = drawing.subplots()
    axes.plot([1, 2], [3, 4], label='id="x" url(#y) $a_b$ <&>')
    axes.legend()
    axes.scatter([1, 2], [3, 4], rasterized=True)


def test_a_drawing_is_the_same_bytes_each_time_and_its_ids_are_its_own():
    svg = draw("fig-one", 2.0, paint)
    assert svg == draw("fig-one", 2.0, paint)
    ids = re.findall(r'<[^>]*\bid="([^"]+)"', svg)
    assert ids
    assert all(name.startswith("fig-one-") for name in ids)
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', re.sub(r">[^<]+<", "><", svg))) <= set(ids)
    assert "metadata" not in svg


def test_text_of_a_figure_stays_text_as_it_was_written():
    texts = "".join(ET.fromstring(draw("fig-one", 2.0, paint)).itertext())
    assert 'id="x" url(#y) $a_b$ <&>' in texts


def test_a_control_character_does_not_break_the_svg():
    ET.fromstring(draw("fig-one", 1.0, lambda drawing: drawing.text(0, 0, "a\x01b")))


@pytest.mark.parametrize("text", ["short", "one-name-with-many-parts-and-a-long-end / steady", "x" * 80])
def test_long_labels_take_two_short_lines(text):
    lines = two_lines(text).split("\n")
    assert len(lines) <= 2
    assert all(len(line) <= 24 for line in lines)


@pytest.mark.parametrize(
    ("n", "most", "sizes"), [(0, 3, []), (3, 3, [3]), (4, 3, [2, 2]), (10, 4, [3, 3, 4]), (2, 0, [1, 1])]
)
def test_figures_share_what_does_not_fit_into_one(n, most, sizes):
    things = list(range(n))
    parts = [things[part] for part in even_slices(n, most)]
    assert [len(part) for part in parts] == sizes
    assert [thing for part in parts for thing in part] == things


def test_a_drawing_for_a_phone_is_made_when_it_is_asked_for_and_has_ids_of_its_own():
    asked = []

    def paint() -> str:
        asked.append(is_narrow())
        return draw("fig-a", 1.0, lambda drawing: drawing.subplots())

    wide, narrow = both(paint)
    assert asked == [False]
    assert 'id="fig-a-narrow-' in narrow()
    assert asked == [False, True]
    assert not is_narrow()
    assert "narrow" not in wide
    width = [float(re.findall(r'<svg [^>]*\bwidth="([\d.]+)pt"', svg)[0]) for svg in (wide, narrow())]
    assert width == pytest.approx([72 * WIDTH_IN, 72 * NARROW_IN])
