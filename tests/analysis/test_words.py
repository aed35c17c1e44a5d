from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartops_chaos.analysis import words

ANY = st.none() | st.sampled_from([float("nan"), float("inf"), float("-inf")]) | st.floats(-1e12, 1e12)
FORMATS = (words.seconds, words.percent, words.points, words.probability, lambda v: words.number(v, 1))


@given(ANY, st.sampled_from(FORMATS))
def test_what_is_not_known_is_a_dash_and_never_a_number(value, form):
    text = form(value)
    known = value is not None and math.isfinite(value)
    assert (text == words.NONE) is not known
    assert "nan" not in text
    assert "inf" not in text


@given(ANY, ANY)
def test_a_range_with_an_unknown_end_is_a_dash(lo, hi):
    known = all(v is not None and math.isfinite(v) for v in (lo, hi))
    for form in (words.seconds_range, words.percent_range):
        assert (form(lo, hi) == words.NONE) is not known


@given(st.floats(0, 1))
def test_zero_and_all_are_said_only_of_exact_zeros_and_ones(value):
    text = words.percent(value)
    if value == 0 or value > 1e-8:
        assert (text == "0\u00a0%") == (value == 0)
    assert value == 1 or not text.startswith("100\u00a0")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (words.seconds(3.456), "3.46\u00a0s"),
        (words.seconds(12.04), "12.0\u00a0s"),
        (words.seconds(-0.001), "0.00\u00a0s"),
        (words.seconds(0.03, sign=True), "+0.03\u00a0s"),
        (words.seconds_range(9.5, 12.0), "9.5 to 12.0\u00a0s"),
        (words.stated_seconds(12.0), "12\u00a0s"),
        (words.percent(0.6667), "67\u00a0%"),
        (words.percent(-0.25), "−25\u00a0%"),
        (words.percent(0.9999), "99.99\u00a0%"),
        (words.points(0.305), "+30"),
        (words.probability(0.00004), "< 0.0001"),
        (words.probability(0.0018), "0.0018"),
        (words.k_of_n(3, 0), words.NONE),
        (words.count(1, "trial"), "1\u00a0trial"),
        (words.count(2, "trial"), "2\u00a0trials"),
        (words.tally({"denied": 1, "undetected": 3, "gate": 0}), "3 undetected, 1 denied"),
        (words.tally({}), words.NONE),
        (words.listing(["a", "b", "c"]), "a, b and c"),
        (words.listing([]), words.NONE),
    ],
)
def test_examples(text, wanted):
    assert text == wanted


@given(st.text(), st.integers(5, 60))
def test_clipped_text_fits_and_keeps_both_ends(text, length):
    short = words.clip(text, length)
    assert len(short) <= length
    assert (short == text) == (len(text) <= length)
    assert short[:2] == text[:2]
    assert short[-1:] == text[-1:]


@given(st.text())
def test_legal_text_is_xml(text):
    element = ET.Element("a")
    element.text = words.legal(text)
    assert ET.fromstring(ET.tostring(element)) is not None
