import math
from typing import Annotated, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from smartops_chaos.schema import units
from smartops_chaos.schema.units import (
    Duration,
    UnitError,
    between,
    check_range,
    format_duration,
    format_fraction,
    format_rate,
    format_size,
    parse,
    spoken_duration,
)


@pytest.mark.parametrize(
    ("unit", "text", "value"),
    [
        ("duration", "250ms", 0.25),
        ("duration", "700ms", 0.7),
        ("duration", "12s", 12.0),
        ("duration", "1.5 m", 90.0),
        ("duration", "2min", 120.0),
        ("duration", "30d", 2_592_000.0),
        ("duration", "20us", 20e-6),
        ("duration", " 5s ", 5.0),
        ("duration", 0, 0.0),
        ("duration", "1h2m3s", 3723.0),
        ("duration", "1m30.5s", 90.5),
        ("duration", "1.5s", 1.5),
        ("duration", "1s500ms", 1.5),
        ("duration", "2w", 1_209_600.0),
        ("duration", "PT30S", 30.0),
        ("duration", "PT1M30.5S", 90.5),
        ("duration", "p1dt12h", 129_600.0),
        ("fraction", "90%", 0.9),
        ("fraction", "0%", 0.0),
        ("fraction", "99.99 %", 0.9999),
        ("fraction", 0.95, 0.95),
        ("fraction", 1, 1.0),
        ("rate", "40/s", 40.0),
        ("rate", "90/min", 1.5),
        ("rate", "36/h", 0.01),
        ("size", "500MB", 500_000_000),
        ("size", "512MiB", 536_870_912),
        ("size", "1.5kB", 1500),
        ("size", "3B", 3),
        ("count", 6, 6),
        ("count", 0, 0),
    ],
)
def test_parses_what_people_write(unit: units.Unit, text: object, value: float) -> None:
    assert parse(unit, text) == value


@pytest.mark.parametrize(
    ("unit", "text", "message"),
    [
        ("duration", 12, "12 has no unit: write 12s, 12ms, 12m, 12h or 12d"),
        ("duration", "12", "12 has no unit: write 12s, 12ms, 12m, 12h or 12d"),
        ("duration", "12 parsecs", "12 parsecs has an unknown unit `parsecs`: durations have ms, s, m, h or d"),
        ("duration", "PT", "PT is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "P1Y", "P1Y is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "1m30", "1m30 is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "-5s", "-5s is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", -5, "-5 is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", math.nan, "nan is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", math.inf, "inf is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", True, "true is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "", "`` is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "٣s", "٣s is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("duration", "1e3s", "1e3s is not a duration: write a number and ms, s, m, h or d, such as 250ms"),
        ("fraction", 90, "90 is not between 0 and 1: write a percentage such as 90%, or a number such as 0.9"),
        ("fraction", math.nan, "nan is not between 0 and 1: write a percentage such as 90%, or a number such as 0.9"),
        ("fraction", "101%", "101% is more than 100%: write 0% to 100%"),
        ("fraction", "5s", "5s has an unknown unit `s`: write a percentage such as 90%"),
        ("rate", 40, "40 has no unit: write 40/s or 40/min"),
        ("rate", "40rps", "40rps has an unknown unit `rps`: rates have /s, /min or /h"),
        ("size", 500, "500 has no unit: write 500MB or 500MiB"),
        (
            "size",
            "500Mi",
            "500Mi has an unknown unit `Mi`: sizes have B, kB, MB, GB, TB, KiB, MiB, GiB or TiB",
        ),
        ("count", 1.5, "1.5 is not a count: write a whole number without a unit, such as 6"),
        ("count", -1, "-1 is not a count: write a whole number without a unit, such as 6"),
        ("count", True, "true is not a count: write a whole number without a unit, such as 6"),
        ("count", "6", "6 is not a count: write a whole number without a unit, such as 6"),
    ],
)
def test_says_what_is_accepted(unit: units.Unit, text: object, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse(unit, text)
    assert str(caught.value) == message


def test_a_very_long_number_is_refused_and_cut() -> None:
    with pytest.raises(UnitError) as caught:
        parse("duration", "9" * 5000 + "s")
    assert len(str(caught.value)) < 150


@settings(deadline=None)
@given(st.integers(0, 10**9).map(lambda ms: ms / 1000))
def test_durations_come_back_as_written(seconds: float) -> None:
    assert parse("duration", format_duration(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(0, 100_000).map(lambda n: n / 100_000))
def test_fractions_come_back_as_written(fraction: float) -> None:
    assert parse("fraction", format_fraction(fraction)) == fraction


@settings(deadline=None)
@given(st.integers(0, 2**50))
def test_sizes_come_back_as_written(size: int) -> None:
    assert parse("size", format_size(size)) == size


@settings(deadline=None)
@given(st.floats(0, 1e6).map(lambda x: round(x, 6)))
def test_rates_come_back_as_written(rate: float) -> None:
    assert parse("rate", format_rate(rate)) == pytest.approx(rate, rel=1e-9)


@settings(deadline=None)
@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_value_is_parsed_or_refused_in_words(value: object) -> None:
    for unit in get_args(units.Unit):
        said = _parsed_or_said(unit, value)
        assert said if isinstance(said, str) else 0 <= said < math.inf


def _parsed_or_said(unit: units.Unit, value: object) -> float | str:
    try:
        return parse(unit, value)
    except UnitError as error:
        return str(error)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0.5, (0.8, 1.0), "50% is too little: 80% to 100%"),
        (0.5, (0.8, None), "50% is too little: 80% at least"),
        (0.9, (0.1, 0.8), "90% is too much: 10% to 80%"),
        (0.9, (None, 0.8), "90% is too much: 80% at most"),
    ],
)
def test_range_errors_have_the_unit(value: float, bounds: tuple[float | None, float | None], message: str) -> None:
    with pytest.raises(UnitError) as caught:
        check_range("fraction", value, *bounds)
    assert str(caught.value) == message


def test_bounds_themselves_are_in_range() -> None:
    check_range("fraction", 0.8, 0.8, 1.0)
    check_range("fraction", 1.0, 0.8, 1.0)


class _Model(BaseModel):
    after: Annotated[Duration, between("duration", 1, 60)]


def test_as_types_of_a_model() -> None:
    assert _Model.model_validate({"after": "1500ms"}).after == 1.5
    with pytest.raises(ValidationError, match="2m is too much: 1s to 1m"):
        _Model.model_validate({"after": "120s"})


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "90s"), (7200, "2h"), (0.25, "250ms"), (86400, "1d")])
def test_durations_are_written_shortly(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("said", "seconds"), [("2", 2), ("0.5", 0.5), ("-1", 0), ("3600", 5), ("Wed, 21 Oct 2026", 0)])
def test_retry_after(said: str, seconds: float) -> None:
    assert units.retry_after_s({"Retry-After": said}) == seconds
    assert units.retry_after_s({}) == 0


@pytest.mark.parametrize(("text", "seconds"), [("1m30s", 90), ("200ms", 0.2), ("15s", 15), ("1h", 3600)])
def test_durations_as_prometheus_writes_them(text: str, seconds: float) -> None:
    assert units.prometheus_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0.4, "0 s"), (45, "45 s"), (60, "1 min"), (200, "3 min 20 s"), (725, "12 min"), (7800, "2 h 10 min")],
        *[(40000, "11 h"), (360_000, "4 d 4 h")],
    ],
)
def test_durations_are_said_as_a_person_says_them(seconds: float, text: str) -> None:
    assert spoken_duration(seconds) == text
